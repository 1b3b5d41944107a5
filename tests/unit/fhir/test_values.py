"""Texts, codes, numbers and UIDs: each rule with a value that is there, absent, bad."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from shared.fhir.dataset import Dataset
from shared.fhir.issues import StudyRejected
from shared.fhir.values import clean, code, first_text, text, texts, uid, uint
from tests.support.fhir_evidence import context, dataset, warnings
from tests.support.fhir_junk import junk_datasets

BAD_TEXTS: list[Any] = [7, 7.5, True, {"Alphabetic": "A"}, ["A"]]


@pytest.mark.parametrize(
    ("sent", "clean_text"),
    [
        ("CT Femur", "CT Femur"),
        ("  padded \0\0", "padded"),
        ("a\0b\x07c\x1bd\x7fe\x85f", "abcdef"),
        ("one\ttwo\r\nthree\f", "one\ttwo\r\nthree"),
        ("Mu\u0308ller", "M\u00fcller"),
        ("\u5c71\u7530\u3000\u592a\u90ce", "\u5c71\u7530\u3000\u592a\u90ce"),
        ("\u3000\u00a0", ""),
        ("\ud800x", "\ufffdx"),
        (" \x1b ", ""),
    ],
)
def test_a_text_loses_control_characters_and_outer_blanks_and_is_composed(sent: str, clean_text: str) -> None:
    assert clean(sent) == clean_text


def test_several_values_of_a_text_are_joined() -> None:
    at_hand = context()
    found = dataset(StudyDescription=["CT ", None, "Femur", "\0"])
    assert texts(found, "StudyDescription", at_hand.notes) == ["CT", "Femur"]
    assert text(found, "StudyDescription", at_hand.notes) == "CT; Femur"
    assert first_text(found, "StudyDescription", at_hand.notes) == "CT"
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", [[], [None], ["", "  "]])
def test_a_text_that_says_nothing_is_absent(sent: list[Any]) -> None:
    at_hand = context()
    found = dataset(StudyDescription=sent)
    assert text(found, "StudyDescription", at_hand.notes) is first_text(found, "StudyDescription", at_hand.notes) is None
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", BAD_TEXTS)
def test_what_is_no_text_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert text(dataset(StudyDescription=["CT", sent if not isinstance(sent, list) else [sent]]), "StudyDescription", at_hand.notes) == "CT"
    assert warnings(at_hand) == [("StudyDescription", "bad-value")]


def test_a_dropped_value_rejects_the_study_in_strict_mode() -> None:
    with pytest.raises(StudyRejected):
        text(dataset(StudyDescription=7), "StudyDescription", context(strict=True).notes)


def test_an_undecodable_part_is_kept_and_noted() -> None:
    at_hand = context(strict=True)
    assert text(dataset(StudyDescription="CT \ufffdfemur"), "StudyDescription", at_hand.notes) == "CT \ufffdfemur"
    assert warnings(at_hand) == [("StudyDescription", "undecodable-text")]


@pytest.mark.parametrize(("sent", "found"), [("CT", "CT"), (" ct\0", "CT"), (["MR", "CT"], "MR"), ([], None), (" ", None)])
def test_a_code_is_the_first_value_in_upper_case(sent: Any, found: str | None) -> None:
    at_hand = context()
    assert code(dataset(Modality=sent), "Modality", at_hand.notes) == found
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", ["C T", "CT\u3000X", 7, {"a": 1}])
def test_a_code_with_blanks_inside_is_bad(sent: Any) -> None:
    at_hand = context()
    assert code(dataset(Modality=sent), "Modality", at_hand.notes) is None
    assert warnings(at_hand) == [("Modality", "bad-value")]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (7, 7),
        (0, 0),
        (7.0, 7),
        (Decimal("7.00"), 7),
        (" 7 ", 7),
        ("12.0", 12),
        ("+12.", 12),
        ("000000000012", 12),
        (2_147_483_647, 2_147_483_647),
        ("2147483647", 2_147_483_647),
        ([3, 4], 3),
    ],
)
def test_a_number_is_read_however_it_is_spelt(sent: Any, found: int) -> None:
    at_hand = context()
    assert uint(dataset(SeriesNumber=sent), "SeriesNumber", at_hand.notes) == found
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", [[], [None], "", "  "])
def test_an_empty_number_is_absent(sent: Any) -> None:
    at_hand = context()
    assert uint(dataset(SeriesNumber=sent), "SeriesNumber", at_hand.notes) is None
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", [-1, "-1", 2_147_483_648, "2147483648", 1e300, Decimal("1E+400"), float("nan"), 7.5, "7.5", True])
def test_a_number_that_fhir_cannot_hold_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert uint(dataset(SeriesNumber=sent), "SeriesNumber", at_hand.notes) is None
    assert warnings(at_hand) == [("SeriesNumber", "bad-value")]


@pytest.mark.parametrize("sent", ["seven", "1_0", "\u0663", "7 8", {"a": 1}, [[7]]])
def test_what_is_no_number_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert uint(dataset(SeriesNumber=sent), "SeriesNumber", at_hand.notes) is None
    assert warnings(at_hand) == [("SeriesNumber", "bad-value")]


UID_OF_64 = "1.2." + "3" * 60


@pytest.mark.parametrize(("sent", "found"), [("1.2.3", "1.2.3"), ("1.2.3\0", "1.2.3"), (" 1.2.3 ", "1.2.3"), (UID_OF_64, UID_OF_64)])
def test_a_uid_loses_its_padding(sent: str, found: str) -> None:
    assert uid(dataset(StudyInstanceUID=sent), "StudyInstanceUID") == found


@pytest.mark.parametrize("sent", ["", [], UID_OF_64 + "3", "1.02", "3.1", "1", "1..2", "1.2.", "1.2.x", 1.2, None, {}])
def test_what_is_no_uid_is_none(sent: Any) -> None:
    assert uid(dataset(StudyInstanceUID=sent), "StudyInstanceUID") is None


@given(junk_datasets("Modality"))
def test_no_input_breaks_a_value(junk: dict[str, Any]) -> None:
    notes = context().notes
    text(Dataset(junk), "Modality", notes)
    code(Dataset(junk), "Modality", notes)
    uint(Dataset(junk), "Modality", notes)
    uid(Dataset(junk), "Modality")
