"""Which values a VR admits: a verdict and its reason, never a status code and never the value itself.

Three tables. ``TEXT_RULES`` holds the full rules of the character VRs (version 2 checks every element with them),
``MINIMUM_RULES`` the few that version 1 checks on indexed attributes. A rule of the first has two halves that say the
same: a pattern for plain values, matched on raw bytes so that they need no decoding, and a check that gives the
reason for what the pattern does not take.

A reason reads on from the attribute's name and has at most 40 characters: an ErrorComment has 64.

Leading zeros and consecutive dots in a UID pass (see ``uids``), as do values after trailing NULs and blanks are removed.

References
----------
PS3.5 6.2 "Value Representation (VR)", Table 6.2-1.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.dicom.uids import is_valid_uid

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str], str | None]
    """Takes one value, without trailing padding; gives the reason why it is none, or None."""

PADDING = b"\0 "

_INT32 = range(-(2**31), 2**31)
_CONTROL = re.compile("[\0-\x1a\x1c-\x1f\x7f-\x9f]")
_CONTROL_BUT_LAYOUT = re.compile("[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
_DATE = "[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_INTEGER = re.compile("[+-]?[0-9]+")
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _check_form(pattern: str, reason: str) -> Check:
    matches = re.compile(pattern).fullmatch
    return lambda value: None if not value or matches(value) else reason


check_date = _check_form(_DATE, "is not a date (yyyyMMdd)")
"""Months to 12 and days to 31: the form of DA. Whether the calendar has the day, version 1 asks (``check_calendar_date``)."""


def check_calendar_date(value: str) -> str | None:
    """Check that a DA value is a day of the calendar."""
    reason = check_date(value)
    if reason or (int(value[:4]) and int(value[6:]) <= monthrange(int(value[:4]), int(value[4:6]))[1]):
        return reason
    return "is not a day of the calendar"


_TIME = r"([01][0-9]|2[0-3])([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?"
_OFFSET = r"([+-](0[0-9]|1[0-4])[0-5][0-9])?"

check_time = _check_form(_TIME, "is not a time (HHmmss.ffffff)")
check_date_time = _check_form(
    rf"[0-9]{{4}}((0[1-9]|1[0-2])((0[1-9]|[12][0-9]|3[01])({_TIME})?)?)?{_OFFSET}",
    "is not a date and time (yyyyMMddHHmmss)",
)
check_age = _check_form("[0-9]{3}[DWMY]", "is not an age (three digits, D W M or Y)")
_check_code = _check_form("[A-Z0-9_ ]*", "has characters that CS does not allow")
_check_uri = _check_form(r"[!#-;=?-\[\]_a-z~]*", "has characters that a URI cannot have")


def check_integer(value: str) -> str | None:
    """Check an IS value: at most 12 characters, an integer of 32 bits."""
    if len(value) > 12:
        return "has more than 12 characters"
    number = value.strip(" ")
    if _INTEGER.fullmatch(number) is None:
        return "is not an integer"
    return None if int(number) in _INT32 else "does not fit into 32 bits"


def check_decimal(value: str) -> str | None:
    """Check a DS value: at most 16 characters, a fixed or floating point number."""
    if len(value) > 16:
        return "has more than 16 characters"
    return None if DECIMAL.fullmatch(value.strip(" ")) else "is not a decimal number"


def check_uid(value: str) -> str | None:
    """Check a UI value."""
    return None if is_valid_uid(value) else "is not a UID of at most 64 characters"


def check_person_name(value: str) -> str | None:
    """Check a PN value: at most three groups of five components, each component at most 64 characters.

    PS3.5 6.2.1 allows 64 characters to a group; senders with two long names exceed it, and it costs their patients' names.
    """
    return _check_name(value, lambda group: max(map(len, group.split("^"))), "a component")


def check_short_person_name(value: str) -> str | None:
    """Check a PN value as the standard, and version 1, has it: at most 64 characters to a group."""
    return _check_name(value, len, "a component group")


def _check_name(value: str, length: Callable[[str], int], measured: str) -> str | None:
    groups = value.split("=")
    if _CONTROL.search(value):
        return "holds a control character"
    if len(groups) > 3:
        return "has more than 3 component groups"
    if any(length(group) > 64 for group in groups):
        return f"has {measured} over 64 characters"
    return "has a group of more than 5 components" if any(group.count("^") > 4 for group in groups) else None


def _check_text(limit: int | None, *, layout: bool = False, then: Check | None = None) -> Check:
    forbidden = _CONTROL_BUT_LAYOUT if layout else _CONTROL

    def check(value: str) -> str | None:
        if limit is not None and len(value) > limit:
            return f"has more than {limit} characters"
        if forbidden.search(value):
            return "holds a control character"
        return then(value) if then else None

    return check


def _check_application_entity(value: str) -> str | None:
    return "has characters outside the default set" if not value.isascii() else None


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a character VR is written.

    Parameters
    ----------
    plain
        Matches raw values that are valid, ASCII, free of trailing padding, and need no escape in JSON but the backslash.
    check
        The verdict on one decoded value.
    multiple
        Whether a backslash separates values.
    localized
        Whether Specific Character Set governs it.
    """

    plain: re.Pattern[bytes]
    check: Check
    multiple: bool = True
    localized: bool = False


