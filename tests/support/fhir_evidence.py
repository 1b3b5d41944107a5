"""Studies as the builders of FHIR resources read them, made of keywords; and a check of what the builders make.

``evidence([instance(PatientID="A-1"), instance(PatientID="A-2")])`` is a study of two CT images, stored in that order.
"""

from __future__ import annotations

import importlib
import json
import re
from datetime import date
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from shared.dicom.dictionary import entry_of
from shared.fhir.context import Context
from shared.fhir.dataset import Dataset, tag
from shared.fhir.evidence import InstanceFacts, gather
from shared.fhir.identity import Links
from shared.fhir.issues import Notes
from shared.fhir.json_text import Resource, canonical
from shared.fhir_settings import FhirSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shared.fhir.evidence import StudyEvidence
    from shared.fhir.identity import Identity

Json: TypeAlias = dict[str, Any]

STUDY_UID, SERIES_UID = "1.2.840.99999.1.1", "1.2.840.99999.1.1.1"
CT_IMAGE, BASIC_TEXT_SR, KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.59"
ENCAPSULATED_PDF, PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.104.1", "1.2.840.10008.5.1.4.1.1.11.1"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
CANONICAL, SERVICE_ROOT = "https://archive.example/fhir", "https://archive.example/dicom-web"
PATIENT_IDS, ACCESSIONS = "https://hospital.example/mrn", "https://hospital.example/accession"


def elements(**attributes: Any) -> Json:
    """Make a dataset in DICOM JSON. Lists are several values, None leaves an attribute out, items are dictionaries of keywords."""
    made: Json = {}
    for keyword, value in attributes.items():
        if value is not None:
            digits = tag(keyword)
            entry = entry_of(int(digits, 16))
            vr = entry.vrs[:2] if entry else "UN"
            made[digits] = {"vr": vr, "Value": [_value(vr, each) for each in (value if isinstance(value, list) else [value])]}
    return made


def _value(vr: str, value: Any) -> Any:
    if vr == "PN" and isinstance(value, str):
        groups = zip(("Alphabetic", "Ideographic", "Phonetic"), value.split("="), strict=False)
        return {name: group for name, group in groups if group}
    return elements(**value) if vr == "SQ" and isinstance(value, dict) else value


def dataset(**attributes: Any) -> Dataset:
    """Make a dataset as builders read it."""
    return Dataset(elements(**attributes))


def code(value: str | None, designator: str, meaning: str | None = None, **more: Any) -> Json:
    """Make a code sequence item."""
    return {"CodeValue": value, "CodingSchemeDesignator": designator, "CodeMeaning": meaning, **more}


def instance(**attributes: Any) -> Json:
    """Make an instance: a CT image of the patient A-1001, other attributes by keyword."""
    defaults = {
        "SOPClassUID": CT_IMAGE,
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": SERIES_UID,
        "Modality": "CT",
        "PatientID": "A-1001",
    }
    return elements(**defaults | attributes)


def stored(instances: Iterable[Json]) -> Iterator[tuple[InstanceFacts, bytes]]:
    """Give instances as the catalog does, stored in this order; those without SOP Instance UID get one."""
    for number, each in enumerate(instances, start=1):
        whole = elements(SOPInstanceUID=f"{SERIES_UID}.{number}") | each
        series, sop, sop_class = [whole[tag(f"{name}UID")]["Value"][0] for name in ("SeriesInstance", "SOPInstance", "SOPClass")]
        facts = InstanceFacts(series, sop, sop_class, version=number, created_ms=1_767_000_000_000 + number, size_bytes=1000 * number)
        yield facts, orjson.dumps(whole)


def evidence(instances: Iterable[Json], study_instance_uid: str = STUDY_UID) -> StudyEvidence:
    """Gather a study from its instances, in the order in which they were stored."""
    return gather(study_instance_uid, stored(instances))


def context(found: Mapping[Identity, str] | None = None, /, **settings: Any) -> Context:
    """Make a context of 20 January 2026; ``found`` is what the server has."""
    required = {"base_url": "https://fhir.example", "canonical": CANONICAL, "service_root": SERVICE_ROOT}
    systems = {"patient_id_system": PATIENT_IDS, "accession_system": ACCESSIONS}
    made = FhirSettings(**required | systems | settings)
    return Context(made, SERVICE_ROOT, date(2026, 1, 20), Notes(strict=made.strict), Links(found or {}))


def warnings(context: Context) -> list[tuple[str, str]]:
    """Give keyword and code of the warnings, sorted."""
    return sorted((issue.keyword, issue.code.value) for issue in context.notes.issues)


