"""Whatever the datasets of a study hold: what is made of them is valid FHIR, or the study is rejected."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.fhir.evidence import gather
from shared.fhir.identity import Identity
from shared.fhir.imaging_study import frame, imaging_study
from shared.fhir.issues import StudyRejected
from shared.fhir.patient import patient
from tests.support.fhir_evidence import (
    BASIC_TEXT_SR,
    CT_IMAGE,
    ENCAPSULATED_PDF,
    PRESENTATION_STATE,
    STUDY_UID,
    Json,
    code,
    context,
    elements,
    evidence,
    instance,
    stored,
    validate,
)

PAIN = code("22253000", "SCT", "Pain", CodingSchemeVersion="1", CodingSchemeUID="1.2.3")
OID = {"UniversalEntityID": "1.2.9", "UniversalEntityIDType": "ISO"}
EVERYTHING: dict[str, Any] = {
    "site_timezone": "Europe/Berlin",
    "study_id_system": "https://ids.example",
    "practitioner_systems": {"99STAFF": "https://staff.example"},
    "practitioners": "create",
    "orders": "create",
    "series_devices": True,
    "series_started_fallback": True,
    "title_image_type": True,
    "patient_extended": True,
    "compat_note": True,
    "location_map": {"CT 2": "Location/5"},
    "missing_patient": "display",
}
SOP_CLASSES = [CT_IMAGE, BASIC_TEXT_SR, ENCAPSULATED_PDF, PRESENTATION_STATE]
PERSON = {"PersonIdentificationCodeSequence": code("77", "99STAFF", "Ann Refer")}
BY_VALUE = {
    "A^B^C^D^E=F^G": "PatientName ReferringPhysicianName NameOfPhysiciansReadingStudy OperatorsName PerformingPhysicianName "
    "RequestingPhysician PatientBirthName OtherPatientNames",
    "20260110": "PatientBirthDate StudyDate SeriesDate AcquisitionDate ContentDate IssueDateOfImagingServiceRequest",
    "0915": "PatientBirthTime StudyTime SeriesTime AcquisitionTime ContentTime IssueTimeOfImagingServiceRequest",
    "CT 2": "StudyID AdmissionID PerformedLocation InstitutionalDepartmentName PlacerOrderNumberImagingServiceRequest DocumentTitle "
    "RequestedProcedureDescription PatientAddress PatientTelephoneNumbers ContentLabel ImageType Manufacturer ManufacturerModelName "
    "DeviceSerialNumber StationName SoftwareVersions IssuerOfPatientID AccessionNumber StudyDescription SeriesDescription "
    "PatientSpeciesDescription PatientBreedDescription",
}
CODES = (
    "ProcedureCodeSequence RequestedProcedureCodeSequence ReasonForRequestedProcedureCodeSequence AnatomicRegionSequence "
    "SeriesDescriptionCodeSequence ConceptNameCodeSequence PatientSpeciesCodeSequence PatientBreedCodeSequence"
)
PEOPLE = (
    "ReferringPhysicianIdentificationSequence PhysiciansReadingStudyIdentificationSequence OperatorIdentificationSequence "
    "PerformingPhysicianIdentificationSequence RequestingPhysicianIdentificationSequence"
)
ISSUERS = "IssuerOfPatientIDQualifiersSequence IssuerOfAccessionNumberSequence OrderPlacerIdentifierSequence IssuerOfAdmissionIDSequence"
FULL = instance(
    **{keyword: value for value, keywords in BY_VALUE.items() for keyword in keywords.split()},
    **dict.fromkeys(CODES.split(), PAIN),
    **dict.fromkeys(PEOPLE.split(), PERSON),
    **dict.fromkeys(ISSUERS.split(), OID),
    InstanceNumber=1,
    SeriesNumber=2,
    PatientSex="M",
    Laterality="L",
    ImageLaterality="L",
    PatientIdentityRemoved="YES",
    BodyPartExamined="FEMUR",
    TimezoneOffsetFromUTC="+0900",
    AcquisitionDateTime="20260110091500.5+0900",
    OtherPatientIDsSequence={"PatientID": "B", "TypeOfPatientID": "TEXT", "IssuerOfPatientID": "CITY"},
    ReferencedRequestSequence={"AccessionNumber": "C", "RequestedProcedureDescription": "CT"},
    RequestAttributesSequence={"ReasonForTheRequestedProcedure": "Fall"},
    SpecimenDescriptionSequence=[{"SpecimenUID": "1.2.3"}, {"SpecimenIdentifier": "S"}],
    UDISequence={"UniqueDeviceIdentifier": "(01)00000000000000"},
)
AWKWARD = ["", " ", "\0", "^^^^", "=", "a\\b", "20260230", "+9999", "http://a b", "a#b", "1e400", "\x85", "\N{REPLACEMENT CHARACTER}"]
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.sampled_from(AWKWARD) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["vr", "Value", *FULL]), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn) -> Json:
    """Give the full instance with junk in a few places, at any depth."""
    whole = json.loads(json.dumps(FULL))
    for _ in range(draw(st.integers(1, 5))):
        place: Any = whole
        while True:
            key = draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
            if not place[key] or not isinstance(place[key], (dict, list)) or draw(st.booleans()):
                break
            place = place[key]
        place[key] = draw(JUNK)
    return dict(whole)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(SOP_CLASSES), spoilt()), min_size=1, max_size=3), st.booleans())
def test_whatever_a_dataset_holds_the_result_is_valid_or_the_study_rejected(instances: list[tuple[str, Json]], strict: bool) -> None:
    facts = [each for each, _ in stored(FULL | elements(SOPClassUID=sop_class_uid) for sop_class_uid, _ in instances)]
    ctx = context(strict=strict, **EVERYTHING)
    gathered = gather(STUDY_UID, zip(facts, [orjson.dumps(whole) for _, whole in instances], strict=True))
    try:
        who = patient(gathered, ctx)
        made = imaging_study(gathered, frame(gathered, ctx), ctx)
    except StudyRejected:
        assert strict
        return
    for draft in [made, *([who] if who else []), *ctx.shared.values()]:
        validate(draft.resource)


def test_the_full_instance_has_something_for_every_element() -> None:
    ctx, gathered = context({Identity("Encounter", "urn:oid:1.2.9", "CT 2"): "Encounter/3"}, **EVERYTHING), evidence([FULL])
    who, made = patient(gathered, ctx), validate(imaging_study(gathered, frame(gathered, ctx), ctx).resource)
    assert who is not None
    assert set(PATIENT_ELEMENTS.split()) == validate(who.resource).keys()
    assert set(STUDY_ELEMENTS.split()) == made.keys()
    assert set(SERIES_ELEMENTS.split()) == made["series"][0].keys()
    assert {identity.resource_type for identity in ctx.shared} == {"Device", "Practitioner", "ServiceRequest"}


PATIENT_ELEMENTS = "resourceType meta extension identifier name gender birthDate _birthDate address telecom"
STUDY_ELEMENTS = (
    "resourceType meta identifier status modality subject encounter started basedOn referrer interpreter endpoint numberOfSeries "
    "numberOfInstances procedureCode location reasonCode note description series"
)
SERIES_ELEMENTS = "uid number modality description numberOfInstances bodySite laterality specimen started performer instance"
