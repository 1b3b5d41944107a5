"""Codes: a system for each designator, SNOMED in its old notation, long codes and URNs, and bad ones."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.coding import Coding
from hypothesis import given
from pydicom.sr._snomed_dict import mapping

from shared.fhir.concepts import SNOMED_RT, coding, concept, concepts, key_of, system_of
from shared.fhir.dataset import EMPTY, Dataset
from tests.support.fhir_evidence import CANONICAL, code, context, dataset, warnings
from tests.support.fhir_junk import junk_datasets
from tools.make_snomed_rt import lines

SCT = "http://snomed.info/sct"
SEQUENCE = "ProcedureCodeSequence"


def item(value: str, designator: str, meaning: str | None = None, **more: Any) -> Dataset:
    return dataset(**code(value, designator, meaning, **more))


@pytest.mark.parametrize(
    ("designator", "system"),
    [
        ("DCM", "http://dicom.nema.org/resources/ontology/DCM"),
        ("SCT", SCT),
        ("SRT", "http://terminology.hl7.org/CodeSystem/snm"),
        ("SNM3", "http://terminology.hl7.org/CodeSystem/snm"),
        ("99SDM", "http://terminology.hl7.org/CodeSystem/snm"),
        ("LN", "http://loinc.org"),
        ("UCUM", "http://unitsofmeasure.org"),
        ("RADLEX", "http://radlex.org"),
        ("RADELEMENT", "http://radelement.org"),
        ("I10", "http://hl7.org/fhir/sid/icd-10"),
        ("I10C", "http://hl7.org/fhir/sid/icd-10-cm"),
        ("I9C", "http://hl7.org/fhir/sid/icd-9-cm"),
        ("UMLS", "http://terminology.hl7.org/CodeSystem/umls"),
        ("NCIt", "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"),
        ("FMA", "http://sig.biostr.washington.edu/projects/fm/AboutFM.html"),
        ("99LOCAL", f"{CANONICAL}/code-system/99LOCAL"),
        ("L", f"{CANONICAL}/code-system/L"),
        ("99 A/B", f"{CANONICAL}/code-system/99%20A%2FB"),
    ],
)
def test_each_designator_has_a_system(designator: str, system: str) -> None:
    at_hand = context()
    assert coding(item("X-1", designator, "Thing"), SEQUENCE, at_hand) == {"system": system, "code": "X-1", "display": "Thing"}
    assert system_of(designator.lower(), None, CANONICAL) in (
        system,
        system.replace(designator, designator.lower()).replace("A%2FB", "a%2Fb"),
    )


@pytest.mark.parametrize("designator", ["ncit", "NCIT", "NCIt"])
def test_a_known_designator_is_known_in_any_case(designator: str) -> None:
    assert system_of(designator, None, CANONICAL) == "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
    assert key_of(item("C1", designator)) == ("NCIt", "C1")


def test_without_designator_and_uid_there_is_no_system() -> None:
    assert system_of("", None, CANONICAL) is None


@pytest.mark.parametrize(
    ("designator", "scheme_uid", "system"),
    [
        ("99LOCAL", "1.2.3.4", "urn:oid:1.2.3.4"),
        ("XYZ", "1.2.3.4", "urn:oid:1.2.3.4"),
        ("", "1.2.3.4", "urn:oid:1.2.3.4"),
        ("DCM", "1.2.840.10008.2.16.4", "http://dicom.nema.org/resources/ontology/DCM"),
        ("99LOCAL", "1.02", f"{CANONICAL}/code-system/99LOCAL"),
    ],
)
def test_a_scheme_uid_names_a_private_system(designator: str, scheme_uid: str, system: str) -> None:
    found = coding(item("X", designator or None, CodingSchemeUID=scheme_uid), SEQUENCE, context())  # type: ignore[arg-type]
    assert found == {"system": system, "code": "X"}


@pytest.mark.parametrize("designator", ["SRT", "SNM3", "99SDM", "srt"])
def test_old_snomed_codes_are_given_as_snomed_ct(designator: str) -> None:
    at_hand = context()
    old = item("T-12710", designator, "Femur", CodingSchemeVersion="20020904")
    assert coding(old, SEQUENCE, at_hand) == {"system": SCT, "code": "71341001", "display": "Femur"}
    assert key_of(old) == key_of(item("71341001", "SCT")) == ("SCT", "71341001")
    assert not warnings(at_hand)


def test_an_old_snomed_code_without_successor_is_kept_and_noted() -> None:
    at_hand = context(strict=True)
    old = item("T-99999", "99SDM", "Thing", CodingSchemeVersion="1")
    system = "http://terminology.hl7.org/CodeSystem/snm"
    assert coding(old, SEQUENCE, at_hand) == {"system": system, "version": "1", "code": "T-99999", "display": "Thing"}
    assert warnings(at_hand) == [(SEQUENCE, "unmapped-code")]
    assert key_of(old) == ("SRT", "T-99999")


def test_the_file_of_old_codes_is_what_its_script_would_write_today() -> None:
    written = SNOMED_RT.read_text(encoding="ascii").splitlines()
    assert written[1:] == list(lines())[1:]
    assert len(written) - 1 == len(mapping["SRT"])


def test_a_code_keeps_its_version() -> None:
    found = coding(item("113820", "DCM", "CT Acquisition Type", CodingSchemeVersion="01"), SEQUENCE, context())
    assert found == {
        "system": "http://dicom.nema.org/resources/ontology/DCM",
        "version": "01",
        "code": "113820",
        "display": "CT Acquisition Type",
    }


@pytest.mark.parametrize(
    ("attributes", "found"),
    [
        ({"LongCodeValue": "A" * 40}, {"system": f"{CANONICAL}/code-system/99L", "code": "A" * 40}),
        ({"CodeValue": "A", "LongCodeValue": "B", "URNCodeValue": "urn:c"}, {"system": f"{CANONICAL}/code-system/99L", "code": "A"}),
    ],
)
def test_the_short_code_goes_before_the_long_one(attributes: dict[str, str], found: dict[str, str]) -> None:
    assert coding(dataset(CodingSchemeDesignator="99L", **attributes), SEQUENCE, context()) == found


@pytest.mark.parametrize(
    ("urn", "system", "value", "key"),
    [
        ("http://snomed.info/id/71341001", SCT, "71341001", ("SCT", "71341001")),
        ("http://loinc.org/73569-6", "http://loinc.org", "73569-6", ("LN", "73569-6")),
        ("https://codes.example/cs#a/b", "https://codes.example/cs", "a/b", ("", "a/b")),
        ("urn:oid:1.2.3", "urn:ietf:rfc:3986", "urn:oid:1.2.3", ("", "urn:oid:1.2.3")),
        ("urn:lex:us:federal:codified.regulation:2013-04-25;45CFR164", "urn:ietf:rfc:3986", None, None),
        ("https://codes.example", "urn:ietf:rfc:3986", "https://codes.example", ("", "https://codes.example")),
        ("https://codes.example/cs/", "urn:ietf:rfc:3986", "https://codes.example/cs/", ("", "https://codes.example/cs/")),
    ],
)
def test_a_urn_is_split_where_it_can_be(urn: str, system: str, value: str | None, key: tuple[str, str] | None) -> None:
    found = dataset(URNCodeValue=urn, CodeMeaning="Thing")
    assert coding(found, SEQUENCE, context()) == {"system": system, "code": value or urn, "display": "Thing"}
    assert key_of(found) == (key or ("", urn))


@pytest.mark.parametrize(
    ("sent", "value"), [(" 113820 ", "113820"), ("A  B", "A B"), ("A\tB\n", "A B"), ("A\u3000B", "A B"), ("A\0", "A"), ("A B C", "A B C")]
)
def test_a_code_has_single_blanks_inside_only(sent: str, value: str) -> None:
    at_hand = context()
    assert coding(item(sent, " DCM "), SEQUENCE, at_hand) == {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": value}
    assert key_of(item(sent, "dcm")) == ("DCM", value)
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    "attributes",
    [
        {"CodeMeaning": "Thing"},
        {"CodeValue": " \0 ", "CodingSchemeDesignator": "DCM"},
        {"CodeValue": 113820, "CodingSchemeDesignator": "DCM"},
        {"CodeValue": "113820"},
        {"CodeValue": "113820", "CodingSchemeDesignator": 7},
        {"URNCodeValue": "urn:a b"},
    ],
)
def test_an_item_without_a_usable_code_is_dropped(attributes: dict[str, Any]) -> None:
    at_hand = context()
    bad = dataset(**attributes)
    assert coding(bad, SEQUENCE, at_hand) is concept(bad, SEQUENCE, at_hand) is None
    assert warnings(at_hand) == [(SEQUENCE, "bad-value")]


def test_an_empty_item_is_absent() -> None:
    at_hand = context()
    assert coding(EMPTY, SEQUENCE, at_hand) is concept(EMPTY, SEQUENCE, at_hand) is None
    assert key_of(EMPTY) is None
    assert not warnings(at_hand)


def test_the_good_items_of_a_sequence_are_concepts() -> None:
    at_hand = context()
    found = dataset(ProcedureCodeSequence=[code("A", "DCM"), {"CodeMeaning": "Thing"}, code("B", "SCT", "Bee")])
    assert concepts(found, SEQUENCE, at_hand) == [
        {"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "A"}]},
        {"coding": [{"system": SCT, "code": "B", "display": "Bee"}]},
    ]
    assert warnings(at_hand) == [(SEQUENCE, "bad-value")]


def test_an_absent_sequence_has_no_concepts() -> None:
    assert concepts(EMPTY, SEQUENCE, context()) == []


_KEYWORDS = (
    "CodeValue",
    "LongCodeValue",
    "URNCodeValue",
    "CodingSchemeDesignator",
    "CodingSchemeVersion",
    "CodingSchemeUID",
    "CodeMeaning",
)


@given(junk_datasets(*_KEYWORDS, SEQUENCE))
def test_no_input_breaks_a_code_and_every_code_is_valid(junk: dict[str, Any]) -> None:
    at_hand = context()
    found = concepts(Dataset(junk), SEQUENCE, at_hand)
    alone = coding(Dataset(junk), SEQUENCE, at_hand)
    key_of(Dataset(junk))
    for each in [*(each["coding"][0] for each in found), *([alone] if alone else [])]:
        Coding.model_validate(each)
        assert len(each["system"].split()) == 1
