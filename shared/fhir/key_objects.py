"""Key object selections → Basic, until the server speaks R5, which has ImagingSelection for them.

R5's resource names the instances of one series; a key object selection is free to name those of several studies. So the
instances are listed in extensions of our own, each with the series and study that it belongs to, as far as the document
says::

    Basic.code                                  http://hl7.org/fhir/fhir-types#ImagingSelection
    Basic.extension[imaging-selection-code]     valueCodeableConcept: why they were selected, the document's title
    Basic.extension[imaging-selection-derived-from]  valueReference: the ImagingStudy
    Basic.extension[imaging-selection-instance] one for each instance, with extensions
        uid, seriesUid, studyUid                valueId
        sopClass                                valueCoding
        frame                                   valuePositiveInt, one for each frame; none means all

References
----------
PS3.3 C.17.6 "Key Object Selection Modules"; PS3.16 TID 2010 "Key Object Selection"; FHIR R4 "Resource Basic".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.dicom.sop_classes import KEY_OBJECT_SELECTION, name_of
from shared.fhir import documents, sr_document, values
from shared.fhir.dataset import Dataset, tag
from shared.fhir.identity import URI, Draft, uid_identity
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import compact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.issues import Notes
    from shared.fhir.json_text import Resource

CODE = {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "ImagingSelection"}]}


def basic(document: DocumentEvidence, frame: StudyFrame, context: Context) -> Draft | None:
    """Make the Basic that lists the instances of a key object selection; None for other documents, or where not wanted."""
    if context.settings.key_images != "basic" or document.sop_class_uid != KEY_OBJECT_SELECTION:
        return None
    ds = document.dataset
    identity = uid_identity("Basic", document.sop_instance_uid)
    created = documents.content_moment(ds, context)
    resource = compact(
        resourceType="Basic",
        meta=context.meta(),
        extension=_extensions(document, frame, context),
        identifier=[identity.identifier()],
        code=CODE,
        subject=frame.subject,
        created=created and created[: len("YYYY-MM-DD")],
    )
    return Draft(identity, resource)


def extension_url(context: Context, name: str) -> str:
    """Give the URL of one of the extensions ``imaging-selection-…``."""
    return f"{context.settings.canonical}/StructureDefinition/imaging-selection-{name}"


def _extensions(document: DocumentEvidence, frame: StudyFrame, context: Context) -> list[Resource]:
    title = documents.title(document.dataset, context)
    about = [{"url": extension_url(context, "code"), "valueCodeableConcept": title}] if title else []
    about.append({"url": extension_url(context, "derived-from"), "valueReference": frame.study})
    instances = [{"url": extension_url(context, "instance"), "extension": parts} for parts in _instances(document.dataset, context)]
    return [*about, *instances]


def _instances(ds: Dataset, context: Context) -> list[list[Resource]]:
    """List what is selected, as often as it is; beyond the operator's limit of instances the rest is left out."""
    places, notes, limit = _places(ds), context.notes, context.settings.instance_limit
    listed: list[list[Resource]] = []
    for reference in _references(ds):
        uid = values.uid(reference, "ReferencedSOPInstanceUID")
        if uid is None:
            notes.drop("ReferencedSOPInstanceUID")
        elif len(listed) == limit:
            notes.warn("ReferencedSOPSequence", IssueCode.INSTANCES_ELIDED)
            break
        else:
            listed.append(_instance(uid, reference, places, context))
    return listed


def _references(ds: Dataset) -> Iterator[Dataset]:
    items = sr_document.read(ds).walk()
    return (reference for item in items for reference in item.item.items("ReferencedSOPSequence"))


def _instance(uid: str, reference: Dataset, places: dict[str, tuple[str | None, str | None]], context: Context) -> list[Resource]:
    study_instance_uid, series_instance_uid = places.get(uid, (None, None))
    sop_class_uid = values.uid(reference, "ReferencedSOPClassUID")
    uids = (("uid", uid), ("seriesUid", series_instance_uid), ("studyUid", study_instance_uid))
    return [
        *({"url": url, "valueId": value} for url, value in uids if value),
        *([{"url": "sopClass", "valueCoding": _sop_class(sop_class_uid)}] if sop_class_uid else []),
        *(
            {"url": "frame", "valuePositiveInt": number}
            for number in _frame_numbers(reference, context.notes, context.settings.instance_limit)
        ),
    ]


def _places(ds: Dataset) -> dict[str, tuple[str | None, str | None]]:
    """Give study and series of the referenced instances, as the document's evidence has them."""
    return {
        uid: (values.uid(study, "StudyInstanceUID"), values.uid(series, "SeriesInstanceUID"))
        for study in ds.items("CurrentRequestedProcedureEvidenceSequence")
        for series in study.items("ReferencedSeriesSequence")
        for reference in series.items("ReferencedSOPSequence")
        if (uid := values.uid(reference, "ReferencedSOPInstanceUID"))
    }


def _sop_class(sop_class_uid: str) -> Resource:
    return compact(system=URI, code=f"urn:oid:{sop_class_uid}", display=name_of(sop_class_uid))


def _frame_numbers(reference: Dataset, notes: Notes, limit: int) -> list[int]:
    """Give the one-based numbers of the selected frames; none where the whole instance is meant."""
    sent = reference.values("ReferencedFrameNumber")
    if len(sent) > limit:
        notes.warn("ReferencedFrameNumber", IssueCode.INSTANCES_ELIDED)
    numbers = [_frame_number(value, notes) for value in sent[:limit]]
    return [number for number in numbers if number]


def _frame_number(value: Any, notes: Notes) -> int | None:
    return values.uint(Dataset({tag("ReferencedFrameNumber"): {"Value": [value]}}), "ReferencedFrameNumber", notes)
