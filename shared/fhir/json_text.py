"""FHIR JSON: parsed without losing a decimal's digits, written canonically. Not: what it means.

References
----------
FHIR R4 2.6.2 "JSON Representation of Resources": the precision of a decimal has meaning.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any, TypeAlias

import orjson

Resource: TypeAlias = dict[str, Any]
"""A FHIR resource or a piece of one, as JSON. Decimals are ``Decimal``."""


def parse(text: bytes | str) -> Any:
    """Read JSON.

    Raises
    ------
    ValueError
        It is none.
    """
    return json.loads(text, parse_float=Decimal)


def canonical(value: Any) -> bytes:
    """Write JSON with sorted keys and without blanks: equal values give equal bytes."""
    return orjson.dumps(value, default=_decimal, option=orjson.OPT_SORT_KEYS)


def means_the_same(one: Any, other: Any) -> bool:
    """Compare two values; a decimal's trailing zeros, which some servers drop, do not count."""
    texts = (orjson.dumps(value, default=_short_decimal, option=orjson.OPT_SORT_KEYS) for value in (one, other))
    return next(texts) == next(texts)


def digest(value: Any) -> str:
    """Give the SHA-256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def compact(**elements: Any) -> Resource:
    """Make an object of the elements that say something: None, empty texts, lists and objects are left out."""
    return {name: value for name, value in elements.items() if value is not None and value not in ("", [], {})}


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f") if value.is_finite() else "null")
    raise TypeError(type(value).__name__)


def _short_decimal(value: Any) -> Any:
    return _decimal(value.normalize() if isinstance(value, Decimal) else value)
