"""Which rows a search starts from, which part of them it reads, and what is left to check. Decides; reads nothing.

Where the UIDs are known, rows are read by key. Otherwise the most selective term that every match must have is
taken: its list is in the order of the answer, and a range of study dates is a range of its RowKeys. What the
choice does not settle is checked on the covering values of the list's rows (``TermRange.unsettled``), and every
filter once more on the rows of ``catalog``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from shared.catalog import terms
from shared.catalog.keys import UNDATED, invert_date
from shared.dicom.text import name_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.dicomweb.matching import Hint
    from shared.dicomweb.search_query import Filter, SearchQuery

STUDY_UID, MODALITY = "0020000D", "00080060"

BY_SELECTIVITY = (
    terms.ACCESSION_NUMBER,
    terms.PATIENT_ID,
    terms.PATIENT_BIRTH_DATE,
    terms.PATIENT_NAME,
    terms.REFERRING_PHYSICIAN,
    terms.STUDY_DESCRIPTION,
    terms.MODALITIES_IN_STUDY,
)
"""Attributes with terms, in the order in which a search prefers to start from them."""


@dataclass(frozen=True, slots=True)
class Target:
    """A study, or one series or instance of it."""

    study_instance_uid: str
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """Start from rows whose keys are known."""

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Start from the UID rows of series (``terms.SERIES_UID``) or instances (``terms.SOP_UID``), of one study or of any."""

    field: str
    uids: tuple[str, ...]
    study_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class TermRange:
    """Start from the studies that have a term, ``start <= RowKey < stop``.

    ``unsettled`` are the filters by covering values that a row of the range may yet fail.
    """

    field: str
    folded: str
    start: str = ""
    stop: str | None = None
    unsettled: tuple[Filter, ...] = ()


Start: TypeAlias = Named | Lookup | TermRange


def plan_search(query: SearchQuery) -> Start:
    """Choose where a search starts."""
    hints = {f.tag: f.hint for f in query.filters}
    studies = _uids(query.study_instance_uid, hints.get(STUDY_UID))
    series = _uids(query.series_instance_uid, hints.get(terms.SERIES_UID))
    instances = _uids(None, hints.get(terms.SOP_UID))
    if instances:
        if len(studies) == len(series) == 1:
            return Named(tuple(Target(studies[0], series[0], uid) for uid in instances))
        return Lookup(terms.SOP_UID, instances, query.study_instance_uid)
    if series:
        if len(studies) == 1:
            return Named(tuple(Target(studies[0], uid) for uid in series))
        return Lookup(terms.SERIES_UID, series)
    if studies:
        return Named(tuple(Target(uid) for uid in studies))
    return _term_range(query.filters)


def _uids(in_path: str | None, hint: Hint | None) -> tuple[str, ...]:
    if in_path is not None:
        return (in_path,)
    return tuple(dict.fromkeys(hint.exact)) if hint else ()


def _term_range(query_filters: Iterable[Filter]) -> TermRange:
    filters = [on_study for f in query_filters if (on_study := _on_study(f))]
    start, stop, dates = _date_range(filters)
    terms_of = ((f, term) for tag in BY_SELECTIVITY for f in filters if f.tag == tag and (term := _term(f)))
    chosen, term = next(terms_of, (None, ""))
    settled = {dates, None if chosen and chosen.tag in terms.NAMES else chosen}
    unsettled = tuple(f for f in filters if f not in settled)
    return TermRange(chosen.tag if chosen else terms.ALL_STUDIES, term, start, stop, unsettled)


def _on_study(condition: Filter) -> Filter | None:
    """Say what a filter demands of the covering values, if anything."""
    if condition.tag == MODALITY:
        return replace(condition, tag=terms.MODALITIES_IN_STUDY)
    return condition if condition.tag in terms.COVERED else None


def _term(condition: Filter) -> str | None:
    """Give the folded term that every match has, if any."""
    hint = condition.hint
    whole = hint.exact[0] if len(hint.exact) == 1 else ""
    if condition.tag not in terms.NAMES:
        return whole or None
    words = name_words(whole) or [prefix for letters in hint.word_prefixes if (prefix := terms.usable_prefix(letters))]
    return max(words, key=len, default=None)


def _date_range(filters: Iterable[Filter]) -> tuple[str, str | None, Filter | None]:
    """Give the RowKey range of a filter by Study Date, and the filter if that settles it."""
    condition = next((f for f in filters if f.tag == terms.STUDY_DATE), None)
    if condition is None:
        return "", None, None
    low, high = condition.hint.low, condition.hint.high
    bounds = [invert_date(bound) for bound in (low, high) if bound]
    if not bounds or UNDATED in bounds:
        return "", None, None
    stop = f"{int(bounds[0]) + 1:08d}" if low else UNDATED
    return bounds[-1] if high else "", stop, condition
