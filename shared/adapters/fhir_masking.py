"""What of a FHIR server's own words may be kept: none that could say who the patient is.

A server quotes freely what it was sent, and what it found. So a word is left out that stands in quotes, has anything but
Latin letters in it (a number, a UID, a date, an address), or stood in a value that we sent (a name). A path such as
``ImagingStudy.series[0].uid`` stays, in quotes too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MASK: Final = "…"

_QUOTED = re.compile(r"""(["'`])([^"'`]*)\1|\u201c[^\u201d]*\u201d|\u2018[^\u2019]*\u2019|\u00ab[^\u00bb]*\u00bb|<[^>]*>""")
_PATH = re.compile(r"[A-Z][A-Za-z]{1,40}(\.[a-z][A-Za-z]{0,40}(\[(x|[0-9]{1,5})\])?)+", re.ASCII)
_PLAIN = re.compile(r"[(\[{]*[A-Za-z]+([-/][A-Za-z]+)*[)\]},.:;!?]*", re.ASCII)
_MASKS = re.compile(rf"{MASK}(\s*{MASK})+")
_WORD = re.compile(r"[^\W_]{2,}")

_HARMLESS: Final = frozenset({"code", "contentType", "intent", "mode", "resourceType", "status", "system", "type", "unit", "use"})
"""Elements whose values are FHIR's, not a patient's."""


def mask(text: str, sent: Collection[str], longest: int = 500) -> str:
    """Leave out what could identify somebody; ``sent`` are the words of our request, in lower case."""
    if len(text) > 4 * longest:
        text = text[: 4 * longest].rpartition(" ")[0]  # half a word would not be known any more
    bare = _QUOTED.sub(lambda found: found[2] if found[2] and _PATH.fullmatch(found[2]) else MASK, text)
    kept = (word if _may_stay(word, sent) else MASK for word in bare.split())
    return _MASKS.sub(MASK, " ".join(kept))[:longest]


def _may_stay(word: str, sent: Collection[str]) -> bool:
    form = _PLAIN.fullmatch(word) or _PATH.fullmatch(word.rstrip(",.:;"))
    return form is not None and not any(part in sent for part in _WORD.findall(word.lower()))


def words_of(value: Any) -> frozenset[str]:
    """Collect the words of all texts in what we send, in lower case."""
    return frozenset(word for text in _texts(value) for word in _WORD.findall(text.lower()))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name not in _HARMLESS:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
