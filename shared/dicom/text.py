"""Texts as they are compared: case, accents, padding, and the words of a name."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

PADDING = " \x00"
"""Characters without meaning at either end of a value (PS3.5 6.2 "Value Representation"; NUL is met in the wild)."""

_NAME_SEPARATORS = re.compile(r"[\^=\s]+")


@lru_cache(maxsize=4096)
def fold(value: str) -> str:
    """Lower-case a value and drop its accents and padding, for hashing, word search and person names."""
    if value.isascii():
        return value.strip(PADDING).lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value).casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c)).strip(PADDING)


def fold_case(value: str) -> str:
    """Lower-case a value and drop its padding; accents stay. Values equal under this are equal under ``fold``."""
    if value.isascii():
        return value.strip(PADDING).lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", value).casefold()).strip(PADDING)


def name_words(folded: str) -> list[str]:
    """Split a folded person name into words; components and groups part words too (PS3.5 6.2.1 "Person Name")."""
    return [word for word in _NAME_SEPARATORS.split(folded) if word]