_REQUIRED_BINDINGS = {
    "Patient.gender": "male female other unknown",
    "Patient.name.use": "usual official temp nickname anonymous old maiden",
    "Practitioner.name.use": "usual official temp nickname anonymous old maiden",
    "Patient.telecom.system": "phone fax email pager url sms other",
    "Endpoint.status": "active suspended error off entered-in-error test",
    "ImagingStudy.status": "registered available cancelled entered-in-error unknown",
    "DocumentReference.status": "current superseded entered-in-error",
    "DocumentReference.docStatus": "preliminary final amended entered-in-error",
    "DocumentReference.relatesTo.code": "replaces transforms signs appends",
    "DiagnosticReport.status": "registered partial preliminary final amended corrected appended cancelled entered-in-error unknown",
    "DiagnosticReport.text.status": "generated extensions additional empty",
    "Observation.status": "registered preliminary final amended corrected cancelled entered-in-error unknown",
    "ServiceRequest.status": "draft active on-hold revoked completed entered-in-error unknown",
    "ServiceRequest.intent": "proposal plan directive order original-order reflex-order filler-order instance-order option",
}
_IDENTIFIER_USES = "usual official temp secondary old"
_TARGETS = {
    "Endpoint.managingOrganization": "Organization",
    "ImagingStudy.subject": "Patient",
    "ImagingStudy.encounter": "Encounter",
    "ImagingStudy.basedOn": "ServiceRequest",
    "ImagingStudy.referrer": "Practitioner",
    "ImagingStudy.interpreter": "Practitioner",
    "ImagingStudy.endpoint": "Endpoint",
    "ImagingStudy.location": "Location",
    "ImagingStudy.series.specimen": "Specimen",
    "ImagingStudy.series.performer.actor": "Practitioner Device",
    "DocumentReference.subject": "Patient",
    "DocumentReference.author": "Practitioner Device",
    "DocumentReference.authenticator": "Practitioner",
    "DocumentReference.relatesTo.target": "DocumentReference",
    "DocumentReference.context.encounter": "Encounter",
    "DocumentReference.context.related": "ImagingStudy ServiceRequest",
    "DiagnosticReport.subject": "Patient",
    "DiagnosticReport.encounter": "Encounter",
    "DiagnosticReport.basedOn": "ServiceRequest",
    "DiagnosticReport.performer": "Organization",
    "DiagnosticReport.resultsInterpreter": "Practitioner",
    "DiagnosticReport.result": "Observation",
    "DiagnosticReport.imagingStudy": "ImagingStudy",
    "Observation.subject": "Patient",
    "Observation.encounter": "Encounter",
    "Observation.basedOn": "ServiceRequest",
    "Observation.partOf": "ImagingStudy",
    "Observation.derivedFrom": "ImagingStudy",
    "Observation.hasMember": "Observation",
    "Observation.device": "Device",
    "Basic.subject": "Patient",
    "ServiceRequest.subject": "Patient",
    "ServiceRequest.requester": "Practitioner",
}
_LITERAL = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}")
_URI_WITHOUT_BLANKS = re.compile(r"\S+")


def validate(resource: Resource) -> Resource:
    """Check a resource against FHIR R4, and for what models do not check; give it back as plain JSON.

    That is: nothing empty or null anywhere, codes of required bindings, form and target of references, URIs.
    """
    plain: Resource = json.loads(canonical(resource))
    kind = plain["resourceType"]
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind)
    model.model_validate(plain)
    for path, value in _walk(plain, kind):
        assert value not in (None, "", [], {}), f"{path} is empty"
        if path in _REQUIRED_BINDINGS:
            assert value in _REQUIRED_BINDINGS[path].split(), path
        if path.endswith("dentifier.use"):
            assert value in _IDENTIFIER_USES.split(), path
        if path.endswith((".system", ".url", ".source")) and path not in _REQUIRED_BINDINGS:
            assert _URI_WITHOUT_BLANKS.fullmatch(value), path
        if path in _TARGETS and isinstance(value, dict):
            assert _target(value) in _TARGETS[path].split(), path
    return plain


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give all parts of a resource with their paths; the items of a list have the list's path."""
    yield path, value
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _walk(part, f"{path}.{name}")
    if isinstance(value, list):
        for part in value:
            yield from _walk(part, path)


def _target(reference: Resource) -> str:
    """Give the type that a reference leads to; a literal one is ``Type/id``."""
    if "reference" not in reference:
        return str(reference["type"])
    literal = _LITERAL.fullmatch(reference["reference"])
    assert literal, "a literal reference is Type/id"
    return literal[1]
