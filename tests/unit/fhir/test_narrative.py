"""A narrative shows a report, and holds nothing but text in harmless elements."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.fhir.dataset import Dataset
from shared.fhir.narrative import MAX_CHARACTERS, SHORTENED, xhtml
from shared.fhir.sr_document import MAX_ITEMS, read
from tests.support.fhir_junk import junk_datasets
from tests.support.sr_builders import Json, attributes, code_item, container, content, datetime, document, num, pname, text, uidref

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PERMITTED = {"div", "h2", "h3", "h4", "h5", "h6", "p", "b", "i", "br", "ul", "li", "table", "tr", "td"}
FINDING = ("121071", "DCM", "Finding")
OPEN = '<div xmlns="http://www.w3.org/1999/xhtml"><h2>CT Report</h2>'


def page(*children: Json, title: str = "CT Report") -> str:
    return xhtml(read(Dataset(document("18748-4", *children))), title)


def body(*children: Json) -> str:
    """Give what stands on the page below its heading."""
    written = page(*children)
    assert written.startswith(OPEN)
    return written.removeprefix(OPEN).removesuffix("</div>")


def parsed(written: str) -> Element:
    """Read the page as a strict XML parser does: only permitted elements, in XHTML's name space, without any attribute."""
    root = ET.fromstring(written)  # noqa: S314  the page is ours
    for element in root.iter():
        assert element.tag.removeprefix("{http://www.w3.org/1999/xhtml}") in PERMITTED
        assert not element.attrib
    return root


@pytest.mark.parametrize(
    ("item", "written"),
    [
        (text(FINDING, "a nodule"), "<p><b>Finding:</b> a nodule</p>"),
        (text(None, "a nodule"), "<p>a nodule</p>"),
        (text(FINDING, "one\r\ntwo\nthree"), "<p><b>Finding:</b> one<br />two<br />three</p>"),
        (code_item(FINDING, ("1", "SCT", "Nodule")), "<ul><li><b>Finding:</b> Nodule</li></ul>"),
        (num(FINDING, Decimal("7.10"), "mm"), "<table><tr><td>Finding</td><td>7.10 mm</td></tr></table>"),
        (num(FINDING, 3, "1"), "<table><tr><td>Finding</td><td>3</td></tr></table>"),
        (pname(FINDING, "DOE^JANE"), "<ul><li><b>Finding:</b> JANE DOE</li></ul>"),
        (datetime(FINDING, "20260110091620.5+0900"), "<ul><li><b>Finding:</b> 2026-01-10 09:16:20.5+0900</li></ul>"),
        (content("DATE", FINDING, Date="20260110"), "<ul><li><b>Finding:</b> 2026-01-10</li></ul>"),
        (content("TIME", FINDING, Time="091620"), "<ul><li><b>Finding:</b> 09:16:20</li></ul>"),
        (content("IMAGE", FINDING), "<ul><li><b>Finding:</b> image</li></ul>"),
        (uidref(FINDING, "1.2.3"), ""),
        (content("SCOORD", FINDING), ""),
        (container(None, text(None, "a")), "<p>a</p>"),
        (text(FINDING, None), ""),
        (text(FINDING, 7), ""),
        (content("NONSENSE", FINDING, TextValue="x"), ""),
    ],
)
def test_each_type_of_item_is_shown_in_its_way(item: Json, written: str) -> None:
    assert body(item) == written


def test_number_that_was_not_measured_says_why() -> None:
    assert "<td>a meaning</td>" in body(num(FINDING, None, None, qualifier="114007"))


def test_containers_become_sections_with_headings_that_go_down_a_level() -> None:
    inner = container(("2", "DCM", "Lungs"), text(FINDING, "clear"))
    assert body(container(("1", "DCM", "Findings"), inner)) == "<h3>Findings</h3><h4>Lungs</h4><p><b>Finding:</b> clear</p>"


def test_headings_end_at_the_sixth_level() -> None:
    nested = text(FINDING, "deep")
    for _ in range(10):
        nested = container(("1", "DCM", "Section"), nested)
    assert {element.tag[-2:] for element in parsed(page(nested)).iter() if element.tag[-2] == "h"} == {"h2", "h3", "h4", "h5", "h6"}


