"""Body sites: the standard's defined terms, each checked against pydicom's codes; anatomic regions; sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from pydicom.sr._concepts_dict import concepts

from shared.fhir.body_sites import BODY_PARTS, body_site, laterality
from shared.fhir.dataset import EMPTY, Dataset
from tests.support.fhir_evidence import code, context, dataset, warnings
from tests.support.fhir_junk import junk_datasets

if TYPE_CHECKING:
    from collections.abc import Iterator

SCT = "http://snomed.info/sct"

TERMS = [line.split(" ", 2) for line in BODY_PARTS.read_text(encoding="ascii").splitlines()[1:]]

OTHER_WORDS = {
    "CALF": "Structure of calf of leg (body structure)",
    "CELIACA": "Celiac Axis",
    "CHOROIDPLEXUS": "Structure of choroid plexus (body structure)",
    "CULDESAC": "Structure of rectouterine pouch (body structure)",
    "AMNIOTICFLUID": "Amniotic fluid (substance)",
    "GESTSAC": "Finding of gestational sac (finding)",
    "GLUTEAL": "Buttock",
    "LPORTALV": "Left Main Branch of Portal Vein",
    "MORISONSPOUCH": "Rutherford Morrison's pouch (body structure)",
    "PENILEA": "Structure of penile artery (body structure)",
    "RPORTALV": "Right Main Branch of Portal Vein",
    "STIFLE": "Stifle joint (body structure)",
    "SUPRAPUBIC": "Hypogastric region",
    "TAIL": "Coccygeal vertebra structure (body structure)",
}
"""Terms whose meaning the standard's other tables word differently, with that wording: all reviewed."""


def snomed() -> Iterator[tuple[str, str, list[int]]]:
    """Give code, meaning in lower case and context groups of every SNOMED CT concept that pydicom knows."""
    listed = cast("dict[str, dict[str, tuple[str, list[int]]]]", concepts["SCT"])
    return ((value, meaning.lower(), groups) for codes in listed.values() for value, (meaning, groups) in codes.items())


def meanings() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for value, meaning, _ in snomed():
        found.setdefault(value, set()).add(meaning)
    return found


def test_every_term_has_a_code_that_means_it() -> None:
    known = meanings()
    wrong = [term for term, value, meaning in TERMS if OTHER_WORDS.get(term, meaning).lower() not in known.get(value, set())]
    assert not wrong


def test_every_exception_is_needed() -> None:
    known = meanings()
    words = {term: known[value] for term, value, meaning in TERMS if meaning.lower() not in known[value]}
    assert set(words) == set(OTHER_WORDS)


def test_the_terms_are_sorted_and_each_is_there_once() -> None:
    terms = [term for term, _, _ in TERMS]
    assert terms == sorted(set(terms))
    assert all(term.isalnum() and term.isupper() for term in terms)


def test_common_regions_have_the_codes_of_the_standard_today() -> None:
    """PS3.16 CID 4031 "Common Anatomic Region"; some codes have been replaced in recent years."""
    today = {meaning: value for value, meaning, groups in snomed() if 4031 in groups}
    assert len(today) > 100
    assert [term for term, value, meaning in TERMS if today.get(meaning.lower(), value) != value] == []


@pytest.mark.parametrize(
    ("sent", "value", "meaning"),
    [
        ("FEMUR", "71341001", "Femur"),
        ("CHEST", "816094009", "Chest"),
        ("femur ", "71341001", "Femur"),
        ("C-SPINE", "122494005", "Cervical spine"),
        ("L SPINE", "122496007", "Lumbar spine"),
        ("UPPER_ARM", "40983000", "Upper arm"),
        ("HEAD/NECK", "774007", "Head and Neck"),
        (["SKULL", "CHEST"], "89546000", "Skull"),
    ],
)
def test_a_defined_term_is_a_snomed_code(sent: Any, value: str, meaning: str) -> None:
    at_hand = context()
    assert body_site(dataset(BodyPartExamined=sent), at_hand) == {"system": SCT, "code": value, "display": meaning}
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", ["LEFT BIG TOE", "ARM", "LEG", "FETALARM", "___", "Knie"])
def test_any_other_term_is_only_shown(sent: str) -> None:
    at_hand = context()
    assert body_site(dataset(BodyPartExamined=sent), at_hand) == {"display": sent}
    assert not warnings(at_hand)


def test_the_anatomic_region_goes_before_the_term() -> None:
    region = code("T-D4000", "SRT", "Abdomen")
    found = body_site(dataset(AnatomicRegionSequence=region, BodyPartExamined="CHEST"), context())
    assert found is not None
    assert (found["system"], found["display"]) == (SCT, "Abdomen")


def test_a_bad_anatomic_region_is_dropped_for_the_term() -> None:
    at_hand = context()
    found = body_site(dataset(AnatomicRegionSequence={"CodeMeaning": "Abdomen"}, BodyPartExamined="FEMUR"), at_hand)
    assert found == {"system": SCT, "code": "71341001", "display": "Femur"}
    assert warnings(at_hand) == [("AnatomicRegionSequence", "bad-value")]


def test_a_bad_term_is_dropped() -> None:
    at_hand = context()
    assert body_site(dataset(BodyPartExamined=7), at_hand) is None
    assert warnings(at_hand) == [("BodyPartExamined", "bad-value")]


def test_no_site_is_absent() -> None:
    at_hand = context()
    assert body_site(EMPTY, at_hand) is body_site(dataset(BodyPartExamined=" "), at_hand) is None
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    ("sent", "side"),
    [
        ("R", {"system": SCT, "code": "24028007", "display": "Right"}),
        ("l ", {"system": SCT, "code": "7771000", "display": "Left"}),
        ("B", {"system": SCT, "code": "51440002", "display": "Bilateral"}),
        ("U", None),
        ("", None),
        (None, None),
    ],
)
def test_a_side_is_a_snomed_code(sent: str | None, side: dict[str, str] | None) -> None:
    at_hand = context()
    assert laterality(dataset(Laterality=sent), at_hand.notes) == side
    assert laterality(dataset(ImageLaterality=sent), at_hand.notes, "ImageLaterality") == side
    assert not warnings(at_hand)


@pytest.mark.parametrize("sent", ["X", "LEFT", "R L", 7])
def test_a_side_that_is_none_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert laterality(dataset(Laterality=sent), at_hand.notes) is None
    assert warnings(at_hand) == [("Laterality", "bad-value")]


@given(junk_datasets("AnatomicRegionSequence", "BodyPartExamined", "Laterality", "CodeValue", "CodingSchemeDesignator"))
def test_no_input_breaks_a_site(junk: dict[str, Any]) -> None:
    at_hand = context()
    body_site(Dataset(junk), at_hand)
    laterality(Dataset(junk), at_hand.notes)
