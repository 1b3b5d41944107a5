"""Folding: what counts when texts are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.text import fold, fold_case, name_words


@pytest.mark.parametrize(
    ("value", "folded", "case_folded"),
    [
        (" Doe^John \x00", "doe^john", "doe^john"),
        ("MÜLLER", "muller", "müller"),
        ("Mu\u0308ller", "muller", "müller"),
        ("Straße", "strasse", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ", "σίσυφοσ"),
        ("山田^太郎", "山田^太郎", "山田^太郎"),
        ("\N{DEGREE CELSIUS}", "°c", "\N{DEGREE CELSIUS}"),
        ("", "", ""),
    ],
)
def test_folding(value: str, folded: str, case_folded: str) -> None:
    assert fold(value) == folded
    assert fold_case(value) == case_folded


@given(st.text(max_size=20))
def test_folding_twice_changes_nothing(value: str) -> None:
    assert fold(fold(value)) == fold(value)
    assert fold_case(fold_case(value)) == fold_case(value)


@given(st.text(max_size=20))
def test_what_is_equal_but_for_case_is_equal_folded(value: str) -> None:
    assert fold(fold_case(value)) == fold(value)
    assert fold(value.swapcase()) == fold(value) or fold_case(value.swapcase()) != fold_case(value)


def test_components_groups_and_blanks_part_the_words_of_a_name() -> None:
    assert name_words(fold("Van Doe^John^^Dr.=山田^太郎")) == ["van", "doe", "john", "dr.", "山田", "太郎"]
