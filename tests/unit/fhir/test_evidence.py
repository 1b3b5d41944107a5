"""What instances say is gathered once, however many say it; where they differ, rules decide."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fhir import values
from shared.fhir.evidence import Block, InstanceFacts, StudyEvidence, distinct, gather, is_always_listed, is_document, union, vote
from shared.fhir.identity import Identity
from shared.fhir.issues import IssueCode, Notes
from tests.support.fhir_evidence import (
    BASIC_TEXT_SR,
    CT_IMAGE,
    ENCAPSULATED_PDF,
    KEY_OBJECTS,
    PRESENTATION_STATE,
    SEGMENTATION,
    Json,
    dataset,
    evidence,
    instance,
    stored,
)

if TYPE_CHECKING:
    from shared.fhir.dataset import Dataset


def described(description: str | None, count: int = 1, last: int = 0) -> Block:
    return Block(dataset(StudyDescription=description), count, first=last, last=last)


def description(ds: Dataset) -> str | None:
    return values.text(ds, "StudyDescription", Notes())


def test_equal_sayings_are_one_block_with_its_count_and_places() -> None:
    study = evidence([instance(StudyDescription=text) for text in ("A", "B", "A", "A")])
    assert [(block.count, block.first, block.last) for block in study.blocks] == [(3, 0, 3), (1, 1, 1)]
    assert [description(block.dataset) for block in study.blocks] == ["A", "B"]


def test_what_differs_from_image_to_image_makes_no_block_of_its_own() -> None:
    study = evidence([instance(InstanceNumber=n, ContentTime=f"10150{n}", SliceLocation=n) for n in range(5)])
    assert (len(study.blocks), len(study.series[0].blocks)) == (1, 1)
    assert [values.uint(line.dataset, "InstanceNumber", Notes()) for line in study.series[0].instances] == [0, 1, 2, 3, 4]


def test_blocks_and_instances_stand_with_their_series_in_the_order_of_first_storage() -> None:
    study = evidence([instance(SeriesInstanceUID=f"1.2.{n}", SeriesNumber=n) for n in (3, 1, 3)])
    assert [series.series_instance_uid for series in study.series] == ["1.2.3", "1.2.1"]
    assert [[line.order for line in series.instances] for series in study.series] == [[0, 2], [1]]
    assert [[(block.count, block.last) for block in series.blocks] for series in study.series] == [[(2, 2)], [(1, 1)]]


def test_the_order_of_storage_is_that_of_version_then_time_then_uid() -> None:
    expected = [("1.9", 1, 5), ("1.5", 2, 3), ("1.3", 2, 4), ("1.4", 2, 4)]
    rows = [(InstanceFacts("1.2", uid, CT_IMAGE, version, created, 0), b"{}") for uid, version, created in expected]
    Random(1).shuffle(rows)
    assert [line.sop_instance_uid for line in gather("1", rows).series[0].instances] == [uid for uid, _, _ in expected]


@pytest.mark.parametrize("sop_class_uid", [BASIC_TEXT_SR, KEY_OBJECTS, ENCAPSULATED_PDF])
def test_a_document_is_kept_whole_with_the_digits_of_its_decimals(sop_class_uid: str) -> None:
    report = instance(SOPClassUID=sop_class_uid, ContentSequence={"NumericValue": 0.1}, SliceLocation=2)
    study = evidence([instance(), report])
    (document,) = study.documents
    assert (document.order, document.size_bytes, document.sop_class_uid) == (1, 2000, sop_class_uid)
    assert document.dataset.item("ContentSequence").first("NumericValue") == Decimal("0.1")
    assert document.dataset.first("SliceLocation") == 2


def test_images_are_no_documents_and_are_cut() -> None:
    study = evidence([instance(SliceLocation=2)])
    assert not study.documents
    assert study.series[0].instances[0].dataset.first("SliceLocation") is None


@pytest.mark.parametrize(
    ("sop_class_uid", "document", "listed"),
    [
        (CT_IMAGE, False, False),
        (BASIC_TEXT_SR, True, True),
        ("1.2.840.10008.5.1.4.1.1.88.67", True, True),
        ("1.2.840.10008.5.1.4.1.1.88.68", True, True),
        (KEY_OBJECTS, True, True),
        (ENCAPSULATED_PDF, True, True),
        ("1.2.840.10008.5.1.4.1.1.104.5", True, True),
        (PRESENTATION_STATE, False, True),
        ("1.2.840.10008.5.1.4.1.1.11.10", False, True),
        (SEGMENTATION, False, True),
        ("1.2.840.10008.5.1.4.1.1.66", False, False),
        ("1.2.840.10008.5.1.4.1.1.481.3", False, False),
    ],
)
def test_documents_and_what_is_always_listed_are_known_by_sop_class(sop_class_uid: str, document: bool, listed: bool) -> None:
    assert (is_document(sop_class_uid), is_always_listed(sop_class_uid)) == (document, listed)


@pytest.mark.parametrize("metadata", [b"[]", b"null", b'"x"', b"7"])
@pytest.mark.parametrize("sop_class_uid", [CT_IMAGE, BASIC_TEXT_SR])
def test_metadata_that_is_no_object_says_nothing(metadata: bytes, sop_class_uid: str) -> None:
    study = gather("1", [(InstanceFacts("1.2", "1.3", sop_class_uid, 1, 1, 1), metadata)])
    assert not study.blocks[0].dataset
    assert len(study.series[0].instances) == 1


def test_metadata_that_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError, match="unexpected"):
        gather("1", [(InstanceFacts("1.2", "1.3", CT_IMAGE, 1, 1, 1), b"<xml>")])


def test_a_study_without_instances_is_empty() -> None:
    assert gather("1", []) == StudyEvidence("1", [], [], [])


@pytest.mark.parametrize(
    ("blocks", "winner", "differ"),
    [
        ([], None, False),
        ([described(None)], None, False),
        ([described("A", 1, 0), described(None, 9, 1)], "A", False),
        ([described("A", 3, 2), described("B", 2, 4)], "A", True),
        ([described("A", 2, 2), described("B", 2, 4)], "B", True),
        ([described("B", 2, 4), described("A", 2, 2)], "B", True),
    ],
    ids=["no block", "no value", "absence is no vote", "most frequent", "of equals the last", "whatever their order"],
)
def test_a_vote_takes_what_most_say_and_of_equals_what_was_stored_last(blocks: list[Block], winner: str | None, differ: bool) -> None:
    notes = Notes()
    assert vote(blocks, description, notes, "StudyDescription") == winner
    assert [issue.code for issue in notes.issues] == ([IssueCode.STUDY_CONFLICT] if differ else [])


def test_a_vote_adds_up_blocks_that_say_the_same_for_this_attribute() -> None:
    blocks = [described("A", 2, 1), described("B", 3, 5), described(" A ", 2, 3)]
    assert vote(blocks, description, Notes(), "StudyDescription") == "A"


def test_a_vote_names_the_conflict_that_it_is_told_to() -> None:
    notes = Notes()
    vote([described("A"), described("B", last=1)], description, notes, "StudyDescription", IssueCode.SERIES_CONFLICT)
    assert [(issue.keyword, issue.code) for issue in notes.issues] == [("StudyDescription", IssueCode.SERIES_CONFLICT)]


@pytest.mark.parametrize("empty", ["", [], {}])
def test_what_is_empty_is_no_vote(empty: object) -> None:
    assert vote([described("A")], lambda ds: empty, Notes(), "StudyDescription") is None


def test_zero_and_identities_can_be_voted_for() -> None:
    assert vote([described("A")], lambda ds: 0, Notes(), "SeriesNumber") == 0
    assert vote([described("A")], lambda ds: Identity("Patient", "s", "v"), Notes(), "PatientID") == Identity("Patient", "s", "v")


def test_a_union_has_all_distinct_values_in_the_order_of_first_storage() -> None:
    blocks = [described("B"), described("A"), described("B")]
    assert union(blocks, lambda ds: [{"text": description(ds)}]) == [{"text": "B"}, {"text": "A"}]


def test_of_equal_values_the_first_stays() -> None:
    assert distinct([{"b": 1, "a": 2}, {"a": 2, "b": 1}, {"a": 3}]) == [{"b": 1, "a": 2}, {"a": 3}]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(JUNK, st.sampled_from([CT_IMAGE, BASIC_TEXT_SR])), max_size=4))
def test_any_json_can_be_gathered(metadata: list[tuple[Json, str]]) -> None:
    rows = [(InstanceFacts("1.2", f"1.{n}", kind, n, n, n), orjson.dumps(junk)) for n, (junk, kind) in enumerate(metadata)]
    study = gather("1", rows)
    assert sum(block.count for block in study.blocks) == len(rows)


@given(st.lists(st.sampled_from("ABC"), min_size=1), st.randoms(use_true_random=False))
def test_the_order_in_which_instances_are_read_does_not_matter(descriptions: list[str], random: Random) -> None:
    rows = list(stored([instance(StudyDescription=text) for text in descriptions]))
    shuffled = random.sample(rows, len(rows))
    one, other = gather("1", rows), gather("1", shuffled)
    assert [(block.count, block.first, block.last, description(block.dataset)) for block in one.blocks] == [
        (block.count, block.first, block.last, description(block.dataset)) for block in other.blocks
    ]
