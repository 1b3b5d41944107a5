"""The series of an ImagingStudy, and their instances.

References
----------
PS3.3 C.7.3.1 "General Series Module", C.7.6.1 "General Image Module", C.7.6.22 "Specimen Module";
FHIR R4 10.6 "Resource ImagingStudy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from shared.dicom.sop_classes import ENCAPSULATED, PRESENTATION_STATES, STRUCTURED_REPORTS, name_of
from shared.fhir import body_sites, moments, practitioners, values
from shared.fhir.authorities import system_for
from shared.fhir.devices import series_device
from shared.fhir.evidence import is_always_listed, union, vote
from shared.fhir.identity import DCM, URI, identifier, is_uid, uid_identity
from shared.fhir.issues import IssueCode, Notes
from shared.fhir.json_text import Resource, compact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import InstanceLine, SeriesEvidence

T = TypeVar("T")

OTHER = "OT"
"""Modality of series that have none."""

_LARGE_SERIES = 50
"""Series with more instances are cut short in a study that is over the limit."""
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_PERFORMERS = (
    ("PerformingPhysicianName", "PerformingPhysicianIdentificationSequence", "PRF"),
    ("OperatorsName", "OperatorIdentificationSequence", "SPRF"),
)


def modality(series: SeriesEvidence, notes: Notes) -> str | None:
    """Give a series' modality; None where it has none that is good, which is noted."""
    notes.at(series.series_instance_uid)
    found = _vote(series, "Modality", lambda ds: values.code(ds, "Modality", Notes()), notes)
    if found is None:
        sent = any(block.dataset.values("Modality") for block in series.blocks)
        notes.warn("Modality", IssueCode.BAD_VALUE if sent else IssueCode.MODALITY_MISSING)
    return found


def series_element(series: SeriesEvidence, context: Context, *, cut_short: bool = False) -> Resource:
    """Make an element of ``ImagingStudy.series``.

    Parameters
    ----------
    cut_short
        Whether the study is too large for listing all instances of its large series.

    Raises
    ------
    StudyRejected
        A UID is bad, so that FHIR cannot name the series or an instance.
    """
    notes = context.notes
    kind = modality(series, notes) or OTHER
    if not is_uid(series.series_instance_uid):
        notes.reject("SeriesInstanceUID")
    return compact(
        uid=series.series_instance_uid,
        number=_vote(series, "SeriesNumber", lambda ds: values.uint(ds, "SeriesNumber", notes), notes),
        modality={"system": DCM, "code": kind},
        description=_vote(series, "SeriesDescription", lambda ds: _description(ds, notes), notes),
        numberOfInstances=len(series.instances),
        bodySite=_vote(series, "BodyPartExamined", lambda ds: body_sites.body_site(ds, context), notes),
        laterality=_laterality(series, notes),
        specimen=union(series.blocks, lambda ds: _specimens(ds, context)),
        started=_started(series, context),
        performer=union(series.blocks, lambda ds: _performers(ds, context)),
        instance=_instances(series, context, cut_short=cut_short),
    )


def is_cut_short(series: SeriesEvidence) -> bool:
    """Tell whether instances of a series are left out where its study is too large."""
    return len(series.instances) > _LARGE_SERIES and not all(is_always_listed(line.sop_class_uid) for line in series.instances)


def in_order(elements: list[Resource]) -> list[Resource]:
    """Sort series, or instances, by number, those without one last, then by UID."""
    return sorted(elements, key=lambda element: (element.get("number") is None, element.get("number", 0), element["uid"]))


def _vote(series: SeriesEvidence, keyword: str, extract: Callable[[Dataset], T | None], notes: Notes) -> T | None:
    return vote(series.blocks, extract, notes, keyword, IssueCode.SERIES_CONFLICT)


def _description(ds: Dataset, notes: Notes) -> str | None:
    return values.text(ds, "SeriesDescription", notes) or values.text(ds.item("SeriesDescriptionCodeSequence"), "CodeMeaning", notes)


