"""The parameters of a search, checked and compiled: pairs of texts in, ``SearchQuery`` out. Not: running it.

References
----------
PS3.18 8.3.4 "Search Query Parameters", 10.6.1 "Request"; Table 10.6.1-5 "Required IE Attributes".
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.dicom.attributes import SEARCHABLE, Attribute, Level, tag_of, vr_of
from shared.dicomweb.matching import Element, Hint, InItem, Matcher
from shared.dicomweb.search_values import compile_matcher
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DEFAULT_LIMIT, MAX_LIMIT = 100, 200
MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filter:
    """One search key that not everything matches.

    ``tag`` is as in ``SEARCHABLE``: for an attribute within a sequence, a path of tags joined by a dot.
    """

    tag: str
    keyword: str
    vr: str
    level: Level
    matcher: Matcher

    @property
    def top_tag(self) -> str:
        """Tag of the element of a dataset that ``matches`` judges."""
        return self.tag[:8]

    @property
    def hint(self) -> Hint:
        """Say what is true of every element that matches."""
        return self.matcher.hint

    def matches(self, element: Element | None) -> bool:
        """Judge the element at ``top_tag``; None where the dataset has none."""
        return self.matcher.matches(element)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A search that has been understood.

    ``include_fields`` are tags of top-level elements to return beside the defaults, search keys included;
    ``warnings`` are texts for the Warning header.
    """

    level: Level
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    filters: tuple[Filter, ...] = ()
    fuzzy: bool = False
    include_fields: tuple[str, ...] = ()
    include_all: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    warnings: tuple[str, ...] = ()


def check_query_string(raw: str) -> None:
    """Refuse a query string, as it came, that holds ``<`` or its escape; any request, not only a search."""
    if "<" in raw or "%3c" in raw.lower():
        raise InvalidRequest("The query string must not hold a less-than sign.")


_ONCE = frozenset({"limit", "offset", "fuzzymatching", "emptyvaluematching", "multiplevaluematching"})
_OTHERS = frozenset({"includefield", "accept", "charset"})
"""Parameters that are no search keys; the first ones at most once. ``accept`` and ``charset`` are read elsewhere, or not."""

_NOT_OFFERED = {
    "emptyvaluematching": "The emptyvaluematching parameter is not supported. Empty Value Matching has not been performed.",
    "multiplevaluematching": "The multiplevaluematching parameter is not supported. Multiple Value Matching has not been performed.",
}
"""PS3.18 8.3.4.5 "Empty Value Matching", 8.3.4.6 "Multiple Value Matching": what to say where they are asked for."""


def parse_search(level: Level, params: Sequence[tuple[str, str]], *, study: str | None = None, series: str | None = None) -> SearchQuery:
    """Read the parameters of a search.

    Parameters
    ----------
    level
        Of the objects to find.
    params
        Decoded names and values, in order.
    study, series
        UIDs of the path, checked.

    Raises
    ------
    InvalidRequest
        A parameter is unknown, given twice, out of range or not a value of its attribute's VR.
    """
    known: dict[str, str] = {}
    fields: list[str] = []
    keys: list[tuple[str, str]] = []
    for name, value in params:
        lower = name.lower()
        if lower in _ONCE:
            if lower in known:
                raise InvalidRequest(f"The parameter {lower} is given twice.")
            known[lower] = value
        elif lower == "includefield":
            fields += [field for part in value.split(",") if (field := part.strip())]
        elif lower not in _OTHERS:
            keys.append((name, value))
    fuzzy = _flag(known, "fuzzymatching")
    attributes = _search_keys(keys, _levels(level, study, series))
    wanted = [field for field in fields if field.lower() != "all"]
    return SearchQuery(
        level=level,
        study_instance_uid=study,
        series_instance_uid=series,
        filters=tuple(f for attribute, value in attributes if (f := _filter(attribute, value, fuzzy=fuzzy))),
        fuzzy=fuzzy,
        include_fields=tuple(dict.fromkeys([*map(_field_tag, wanted), *(attribute.tag[:8] for attribute, _ in attributes)])),
        include_all=len(wanted) < len(fields),
        limit=_whole_number(known, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        offset=_whole_number(known, "offset", 0, 0, MAX_OFFSET),
        warnings=tuple(text for name, text in _NOT_OFFERED.items() if _flag(known, name)),
    )


def _levels(level: Level, study: str | None, series: str | None) -> frozenset[Level]:
    """Give the levels whose attributes are search keys of a resource: from the path's next one down to its own."""
    order = [Level.STUDY, Level.SERIES, Level.INSTANCE]
    above = (study is not None) + (series is not None)
    return frozenset(order[above : order.index(level) + 1])


def _search_keys(keys: Iterable[tuple[str, str]], levels: frozenset[Level]) -> list[tuple[Attribute, str]]:
    attributes = [(_search_key(name), value) for name, value in keys]
    for attribute, _ in attributes:
        if attribute.level not in levels:
            raise InvalidRequest(f"{attribute.keyword} is no search key of this resource: it is of the {attribute.level} level.")
    for attribute, count in Counter(attribute for attribute, _ in attributes).items():
        if count > 1:
            raise InvalidRequest(f"The search key {attribute.keyword} is given twice, by keyword or tag.")
    return attributes


def _search_key(name: str) -> Attribute:
    attribute = SEARCHABLE.get(".".join(_tag(part) or part for part in name.split(".")))
    if attribute is None:
        raise InvalidRequest(
            "A parameter is neither known nor a search key. A search key is the keyword, with its case, or the tag, as eight hexadecimal "
            "digits, of an attribute that the conformance statement lists."
        )
    return attribute


def _filter(attribute: Attribute, value: str, *, fuzzy: bool) -> Filter | None:
    matcher = compile_matcher(attribute.vr, value, attribute.keyword, fuzzy=fuzzy)
    if matcher is None:
        return None
    for tag in reversed(attribute.tag.split(".")[1:]):
        matcher = InItem(tag, matcher)
    return Filter(attribute.tag, attribute.keyword, attribute.vr, attribute.level, matcher)


_HEX_TAG = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)


def _tag(name: str) -> str | None:
    """Give the tag that a keyword or eight digits name; None where the dictionary has none. Private ones have no keyword."""
    if not _HEX_TAG.fullmatch(name):
        return tag_of(name)
    tag = name.upper()
    private = int(tag[3], 16) % 2 == 1
    return tag if private or vr_of(tag) is not None else None


def _field_tag(field: str) -> str:
    """Give the tag of a field to include; of one within a sequence, that of the sequence, which is returned whole."""
    tags = [_tag(part) for part in field.split(".")]
    if tags[0] is None or None in tags:
        raise InvalidRequest("An includefield is no attribute; give a keyword, with its case, a tag of eight hexadecimal digits, or all.")
    return tags[0]


def _flag(known: dict[str, str], name: str) -> bool:
    value = known.get(name, "false").strip().lower()
    if value not in {"true", "false"}:
        raise InvalidRequest(f"The parameter {name} must be true or false.")
    return value == "true"


def _whole_number(known: dict[str, str], name: str, default: int, low: int, high: int) -> int:
    text = known.get(name, str(default)).strip()
    if re.fullmatch(r"\+?\d{1,19}", text, re.ASCII) and low <= int(text) <= high:
        return int(text)
    raise InvalidRequest(f"The parameter {name} must be a whole number from {low} to {high}.")
