"""Numbers with units: decimals digit for digit, units as UCUM spells them, conversions, and why there is no value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B.quantity import Quantity
from hypothesis import given

from shared.fhir.dataset import EMPTY, Dataset
from shared.fhir.json_text import canonical
from shared.fhir.quantities import ABSENT_REASON, absent_reason, decimal, in_unit, quantity
from tests.support.fhir_evidence import CANONICAL, code, context, dataset, warnings
from tests.support.fhir_junk import junk_datasets

UCUM = "http://unitsofmeasure.org"


def measured(value: Any, unit: str, designator: str = "UCUM", meaning: str | None = None) -> Dataset:
    return dataset(NumericValue=value, MeasurementUnitsCodeSequence=code(unit, designator, meaning))


def of_unit(value: str, unit: str) -> dict[str, Any]:
    return {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit}


@pytest.mark.parametrize(
    ("sent", "digits"),
    [
        ("512.30", "512.30"),
        (512.3, "512.3"),
        (0.1, "0.1"),
        (Decimal("512.30"), "512.30"),
        (7, "7"),
        ("-7", "-7"),
        (" +1.5E-3 ", "0.0015"),
        ("1.5e2", "150"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0", "0"),
        (1e-7, "0.0000001"),
        ("0.12345678901234567890", "0.12345678901234567890"),
    ],
)
def test_a_decimal_keeps_its_digits(sent: Any, digits: str) -> None:
    found = decimal(sent)
    assert canonical(found) == digits.encode()


@pytest.mark.parametrize(
    "sent", ["", "NaN", "Infinity", "1_0", "1,5", "\u0663", "1 2", "0x1", None, True, {}, [7], float("nan"), float("inf"), Decimal("NaN")]
)
def test_what_is_no_number_is_none(sent: Any) -> None:
    assert decimal(sent) is None


@pytest.mark.parametrize("sent", ["1E61", "1E-61", "1E999999999", "1E9999999999999999999", "0E-999999", "1" * 61, 1e300])
def test_a_number_beyond_all_measure_is_none(sent: Any) -> None:
    assert decimal(sent) is None


def test_a_measured_value_is_a_quantity() -> None:
    at_hand = context()
    found = quantity(measured(Decimal("512.3"), "mGy.cm", meaning="milligray centimeter"), at_hand)
    assert found == of_unit("512.3", "mGy.cm")
    assert canonical(found) == b'{"code":"mGy.cm","system":"http://unitsofmeasure.org","unit":"mGy.cm","value":512.3}'
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    ("sent", "unit"),
    [
        ("mGycm", "mGy.cm"),
        ("mGy*cm", "mGy.cm"),
        ("Gycm2", "Gy.cm2"),
        ("Gy*cm2", "Gy.cm2"),
        ("dGycm2", "dGy.cm2"),
        ("Gym2", "Gy.m2"),
        ("mGy cm", "mGy.cm"),
        ("\u00b5Gym2", "uGy.m2"),
        ("\u03bcGy", "uGy"),
        ("mGy.cm", "mGy.cm"),
        ("{events}", "{events}"),
        ("[arb'U]", "[arb'U]"),
    ],
)
def test_a_misspelt_unit_is_put_right(sent: str, unit: str) -> None:
    assert quantity(measured("1.50", sent), context()) == of_unit("1.50", unit)


def test_a_unit_of_another_scheme_keeps_its_code_and_shows_its_meaning() -> None:
    found = quantity(measured(3, "px", "99U", "pixels"), context())
    assert found == {"value": Decimal(3), "unit": "pixels", "system": f"{CANONICAL}/code-system/99U", "code": "px"}
    assert quantity(measured(3, "px", "99U"), context()) == {**found, "unit": "px"}


@pytest.mark.parametrize(
    ("found", "keyword"),
    [
        (measured("many", "mGy"), "NumericValue"),
        (measured(None, "mGy"), "NumericValue"),
        (measured("NaN", "mGy"), "NumericValue"),
        (dataset(NumericValue=7), "MeasurementUnitsCodeSequence"),
        (dataset(NumericValue=7, MeasurementUnitsCodeSequence={"CodeMeaning": "milligray"}), "MeasurementUnitsCodeSequence"),
    ],
)
def test_a_value_without_number_or_unit_is_dropped(found: Dataset, keyword: str) -> None:
    at_hand = context()
    assert quantity(found, at_hand) is None
    assert warnings(at_hand) == [(keyword, "bad-value")]


def test_no_measured_value_is_no_quantity() -> None:
    at_hand = context()
    assert quantity(EMPTY, at_hand) is None
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    ("value", "unit", "wanted", "converted"),
    [
        # dose area product
        ("1", "Gy.m2", "mGy.cm2", "10000000"),
        ("0.00012345", "Gy.m2", "mGy.cm2", "1234.5"),
        ("1.50", "Gy.cm2", "mGy.cm2", "1500"),
        ("2.5", "dGy.cm2", "mGy.cm2", "250"),
        ("2.5", "cGy.cm2", "mGy.cm2", "25"),
        ("2.5", "uGy.m2", "mGy.cm2", "25"),
        ("2.5", "uGy.cm2", "mGy.cm2", "0.0025"),
        ("7.25", "mGy.cm2", "mGy.cm2", "7.25"),
        # dose length product, dose, effective dose
        ("0.5123", "Gy.cm", "mGy.cm", "512.3"),
        ("0.0123", "Gy", "mGy", "12.3"),
        ("1.2", "dGy", "mGy", "120"),
        ("1.2", "cGy", "mGy", "12"),
        ("150", "uGy", "mGy", "0.150"),
        ("0.0021", "Sv", "mSv", "2.1"),
        ("210", "uSv", "mSv", "0.210"),
        # time, length
        ("12500", "ms", "s", "12.500"),
        ("2.5", "min", "s", "150.0"),
        ("1", "h", "s", "3600"),
        ("150", "s", "min", "2.5"),
        ("40.5", "cm", "mm", "405"),
        ("0.405", "m", "mm", "405"),
        ("500", "um", "mm", "0.500"),
        # activity, volume, voltage
        ("370000000", "Bq", "MBq", "370.000000"),
        ("370000", "kBq", "MBq", "370.000"),
        ("0.37", "GBq", "MBq", "370"),
        ("10", "mCi", "MBq", "370"),
        ("2", "cm3", "mL", "2"),
        ("2", "ml", "mL", "2"),
        ("0.002", "L", "mL", "2"),
        ("120000", "V", "kV", "120.000"),
    ],
)
def test_a_quantity_is_converted(value: str, unit: str, wanted: str, converted: str) -> None:
    found = in_unit(of_unit(value, unit), wanted)
    assert found is not None
    assert canonical(found["value"]) == converted.encode()
    assert (found["unit"], found["system"], found["code"]) == (wanted, UCUM, wanted)


@pytest.mark.parametrize(
    "found",
    [of_unit("1", "s"), of_unit("1", "furlong"), {**of_unit("1", "Gy"), "system": "urn:oid:1.2"}, {"value": Decimal(1)}],
)
def test_what_measures_something_else_is_not_converted(found: dict[str, Any]) -> None:
    assert in_unit(found, "mGy") is None


def test_an_unknown_unit_is_only_itself() -> None:
    assert in_unit(of_unit("1", "1"), "1") == of_unit("1", "1")
    assert in_unit(of_unit("1", "mGy"), "1") is None


@pytest.mark.parametrize(
    ("qualifier", "reason"),
    [
        ("114000", "not-a-number"),
        ("114001", "negative-infinity"),
        ("114002", "positive-infinity"),
        ("114003", "not-a-number"),
        ("114004", "error"),
        ("114005", "error"),
        ("114006", "error"),
        ("114007", "not-performed"),
        ("114008", "error"),
        ("114009", "error"),
        ("114010", "unknown"),
        ("114011", "unknown"),
        ("999", "unknown"),
    ],
)
def test_a_qualifier_says_why_there_is_no_value(qualifier: str, reason: str) -> None:
    found = absent_reason(dataset(NumericValueQualifierCodeSequence=code(qualifier, "DCM")))
    assert found == {"coding": [{"system": ABSENT_REASON, "code": reason}]}


def test_without_a_qualifier_there_is_no_reason() -> None:
    assert absent_reason(EMPTY) is None


@given(
    junk_datasets(
        "NumericValue", "MeasurementUnitsCodeSequence", "NumericValueQualifierCodeSequence", "CodeValue", "CodingSchemeDesignator"
    )
)
def test_no_input_breaks_a_quantity_and_every_quantity_is_valid(junk: dict[str, Any]) -> None:
    absent_reason(Dataset(junk))
    found = quantity(Dataset(junk), context())
    if found is not None:
        Quantity.model_validate(found)
        in_unit(found, "mGy")
