"""Finding studies: runs the start of a plan and gives studies that are really there and match. Not: series, instances.

Theory of operation
    A term's list may hold rows that do not count (see ``terms``), and some that the plan could not rule out. So
    the list is walked in pages; a row whose covering values fail a filter is passed over; of the others the
    study row is read, as many at once as results are wanted, and counts if its ``sk`` is the RowKey and every
    filter matches its attributes. Rows of one study that differ in the revision only are neighbours, and neighbours
    cost one read.

    Skipping costs a read per study as well: rows that do not count must not be skipped as if they did, or
    pages would overlap. What a search can cost at most is bounded by ``MAX_IN_VAIN`` and ``MAX_READ``; one that
    stops there is incomplete, and the caller is told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from shared.catalog import terms
from shared.catalog.keys import CATALOG, DEFAULT_PARTITION, SEARCH, STUDY_ROW, ArchiveKey
from shared.catalog.planner import Lookup, Start, Target, TermRange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from shared.catalog.records import DicomJson
    from shared.dicomweb.search_query import Filter
    from shared.ports import Entity, TableStore

MAX_TERM_PAGE = 1000
MAX_IN_VAIN = 1800
"""Studies of a term's list that may turn out not to match before a search gives up: two pages of the list, less
the largest page of results, so that a page of results never costs more than its size and three requests."""
MAX_READ = 100_000
"""Study rows that a search may read, nearly all of them to skip what lies before its ``offset``."""
SPARE_ROWS = 8
"""Rows read beyond those wanted, in case some do not count."""


class FoundStudy(NamedTuple):
    """A study that matches. A tuple: there are many, and it is cheaper to make than a frozen record.

    ``dataset`` holds its attributes, Modalities in Study included, ``newest`` is as in its record. ``targets`` are the
    series or instances of it that the search named; empty: it named none.
    """

    study_instance_uid: str
    partition_key: str
    sk: str
    series_count: int
    instance_count: int
    newest: str
    dataset: DicomJson
    targets: tuple[Target, ...] = ()


class FoundStudies(Protocol):
    """Matching studies in the order of the answer, given out bit by bit."""

    @property
    def incomplete(self) -> bool:
        """Whether the search gave up before the end."""
        ...

    async def take(self, count: int) -> list[FoundStudy]:
        """Give the next studies; fewer than ``count`` only at the end."""
        ...

    async def skip(self, count: int) -> None:
        """Pass over the next studies."""
        ...


class StudyFinder:
    """Runs plans within one data partition."""

    def __init__(self, tables: TableStore, key: ArchiveKey, data_partition: str = DEFAULT_PARTITION) -> None:
        self._tables, self._key, self._data_partition = tables, key, data_partition

    async def find(self, start: Start, filters: Sequence[Filter], results_wanted: int) -> FoundStudies:
        """Find the studies that match.

        Parameters
        ----------
        start
            What ``planner.plan_search`` chose.
        filters
            By study attributes; all must match.
        results_wanted
            How many studies will be taken and skipped as far as is known, to read as much at once.
        """
        if isinstance(start, TermRange):
            partition = self._key.term_partition(self._data_partition, start.field, start.folded)
            page_size = MAX_TERM_PAGE if start.unsettled else min(MAX_TERM_PAGE, results_wanted + SPARE_ROWS)
            columns = terms.TERM_COLUMNS if start.unsettled else terms.TERM_COLUMNS[:1]
            pages = self._tables.pages(SEARCH, partition, start=start.start, stop=start.stop, select=columns, page_size=page_size)
            return _Walk(self._tables, pages, start.unsettled, filters)
        targets = await self._look_up(start) if isinstance(start, Lookup) else start.targets
        return await self._named(targets, filters)

    async def _look_up(self, start: Lookup) -> list[Target]:
        found = await asyncio.gather(*(self._targets(start.field, uid) for uid in start.uids))
        targets = [target for of_uid in found for target in of_uid]
        return [t for t in targets if start.study_instance_uid in (None, t.study_instance_uid)]

    async def _targets(self, field: str, uid: str) -> list[Target]:
        partition = terms.uid_partition(self._key, self._data_partition, field, uid)
        return [_target(field, uid, entity) async for page in self._tables.pages(SEARCH, partition) for entity in page]

    async def _named(self, targets: Iterable[Target], filters: Sequence[Filter]) -> _Listed:
        by_study: dict[str, list[Target]] = {}
        for target in targets:
            by_study.setdefault(target.study_instance_uid, []).append(target)
        partitions = [self._key.study_partition(self._data_partition, uid) for uid in by_study]
        found = [study for row in await _study_rows(self._tables, partitions) if row and (study := _matching(row, filters))]
        below = {uid: tuple(t for t in targets if t.series_instance_uid) for uid, targets in by_study.items()}
        named = [study._replace(targets=below[study.study_instance_uid]) for study in found]
        return _Listed(sorted(named, key=lambda study: study.sk))


@dataclass(slots=True)
class _Listed:
    """Studies that have all been read."""

    studies: list[FoundStudy]
    incomplete: bool = False

    async def take(self, count: int) -> list[FoundStudy]:
        taken, self.studies = self.studies[:count], self.studies[count:]
        return taken

    async def skip(self, count: int) -> None:
        del self.studies[:count]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A study that may match if its ``sk`` is one of the RowKeys."""

    partition_key: str
    row_keys: list[str]


