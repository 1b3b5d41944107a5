"""Numbers with units as FHIR ``Quantity``, in decimals throughout: a dose is what was written, digit for digit.

References
----------
PS3.3 C.18.1 "Numeric Measurement Macro"; PS3.16 CID 42 "Numeric Value Qualifier"; FHIR R4 2.24.0.7 "Quantity".
"""

from __future__ import annotations

from decimal import Context as Arithmetic
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from shared.dicom.validation import DECIMAL
from shared.fhir.concepts import coding, key_of
from shared.fhir.identity import UCUM
from shared.fhir.json_text import Resource, compact
from shared.fhir.values import clean

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset

ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"

_FACTORS = {
    "dose area product": {
        "uGy.cm2": "1E-3", "mGy.cm2": "1", "cGy.cm2": "1E+1", "dGy.cm2": "1E+2", "Gy.cm2": "1E+3",
        "uGy.m2": "1E+1", "mGy.m2": "1E+4", "cGy.m2": "1E+5", "dGy.m2": "1E+6", "Gy.m2": "1E+7",
    },
    "dose length product": {"uGy.cm": "1E-3", "mGy.cm": "1", "cGy.cm": "1E+1", "dGy.cm": "1E+2", "Gy.cm": "1E+3", "mGy.m": "1E+2"},
    "dose": {"uGy": "1E-3", "mGy": "1", "cGy": "1E+1", "dGy": "1E+2", "Gy": "1E+3"},
    "effective dose": {"uSv": "1E-3", "mSv": "1", "cSv": "1E+1", "Sv": "1E+3"},
    "time": {"us": "1E-6", "ms": "1E-3", "s": "1", "min": "60", "h": "3600"},
    "length": {"um": "1E-3", "mm": "1", "cm": "1E+1", "dm": "1E+2", "m": "1E+3"},
    "activity": {"Bq": "1E-6", "kBq": "1E-3", "MBq": "1", "GBq": "1E+3", "uCi": "0.037", "mCi": "37", "Ci": "37E+3"},
    "volume": {"uL": "1E-3", "mL": "1", "ml": "1", "cm3": "1", "cL": "1E+1", "dL": "1E+2", "L": "1E+3", "l": "1E+3"},
    "voltage": {"V": "1E-3", "kV": "1"},
}  # fmt: skip
"""Kind of quantity → UCUM unit → how many of the kind's first choice it is."""

_UNITS = {unit: (kind, Decimal(factor)) for kind, factors in _FACTORS.items() for unit, factor in factors.items()}
_SPELLINGS = {unit.replace(".", sign): unit for unit in _UNITS for sign in ("", "*", " ", "\N{MIDDLE DOT}")}
_MICRO = {ord("\N{MICRO SIGN}"): "u", ord("\N{GREEK SMALL LETTER MU}"): "u"}

_DIGITS = Arithmetic(prec=18)
"""FHIR R4 2.24.0.1, decimal: at least 18 digits are understood everywhere."""
_LARGEST_EXPONENT = 60
"""Nothing that is measured is beyond it; a number with a huge exponent would become a text as long."""

_REASONS = {
    "114000": "not-a-number",
    "114001": "negative-infinity",
    "114002": "positive-infinity",
    "114003": "not-a-number",
    "114004": "error",
    "114005": "error",
    "114006": "error",
    "114007": "not-performed",
    "114008": "error",
    "114009": "error",
    "114010": "unknown",
    "114011": "unknown",
}
"""PS3.16 CID 42 "Numeric Value Qualifier" → reason; others are unknown."""


def decimal(value: Any) -> Decimal | None:
    """Read a number, as JSON or text has it, without losing a digit; None where it is none, or none that can be measured."""
    sent = clean(value) if isinstance(value, str) else str(value)
    if not DECIMAL.fullmatch(sent):
        return None
    try:
        number = Decimal(sent)
    except InvalidOperation:  # the exponent itself is astronomical
        return None
    if abs(number.adjusted()) > _LARGEST_EXPONENT or len(number.as_tuple().digits) > _LARGEST_EXPONENT:
        return None
    return number or number.copy_abs()


def quantity(measured: Dataset, context: Context) -> Resource | None:
    """Give an item of Measured Value Sequence as ``Quantity``; None where it lacks a number or a unit."""
    value = decimal(measured.first("NumericValue"))
    if value is None:
        if measured:
            context.notes.drop("NumericValue")
        return None
    unit = coding(measured.item("MeasurementUnitsCodeSequence"), "MeasurementUnitsCodeSequence", context)
    if unit is None:
        context.notes.drop("MeasurementUnitsCodeSequence")
        return None
    if unit["system"] == UCUM:
        return _quantity(value, unit_code(unit["code"]))
    return compact(value=value, unit=unit.get("display", unit["code"]), system=unit["system"], code=unit["code"])


def unit_code(sent: str) -> str:
    """Spell a unit as UCUM does, where it is one that is often misspelt: ``mGycm``, ``Gy*cm2``, ``µGy``."""
    unit = sent.translate(_MICRO)
    return _SPELLINGS.get(unit, unit)


def in_unit(quantity: Resource, unit: str) -> Resource | None:
    """Convert a ``Quantity`` to another unit; None where the two do not measure the same kind of thing, or one is unknown."""
    sent = quantity.get("code", "") if quantity.get("system") == UCUM else ""
    if sent == unit:
        return quantity
    kind, factor = _UNITS.get(sent, ("", Decimal(0)))
    wanted_kind, wanted_factor = _UNITS.get(unit, ("none", Decimal(1)))
    if kind != wanted_kind:
        return None
    return _quantity(_DIGITS.divide(_DIGITS.multiply(quantity["value"], factor), wanted_factor), unit)


def absent_reason(num_item: Dataset) -> Resource | None:
    """Give why a NUM content item has no value, from its Numeric Value Qualifier; None where it has none."""
    qualifier = num_item.item("NumericValueQualifierCodeSequence")
    if not qualifier:
        return None
    _, code = key_of(qualifier) or ("", "")
    return {"coding": [{"system": ABSENT_REASON, "code": _REASONS.get(code, "unknown")}]}


def _quantity(value: Decimal, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}
