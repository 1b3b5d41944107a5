"""Plain YAML for people: what JSON can say, in blocks. Not: reading it.

JSON is YAML already; a library would be one more package for thirty lines. Texts that YAML might take for
something else, in either of its versions, are quoted as in JSON.

References
----------
YAML 1.2.2, 7.3.1 "Double-Quoted Style", 8.2 "Block Collection Styles".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9 _./{}()+*-]*(?<! )", re.ASCII)
_WORDS_WITH_MEANING = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_yaml(value: Any) -> str:
    """Write objects, lists, numbers, booleans, null, and texts of the Basic Multilingual Plane."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> Iterator[str]:
    if not isinstance(value, dict | list) or not value:
        yield _scalar(value)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _entry(f"{_scalar(name)}:", inner)
    else:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _entry(name: str, inner: Any) -> Iterator[str]:
    if isinstance(inner, dict | list) and inner:
        yield name
        yield from (f"  {line}" for line in _lines(inner))
    else:
        yield f"{name} {_scalar(inner)}"


def _scalar(value: Any) -> str:
    """Write what fits on one line; an empty collection looks as in JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_WITH_MEANING:
        return value
    return json.dumps(value)
