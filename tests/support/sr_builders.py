"""Structured reports as DICOM JSON: content items, and whole radiation dose reports as devices write them.

Codes are given in SNOMED CT; ``srt=True`` writes a dose report as older devices do, in SNOMED-RT.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from shared.dicom.dictionary import entry_of
from shared.fhir.context import Context, StudyFrame
from shared.fhir.dataset import Dataset, tag
from shared.fhir.evidence import DocumentEvidence
from shared.fhir.issues import Notes
from shared.fhir.json_text import canonical
from shared.fhir_settings import FhirSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.identity import Draft

Json: TypeAlias = dict[str, Any]
Code: TypeAlias = tuple[str, str, str]
"""Value, scheme, meaning."""

STUDY_UID, SERIES_UID, SOP_UID = "1.2.840.99999.1.1", "1.2.840.99999.1.1.9", "1.2.840.99999.1.1.9.1"
EVENT_UID = "1.2.840.99999.1.1.7.{}"
XRAY_DOSE_SR, RADIOPHARMACEUTICAL_DOSE_SR = "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.68"
ENHANCED_SR, COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.22", "1.2.840.10008.5.1.4.1.1.88.33"
CANONICAL, SERVICE_ROOT = "https://archive.example/fhir", "https://archive.example/dicom-web"

CT, PROJECTION = ("77477000", "SCT", "Computed Tomography X-Ray"), ("113704", "DCM", "Projection X-Ray")
MAMMOGRAPHY = ("71651007", "SCT", "Mammography")
LEFT_BREAST, RIGHT_BREAST = ("80248007", "SCT", "Left breast"), ("73056007", "SCT", "Right breast")
CHEST, ABDOMEN = ("51185008", "SCT", "Chest"), ("113345001", "SCT", "Abdomen")
SINGLE_PLANE, PLANE_A, PLANE_B = ("113622", "DCM", "Single Plane"), ("113620", "DCM", "Plane A"), ("113621", "DCM", "Plane B")
ALL_PLANES = ("113890", "DCM", "All Planes")

_SNOMED_RT = {
    "77477000": "P5-08000", "71651007": "P5-40010", "80248007": "T-04030", "73056007": "T-04020", "272741003": "G-C171",
    "51185008": "T-D3000", "113345001": "T-D4000", "349358000": "F-61FDB", "89457008": "C-10072", "410675002": "G-C340",
    "35321007": "C-B1031", "77004003": "C-111A1", "47625008": "G-D101", "116152004": "P5-08001",
}  # fmt: skip


def element(keyword: str, *values: Any) -> Json:
    """Make one element of a dataset."""
    digits = tag(keyword)
    entry = entry_of(int(digits, 16))
    return {digits: {"vr": entry.vrs[:2] if entry else "UN", "Value": list(values)}}


def attributes(**by_keyword: Any) -> Json:
    """Make a dataset; lists are several values, None leaves an attribute out."""
    made: Json = {}
    for keyword, value in by_keyword.items():
        if value is not None:
            made |= element(keyword, *(value if isinstance(value, list) else [value]))
    return made


def code(value: str | Code, scheme: str = "DCM", meaning: str = "a meaning") -> Json:
    """Make a code sequence item; a bare value is one of DICOM's own codes."""
    if not isinstance(value, str):
        value, scheme, meaning = value
    return attributes(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def content(value_type: str, name: str | Code | None, *children: Json, relationship: str = "CONTAINS", **value: Any) -> Json:
    """Make a content item of any type."""
    return attributes(
        ValueType=value_type,
        RelationshipType=relationship,
        ConceptNameCodeSequence=None if name is None else code(name),
        ContentSequence=list(children) or None,
        **value,
    )


def container(name: str | Code | None, *children: Json) -> Json:
    """Make a CONTAINER."""
    return content("CONTAINER", name, *children, ContinuityOfContent="SEPARATE")


def num(name: str | Code, value: object, unit: str | None, *children: Json, qualifier: str | None = None) -> Json:
    """Make a NUM; ``value`` None leaves the measured value out."""
    units = None if unit is None else code(unit, "UCUM", unit)
    measured = None if value is None else attributes(NumericValue=value, MeasurementUnitsCodeSequence=units)
    reason = None if qualifier is None else code(qualifier)
    return content("NUM", name, *children, MeasuredValueSequence=measured, NumericValueQualifierCodeSequence=reason)


def code_item(name: str | Code, value: str | Code, *children: Json, relationship: str = "CONTAINS") -> Json:
    """Make a CODE."""
    return content("CODE", name, *children, relationship=relationship, ConceptCodeSequence=code(value))


def text(name: str | Code | None, value: object, *children: Json, relationship: str = "CONTAINS") -> Json:
    """Make a TEXT."""
    return content("TEXT", name, *children, relationship=relationship, TextValue=value)


def uidref(name: str | Code, value: object, relationship: str = "CONTAINS") -> Json:
    """Make a UIDREF."""
    return content("UIDREF", name, relationship=relationship, UID=value)


def datetime(name: str | Code, value: object, relationship: str = "CONTAINS") -> Json:
    """Make a DATETIME; the value is DICOM text (DT)."""
    return content("DATETIME", name, relationship=relationship, DateTime=value)


def pname(name: str | Code, value: object, *children: Json, relationship: str = "CONTAINS") -> Json:
    """Make a PNAME; a plain text is the name's alphabetic group."""
    person = {"Alphabetic": value} if isinstance(value, str) else value
    return content("PNAME", name, *children, relationship=relationship, PersonName=person)


def document(root: str | Code, *children: Json, **by_keyword: Any) -> Json:
    """Make the dataset of a structured report, of a CT study of 10 January 2026 in Tokyo."""
    defaults: Json = {
        "SOPClassUID": COMPREHENSIVE_SR, "SOPInstanceUID": SOP_UID, "StudyInstanceUID": STUDY_UID, "SeriesInstanceUID": SERIES_UID,
        "Modality": "SR", "StudyDate": "20260110", "StudyTime": "0915", "SeriesDate": "20260110", "SeriesTime": "093000",
        "ContentDate": "20260110", "ContentTime": "100000", "TimezoneOffsetFromUTC": "+0900",
        "CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED",
    }  # fmt: skip
    return container(root, *children) | attributes(**(defaults | by_keyword))


def to_srt(value: Any) -> Any:
    """Rewrite all SNOMED CT codes of a dataset as SNOMED-RT."""
    if isinstance(value, list):
        return [to_srt(each) for each in value]
    if not isinstance(value, dict):
        return value
    made = {name: to_srt(each) for name, each in value.items()}
    if made.get(tag("CodingSchemeDesignator"), {}).get("Value") == ["SCT"]:
        old = _SNOMED_RT[value[tag("CodeValue")]["Value"][0]]
        made |= attributes(CodeValue=old, CodingSchemeDesignator="SRT")
    return made


def ct_event(number: int, *more: Json, uid: str | None = "", region: Code | None = CHEST) -> Json:
    """Make a CT acquisition (TID 10013); ``uid`` None leaves the event's UID out."""
    parameters = container(
        "113822",
        num("113825", Decimal("312.5"), "mm"),
        container("113831", num("113733", Decimal(120), "kV")),
    )
    measures = container(
        "113829",
        num("113830", Decimal("7.10"), "mGy"),
        code_item("113835", ("113691", "DCM", "IEC Body Dosimetry Phantom")),
        num("113838", Decimal("256.15"), "mGycm"),
        num("113930", Decimal("9.3"), "mGy"),
    )
    return container(
        "113819",
        *([] if uid is None else [uidref("113769", uid or EVENT_UID.format(number))]),
        *([] if region is None else [code_item("123014", region)]),
        code_item("113820", ("116152004", "SCT", "Spiral Acquisition")),
        datetime("111526", f"2026011009162{number}.5"),
        parameters,
        measures,
        *more,
    )


def ct_dose(*more: Json, events: Sequence[Json] | None = None, srt: bool = False, **by_keyword: Any) -> Json:
    """Make a CT dose report (TID 10011) of two spirals."""
    made = document(
        "113701",
        code_item("121058", CT, relationship="HAS CONCEPT MOD"),
        datetime("113809", "20260110091620", relationship="HAS OBS CONTEXT"),
        datetime("113810", "20260110091820", relationship="HAS OBS CONTEXT"),
        code_item("113705", ("113014", "DCM", "Study"), uidref("110180", STUDY_UID), relationship="HAS OBS CONTEXT"),
        container("113811", num("113812", Decimal(2), "{events}"), num("113813", Decimal("512.30"), "mGycm")),
        *([ct_event(1), ct_event(2)] if events is None else events),
        *more,
        **{"SOPClassUID": XRAY_DOSE_SR, **by_keyword},
    )
    return _in_scheme(made, srt=srt)


def fluoroscopy_total(plane: Code, dap: object = Decimal("0.0000123"), unit: str = "Gy.m2") -> Json:
    """Make the accumulated dose of one plane (TID 10002 with 10004 and 10007)."""
    return container(
        "113702",
        code_item("113764", plane, relationship="HAS CONCEPT MOD"),
        num("113722", dap, unit),
        num("113725", Decimal("0.0456"), "Gy"),
        num("113726", Decimal("0.8"), "dGycm2"),
        num("113727", Decimal(430), "mGycm2"),
        num("113730", Decimal("1.5"), "min"),
        num("113731", Decimal(96), "{frames}"),
    )


def projection_event(number: int, plane: Code = SINGLE_PLANE) -> Json:
    """Make an exposure (TID 10003)."""
    return container(
        "113706",
        code_item("113764", plane, relationship="HAS CONCEPT MOD"),
        uidref("113769", EVENT_UID.format(number)),
        datetime("111526", f"2026011009162{number}"),
        code_item("123014", ABDOMEN),
        num("122130", Decimal("0.0000041"), "Gym2"),
        num("113738", Decimal("0.0152"), "Gy"),
        num("113733", Decimal(81), "kV"),
    )


def fluoroscopy_dose(*planes: Code, srt: bool = False, **by_keyword: Any) -> Json:
    """Make a dose report of an angiography (TID 10001) with a total and an exposure for each plane; the planes' doses differ."""
    wanted = planes or (SINGLE_PLANE,)
    made = document(
        "113701",
        code_item("121058", PROJECTION, relationship="HAS CONCEPT MOD"),
        *[fluoroscopy_total(plane, number * Decimal("0.0000123")) for number, plane in enumerate(wanted, start=1)],
        *[projection_event(number, plane) for number, plane in enumerate(wanted, start=1)],
        **{"SOPClassUID": XRAY_DOSE_SR, **by_keyword},
    )
    return _in_scheme(made, srt=srt)


def glandular_dose(value: object, side: Code) -> Json:
    """Make the accumulated average glandular dose of one breast (TID 10005)."""
    laterality = code_item(("272741003", "SCT", "Laterality"), side, relationship="HAS CONCEPT MOD")
    return num("111637", value, "dGy", laterality)


def mammography_dose(*, srt: bool = False, **by_keyword: Any) -> Json:
    """Make a dose report of a mammography (TID 10001) of both breasts."""
    total = container(
        "113702",
        code_item("113764", SINGLE_PLANE, relationship="HAS CONCEPT MOD"),
        glandular_dose(Decimal("0.0213"), LEFT_BREAST),
        glandular_dose(Decimal("0.0198"), RIGHT_BREAST),
    )
    procedure = code_item("121058", MAMMOGRAPHY, relationship="HAS CONCEPT MOD")
    return _in_scheme(document("113701", procedure, total, **{"SOPClassUID": XRAY_DOSE_SR, **by_keyword}), srt=srt)


def radiopharmaceutical_dose(*, srt: bool = False, **by_keyword: Any) -> Json:
    """Make a radiopharmaceutical dose report (TID 10021)."""
    agent = code_item(
        ("349358000", "SCT", "Radiopharmaceutical agent"),
        ("35321007", "SCT", "Fluorodeoxyglucose F^18^"),
        code_item(("89457008", "SCT", "Radionuclide"), ("77004003", "SCT", "^18^Fluorine"), relationship="HAS PROPERTIES"),
    )
    administration = container(
        "113502",
        agent,
        uidref("113503", EVENT_UID.format(0)),
        datetime("123003", "20260110081500"),
        num("113507", Decimal("0.554"), "GBq"),
        num("123005", Decimal("1.5"), "cm3"),
        code_item(("410675002", "SCT", "Route of administration"), ("47625008", "SCT", "Intravenous route")),
    )
    procedure = code_item("121058", ("113502", "DCM", "Radiopharmaceutical Administration"), relationship="HAS CONCEPT MOD")
    made = document("113500", procedure, administration, **{"SOPClassUID": RADIOPHARMACEUTICAL_DOSE_SR, **by_keyword})
    return _in_scheme(made, srt=srt)


def device_observer(uid: str | None = None, name: str | None = None, *texts: str) -> list[Json]:
    """Make a device observer (TID 1004); texts are manufacturer, model and serial number."""
    items = [] if uid is None else [uidref("121012", uid, "HAS OBS CONTEXT")]
    named = zip(("121013", "121014", "121015", "121016"), (name, *texts), strict=False)
    return [*items, *[text(code, value, relationship="HAS OBS CONTEXT") for code, value in named if value is not None]]


def irradiating_device(uid: str | None = None, name: str | None = None, *texts: str) -> Json:
    """Make an irradiating device (TID 1021); texts are manufacturer, model and serial number."""
    items = [] if uid is None else [uidref("121012", uid, "HAS PROPERTIES")]
    named = zip(("113877", "113878", "113879", "113880"), (name, *texts), strict=False)
    properties = [text(code, value, relationship="HAS PROPERTIES") for code, value in named if value is not None]
    return code_item("113876", ("113859", "DCM", "Irradiating Device"), *properties, *items)


def make_evidence(dataset: Json) -> DocumentEvidence:
    """Make what is known of a document."""
    sop_class_uid = dataset.get(tag("SOPClassUID"), {}).get("Value", [COMPREHENSIVE_SR])[0]
    return DocumentEvidence(
        series_instance_uid=SERIES_UID,
        sop_instance_uid=SOP_UID,
        sop_class_uid=sop_class_uid,
        size_bytes=1000,
        stored_ms=1_768_003_200_000,
        order=0,
        dataset=Dataset(dataset),
    )


def make_frame(**changes: Any) -> StudyFrame:
    """Make what the study gives to its documents."""
    study_uid = {"use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
    accession = {"type": kind, "system": "urn:oid:2.16.840.1.113883.19.7", "value": "ACC-77"}
    values: Json = {
        "study": {"reference": "ImagingStudy/9a1c3d55-62c5-5b0e-8d5c-1d0f6d2b9b03"},
        "subject": {"reference": "Patient/0f6b2f0e-8c39-5c0a-9f1e-2f6d4a7b1c11"},
        "based_on": [{"type": "ServiceRequest", "identifier": accession}],
        "encounter": None,
        "identifiers": [study_uid, accession],
        "started": "2026-01-10T09:15:00+09:00",
        "modalities": ["CT"],
    }
    return StudyFrame(**(values | changes))


def make_context(**settings: Any) -> Context:
    """Make a context of an operator with these settings, on 11 January 2026."""
    fhir = FhirSettings(
        base_url="https://fhir.example",
        canonical=CANONICAL,
        patient_id_system="urn:example:patients",
        accession_system="urn:example:accessions",
        service_root=SERVICE_ROOT,
        **settings,
    )
    return Context(settings=fhir, service_root=SERVICE_ROOT, today=date(2026, 1, 11), notes=Notes(strict=fhir.strict))


def assert_valid(*drafts: Draft) -> None:
    """Have resources checked by a validator of FHIR R4."""
    for draft in drafts:
        name = draft.identity.resource_type
        # imported here: the models take a quarter of a second, which few tests need
        model = getattr(import_module(f"fhir.resources.R4B.{name.lower()}"), name)
        model.model_validate_json(canonical(draft.resource))


def _in_scheme(dataset: Json, *, srt: bool) -> Json:
    made: Json = to_srt(dataset) if srt else dataset
    return made
