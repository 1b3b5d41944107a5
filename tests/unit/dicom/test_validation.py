"""What each VR admits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.validation import MINIMUM_RULES, NUMBER_RULES, TEXT_RULES

RULES = TEXT_RULES | NUMBER_RULES

VALID = [
    ("AE", "STORE_SCP 1"),
    ("AS", "018M"),
    ("CS", "ORIGINAL_1 A"),
    ("DA", "20240229"),
    ("DA", "20230229"),  # the form is right; the calendar is version 1's concern
    ("DS", "-1.5e-3"),
    ("DS", "+12."),
    ("DS", " .5 "),
    ("DT", "2024"),
    ("DT", "20240229101112.123456+0130"),
    ("IS", "-2147483648"),
    ("IS", " +7"),
    ("LO", "x" * 64),
    ("LO", "Ünï \x1b"),
    ("LT", "line\r\nline\t\f"),
    ("PN", "A^B^C^D^E=F=G"),
    ("PN", "n" * 64 + "^" + "m" * 64),
    ("SH", "x" * 16),
    ("ST", "x" * 1024),
    ("TM", "10"),
    ("TM", "235960.999999"),
    ("UC", "x" * 5000),
    ("UI", "1.2.840.10008"),
    ("UI", "1.02..3"),
    ("UR", "https://example.org/a?b=c#d"),
    ("UT", "any\nthing"),
]

INVALID = [
    ("AE", "x" * 17),
    ("AE", "é"),
    ("AS", "18M"),
    ("AS", "018X"),
    ("CS", "lower"),
    ("CS", "A" * 17),
    ("DA", "20241301"),
    ("DA", "2024.01.01"),
    ("DA", "20240101-20240102"),
    ("DS", "1,5"),
    ("DS", "1" * 17),
    ("DS", "NaN"),
    ("DT", "20241"),
    ("DT", "20240101+9900"),
    ("IS", "1.0"),
    ("IS", "2147483648"),
    ("IS", "1" * 13),
    ("LO", "x" * 65),
    ("LO", "a\nb"),
    ("LO", "a\x85b"),
    ("LT", "x" * 10241),
    ("LT", "a\0b"),
    ("PN", "x" * 65),
    ("PN", "A^B^C^D^E^F"),
    ("PN", "A=B=C=D"),
    ("PN", "A\tB"),
    ("SH", "x" * 17),
    ("ST", "x" * 1025),
    ("TM", "24"),
    ("TM", "1000.5"),
    ("TM", "10:00"),
    ("UI", "1.2.a"),
    ("UI", "1.2."),
    ("UI", "1" * 65),
    ("UR", "has blank"),
    ("UT", "a\x7fb"),
]


@pytest.mark.parametrize(("vr", "value"), VALID)
def test_a_valid_value_passes(vr: str, value: str) -> None:
    assert RULES[vr].check(value) is None


@pytest.mark.parametrize(("vr", "value"), INVALID)
def test_an_invalid_value_gets_a_reason_that_fits_an_error_comment(vr: str, value: str) -> None:
    reason = RULES[vr].check(value)
    assert reason
    assert len(reason) <= 40


@pytest.mark.parametrize(("vr", "value"), INVALID)
def test_an_invalid_value_is_never_taken_for_plain(vr: str, value: str) -> None:
    assert RULES[vr].plain.fullmatch(value.encode()) is None


@given(st.sampled_from(sorted(RULES)), st.data())
def test_whatever_is_plain_passes_the_check(vr: str, data: st.DataObject) -> None:
    rule = RULES[vr]
    plain = data.draw(st.from_regex(rule.plain.pattern.decode(), fullmatch=True)).removesuffix("\n")
    values = plain.split("\\") if rule.multiple else [plain]
    assert all(rule.check(value) is None for value in values)


@pytest.mark.parametrize(
    ("vr", "value", "valid"),
    [
        ("DA", "20240229", True),
        ("DA", "20230229", False),
        ("LO", "x" * 64, True),
        ("LO", "P1\0", False),
        ("PN", "x" * 60 + "^" + "y" * 60, False),
        ("SH", "x" * 17, False),
        ("CS", "lower", True),
    ],
)
def test_the_minimum_rules_are_those_of_version_1(vr: str, value: str, valid: bool) -> None:
    assert (MINIMUM_RULES[vr](value) is None) == valid
