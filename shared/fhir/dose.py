"""Radiation dose reports as Observations: a summary of what the device added up, and its irradiation events.

Nothing is added up here. A biplane system counts for each plane, and so gives a summary for each: their sum would be a
number that nobody measured. These summaries share the report's SOP Instance UID and are told apart by a second
identifier. Elements follow HL7's "Radiation Dose Summary", but its profile is not claimed: it asks for a text, for the
resource of a practitioner and for a device with its application entity title, which a dose report does not give.

References
----------
PS3.16 TID 10001, 10011, 10021; FHIR R4 10.1 "Resource Observation"; HL7 FHIR "Radiation Dose Summary for Diagnostic
Procedures" 1.0.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.fhir import devices, dose_document, moments, practitioners
from shared.fhir.dose_components import components
from shared.fhir.dose_document import CT_TOTAL, PROJECTION_TOTAL, DoseReport, Kind
from shared.fhir.dose_events import body_site, events, plane_of
from shared.fhir.dose_tables import ACQUISITION_PLANE, ADMINISTRATION, CT_TOTALS, PROCEDURE_REPORTED, PROJECTION_TOTALS
from shared.fhir.identity import DICOM_UID, LOINC, Draft, Identity, uid_identity
from shared.fhir.json_text import compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.concepts import CodeKey
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

IDENTIFIER_TYPES = "http://hl7.org/fhir/uv/radiation-dose-summary/CodeSystem/dicom-identifier-type"

_TOTALS = {Kind.CT: CT_TOTALS, Kind.PROJECTION: PROJECTION_TOTALS, Kind.RADIOPHARMACEUTICAL: ADMINISTRATION}
_CONTAINERS: dict[Kind, CodeKey] = {
    Kind.CT: CT_TOTAL,
    Kind.PROJECTION: PROJECTION_TOTAL,
    Kind.RADIOPHARMACEUTICAL: ("DCM", "113502"),
}
_STARTED: dict[Kind, CodeKey] = {Kind.CT: ("DCM", "113809"), Kind.RADIOPHARMACEUTICAL: ("DCM", "123003")}
_MODALITIES: dict[CodeKey | None, str] = {("SCT", "77477000"): "CT", ("SCT", "71651007"): "MG"}
"""Procedure reported → modality of the device, where it is certain."""

_ALL_PLANES = "113890"
_AUTHORIZING: CodeKey = ("DCM", "113850")
_PERSON: CodeKey = ("DCM", "113870")
_PERSON_ROLE: CodeKey = ("DCM", "113875")

_CATEGORY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}]}
_CODE = {"coding": [{"system": LOINC, "code": "73569-6", "display": "Radiation exposure and protection information"}]}
_STUDY_UID_TYPE = {"coding": [{"system": IDENTIFIER_TYPES, "code": "study-instance-uid", "display": "Study Instance UID"}]}


class _Part(NamedTuple):
    """What one summary is made of: code of the plane, empty where there is but one, and the parts of the tree with its totals."""

    plane: str
    scopes: Sequence[ContentItem]


def dose(document: DocumentEvidence, frame: StudyFrame, context: Context) -> list[Draft]:
    """Make the Observations of a dose report: events, then the summaries that refer to them. None where the document is no dose report."""
    if not context.settings.dose:
        return []
    context.notes.at(document.series_instance_uid, document.sop_instance_uid)
    report = dose_document.read(document, frame, context)
    if report is None:
        return []
    found = events(report)
    alike = _alike(report)
    summaries = [_summary(part, alike, found, report) for part in _parts(report)]
    return [*[event for event, _ in found], *summaries]


def _parts(report: DoseReport) -> list[_Part]:
    """Split the totals by plane. A total of all planes counts the same radiation once more, and is left out beside them."""
    planes: dict[str, list[ContentItem]] = {}
    for container in report.root.find_all(_CONTAINERS[report.kind]):
        planes.setdefault(plane_of(container), []).append(container)
    if len(planes) > 1:
        planes.pop(_ALL_PLANES, None)
    if len(planes) > 1:
        return [_Part(plane or "unnamed", scopes) for plane, scopes in planes.items()]
    return [_Part("", next(iter(planes.values()), [report.root]))]


def _alike(report: DoseReport) -> Resource:
    """Make what the summaries of all planes have alike."""
    dataset, context = report.document.dataset, report.context
    modality = _MODALITIES.get(report.procedure)
    return compact(
        **report.common(),
        basedOn=list(report.frame.based_on),
        category=[_CATEGORY],
        code=_CODE,
        focus=[report.frame.study],
        effectiveDateTime=_effective(report),
        performer=_performers(report),
        device=devices.device(
            context,
            devices.irradiating(report.root, modality),
            devices.observer(report.root, modality),
            devices.equipment(dataset, context.notes),
        ),
        bodySite=body_site([report.root], report),
    )


def _summary(part: _Part, alike: Resource, found: Sequence[tuple[Draft, str]], report: DoseReport) -> Draft:
    document = uid_identity("Observation", report.document.sop_instance_uid)
    identity = _plane_identity(part.plane, report) if part.plane else document
    own = dict.fromkeys([document, identity])
    members = [event.identity for event, plane in found if not part.plane or plane in ("", part.plane)]
    resource = compact(
        **alike,
        identifier=[*[each.identifier() for each in own], *_study_identifiers(report.frame)],
        hasMember=[report.context.own(member) for member in members],
        component=[
            *components([PROCEDURE_REPORTED], [report.root], report.context),
            *(components([ACQUISITION_PLANE], part.scopes, report.context) if part.plane else []),
            *components(_TOTALS[report.kind], part.scopes, report.context),
        ],
    )
    return Draft(identity, resource)


def _plane_identity(plane: str, report: DoseReport) -> Identity:
    canonical, sop_instance_uid = report.context.settings.canonical, report.document.sop_instance_uid
    return Identity("Observation", f"{canonical}/dose-plane", f"{sop_instance_uid}#{plane}")


def _study_identifiers(frame: StudyFrame) -> list[Resource]:
    """Give the study's identifiers; they are not official for the dose, and its UID is marked as that of the study."""
    plain = [{name: value for name, value in each.items() if name != "use"} for each in frame.identifiers]
    return [{**each, "type": _STUDY_UID_TYPE} if each.get("system") == DICOM_UID else each for each in plain]


def _effective(report: DoseReport) -> str | None:
    """Say when the irradiation began, else when the report was made."""
    dataset, context = report.document.dataset, report.context
    key = _STARTED.get(report.kind)
    started = report.root.find(key) if key else None
    if key is None:
        moment = moments.moment(dataset, "SeriesDate", "SeriesTime", context)
    else:
        moment = moments.from_dt(started.datetime(), "DateTime", dataset, context) if started else None
    return moment or moments.moment(dataset, "ContentDate", "ContentTime", context)


def _performers(report: DoseReport) -> list[Resource]:
    """Refer to who authorised the irradiation: by an item of that name, or a person with that role."""
    persons = [item for item in report.root.find_all(_AUTHORIZING, _PERSON) if item.key == _AUTHORIZING or _has_role(item)]
    names = dict.fromkeys(name for item in persons if (name := item.person()))
    references = [practitioners.practitioner(None, name, report.context) for name in names]
    return [reference for reference in references if reference is not None]


def _has_role(person: ContentItem) -> bool:
    role = person.child(_PERSON_ROLE)
    return role is not None and role.code_key() == _AUTHORIZING
