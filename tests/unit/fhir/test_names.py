"""Person names: components, groups, free text, and what is too much."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B.humanname import HumanName
from hypothesis import given

from shared.fhir.dataset import Dataset
from shared.fhir.names import REPRESENTATION, display, display_of, human_names, names_of
from tests.support.fhir_evidence import context, dataset, warnings
from tests.support.fhir_junk import junk_datasets


def script(code: str) -> list[dict[str, str]]:
    return [{"url": REPRESENTATION, "valueCode": code}]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("Doe", {"text": "Doe", "family": "Doe"}),
        ("Doe^", {"text": "Doe", "family": "Doe"}),
        ("Doe^Jane", {"text": "Jane Doe", "family": "Doe", "given": ["Jane"]}),
        ("^Jane", {"text": "Jane", "given": ["Jane"]}),
        ("Doe^Jane Mary^Ann", {"text": "Jane Mary Ann Doe", "family": "Doe", "given": ["Jane Mary", "Ann"]}),
        ("Doe^^Ann", {"text": "Ann Doe", "family": "Doe", "given": ["Ann"]}),
        ("Refer^Ann^^Dr", {"text": "Dr Ann Refer", "family": "Refer", "given": ["Ann"], "prefix": ["Dr"]}),
        (
            "Adams^John Robert^Quincy^Rev.^B.A. M.Div.",
            {
                "text": "Rev. John Robert Quincy Adams B.A. M.Div.",
                "family": "Adams",
                "given": ["John Robert", "Quincy"],
                "prefix": ["Rev."],
                "suffix": ["B.A. M.Div."],
            },
        ),
        ("van der Berg^ Jan ", {"text": "Jan van der Berg", "family": "van der Berg", "given": ["Jan"]}),
        ("*Anon^0001", {"text": "0001 *Anon", "family": "*Anon", "given": ["0001"]}),
        ("Mu\u0308ller^A", {"text": "A M\u00fcller", "family": "M\u00fcller", "given": ["A"]}),
        ("Doe^Jane^^^^ ", {"text": "Jane Doe", "family": "Doe", "given": ["Jane"]}),
    ],
)
def test_components_become_parts_of_a_name(sent: str, name: dict[str, Any]) -> None:
    at_hand = context()
    assert human_names(dataset(PatientName=sent), "PatientName", at_hand.notes) == [{"use": "usual", **name}]
    assert not warnings(at_hand)


def test_each_script_is_a_name_and_the_first_one_the_usual() -> None:
    assert human_names(dataset(PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"), "PatientName", context().notes) == [
        {"extension": script("ABC"), "use": "usual", "text": "Tarou Yamada", "family": "Yamada", "given": ["Tarou"]},
        {"extension": script("IDE"), "text": "山田太郎", "family": "山田", "given": ["太郎"]},
        {"extension": script("SYL"), "text": "たろう やまだ", "family": "やまだ", "given": ["たろう"]},
    ]


@pytest.mark.parametrize("sent", ["=山田^太郎", "=山田^太郎=", "^^=山田^太郎=^"])
def test_a_name_in_one_script_only_is_the_usual_and_does_not_say_which(sent: str) -> None:
    names = human_names(dataset(PatientName=sent), "PatientName", context().notes)
    assert names == [{"use": "usual", "text": "山田太郎", "family": "山田", "given": ["太郎"]}]


def test_an_ideographic_name_may_have_prefix_and_suffix() -> None:
    assert names_of({"Ideographic": "山田^太郎^^医師^様"}, "PatientName", context().notes)[0]["text"] == "医師 山田太郎 様"


@pytest.mark.parametrize("sent", ["DOE, JANE", "JANE DOE", "DOE,JANE", "山田\u3000太郎"])
def test_free_text_is_only_shown(sent: str) -> None:
    at_hand = context(strict=True)
    assert human_names(dataset(PatientName=sent), "PatientName", at_hand.notes) == [{"use": "usual", "text": sent}]
    assert warnings(at_hand) == [("PatientName", "pn-unstructured")]


@pytest.mark.parametrize("sent", [None, [], "", "^^^^", "==", " ", "^ ^=^^=\0", {}, {"Alphabetic": ""}])
def test_a_name_that_says_nothing_is_absent(sent: Any) -> None:
    at_hand = context()
    assert human_names(dataset(PatientName=sent), "PatientName", at_hand.notes) == []
    assert display(dataset(PatientName=sent), "PatientName", at_hand.notes) is None
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", ["A^B^C^D^E^F", {"Alphabetic": "A^B^C^D^E^^F"}])
def test_more_than_five_components_are_ignored_and_noted(sent: Any) -> None:
    at_hand = context()
    assert names_of(sent, "PatientName", at_hand.notes) == [
        {"use": "usual", "text": "D B C A E", "family": "A", "given": ["B", "C"], "prefix": ["D"], "suffix": ["E"]}
    ]
    assert warnings(at_hand) == [("PatientName", "pn-too-long")]


def test_more_than_three_groups_are_ignored_and_noted() -> None:
    at_hand = context()
    assert [name["text"] for name in names_of("A^B=C^D=E^F=G^H", "PatientName", at_hand.notes)] == ["B A", "CD", "F E"]
    assert warnings(at_hand) == [("PatientName", "pn-too-long")]


def test_a_name_as_dicom_writes_it_is_read_like_one_of_json() -> None:
    notes = context().notes
    as_json = {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}
    assert names_of("Yamada^Tarou=山田^太郎", "PatientName", notes) == names_of(as_json, "PatientName", notes)


def test_only_the_first_of_several_names_is_read() -> None:
    assert len(human_names(dataset(PatientName=["Doe^Jane", "Roe^Ann"]), "PatientName", context().notes)) == 1


@pytest.mark.parametrize("sent", [7, True, ["Doe^Jane"], {"Alphabetic": 7}, {"Alphabetic": {"a": 1}}])
def test_what_is_no_name_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert names_of(sent, "PatientName", at_hand.notes) == []
    assert warnings(at_hand) == [("PatientName", "bad-value")]


def test_undecodable_parts_are_kept_and_noted() -> None:
    at_hand = context()
    assert names_of("M\ufffdller^A", "PatientName", at_hand.notes)[0]["family"] == "M\ufffdller"
    assert warnings(at_hand) == [("PatientName", "undecodable-text")]


def test_the_display_is_the_text_of_the_first_script() -> None:
    found = dataset(ReferringPhysicianName="Refer^Ann^^Dr=山田^太郎")
    assert display(found, "ReferringPhysicianName", context().notes) == "Dr Ann Refer"
    assert display_of({"Ideographic": "山田^太郎"}) == "山田太郎"
    assert display_of("Refer^Ann") == "Ann Refer"
    assert display_of("^^") is display_of(None) is display_of(7) is None


@given(junk_datasets("PatientName"))
def test_no_input_breaks_a_name_and_every_name_is_valid(junk: dict[str, Any]) -> None:
    at_hand = context()
    for name in human_names(Dataset(junk), "PatientName", at_hand.notes):
        HumanName.model_validate(name)
