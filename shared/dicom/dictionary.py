"""The data dictionary: which VR and keyword a tag has. Not: private tags, which no public dictionary knows.

It is read from a generated file rather than from pydicom, whose import (numpy, Pillow, requests) takes most of a
second and would be paid at every cold start.

References
----------
PS3.6 chapter 6 "Registry of DICOM Data Elements".
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).with_name("data_dictionary.txt")


class Entry(NamedTuple):
    """VRs and keyword of a tag. Several VRs are joined by ``|``; the keyword may be empty (retired elements)."""

    vrs: str
    keyword: str


_LINES = PATH.read_text(encoding="ascii").splitlines()[1:]
_ROWS = {line[:8]: line[9:] for line in _LINES}
_TAGS = {row[row.index(" ") + 1 :]: tag for tag, row in _ROWS.items() if " " in row}
_REPEATERS = [tag for tag in _ROWS if "x" in tag]


def _row(tag: int) -> str | None:
    digits = f"{tag:08X}"
    row = _ROWS.get(digits)
    if row is not None or tag & 0x00010000:
        return row
    mask = next((mask for mask in _REPEATERS if all(m in ("x", d) for m, d in zip(mask, digits, strict=True))), "")
    return _ROWS.get(mask)


def entry_of(tag: int) -> Entry | None:
    """Look a standard tag up, repeating groups (such as overlays, 60xx) included; None for private and unknown ones."""
    row = _row(tag)
    if row is None:
        return None
    vrs, _, keyword = row.partition(" ")
    return Entry(vrs, keyword)


def tag_of_keyword(keyword: str) -> str | None:
    """Give the tag of a standard keyword (case-sensitive) as eight hex digits, or None."""
    tag = _TAGS.get(keyword)
    return None if tag is None or "x" in tag else tag
