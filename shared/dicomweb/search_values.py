"""The value of a search key, by the VR of its attribute: text in, ``Matcher`` out.

References
----------
PS3.18 8.3.4.1 "Matching"; PS3.4 C.2.2.2 "Attribute Matching".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.dicom.text import fold, name_words
from shared.dicomweb.matching import POINTS, Between, Matcher, Number, OneOf, Wildcard, Words, normal_form, strip, whole_number
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LIST = 1000
"""Values that one list may have."""

_FORMS = {"DA": "a date as yyyyMMdd", "TM": "a time as HH, HHmm, HHmmss or HHmmss.FFFFFF"}


def compile_matcher(vr: str, text: str, keyword: str, *, fuzzy: bool) -> Matcher | None:
    """Give the meaning of a search key's value, or None where everything matches.

    Parameters
    ----------
    vr
        Of the attribute.
    text
        The value, decoded; empty, or of stars alone, it matches everything (PS3.4 C.2.2.2.3 "Universal Matching").
    keyword
        Of the attribute, for messages.
    fuzzy
        Whether names are matched by the beginnings of their words. A name with wildcards is matched by those.

    Raises
    ------
    InvalidRequest
        The value is none of its VR, or a list of more than ``MAX_LIST``.
    """
    text = strip(text)
    if not text.strip("*"):
        return None
    special = _COMPILERS.get(vr)
    if special is not None:
        return special(vr, text, keyword)
    wild = "*" in text or "?" in text
    if vr == "PN" and fuzzy and not wild:
        return _compile_words(text, keyword)
    normal = normal_form(vr)(text)
    if not normal.strip("*"):
        return None
    return Wildcard(normal, vr) if wild else OneOf(frozenset({normal}), vr)


def _compile_words(text: str, keyword: str) -> Matcher | None:
    if '"' in text:
        raise InvalidRequest(f"{keyword} must not hold quotation marks with fuzzymatching.")
    words = name_words(fold(text))
    return Words(tuple(words)) if words else None


def _compile_list(vr: str, text: str, keyword: str) -> Matcher | None:
    """Compile UIDs or codes parted by commas or backslashes; neither VR can hold these."""
    values = frozenset(filter(None, map(normal_form(vr), re.split(r"[,\\]", text))))
    if len(values) > MAX_LIST:
        raise InvalidRequest(f"{keyword} has more than {MAX_LIST} values; ask for them in several requests.")
    wild = [value for value in values if "*" in value or "?" in value]
    if vr == "CS" and wild:
        if len(values) > 1:
            raise InvalidRequest(f"{keyword} takes either a list of values or one with wildcards.")
        return Wildcard(wild[0], vr)
    return OneOf(values, vr) if values else None


def _compile_range(vr: str, text: str, keyword: str) -> Matcher:
    first, dash, last = map(strip, text.partition("-"))
    low = _bound(vr, first, keyword)
    high = _bound(vr, last, keyword) if dash else low
    if low is None and high is None:
        raise InvalidRequest(f"{keyword} is a range without either end.")
    if low is not None and high is not None and low > high:
        raise InvalidRequest(f"{keyword} is a range whose end lies before its beginning.")
    return Between(low, high, vr)


def _bound(vr: str, text: str, keyword: str) -> str | None:
    if not text:
        return None
    point = POINTS[vr](text)
    if point is None:
        raise InvalidRequest(f"{keyword} must be {_FORMS[vr]}, or a range of two such with a hyphen between, before or after.")
    return point


def _compile_number(vr: str, text: str, keyword: str) -> Matcher:
    value = whole_number(text)
    if value is None:
        raise InvalidRequest(f"{keyword} is of VR {vr} and must be a whole number.")
    return Number(value)


_COMPILERS: dict[str, Callable[[str, str, str], Matcher | None]] = {
    "UI": _compile_list,
    "CS": _compile_list,
    "DA": _compile_range,
    "TM": _compile_range,
    "IS": _compile_number,
}