def test_neighbours_of_one_kind_share_a_list_or_table() -> None:
    sizes = [num(FINDING, 1, "mm"), num(FINDING, 2, "mm")]
    assert body(*sizes, text(FINDING, "x"), *sizes).count("<table>") == 2


def test_what_hangs_on_an_item_is_listed_below_it() -> None:
    modifier = code_item(("1", "DCM", "Derivation"), ("2", "SCT", "Mean"), relationship="HAS CONCEPT MOD")
    expected = "<table><tr><td>Finding</td><td>7 mm<ul><li><b>Derivation:</b> Mean</li></ul></td></tr></table>"
    assert body(num(FINDING, 7, "mm", modifier)) == expected


def test_reference_to_another_item_and_empty_containers_are_left_out() -> None:
    assert body(attributes(ReferencedContentItemIdentifier=[1, 2]), container(FINDING)) == ""


@pytest.mark.parametrize("title", ["", " ", "\x00"])
def test_page_without_a_title_still_says_something(title: str) -> None:
    assert "<h2>Document</h2>" in page(title=title)


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", '"><img src=x onerror=1>', "]]>", "&lt;b&gt;", "<!--", "{{x}}", "&#0;"])
def test_markup_in_a_document_stays_text(attack: str) -> None:
    written = page(text(("1", "DCM", attack), attack), code_item(FINDING, ("1", "SCT", attack)), num(FINDING, attack, attack), title=attack)
    assert "".join(parsed(written).itertext()).count(attack) == 6


@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1b", "\x7f", "\ufffe", "\uffff", "\ud800"])
def test_characters_that_xml_cannot_hold_are_left_out(character: str) -> None:
    written = page(text(FINDING, f"a{character}b"), title=f"c{character}")
    assert re.fullmatch("c.?Finding: a.?b", "".join(parsed(written).itertext()))


def test_report_of_100000_characters_is_shown_whole() -> None:
    written = page(text(FINDING, "x" * 100_000))
    assert "x" * 100_000 in written
    assert SHORTENED not in written


def test_longer_document_is_cut_and_says_so() -> None:
    written = page(text(FINDING, "x" * MAX_CHARACTERS), text(FINDING, "not shown"))
    assert written.endswith(f"<p><i>{SHORTENED}</i></p></div>")
    assert "not shown" not in written
    assert written.count("x") < MAX_CHARACTERS


@pytest.mark.parametrize("item", [text(None, "."), num(FINDING, 1, "mm"), code_item(FINDING, "1"), container(FINDING, text(None, "."))])
def test_document_of_very_many_items_is_cut_and_says_so(item: Json) -> None:
    written = page(*[item] * (MAX_ITEMS // 2))
    assert SHORTENED in written
    assert len(written) < 5 * MAX_CHARACTERS
    assert parsed(written) is not None


def test_text_of_line_ends_only_is_cut_and_says_so() -> None:
    written = page(text(None, "a" + "\n" * MAX_CHARACTERS + "b"))
    assert SHORTENED in written
    assert len(written) < MAX_CHARACTERS
    assert parsed(written) is not None


def test_deepest_tree_is_shown() -> None:
    nested = text(FINDING, "deep")
    for level in range(200):
        nested = container(FINDING, nested) if level % 2 else code_item(FINDING, "1", nested)
    assert parsed(page(nested)) is not None


KEYWORDS = (
    "ContentSequence", "ValueType", "RelationshipType", "ConceptNameCodeSequence", "ConceptCodeSequence", "MeasuredValueSequence",
    "MeasurementUnitsCodeSequence", "NumericValue", "TextValue", "PersonName", "Date", "Time", "DateTime", "CodeMeaning", "CodeValue",
)  # fmt: skip


@given(junk_datasets(*KEYWORDS), st.text())
@settings(deadline=None)
def test_whatever_the_tree_the_page_is_xml_of_permitted_elements(junk: Json, title: str) -> None:
    assert "".join(parsed(xhtml(read(Dataset(junk)), title)).itertext()).strip()


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_texts_are_shown_as_they_are(said: str) -> None:
    root = parsed(page(text(("1", "DCM", said), said)))
    assert [element.text or element.tail for element in root.iter() if element.tag.endswith("}b")] == [f"{said}:"]
    assert "".join(root.itertext()).endswith(f"{said}: {said}")
