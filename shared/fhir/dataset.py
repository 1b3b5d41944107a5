"""DICOM JSON read by keyword. Not: what a value means (values, moments, names, concepts).

References
----------
PS3.18 Annex F "DICOM JSON Model".
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from shared.dicom.dictionary import tag_of_keyword

if TYPE_CHECKING:
    from collections.abc import Mapping


@lru_cache(maxsize=1024)
def tag(keyword: str) -> str:
    """Give the tag of a keyword as eight hex digits.

    Raises
    ------
    KeyError
        The dictionary has no such keyword: a spelling mistake of ours.
    """
    found = tag_of_keyword(keyword)
    if found is None:
        raise KeyError(keyword)
    return found


class Dataset:
    """A dataset, or an item of a sequence. Borrows its elements."""

    __slots__ = ("elements",)

    def __init__(self, elements: Mapping[str, Any]) -> None:
        self.elements = elements

    def values(self, keyword: str) -> list[Any]:
        """Give the values that are there, empty ones left out: texts, numbers, name objects or items as JSON has them."""
        element = self.elements.get(tag(keyword))
        values = element.get("Value") if isinstance(element, dict) else None
        return [value for value in values if value is not None and value != ""] if isinstance(values, list) else []

    def first(self, keyword: str) -> Any:
        """Give the first value that is there, or None."""
        return next(iter(self.values(keyword)), None)

    def items(self, keyword: str) -> list[Dataset]:
        """Give the items of a sequence; none where it is absent or no sequence."""
        return [Dataset(item) for item in self.values(keyword) if isinstance(item, dict)]

    def item(self, keyword: str) -> Dataset:
        """Give the first item of a sequence; an empty one where there is none."""
        return next(iter(self.items(keyword)), EMPTY)

    def __bool__(self) -> bool:
        """Whether there is any element."""
        return bool(self.elements)


EMPTY = Dataset({})