def _laterality(series: SeriesEvidence, notes: Notes) -> Resource | None:
    """Give the side of the series, else that of its images where it is the same for all."""
    side = _vote(series, "Laterality", lambda ds: body_sites.laterality(ds, notes), notes)
    if side is not None:
        return side
    sides = [body_sites.laterality(block.dataset, notes, "ImageLaterality") for block in series.blocks]
    return sides[0] if all(each == sides[0] for each in sides) else None


def _specimens(ds: Dataset, context: Context) -> Iterator[Resource]:
    """Refer to specimens logically: nothing that archives know says who keeps them."""
    for item in ds.items("SpecimenDescriptionSequence"):
        uid, value = values.uid(item, "SpecimenUID"), values.first_text(item, "SpecimenIdentifier", context.notes)
        if uid:
            yield {"type": "Specimen", "identifier": uid_identity("Specimen", uid).identifier()}
        elif value:
            system = system_for(None, item.item("IssuerOfTheSpecimenIdentifierSequence"), "", context)
            yield {"type": "Specimen", "identifier": identifier(system, value)}
        else:
            context.notes.drop("SpecimenDescriptionSequence")


def _started(series: SeriesEvidence, context: Context) -> str | None:
    started = moments.earliest(moments.moment(block.dataset, "SeriesDate", "SeriesTime", context) for block in series.blocks)
    if started or not context.settings.series_started_fallback:
        return started
    return moments.earliest(_acquired(line.dataset, context) for line in series.instances)


def _acquired(ds: Dataset, context: Context) -> str | None:
    return (
        moments.from_dt(ds.first("AcquisitionDateTime"), "AcquisitionDateTime", ds, context)
        or moments.moment(ds, "AcquisitionDate", "AcquisitionTime", context)
        or moments.moment(ds, "ContentDate", "ContentTime", context)
    )


def _performers(ds: Dataset, context: Context) -> Iterator[Resource]:
    for name, identification, function in _PERFORMERS:
        for person in practitioners.people(ds, name, identification, context):
            yield {"function": {"coding": [{"system": _PARTICIPATION, "code": function}]}, "actor": person}
    equipment = series_device(ds, context)
    if equipment is not None:
        yield {"actor": equipment}


def _instances(series: SeriesEvidence, context: Context, *, cut_short: bool) -> list[Resource]:
    elide = cut_short and is_cut_short(series)
    listed = (line for line in series.instances if not elide or is_always_listed(line.sop_class_uid))
    return in_order([_instance(series.series_instance_uid, line, context) for line in listed])


def _instance(series_instance_uid: str, line: InstanceLine, context: Context) -> Resource:
    notes = context.notes
    notes.at(series_instance_uid, line.sop_instance_uid)
    if not is_uid(line.sop_instance_uid):
        notes.reject("SOPInstanceUID")
    if not is_uid(line.sop_class_uid):
        notes.reject("SOPClassUID")
    return compact(
        uid=line.sop_instance_uid,
        sopClass=compact(system=URI, code=f"urn:oid:{line.sop_class_uid}", display=name_of(line.sop_class_uid)),
        number=values.uint(line.dataset, "InstanceNumber", notes),
        title=_title(line, context),
    )


def _title(line: InstanceLine, context: Context) -> str | None:
    """Give what tells an object from its neighbours; images have no such thing."""
    ds, notes, sop_class_uid = line.dataset, context.notes, line.sop_class_uid
    if sop_class_uid.startswith(STRUCTURED_REPORTS):
        return values.text(ds.item("ConceptNameCodeSequence"), "CodeMeaning", notes)
    if sop_class_uid.startswith(ENCAPSULATED):
        return values.text(ds, "DocumentTitle", notes)
    if sop_class_uid.startswith(PRESENTATION_STATES):
        return values.text(ds, "ContentLabel", notes)
    return "\\".join(values.texts(ds, "ImageType", notes)) or None if context.settings.title_image_type else None
