"""The tables of attributes hang together."""

from __future__ import annotations

import pytest

from shared.dicom.attributes import (
    ALL_RETURN,
    COMPUTED,
    DEFAULT_RETURN,
    INDEXED,
    LEVEL_ATTRIBUTES,
    RETRIEVE_URL,
    SEARCHABLE,
    V1,
    V2,
    Level,
    keyword_of,
    tag_of,
    vr_of,
)


@pytest.mark.parametrize(("tag", "keyword", "vr"), [("00100010", "PatientName", "PN"), ("0020000D", "StudyInstanceUID", "UI")])
def test_tag_keyword_and_vr_lead_to_each_other(tag: str, keyword: str, vr: str) -> None:
    assert (tag_of(keyword), keyword_of(tag), vr_of(tag)) == (tag, keyword, vr)


def test_unknown_keywords_and_private_tags_are_unknown() -> None:
    assert tag_of("NoSuchKeyword") is None
    assert (keyword_of("00091001"), vr_of("00091001")) == ("", None)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("version", [V1, V2])
def test_what_a_search_returns_is_kept_in_rows_or_computed(version: str, level: Level) -> None:
    available = {*LEVEL_ATTRIBUTES[level], *COMPUTED[level], RETRIEVE_URL}
    assert set(DEFAULT_RETURN[version][level]) <= set(ALL_RETURN[version][level]) <= available


def test_every_search_key_is_kept_in_the_rows_of_its_level_or_computed() -> None:
    for row in SEARCHABLE.values():
        assert row.tag.split(".")[0] in {*LEVEL_ATTRIBUTES[row.level], *COMPUTED[row.level]}


def test_every_indexed_attribute_can_be_searched_for() -> None:
    assert set(INDEXED) <= set(SEARCHABLE)


def test_a_search_key_inside_a_sequence_is_a_path() -> None:
    row = SEARCHABLE["00400275.00400009"]
    assert (row.keyword, row.vr, row.level) == ("RequestAttributesSequence.ScheduledProcedureStepID", "SH", Level.SERIES)


def test_all_attributes_are_standard_ones() -> None:
    tags = {tag for tags in LEVEL_ATTRIBUTES.values() for tag in tags}
    assert all(keyword_of(tag) for tag in tags)