def _plain(value: str, *, multiple: bool = True) -> re.Pattern[bytes]:
    return re.compile((rf"(?:{value})(?:\\(?:{value}))*" if multiple else value).encode())


_GRAPHIC = r"[ !#-\[\]-~]"
"""ASCII that JSON takes as it is, and no backslash."""
_NAME = r"[ !#-<>-\[\]_-~]"
"""The same without ``=`` and ``^``."""
_INK = r"[!#-\[\]-~]"


def _short(limit: int) -> re.Pattern[bytes]:
    return _plain(rf"{_GRAPHIC}{{0,{limit - 1}}}{_INK}")


_LONG = _plain(rf"{_GRAPHIC}*", multiple=False)

TEXT_RULES: dict[str, TextRule] = {
    "AE": TextRule(_short(16), _check_text(16, then=_check_application_entity)),
    "AS": TextRule(_plain("[0-9]{3}[DWMY]"), check_age),
    "CS": TextRule(_plain("[A-Z0-9_ ]{0,15}[A-Z0-9_]"), _check_text(16, then=_check_code)),
    "DA": TextRule(_plain(_DATE), check_date),
    "DT": TextRule(_plain(rf"{_DATE}(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]"), check_date_time),
    "LO": TextRule(_short(64), _check_text(64), localized=True),
    "LT": TextRule(_plain(rf"{_GRAPHIC}{{1,10240}}", multiple=False), _check_text(10240, layout=True), multiple=False, localized=True),
    "PN": TextRule(_plain(rf"{_NAME}{{0,64}}(?:\^{_NAME}{{0,64}}){{0,4}}", multiple=False), check_person_name, localized=True),
    "SH": TextRule(_short(16), _check_text(16), localized=True),
    "ST": TextRule(_plain(rf"{_GRAPHIC}{{1,1024}}", multiple=False), _check_text(1024, layout=True), multiple=False, localized=True),
    "TM": TextRule(_plain(r"(?:[01][0-9]|2[0-3])[0-5][0-9](?:[0-5][0-9](?:\.[0-9]{1,6})?)?"), check_time),
    "UC": TextRule(_plain(rf"{_GRAPHIC}*{_INK}"), _check_text(None), localized=True),
    "UI": TextRule(_plain("[0-9.]{0,63}[0-9]"), check_uid),
    "UR": TextRule(_plain(r"[!#-;=?-\[\]_a-z~]+", multiple=False), _check_uri, multiple=False),
    "UT": TextRule(_LONG, _check_text(None, layout=True), multiple=False, localized=True),
}
"""The full rules of the character VRs; IS and DS, whose values are numbers in JSON, are below."""

NUMBER_RULES: dict[str, TextRule] = {
    "IS": TextRule(_plain(r"(?![^\\]{13}) *-?(?:0|[1-9][0-9]{0,8}) *"), check_integer),
    "DS": TextRule(
        _plain(r"(?![^\\]{17}) *-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})? *"),
        check_decimal,
    ),
}
"""Their plain values are JSON numbers as they stand, blanks around them included."""


def _minimum_length(limit: int) -> Check:
    return lambda value: None if len(value) <= limit else f"has more than {limit} characters"


MINIMUM_RULES: dict[str, Check] = {
    "CS": _minimum_length(16),
    "DA": check_calendar_date,
    "LO": _check_text(64),
    "PN": check_short_person_name,
    "SH": _minimum_length(16),
}
"""What version 1 checks: the first value of each indexed attribute, trailing NULs included, if it is not empty."""
