"""The Patient says who a study is of, and nothing that the study does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.issues import IssueCode, StudyRejected
from shared.fhir.patient import patient, study_date, subject
from tests.support.fhir_evidence import PATIENT_IDS, code, context, evidence, instance, validate, warnings

if TYPE_CHECKING:
    from shared.fhir.json_text import Resource

ISSUER = "https://archive.example/fhir/issuer/"
OID = {"UniversalEntityID": "2.16.840.1.113883.19.5", "UniversalEntityIDType": "ISO"}
BAD_ID = [("PatientID", "bad-value")]


def made(settings: dict[str, Any] | None = None, /, **attributes: Any) -> tuple[Resource, list[tuple[str, str]]]:
    """Make the Patient of a study of one instance; give it, validated, with the warnings."""
    ctx = context(**settings or {})
    draft = patient(evidence([instance(**attributes)]), ctx)
    assert draft is not None
    first = draft.resource["identifier"][0]
    assert (first.get("system"), first["value"]) == (draft.identity.system, draft.identity.value)
    return validate(draft.resource), warnings(ctx)


def test_a_patient_of_whom_nothing_else_is_known_is_an_identifier() -> None:
    resource, said = made()
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
    assert resource == {
        "resourceType": "Patient",
        "meta": context().meta(),
        "identifier": [{"use": "usual", "type": kind, "system": PATIENT_IDS, "value": "A-1001"}],
    }
    assert said == []


@pytest.mark.parametrize(
    ("attributes", "system"),
    [
        ({}, PATIENT_IDS),
        ({"IssuerOfPatientID": "CITY"}, f"{ISSUER}CITY"),
        ({"IssuerOfPatientIDQualifiersSequence": OID}, "urn:oid:2.16.840.1.113883.19.5"),
        ({"IssuerOfPatientID": "CITY", "IssuerOfPatientIDQualifiersSequence": OID}, "urn:oid:2.16.840.1.113883.19.5"),
        ({"IssuerOfPatientID": "LAB"}, "https://lab.example/ids"),
    ],
    ids=["none", "text", "qualifiers", "qualifiers first", "mapped"],
)
def test_the_system_is_that_of_the_issuer(attributes: dict[str, Any], system: str) -> None:
    resource, _ = made({"issuer_map": {"LAB": "https://lab.example/ids"}}, **attributes)
    assert resource["identifier"][0]["system"] == system


@pytest.mark.parametrize(
    ("sent", "value", "said"),
    [
        ("  A 1 ", "A 1", []),
        (["A1", "A2"], "A1", BAD_ID),
        ("A1\\A2", "A1", BAD_ID),
        ("\\A2", "A2", BAD_ID),
        ("x" * 65, "x" * 65, BAD_ID),
        ("x" * 64, "x" * 64, []),
        ("caf\N{REPLACEMENT CHARACTER}", "caf\N{REPLACEMENT CHARACTER}", [("PatientID", "undecodable-text")]),
    ],
    ids=["trimmed", "several values", "a backslash", "a backslash first", "too long", "long", "undecodable"],
)
def test_a_patient_id_is_taken_as_it_is_and_of_several_the_first(sent: object, value: str, said: list[tuple[str, str]]) -> None:
    resource, warned = made(PatientID=sent)
    assert (resource["identifier"][0]["value"], warned) == (value, said)


@pytest.mark.parametrize("sent", [None, "", "  ", "\\", 5], ids=["absent", "empty", "blank", "separator", "number"])
def test_without_a_patient_id_the_study_is_held(sent: object) -> None:
    with pytest.raises(StudyRejected) as rejected:
        patient(evidence([instance(PatientID=sent)]), context())
    assert (rejected.value.issue.keyword, rejected.value.issue.code) == ("PatientID", IssueCode.MISSING_PATIENT_ID)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Doe^Jane", {"type": "Patient", "display": "Jane Doe"}), (None, {"type": "Patient"})],
    ids=["named", "not even a name"],
)
def test_without_a_patient_id_the_subject_is_named_where_the_operator_wants_that(name: str | None, expected: Resource) -> None:
    study, ctx = evidence([instance(PatientID=None, PatientName=name)]), context(missing_patient="display")
    assert patient(study, ctx) is None
    assert subject(study, ctx) == expected


def test_the_subject_is_a_reference_with_the_archives_identifier() -> None:
    study, ctx = evidence([instance()]), context()
    draft = patient(study, ctx)
    assert draft is not None
    expected = {"reference": f"Patient/{draft.identity.logical_id}", "identifier": draft.resource["identifier"][0]}
    assert subject(study, ctx) == expected
    assert subject(study, context({draft.identity: "Patient/ehr-7"})) == {**expected, "reference": "Patient/ehr-7"}


def test_a_patient_that_is_only_linked_is_not_referred_to_before_it_is_there() -> None:
    study, ctx = evidence([instance()]), context(patient_policy="link")
    draft = patient(study, ctx)
    assert draft is not None
    assert subject(study, ctx) == {"type": "Patient", "identifier": draft.identity.identifier("usual")}
    assert subject(study, context({draft.identity: "Patient/7"}, patient_policy="link"))["reference"] == "Patient/7"


def other_id(value: object, kind: str | None = "TEXT", **issuer: object) -> Resource:
    return {"PatientID": value, "TypeOfPatientID": kind, **issuer}


@pytest.mark.parametrize(
    ("items", "others", "said"),
    [
        ([other_id("B-2", IssuerOfPatientID="CITY")], [{"system": f"{ISSUER}CITY", "value": "B-2"}], []),
        ([other_id("B-2", IssuerOfPatientIDQualifiersSequence=OID)], [{"system": "urn:oid:2.16.840.1.113883.19.5", "value": "B-2"}], []),
        ([other_id("B-2")], [{"system": PATIENT_IDS, "value": "B-2"}], []),
        ([other_id("A-1001")], [], []),
        ([other_id("B-2"), other_id("B-2"), other_id("B-3")], [{"system": PATIENT_IDS, "value": value} for value in ("B-2", "B-3")], []),
        ([other_id("tag", "RFID"), other_id("bars", "BARCODE")], [], []),
        ([other_id("B-2", None)], [], [("OtherPatientIDsSequence", "bad-value")]),
        ([other_id(None)], [], [("OtherPatientIDsSequence", "bad-value")]),
        (["junk"], [], []),
    ],
    ids=["issuer", "qualifiers", "no issuer", "the same again", "repeated", "no texts", "no type", "no value", "no items"],
)
def test_other_patient_ids_follow_the_first(items: list[Any], others: list[Resource], said: list[tuple[str, str]]) -> None:
    resource, warned = made(OtherPatientIDsSequence=items)
    assert (resource["identifier"][1:], warned) == (others, said)


def test_all_names_of_a_patient_are_given_in_all_scripts() -> None:
    resource, said = made(
        PatientName="Yamada^Tarou=山田^太郎", PatientBirthName="Satou^Tarou=佐藤^太郎", OtherPatientNames=["Tanaka^Tarou", "Suzuki^Tarou"]
    )
    assert [(name.get("use"), name["text"]) for name in resource["name"]] == [
        ("usual", "Tarou Yamada"),
        (None, "山田太郎"),
        ("maiden", "Tarou Satou"),
        ("maiden", "佐藤太郎"),
        ("old", "Tarou Tanaka"),
        ("old", "Tarou Suzuki"),
    ]
    assert said == []


@pytest.mark.parametrize("keyword", ["PatientName", "PatientBirthName", "OtherPatientNames"])
def test_a_name_that_is_none_is_left_out(keyword: str) -> None:
    resource, said = made(**{keyword: 5})
    assert "name" not in resource
    assert said == [(keyword, "bad-value")]


@pytest.mark.parametrize(
    ("sent", "gender"),
    [
        ("M", "male"),
        ("F", "female"),
        ("O", "other"),
        ("U", "unknown"),
        ("MALE", "male"),
        ("female", "female"),
        ("Other", "other"),
        ("unknown", "unknown"),
        (None, None),
        ("", None),
    ],
)
def test_gender_is_the_patients_sex_and_never_guessed(sent: str | None, gender: str | None) -> None:
    resource, said = made(PatientSex=sent)
    assert (resource.get("gender"), said) == (gender, [])


@pytest.mark.parametrize("sent", ["X", "M F", "W", 1])
def test_a_sex_that_dicom_does_not_know_is_left_out(sent: object) -> None:
    resource, said = made(PatientSex=sent)
    assert "gender" not in resource
    assert said == [("PatientSex", "bad-value")]


BAD_BIRTH = [("PatientBirthDate", "bad-value")]


@pytest.mark.parametrize(
    ("sent", "birth_date", "said"),
    [
        ("19610704", "1961-07-04", []),
        ("1961.07.04", "1961-07-04", []),
        ("1961", "1961", []),
        ("20260110", "2026-01-10", []),
        (None, None, []),
        ("00010101", None, []),
        ("20260111", None, BAD_BIRTH),
        ("19610231", None, BAD_BIRTH),
        ("17991231", None, BAD_BIRTH),
        (19610704, None, BAD_BIRTH),
    ],
    ids=["plain", "old form", "year", "day of study", "absent", "sentinel", "after the study", "no such day", "too old", "number"],
)
def test_the_birth_date_is_a_day_not_after_the_study(sent: object, birth_date: str | None, said: list[tuple[str, str]]) -> None:
    resource, warned = made(PatientBirthDate=sent, StudyDate="20260110")
    assert (resource.get("birthDate"), warned) == (birth_date, said)


def test_the_operator_says_which_birth_dates_mean_unknown() -> None:
    resource, said = made({"birthdate_sentinels": ("19000101", "19010101")}, PatientBirthDate="19010101")
    assert "birthDate" not in resource
    assert said == []


@pytest.mark.parametrize(
    ("attributes", "time"),
    [
        ({"PatientBirthTime": "0730", "TimezoneOffsetFromUTC": "+0900"}, "1961-07-04T07:30:00+09:00"),
        ({"PatientBirthTime": "0730"}, None),
        ({"PatientBirthTime": "07", "TimezoneOffsetFromUTC": "+0900"}, None),
        ({"PatientBirthTime": "0730", "TimezoneOffsetFromUTC": "+0900", "PatientBirthDate": None}, None),
        ({"PatientBirthTime": "0730", "TimezoneOffsetFromUTC": "+0900", "PatientBirthDate": "00010101"}, None),
    ],
    ids=["exact", "no zone", "hour only", "no date", "unknown date"],
)
def test_the_time_of_birth_needs_its_zone_and_a_date(attributes: dict[str, Any], time: str | None) -> None:
    resource, _ = made(**{"PatientBirthDate": "19610704"} | attributes)
    url = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"
    expected = {"extension": [{"url": url, "valueDateTime": time}]} if time else None
    assert resource.get("_birthDate") == expected


def test_the_time_of_birth_belongs_to_the_birth_date() -> None:
    exact = {"PatientBirthTime": "0730", "TimezoneOffsetFromUTC": "+0900"}
    resource, _ = of_many({"PatientBirthDate": "19610704"}, {"PatientBirthDate": "19610704"}, {"PatientBirthDate": "19610705", **exact})
    assert (resource["birthDate"], resource.get("_birthDate")) == ("1961-07-04", None)


DOG = {"coding": [{"system": "http://snomed.info/sct", "code": "448771007", "display": "Domestic dog"}]}
POODLE = {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}


@pytest.mark.parametrize(
    ("attributes", "parts"),
    [
        ({"PatientSpeciesCodeSequence": code("448771007", "SCT", "Domestic dog")}, {"species": DOG}),
        ({"PatientSpeciesDescription": "Dog"}, {"species": {"text": "Dog"}}),
        (
            {"PatientSpeciesDescription": "Dog", "PatientSpeciesCodeSequence": code("448771007", "SCT", "Domestic dog")},
            {"species": DOG},
        ),
        (
            {"PatientSpeciesDescription": "Dog", "PatientBreedCodeSequence": code("1", "SCT")},
            {"species": {"text": "Dog"}, "breed": POODLE},
        ),
        (
            {"PatientSpeciesDescription": "Dog", "PatientBreedDescription": "Poodle"},
            {"species": {"text": "Dog"}, "breed": {"text": "Poodle"}},
        ),
        ({"PatientBreedDescription": "Poodle"}, {}),
        ({}, {}),
    ],
    ids=["species code", "species text", "code first", "breed code", "breed text", "no species", "human"],
)
def test_an_animal_has_a_species_and_may_have_a_breed(attributes: dict[str, Any], parts: dict[str, Resource]) -> None:
    resource, _ = made(**attributes)
    inner = [{"url": url, "valueCodeableConcept": value} for url, value in parts.items()]
    expected = [{"url": "http://hl7.org/fhir/StructureDefinition/patient-animal", "extension": inner}] if inner else None
    assert resource.get("extension") == expected


def test_a_species_code_that_is_none_is_left_out() -> None:
    resource, said = made(PatientSpeciesCodeSequence={"CodeMeaning": "Dog"})
    assert "extension" not in resource
    assert said == [("PatientSpeciesCodeSequence", "bad-value")]


EXTENDED = {"PatientAddress": "1 Main St, Springfield", "PatientTelephoneNumbers": ["555-1", "555-2", "555-1"]}


def test_address_and_telephone_are_given_where_the_operator_wants_them() -> None:
    resource, _ = made({"patient_extended": True}, **EXTENDED)
    assert resource["address"] == [{"text": "1 Main St, Springfield"}]
    assert resource["telecom"] == [{"system": "phone", "value": "555-1"}, {"system": "phone", "value": "555-2"}]


def test_address_and_telephone_are_not_given_otherwise() -> None:
    assert not {"address", "telecom"} & made(**EXTENDED)[0].keys()


@pytest.mark.parametrize(("sent", "pseudonymised"), [("YES", True), ("yes", True), ("NO", False), (None, False), (1, False)])
def test_a_patient_whose_identity_was_removed_is_marked(sent: object, pseudonymised: bool) -> None:
    resource, _ = made(PatientIdentityRemoved=sent)
    mark = [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "PSEUDED"}]
    assert resource["meta"].get("security") == (mark if pseudonymised else None)


def test_whether_a_patient_lives_or_is_in_use_is_never_said() -> None:
    assert not {"active", "deceasedBoolean", "deceasedDateTime"} & made(PatientName="Doe^Jane")[0].keys()


def of_many(*instances: dict[str, Any]) -> tuple[Resource, list[tuple[str, str]]]:
    ctx = context()
    draft = patient(evidence([instance(**attributes) for attributes in instances]), ctx)
    assert draft is not None
    return validate(draft.resource), warnings(ctx)


CONFLICT = [("PatientID", "patient-conflict")]
NAMES_DIFFER = [("PatientName", "study-conflict")]


@pytest.mark.parametrize(
    ("instances", "value", "family", "said"),
    [
        ([("P1", "One"), ("P1", "One"), ("P2", "Two")], "P2", "Two", CONFLICT),
        ([("P2", "Two"), ("P1", "One")], "P1", "One", CONFLICT),
        ([("P1", "One"), (None, "Two")], "P1", "One", []),
        ([(None, "Two"), (None, "Two"), ("P1", "One")], "P1", "One", []),
    ],
    ids=["newest", "not the most frequent", "newest that has one", "others say nothing"],
)
def test_the_newest_patient_id_decides_and_only_its_instances_describe(
    instances: list[tuple[str | None, str]], value: str, family: str, said: list[tuple[str, str]]
) -> None:
    resource, warned = of_many(*({"PatientID": patient_id, "PatientName": f"{name}^X"} for patient_id, name in instances))
    assert (resource["identifier"][0]["value"], resource["name"][0]["family"], warned) == (value, family, said)


@pytest.mark.parametrize(
    ("instances", "system", "family", "said"),
    [
        ([("CITY", "One"), (None, "Two"), (None, "Two")], f"{ISSUER}CITY", "Two", NAMES_DIFFER),
        ([("CITY", "One"), ("CITY", "One"), ("LAKE", "Two")], f"{ISSUER}LAKE", "Two", CONFLICT),
        ([("CITY", "One"), ("LAKE", "Two"), (None, "Two")], f"{ISSUER}LAKE", "Two", CONFLICT),
    ],
    ids=["lacking", "two issuers", "two issuers, and lacking"],
)
def test_an_instance_without_issuer_speaks_of_the_patient_with_the_same_id(
    instances: list[tuple[str | None, str]], system: str, family: str, said: list[tuple[str, str]]
) -> None:
    resource, warned = of_many(*({"IssuerOfPatientID": issuer, "PatientName": f"{name}^X"} for issuer, name in instances))
    assert (resource["identifier"][0]["system"], resource["name"][0]["family"], warned) == (system, family, said)


@pytest.mark.parametrize(
    ("keyword", "values", "element", "expected"),
    [
        ("PatientSex", ["F", "F", "M"], "gender", "female"),
        ("PatientSex", ["F", "M"], "gender", "male"),
        ("PatientSex", ["F", None, None], "gender", "female"),
        ("PatientBirthDate", ["19610704", "19610704", "19610705"], "birthDate", "1961-07-04"),
    ],
)
def test_where_instances_differ_most_decide(keyword: str, values: list[str | None], element: str, expected: str) -> None:
    resource, said = of_many(*({keyword: value} for value in values))
    assert resource[element] == expected
    assert said == ([(keyword, "study-conflict")] if len(set(values) - {None}) > 1 else [])


def test_the_study_date_is_the_earliest() -> None:
    study = evidence([instance(StudyDate=value) for value in ("20260111", "20260110", None, "junk")])
    ctx = context()
    assert study_date(study, ctx) == "2026-01-10"
    assert warnings(ctx) == [("StudyDate", "bad-value")]


@pytest.mark.parametrize("attributes", [{"PatientSex": "X"}, {"PatientBirthDate": "junk"}, {"PatientID": "a\\b"}])
def test_in_strict_mode_a_bad_value_rejects_the_study(attributes: dict[str, Any]) -> None:
    with pytest.raises(StudyRejected):
        patient(evidence([instance(**attributes)]), context(strict=True))
