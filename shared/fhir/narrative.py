"""A structured report as people read it: the XHTML of a FHIR narrative. Not: what its items mean (reports).

Nothing of a document becomes markup. The page is a tree of elements that only this file makes, of the few kinds that a
narrative may have; what the document says goes into their texts, which the serialiser escapes. Characters that XML cannot
hold are left out. Beyond ``MAX_CHARACTERS`` the page says that the document goes on, and ends.

References
----------
FHIR R4 "Narrative", txt-1 (which elements it may have); PS3.3 C.17.3 "SR Document Content Module"; XML 1.0 2.2 "Characters".
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, tostring

from shared.fhir import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from shared.fhir.dataset import Dataset
    from shared.fhir.sr_document import ContentItem

MAX_CHARACTERS = 200_000
"""Room on the page: text, before escaping, and ``_ELEMENT_COST`` for each element."""

SHORTENED = "This is not the whole document: the rest is in the original."

_ELEMENT_COST = 10
_XHTML = "http://www.w3.org/1999/xhtml"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_END = re.compile("\r\n|\r|\n")
_LOWEST_HEADING = 6
_NO_UNITS = "1"
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)(?=\d|$)", re.ASCII)
_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)?", re.ASCII)


def xhtml(root: ContentItem, title: str) -> str:
    """Write a document's content as a narrative's ``div``.

    Parameters
    ----------
    root
        Of the content tree.
    title
        The page's heading.
    """
    page = _Page()
    page.add(page.div, "h2", _legal(title).strip() or "Document")
    _write_body(page, page.div, root, level=3)
    if page.is_full:
        SubElement(SubElement(page.div, "p"), "i").text = SHORTENED
    return tostring(page.div, encoding="unicode")


class _Page:
    """A page that fills up: ``say`` cuts what is over, ``add`` makes elements all the same, so ask ``is_full`` before."""

    def __init__(self) -> None:
        self.div = Element("div", {"xmlns": _XHTML})
        self._room = MAX_CHARACTERS

    @property
    def is_full(self) -> bool:
        return self._room <= 0

    def add(self, parent: Element, tag: str, text: str = "") -> Element:
        """Append an element."""
        self._room -= _ELEMENT_COST
        element = SubElement(parent, tag)
        self.say(element, text)
        return element

    def say(self, parent: Element, text: str) -> None:
        """Append text, its lines as lines, as far as there is room."""
        for number, line in enumerate(_LINE_END.split(_legal(text))):
            if self.is_full:
                return
            if number:
                self.add(parent, "br")
            _append(parent, line[: max(self._room, 0)])
            self._room -= len(line)


def _append(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def _legal(text: str) -> str:
    return _NO_XML.sub("", text)


def _write_body(page: _Page, parent: Element, container: ContentItem, level: int) -> None:
    for block, items in groupby(filter(_says_something, container.children), key=_block):
        if page.is_full:
            return
        block(page, parent, items, level)


def _block(item: ContentItem) -> Callable[[_Page, Element, Iterable[ContentItem], int], None]:
    return _BLOCKS.get(item.value_type, _write_list)


def _write_sections(page: _Page, parent: Element, containers: Iterable[ContentItem], level: int) -> None:
    for container in containers:
        if page.is_full:
            return
        if label := _label(container):
            page.add(parent, f"h{min(level, _LOWEST_HEADING)}", label)
        _write_body(page, parent, container, level + 1)


def _write_paragraphs(page: _Page, parent: Element, items: Iterable[ContentItem], _level: int) -> None:
    for item in items:
        if page.is_full:
            return
        _write_entry(page, page.add(parent, "p"), item)
        _write_details(page, parent, item)


def _write_table(page: _Page, parent: Element, items: Iterable[ContentItem], _level: int) -> None:
    table = page.add(parent, "table")
    for item in items:
        row = page.add(table, "tr")
        page.add(row, "td", _label(item))
        _write_details(page, page.add(row, "td", _value(item)), item)
        if page.is_full:
            return


def _write_list(page: _Page, parent: Element, items: Iterable[ContentItem], _level: int = 0) -> None:
    listing = page.add(parent, "ul")
    for item in items:
        entry = page.add(listing, "li")
        _write_entry(page, entry, item)
        _write_details(page, entry, item)
        if page.is_full:
            return


def _write_entry(page: _Page, parent: Element, item: ContentItem) -> None:
    label, value = _label(item), _value(item)
    if label:
        page.add(parent, "b", f"{label}:")
    page.say(parent, f" {value}" if label else value)


def _write_details(page: _Page, parent: Element, item: ContentItem) -> None:
    """Write what stands below an item that is no container: its modifiers, properties, what it was inferred from."""
    children = [child for child in item.children if _says_something(child)]
    if children and not page.is_full:
        _write_list(page, parent, children)


_BLOCKS = {"CONTAINER": _write_sections, "TEXT": _write_paragraphs, "NUM": _write_table}
"""Value type → what writes a run of such items; all others are listed."""


def _says_something(item: ContentItem) -> bool:
    return bool(item.children or _value(item))


def _label(item: ContentItem) -> str:
    return _meaning(item.name_item())


def _value(item: ContentItem) -> str:
    read = _VALUES.get(item.value_type)
    return (read(item) or "") if read else ""


def _number(item: ContentItem) -> str:
    measured = item.number()
    value = None if measured is None else measured.first("NumericValue")
    if measured is None or value is None or isinstance(value, dict | list):
        return _meaning(next(iter(item.item.items("NumericValueQualifierCodeSequence")), None))
    unit = _text(measured.item("MeasurementUnitsCodeSequence"), "CodeValue")
    return f"{value} {unit}".strip() if unit != _NO_UNITS else str(value)


def _date(text: str) -> str:
    return _DATE.sub(r"\1-\2-\3 ", text, count=1).strip()


def _time(text: str) -> str:
    return _TIME.sub(lambda found: ":".join(part for part in found.groups() if part), text, count=1)


def _datetime(text: str) -> str:
    date, _, time = _date(text).partition(" ")
    return f"{date} {_time(time)}".strip()


def _meaning(code: Dataset | None) -> str:
    return "" if code is None else _text(code, "CodeMeaning") or _text(code, "CodeValue")


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.first(keyword)
    return values.clean(value) if isinstance(value, str) else ""


_VALUES: Mapping[str, Callable[[ContentItem], str | None]] = {
    "TEXT": lambda item: item.text(),
    "CODE": lambda item: _meaning(item.code_item()),
    "NUM": _number,
    "PNAME": lambda item: item.person(),
    "DATE": lambda item: _date(_text(item.item, "Date")),
    "TIME": lambda item: _time(_text(item.item, "Time")),
    "DATETIME": lambda item: _datetime(item.datetime() or ""),
    "IMAGE": lambda _: "image",
    "WAVEFORM": lambda _: "waveform",
    "COMPOSITE": lambda _: "object",
}
"""Value type → how it reads. Identifiers and coordinates tell a reader nothing and are left out."""