class _Walk:
    """A walk along a term's list."""

    def __init__(
        self, tables: TableStore, pages: AsyncIterator[list[Entity]], unsettled: Sequence[Filter], filters: Sequence[Filter]
    ) -> None:
        self._tables, self._pages, self._unsettled, self._filters = tables, pages, unsettled, filters
        self._candidates: Iterator[_Candidate] = iter(())
        self._in_vain = self._read = 0
        self.incomplete = False

    async def take(self, count: int) -> list[FoundStudy]:
        found: list[FoundStudy] = []
        while len(found) < count and (rows := await self._next_rows(count - len(found))):
            matching = [study for row in rows if row and (study := _matching(row, self._filters))]
            self._in_vain += len(rows) - len(matching)
            found += matching
        return found

    async def skip(self, count: int) -> None:
        if self._filters:
            while count and (skipped := len(await self.take(min(count, MAX_TERM_PAGE)))):
                count -= skipped
        else:
            while count and (rows := await self._next_rows(count, ("sk", "instance_count"))):
                count -= len(rows) - rows.count(None)

    async def _next_rows(self, count: int, select: Sequence[str] | None = None) -> list[Entity | None]:
        """Read study rows of the next candidates, None for those that do not count; empty at the end."""
        batch = list(islice(self._candidates, count))
        while not batch and (page := await self._next_page()):
            self._candidates = self._candidates_of(page)
            batch = list(islice(self._candidates, count))
        self._read += len(batch)
        studies = await _study_rows(self._tables, [c.partition_key for c in batch], select)
        return [s if s and s.properties["sk"] in c.row_keys else None for c, s in zip(batch, studies, strict=True)]

    async def _next_page(self) -> list[Entity] | None:
        page = await anext(self._pages, None)
        if page and (self._in_vain >= MAX_IN_VAIN or self._read >= MAX_READ):
            self.incomplete = True
        return None if self.incomplete else page

    def _candidates_of(self, page: list[Entity]) -> Iterator[_Candidate]:
        for partition_key, neighbours in groupby(page, key=lambda e: str(e.properties["study_partition"])):
            row_keys = [e.row_key for e in neighbours if _may_match(e, self._unsettled)]
            if row_keys:
                yield _Candidate(partition_key, row_keys)
            else:
                self._in_vain += 1


async def _study_rows(tables: TableStore, partition_keys: Iterable[str], select: Sequence[str] | None = None) -> list[Entity | None]:
    """Read study rows; None also where the study has no instances."""
    entities = await tables.get_many(CATALOG, [(pk, STUDY_ROW) for pk in partition_keys], select=select)
    return [e if e and e.properties["instance_count"] else None for e in entities]


def matches(dataset: DicomJson, filters: Iterable[Filter]) -> bool:
    """Tell whether all filters match."""
    return all(f.matches(dataset.get(f.top_tag)) for f in filters)


def _matching(entity: Entity, filters: Sequence[Filter]) -> FoundStudy | None:
    p: Any = entity.properties
    dataset: DicomJson = orjson.loads(p["attributes"])
    modalities = terms.modalities(orjson.loads(p["modalities"]))
    dataset[terms.MODALITIES_IN_STUDY] = {"vr": "CS", "Value": modalities} if modalities else {"vr": "CS"}
    if not matches(dataset, filters):
        return None
    counts = p["series_count"], p["instance_count"]
    return FoundStudy(p["study_instance_uid"], entity.partition_key, p["sk"], *counts, p["newest"], dataset)


def _may_match(entity: Entity, filters: Sequence[Filter]) -> bool:
    if not filters:
        return True
    properties: Any = entity.properties
    covering: dict[str, Any] = orjson.loads(properties["covering"])
    return matches(covering, (f for f in filters if covering.get(f.tag, f) is not None))


def _target(field: str, uid: str, entity: Entity) -> Target:
    p: Any = entity.properties
    if field == terms.SERIES_UID:
        return Target(p["study_instance_uid"], uid)
    return Target(p["study_instance_uid"], p["series_instance_uid"], uid)
