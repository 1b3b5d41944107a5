"""The constraints that a route parameter may carry, under ASP.NET's names."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TypeAlias

Constraint: TypeAlias = Callable[[str], bool]

_INTEGER = re.compile(r"[+-]?\d+")


def parse_constraint(text: str) -> Constraint:
    """Make the check of one constraint, such as ``int`` or ``length(1,64)``.

    Raises
    ------
    ValueError
        The constraint is not known, or its arguments are not understood.
    """
    name, _, rest = text.partition("(")
    arguments = rest.removesuffix(")")
    if name not in _CONSTRAINTS:
        raise ValueError(f"the constraint {name} is not known")
    return _CONSTRAINTS[name](arguments)


def _in_range(value: str, low: int, high: int) -> bool:
    return _INTEGER.fullmatch(value) is not None and low <= int(value) <= high


def _integer(bits: int) -> Constraint:
    limit = 1 << (bits - 1)
    return lambda value: _in_range(value, -limit, limit - 1)


def _range(arguments: str) -> Constraint:
    low, high = map(int, arguments.split(","))
    return lambda value: _in_range(value, low, high)


def _minimum(arguments: str) -> Constraint:
    low = int(arguments)
    return lambda value: _in_range(value, low, (1 << 63) - 1)


def _maximum(arguments: str) -> Constraint:
    high = int(arguments)
    return lambda value: _in_range(value, -(1 << 63), high)


def _length(arguments: str) -> Constraint:
    bounds = [int(bound) for bound in arguments.split(",")]
    return lambda value: bounds[0] <= len(value) <= bounds[-1]


def _shortest(arguments: str) -> Constraint:
    length = int(arguments)
    return lambda value: len(value) >= length


def _longest(arguments: str) -> Constraint:
    length = int(arguments)
    return lambda value: len(value) <= length


def _regex(arguments: str) -> Constraint:
    """Search, as the real host does: anchors are the template's affair; any case."""
    pattern = re.compile(arguments, re.IGNORECASE)
    return lambda value: pattern.search(value) is not None


def _is_guid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


_CONSTRAINTS: dict[str, Callable[[str], Constraint]] = {
    "int": lambda _: _integer(32),
    "long": lambda _: _integer(64),
    "bool": lambda _: lambda value: value.lower() in {"true", "false"},
    "alpha": lambda _: lambda value: value.isascii() and value.isalpha(),
    "guid": lambda _: _is_guid,
    "required": lambda _: lambda value: value != "",
    "min": _minimum,
    "max": _maximum,
    "range": _range,
    "length": _length,
    "minlength": _shortest,
    "maxlength": _longest,
    "regex": _regex,
}
