"""A structured report is read as a tree, whatever its shape."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fhir.dataset import Dataset
from shared.fhir.issues import IssueCode, Notes
from shared.fhir.sr_document import MAX_ITEMS, MAX_LEVELS, ContentItem, read
from tests.support.sr_builders import (
    CHEST,
    Json,
    attributes,
    code_item,
    container,
    content,
    datetime,
    document,
    num,
    pname,
    text,
    to_srt,
    uidref,
)

FINDINGS, FINDING, UID = ("DCM", "121070"), ("DCM", "121071"), "1.2.3"


def tree(*children: Json) -> ContentItem:
    return read(Dataset(document("126000", *children)))


def test_root_is_the_document_itself() -> None:
    root = tree()
    assert (root.value_type, root.relationship, root.key, root.path) == ("CONTAINER", "CONTAINS", ("DCM", "126000"), (1,))


def test_items_keep_their_order_and_are_counted_from_one() -> None:
    root = tree(text("121071", "a"), container("121070", text("121071", "b"), text("121071", "c")), text("121071", "d"))
    found = root.find_all(FINDING)
    assert [(item.text(), item.path) for item in found] == [("a", (1, 1)), ("b", (1, 2, 1)), ("c", (1, 2, 2)), ("d", (1, 3))]


def test_walk_gives_the_item_itself_first() -> None:
    root = tree(container("121070", text("121071", "b")))
    assert [item.path for item in root.walk()] == [(1,), (1, 1), (1, 1, 1)]


def test_child_looks_one_level_down_and_find_at_all() -> None:
    root = tree(container("121070", text("121071", "b")))
    assert root.child(FINDING) is None
    assert root.child(FINDING, FINDINGS) is root.children[0]
    assert root.find(FINDING) is root.children[0].children[0]
    assert root.children_with(FINDINGS) == root.children
    assert root.find(("DCM", "126000")) is None


def test_old_snomed_names_are_found_by_their_new_code() -> None:
    root = tree(to_srt(code_item(("272741003", "SCT", "Laterality"), CHEST)))
    item = root.child(("SCT", "272741003"))
    assert item is not None
    assert item.code_key() == ("SCT", "51185008")


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (text("121071", " seen \0"), "seen"),
        (text("121071", None), None),
        (text("121071", 7), None),
        (text("121071", "  "), None),
    ],
)
def test_text_is_cleaned_or_absent(item: Json, value: str | None) -> None:
    assert tree(item).children[0].text() == value


@pytest.mark.parametrize(("sent", "value"), [(UID, UID), ("1.2.3\0", UID), ("1.02", None), ("x", None), (5, None), (None, None)])
def test_uid_is_a_uid_or_absent(sent: object, value: str | None) -> None:
    assert tree(uidref("113769", sent)).children[0].uid() == value


@pytest.mark.parametrize(
    ("sent", "value"), [("Doe^Jane", "Jane Doe"), ({"Ideographic": "山田^太郎"}, "山田太郎"), ({}, None), (5, None), (None, None)]
)
def test_person_is_shown_as_text_or_absent(sent: object, value: str | None) -> None:
    assert tree(pname("113850", sent)).children[0].person() == value


@pytest.mark.parametrize(("sent", "value"), [("20260110091620.5+0900", "20260110091620.5+0900"), (20260110, None), (None, None)])
def test_datetime_is_dicom_text_or_absent(sent: object, value: str | None) -> None:
    assert tree(datetime("111526", sent)).children[0].datetime() == value


def test_number_is_the_measured_value() -> None:
    measured = tree(num("113838", 5, "mGy.cm")).children[0].number()
    assert measured is not None
    assert measured.first("NumericValue") == 5
    assert tree(num("113838", None, "mGy.cm")).children[0].number() is None


def test_name_and_value_are_given_as_code_items() -> None:
    item = tree(code_item("123014", CHEST)).children[0]
    name, value = item.name_item(), item.code_item()
    assert name is not None
    assert value is not None
    assert (name.first("CodeValue"), value.first("CodeValue")) == ("123014", "51185008")


def test_item_by_reference_has_neither_type_nor_name() -> None:
    root = tree(attributes(RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 2]))
    item = root.children[0]
    assert (item.value_type, item.key, item.relationship, item.name_item(), item.code_item()) == ("", None, "INFERRED FROM", None, None)


def deep(levels: int) -> Json:
    item = text("121071", "deepest")
    for _ in range(levels - 1):
        item = container("121070", item)
    return item


def test_deepest_level_is_read() -> None:
    notes = Notes()
    root = read(Dataset(document("126000", deep(MAX_LEVELS - 1))), notes)
    assert [item.text() for item in root.find_all(FINDING)] == ["deepest"]
    assert not notes.issues


def test_what_is_deeper_is_ignored_and_said() -> None:
    notes = Notes()
    root = read(Dataset(document("126000", deep(5000))), notes)
    assert len(list(root.walk())) == MAX_LEVELS
    assert [issue.code for issue in notes.issues] == [IssueCode.UNREADABLE_DOCUMENT]


def test_items_over_the_limit_are_ignored_and_said() -> None:
    notes, many = Notes(), [container("121070", *[text("121071", "x")] * 1000)] * 60
    root = read(Dataset(document("126000", *many)), notes)
    assert len(list(root.walk())) == MAX_ITEMS
    assert [issue.code for issue in notes.issues] == [IssueCode.UNREADABLE_DOCUMENT]


def test_over_the_limit_nothing_is_said_where_nobody_listens() -> None:
    assert len(list(read(Dataset(document("126000", deep(100)))).walk())) == MAX_LEVELS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = ["ValueType", "RelationshipType", "ConceptNameCodeSequence", "ContentSequence", "TextValue", "UID", "PersonName", "DateTime",
            "ConceptCodeSequence", "MeasuredValueSequence"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYWORDS), st.lists(JSON, max_size=3), max_size=6))
def test_any_item_can_be_read(sent: dict[str, list[object]]) -> None:
    for item in tree(attributes(**sent), content("TEXT", None, attributes(**sent))).walk():
        values = (
            item.text(),
            item.uid(),
            item.person(),
            item.datetime(),
            item.number(),
            item.code_item(),
            item.code_key(),
            item.name_item(),
        )
        assert len(values) == 8
