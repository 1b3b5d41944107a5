"""A content item becomes a component in the unit of its row, or says why there is no value, or is left out."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.dataset import Dataset
from shared.fhir.dose_components import components
from shared.fhir.dose_tables import (
    ACQUISITION_PLANE,
    ADMINISTRATION,
    CT_EVENT,
    CT_TOTALS,
    PROCEDURE_REPORTED,
    PROJECTION_EVENT,
    PROJECTION_TOTALS,
    Form,
    Row,
)
from shared.fhir.issues import StudyRejected
from shared.fhir.json_text import canonical
from shared.fhir.sr_document import ContentItem, read
from tests.support.sr_builders import (
    CANONICAL,
    LEFT_BREAST,
    PLANE_A,
    RIGHT_BREAST,
    Code,
    Json,
    code_item,
    container,
    document,
    glandular_dose,
    make_context,
    num,
    text,
)

if TYPE_CHECKING:
    from shared.fhir.json_text import Resource

QUANTITIES = {
    row.keys[0][1]: row
    for row in (*CT_TOTALS, *PROJECTION_TOTALS, *ADMINISTRATION, *CT_EVENT, *PROJECTION_EVENT)
    if row.form is Form.QUANTITY
}
COUNTS = {row.keys[0][1]: row for row in (*CT_TOTALS, *PROJECTION_TOTALS) if row.form is Form.COUNT}
CONCEPTS = {row.keys[0][1]: row for row in (PROCEDURE_REPORTED, ACQUISITION_PLANE, *ADMINISTRATION, *CT_EVENT) if row.form is Form.CONCEPT}
EVENTS, DLP = COUNTS["113812"], QUANTITIES["113813"]


def tree(*children: Json) -> ContentItem:
    return read(Dataset(document("113701", container("113702", *children))))


def made(row: Row, *children: Json, keywords: list[str] | None = None) -> list[Resource]:
    context = make_context()
    found = components([row], [tree(*children)], context)
    assert [issue.keyword for issue in context.notes.issues] == (keywords or [])
    return found


def name_of(row: Row) -> Code:
    designator, code = row.keys[0]
    return code, designator, row.display


@pytest.mark.parametrize("row", QUANTITIES.values(), ids=list(QUANTITIES))
def test_quantity_is_given_with_code_and_unit(row: Row) -> None:
    (component,) = made(row, num(name_of(row), Decimal("7.10"), row.unit))
    assert component["code"] == {"coding": [row.code]}
    quantity = {"value": Decimal("7.10"), "unit": row.unit, "system": "http://unitsofmeasure.org", "code": row.unit}
    assert component["valueQuantity"] == quantity
    assert b"7.10" in canonical(component)


@pytest.mark.parametrize(
    ("code", "sent", "unit", "expected"),
    [
        ("113722", "0.0000123", "Gy.m2", "123"),
        ("113722", "1", "Gym2", "1E+7"),
        ("113722", "1", "Gy.cm2", "1E+3"),
        ("113722", "1", "Gycm2", "1000"),
        ("113722", "1.5", "dGycm2", "150"),
        ("113722", "2", "uGy.m2", "20"),
        ("113722", "2", "µGy*m2", "20"),
        ("113722", "4", "mGycm2", "4"),
        ("113726", "0.8", "dGy.cm2", "80"),
        ("113727", "0.2", "Gy.cm2", "200"),
        ("113725", "0.0456", "Gy", "45.6"),
        ("113730", "1.5", "min", "90"),
        ("113730", "1500", "ms", "1.5"),
        ("111637", "0.0213", "dGy", "2.13"),
        ("113813", "512.30", "mGycm", "512.30"),
        ("113813", "512.30", "mGy*cm", "512.30"),
        ("113813", "0.5123", "Gy.cm", "512.3"),
        ("113814", "0.0021", "Sv", "2.1"),
        ("113507", "0.554", "GBq", "554"),
        ("113507", "554000000", "Bq", "554"),
        ("123005", "1.5", "cm3", "1.5"),
        ("123005", "1.5", "ml", "1.5"),
        ("113825", "31.25", "cm", "312.5"),
        ("113830", "0.0071", "Gy", "7.1"),
        ("113733", "120", "kV", "120"),
    ],
)
def test_quantity_is_converted_exactly(code: str, sent: str, unit: str, expected: str) -> None:
    row = QUANTITIES[code]
    (component,) = made(row, num(name_of(row), Decimal(sent), unit))
    assert component["valueQuantity"]["value"] == Decimal(expected)
    assert component["valueQuantity"]["code"] == row.unit


@pytest.mark.parametrize("row", [*QUANTITIES.values(), *COUNTS.values(), *CONCEPTS.values()])
def test_absent_item_gives_no_component(row: Row) -> None:
    assert made(row, text("121106", "nothing of the kind")) == []


@pytest.mark.parametrize("row", QUANTITIES.values(), ids=list(QUANTITIES))
@pytest.mark.parametrize(
    ("value", "unit", "keyword"),
    [
        ("much", "mGy", "NumericValue"),
        (Decimal("NaN"), "mGy", "NumericValue"),
        ({}, "mGy", "NumericValue"),
        (Decimal(1), None, "MeasurementUnitsCodeSequence"),
        (Decimal(1), "{ratio}", "MeasurementUnitsCodeSequence"),
        (Decimal(1), "K", "MeasurementUnitsCodeSequence"),
    ],
)
def test_bad_quantity_is_left_out_and_noted(row: Row, value: object, unit: str | None, keyword: str) -> None:
    assert made(row, num(name_of(row), value, unit), keywords=[keyword]) == []


def test_item_without_a_measured_value_is_left_out() -> None:
    assert made(DLP, num("113813", None, None)) == []
    assert made(EVENTS, num("113812", None, None)) == []


@pytest.mark.parametrize("value", [None, Decimal(5)])
@pytest.mark.parametrize("row", [DLP, EVENTS])
def test_qualifier_says_why_there_is_no_value(row: Row, value: Decimal | None) -> None:
    (component,) = made(row, num(name_of(row), value, "mGy.cm", qualifier="114007"))
    assert component["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    assert set(component) == {"code", "dataAbsentReason"}


@pytest.mark.parametrize("row", COUNTS.values(), ids=list(COUNTS))
@pytest.mark.parametrize(("sent", "expected"), [(Decimal(0), 0), (0, 0), (3, 3), (Decimal("3.0"), 3), ("12", 12), (2.0, 2)])
def test_count_is_a_whole_number_and_nought_is_one(row: Row, sent: object, expected: int) -> None:
    (component,) = made(row, num(name_of(row), sent, "{events}"))
    assert component == {"code": {"coding": [row.code]}, "valueInteger": expected}
    assert isinstance(component["valueInteger"], int)


@pytest.mark.parametrize("row", COUNTS.values(), ids=list(COUNTS))
@pytest.mark.parametrize("sent", [-1, Decimal("2.5"), 2**31, "many", True, float("inf"), [], "1E+50"])
def test_bad_count_is_left_out_and_noted(row: Row, sent: object) -> None:
    assert made(row, num(name_of(row), sent, "{events}"), keywords=["NumericValue"]) == []


@pytest.mark.parametrize("row", CONCEPTS.values(), ids=list(CONCEPTS))
def test_concept_has_the_scheme_of_the_value_and_not_of_the_name(row: Row) -> None:
    (own,) = made(row, code_item(name_of(row), ("113691", "DCM", "a phantom")))
    assert own["valueCodeableConcept"]["coding"][0]["system"] == "http://dicom.nema.org/resources/ontology/DCM"
    (snomed,) = made(row, code_item(name_of(row), ("P5-08000", "SRT", "CT")))
    assert snomed["valueCodeableConcept"]["coding"][0] == {"system": "http://snomed.info/sct", "code": "77477000", "display": "CT"}


@pytest.mark.parametrize("row", CONCEPTS.values(), ids=list(CONCEPTS))
def test_bad_concept_is_left_out_and_noted(row: Row) -> None:
    assert made(row, code_item(name_of(row), ("", "DCM", "no code")), keywords=["ConceptCodeSequence"]) == []


def test_agent_is_found_under_its_old_name() -> None:
    row = next(row for row in ADMINISTRATION if row.keys[0][1] == "349358000")
    (component,) = made(row, code_item(("F-61FDB", "SRT", "Radiopharmaceutical agent"), ("C-B1031", "SRT", "FDG")))
    assert component["code"]["coding"][0]["code"] == "349358000"
    assert component["valueCodeableConcept"]["coding"][0]["code"] == "35321007"


def sides(components_made: list[Resource]) -> list[Any]:
    url = f"{CANONICAL}/StructureDefinition/laterality"
    return [
        (component["valueQuantity"]["value"], extension["valueCodeableConcept"]["coding"][0]["code"])
        for component in components_made
        for extension in component["extension"]
        if extension["url"] == url
    ]


def test_glandular_dose_is_given_for_each_breast() -> None:
    row = QUANTITIES["111637"]
    found = made(row, glandular_dose(Decimal("0.0213"), LEFT_BREAST), glandular_dose(Decimal("0.0198"), RIGHT_BREAST))
    assert sides(found) == [(Decimal("2.13"), "7771000"), (Decimal("1.98"), "24028007")]


def test_glandular_dose_of_another_part_keeps_what_was_sent() -> None:
    (component,) = made(QUANTITIES["111637"], glandular_dose(Decimal("0.02"), ("80248007", "DCM", "not SNOMED")))
    concept = component["extension"][0]["valueCodeableConcept"]
    assert concept["coding"][0] == {
        "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "80248007", "display": "not SNOMED",
    }  # fmt: skip


def test_glandular_dose_without_a_side_has_no_extension() -> None:
    (component,) = made(QUANTITIES["111637"], num("111637", 2, "mGy"))
    assert "extension" not in component
    (component,) = made(QUANTITIES["111637"], glandular_dose(2, ("", "SCT", "?")), keywords=["ConceptCodeSequence"])
    assert "extension" not in component


def test_total_is_given_once_and_what_repeats_each_time() -> None:
    assert len(made(DLP, num("113813", 1, "mGy.cm"), num("113813", 2, "mGy.cm"))) == 1
    assert len(made(QUANTITIES["113733"], num("113733", 80, "kV"), num("113733", 140, "kV"))) == 2


def test_first_good_value_counts() -> None:
    (component,) = made(DLP, num("113813", "x", "mGy.cm"), num("113813", 2, "mGy.cm"), keywords=["NumericValue"])
    assert component["valueQuantity"]["value"] == 2


def test_components_stand_in_the_order_of_the_rows() -> None:
    root = tree(num("113731", 9, "{frames}"), num("113722", 1, "mGy.cm2"), code_item("113764", PLANE_A))
    found = components([ACQUISITION_PLANE, *PROJECTION_TOTALS], [root], make_context())
    assert [component["code"]["coding"][0]["code"] for component in found] == ["113764", "113722", "113731"]


@pytest.mark.parametrize("item", [num("113813", "x", "mGy.cm"), num("113813", 1, "K"), num("113812", -1, "1")])
def test_strict_operator_has_the_study_refused(item: Json) -> None:
    with pytest.raises(StudyRejected):
        components(CT_TOTALS, [tree(item)], make_context(strict=True))
