"""Texts, codes, numbers and UIDs of a dataset as FHIR takes them. Not: dates (moments), names, coded concepts.

Whatever a dataset holds, a function here gives a good value or none; a value that was there and is of no use is noted.

References
----------
PS3.5 6.2 "Value Representation"; FHIR R4 2.24.0.1 "Primitive Types".
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

from shared.fhir.identity import is_uid
from shared.fhir.issues import IssueCode

if TYPE_CHECKING:
    from shared.fhir.dataset import Dataset
    from shared.fhir.issues import Notes

MAX_UINT = 2_147_483_647
"""FHIR's ``unsignedInt`` is a signed 32-bit number that is not negative."""

UNDECODABLE = "\N{REPLACEMENT CHARACTER}"
"""What became of bytes outside their character set when the instance was stored."""

_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UINT = re.compile(r"\+?0*([0-9]{1,10})(\.0*)?")


def clean(text: str) -> str:
    """Strip control characters (but TAB, LF, CR) and outer blanks, and compose accents (NFC).

    Half a surrogate pair, which JSON can spell but UTF-8 cannot, becomes U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text.strip()
    return unicodedata.normalize("NFC", _SURROGATE.sub(UNDECODABLE, _CONTROL.sub("", text))).strip()


def cleaned(value: Any, keyword: str, notes: Notes) -> str:
    """Clean one value; what is no text is noted and gives an empty one. Texts with undecodable parts are noted and kept."""
    if not isinstance(value, str):
        notes.drop(keyword)
        return ""
    text = clean(value)
    if UNDECODABLE in text:
        notes.warn(keyword, IssueCode.UNDECODABLE_TEXT)
    return text


def texts(ds: Dataset, keyword: str, notes: Notes) -> list[str]:
    """Give the values of a text attribute that say something, cleaned."""
    return [text for value in ds.values(keyword) if (text := cleaned(value, keyword, notes))]


def text(ds: Dataset, keyword: str, notes: Notes) -> str | None:
    """Give the values of a text attribute as one text, or None."""
    return "; ".join(texts(ds, keyword, notes)) or None


def first_text(ds: Dataset, keyword: str, notes: Notes) -> str | None:
    """Give the first value of a text attribute that says something, or None."""
    return next(iter(texts(ds, keyword, notes)), None)


def code(ds: Dataset, keyword: str, notes: Notes) -> str | None:
    """Give the first value of a CS attribute in upper case; one with blanks inside is bad."""
    value = first_text(ds, keyword, notes)
    if value is None:
        return None
    if len(value.split()) > 1:
        notes.drop(keyword)
        return None
    return value.upper()


def uint(ds: Dataset, keyword: str, notes: Notes) -> int | None:
    """Give the first value as a number of 0 to 2,147,483,647, however it is spelt (7, "7", "7.0"); others are bad."""
    value = ds.first(keyword)
    if value is None or (isinstance(value, str) and not clean(value)):
        return None
    spelt = _UINT.fullmatch(str(value).strip())
    number = int(spelt[1]) if spelt else MAX_UINT + 1
    if number > MAX_UINT:
        notes.drop(keyword)
        return None
    return number


def uid(ds: Dataset, keyword: str) -> str | None:
    """Give the first value where it is a UID."""
    value = ds.first(keyword)
    trimmed = value.strip(" \0") if isinstance(value, str) else ""
    return trimmed if is_uid(trimmed) else None
