"""What is wrong with an instance: attributes it must have, and those whose values break a rule.

Which rules apply is the API version's choice
    v2  Every element is checked with the full rules of its VR, and what fails is left out. Only the four UIDs can fail
        the instance. PatientID absent, empty or invalid is a problem like any other: the instance is found by its UIDs.
    v1  The indexed attributes are checked with the minimum rules, PatientID must have a value, and any problem fails
        the instance.

References
----------
PS3.18 10.5.3 "Store Transaction - Response"; PS3.3 C.12.1 "SOP Common Module".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import orjson

from shared.dicom.attributes import INDEXED, keyword_of, tag_of, vr_of
from shared.dicom.charsets import DEFAULT, character_set
from shared.dicom.uids import is_valid_uid
from shared.dicom.validation import MINIMUM_RULES, PADDING, check_uid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Rules(StrEnum):
    """How strictly an instance is checked: as version 1 or 2 of the API does."""

    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Problem:
    """An attribute that does not keep the rules.

    ``explanation`` reads on from the keyword ("is not a date") and never holds the value; ``required`` problems fail
    the instance.
    """

    tag: str
    keyword: str
    explanation: str
    required: bool


Kept: TypeAlias = tuple[str, bytes, bytes]
"""A top-level element of use beside the metadata: its VR, raw value, and JSON (empty where it was left out)."""


def text_of(element: Kept | None) -> str:
    """Give a value as ASCII, without its padding; empty where there is no element."""
    return element[1].rstrip(PADDING).decode("ascii", "replace") if element else ""


def _number(keyword: str) -> int:
    return int(tag_of(keyword) or "", 16)


STUDY, SERIES = _number("StudyInstanceUID"), _number("SeriesInstanceUID")
SOP_INSTANCE, SOP_CLASS = _number("SOPInstanceUID"), _number("SOPClassUID")
PATIENT_ID, SPECIFIC_CHARACTER_SET = _number("PatientID"), _number("SpecificCharacterSet")

UIDS = (STUDY, SERIES, SOP_INSTANCE, SOP_CLASS)
"""What names an instance; none can be stored without."""
_INDEXED = tuple(int(tag, 16) for tag in INDEXED if int(tag, 16) not in UIDS)


def find_problems(kept: Mapping[int, Kept], invalid: Mapping[int, str], rules: Rules) -> tuple[Problem, ...]:
    """Collect all that is wrong, in the order of tags, one problem for each.

    Parameters
    ----------
    kept
        Top-level elements, by tag.
    invalid
        What the full rules found, at any depth: tag → explanation.
    rules
        Which checks apply.
    """
    reasons = {tag: (reason, False) for tag, reason in invalid.items()}
    reasons.update({tag: (reason, True) for tag, reason in _failing(kept, rules)})
    if reason := _without_patient(kept.get(PATIENT_ID), rules):
        reasons[PATIENT_ID] = reason
    return tuple([_problem(tag, *reasons[tag]) for tag in sorted(reasons)]) if reasons else ()


def _problem(tag: int, explanation: str, required: bool) -> Problem:  # noqa: FBT001 - a row of find_problems
    digits = f"{tag:08X}"
    return Problem(digits, keyword_of(digits), explanation, required)


def _failing(kept: Mapping[int, Kept], rules: Rules) -> Iterator[tuple[int, str]]:
    for tag in UIDS:
        element = kept.get(tag)
        if element is not None and element[0] == "UI" and is_valid_uid(text_of(element)):
            continue
        form_matters = rules is Rules.V2 or tag != SOP_CLASS
        reason = _no_single_value(element) or (check_uid(text_of(element)) if form_matters else None)
        if reason or (element and element[0] != "UI"):
            yield tag, reason or "has another VR than UI"
    if rules is Rules.V1:
        yield from _breaking_minimum_rules(kept)


def _without_patient(element: Kept | None, rules: Rules) -> tuple[str, bool] | None:
    if rules is Rules.V2 and text_of(element):
        return None
    reason = _no_single_value(element)
    return (reason, rules is Rules.V1) if reason else None


def _no_single_value(element: Kept | None) -> str | None:
    if element is None:
        return "is missing"
    value = element[1].rstrip(PADDING)
    if not value:
        return "is empty"
    return "has more than one value" if b"\\" in value else None


def _breaking_minimum_rules(kept: Mapping[int, Kept]) -> Iterator[tuple[int, str]]:
    declared = kept.get(SPECIFIC_CHARACTER_SET)
    charset = character_set(declared[1]) if declared else DEFAULT
    for tag in _INDEXED:
        if tag not in kept:
            continue
        written_vr, raw, _ = kept[tag]
        vr = vr_of(f"{tag:08X}") or ""
        value = charset.decode(raw)[0].split("\\")[0].rstrip(" ")
        reason = f"has another VR than {vr}" if written_vr != vr else MINIMUM_RULES[vr](value) if value else None
        if reason:
            yield tag, reason


def has_several_values(kept: Mapping[int, Kept]) -> bool:
    """Tell whether an indexed attribute has several values; each of them is meant to have one."""
    return any(tag in kept and b"\\" in kept[tag][1] and _count(kept[tag][2]) > 1 for tag in _INDEXED)


def _count(json: bytes) -> int:
    elements: dict[str, dict[str, list[object]]] = orjson.loads(b"{" + json + b"}")
    return sum(len(element.get("Value", ())) for element in elements.values())
