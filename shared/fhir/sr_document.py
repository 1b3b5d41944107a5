"""The content tree of a structured report, whatever its template. Not: what its items mean (dose, reports, measurements).

Trees come from outside and can be of any shape, so they are read without recursion, to a depth and a number of items
that no honest document needs. An item by reference (it names another item instead of holding a value) has neither value
type nor name here.

References
----------
PS3.3 C.17.3 "SR Document Content Module"; PS3.3 C.17.3.2.5 "Referenced Content Item Identifier" (how items are counted).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.fhir import concepts, names, values
from shared.fhir.issues import IssueCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.fhir.concepts import CodeKey
    from shared.fhir.dataset import Dataset
    from shared.fhir.issues import Notes

MAX_LEVELS = 64
MAX_ITEMS = 50_000


@dataclass(slots=True, eq=False, repr=False)
class ContentItem:
    """One content item; the root stands for the document itself.

    Attributes
    ----------
    value_type
        ``CONTAINER``, ``NUM``, ``CODE`` …; empty where the item has none.
    relationship
        ``CONTAINS``, ``HAS CONCEPT MOD`` …; empty for the root.
    key
        Of the concept name: designator and code, as ``concepts.key_of`` gives them; None where there is no usable name.
    item
        The item's own dataset; for the root the whole dataset. Borrowed.
    children
        In document order.
    path
        Positions from one, as a Referenced Content Item Identifier counts: the root is ``(1,)``, its third child ``(1, 3)``.
    """

    value_type: str
    relationship: str
    key: CodeKey | None
    item: Dataset
    path: tuple[int, ...]
    children: list[ContentItem] = field(default_factory=list)

    def child(self, *keys: CodeKey) -> ContentItem | None:
        """Give the first child that has one of these names."""
        return next((child for child in self.children if child.key in keys), None)

    def children_with(self, *keys: CodeKey) -> list[ContentItem]:
        """Give the children that have one of these names."""
        return [child for child in self.children if child.key in keys]

    def find(self, *keys: CodeKey) -> ContentItem | None:
        """Give the first item below this one, at any depth, that has one of these names."""
        return next(self._below(keys), None)

    def find_all(self, *keys: CodeKey) -> list[ContentItem]:
        """Give the items below this one, at any depth and in document order, that have one of these names."""
        return list(self._below(keys))

    def walk(self) -> Iterator[ContentItem]:
        """Give this item and all below it, in document order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def name_item(self) -> Dataset | None:
        """Give the concept name's code item."""
        return next(iter(self.item.items("ConceptNameCodeSequence")), None)

    def text(self) -> str | None:
        """Give the value of a TEXT item."""
        return self._text_of("TextValue")

    def code_item(self) -> Dataset | None:
        """Give the value of a CODE item, as a code item."""
        return next(iter(self.item.items("ConceptCodeSequence")), None)

    def code_key(self) -> CodeKey | None:
        """Give the value of a CODE item, as designator and code."""
        item = self.code_item()
        return None if item is None else concepts.key_of(item)

    def uid(self) -> str | None:
        """Give the value of a UIDREF item, where it is a UID."""
        return values.uid(self.item, "UID")

    def number(self) -> Dataset | None:
        """Give the Measured Value item of a NUM item: number and unit."""
        return next(iter(self.item.items("MeasuredValueSequence")), None)

    def person(self) -> str | None:
        """Give the value of a PNAME item, as it is shown."""
        return names.display_of(self.item.first("PersonName"))

    def datetime(self) -> str | None:
        """Give the value of a DATETIME item, as DICOM text (VR DT)."""
        return self._text_of("DateTime")

    def _below(self, keys: tuple[CodeKey, ...]) -> Iterator[ContentItem]:
        return (node for node in self.walk() if node is not self and node.key in keys)

    def _text_of(self, keyword: str) -> str | None:
        value = self.item.first(keyword)
        return (values.clean(value) or None) if isinstance(value, str) else None


def read(dataset: Dataset, notes: Notes | None = None) -> ContentItem:
    """Read the content tree of a document.

    Parameters
    ----------
    dataset
        The whole dataset of the instance.
    notes
        Told where the document is over ``MAX_LEVELS`` or ``MAX_ITEMS``; what is over is ignored.
    """
    root = _content_item(dataset, (1,))
    stack, room, complete = [root], MAX_ITEMS - 1, True
    while stack:
        node = stack.pop()
        items = node.item.items("ContentSequence")
        taken = items[:room] if len(node.path) < MAX_LEVELS else []
        node.children = [_content_item(item, (*node.path, position)) for position, item in enumerate(taken, start=1)]
        room -= len(taken)
        complete = complete and len(taken) == len(items)
        stack.extend(reversed(node.children))
    if notes is not None and not complete:
        notes.warn("ContentSequence", IssueCode.UNREADABLE_DOCUMENT)
    return root


def _content_item(dataset: Dataset, path: tuple[int, ...]) -> ContentItem:
    return ContentItem(
        value_type=_word(dataset, "ValueType"),
        relationship=_word(dataset, "RelationshipType"),
        key=concepts.key_of(dataset.item("ConceptNameCodeSequence")),
        item=dataset,
        path=path,
    )


def _word(dataset: Dataset, keyword: str) -> str:
    value = dataset.first(keyword)
    return value.strip().upper() if isinstance(value, str) else ""
