"""Finding the series and instances of found studies. Not: which studies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from shared.catalog import records
from shared.catalog.finding import FoundStudy, matches
from shared.catalog.keys import AFTER, CATALOG, INSTANCE_PREFIX, SERIES_PREFIX, ArchiveKey
from shared.catalog.records import InstanceRecord, SeriesRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from shared.dicomweb.search_query import Filter
    from shared.ports import Entity, TableStore

NO_ATTRIBUTES = b"{}"
BIG = 1000
"""Instances above which their rows are first read without attributes: only a page of them will be needed."""


@dataclass(frozen=True, slots=True)
class Match:
    """A result of a search: a study, with the series and instance where these were searched for."""

    study: FoundStudy
    series: SeriesRecord | None = None
    instance: InstanceRecord | None = None

    @property
    def representative(self) -> str:
        """RowKey of the newest instance of a study or series; it may be gone."""
        return self.series.newest if self.series else self.study.newest


class MemberFinder:
    """Reads of the partitions of found studies."""

    def __init__(self, tables: TableStore, key: ArchiveKey) -> None:
        self._tables, self._key = tables, key

    async def series(self, study: FoundStudy, filters: Sequence[Filter]) -> list[Match]:
        """Give the matching series of a study, newest stored first."""
        found = [SeriesRecord.from_entity(entity) for entity in await self._series_rows(study)]
        matching = [s for s in found if not filters or matches(s.dataset(), filters)]
        matching.sort(key=lambda s: (-s.created_ms, s.series_instance_uid))
        return [Match(study, s) for s in matching]

    async def instances(self, study: FoundStudy, series_filters: Sequence[Filter], filters: Sequence[Filter], count: int) -> list[Match]:
        """Give the first ``count`` matching instances of a study, newest stored first.

        Where there are many, they come without attributes.
        """
        series = {m.series.series_instance_uid: m.series for m in await self.series(study, series_filters) if m.series}
        big = sum(s.instance_count for s in series.values()) > BIG
        columns = records.SLIM if big and not filters else records.SEARCH
        first: list[Entity] = []
        async for page in self._instance_rows(study, series, columns, narrowed=bool(series_filters)):
            first += [e for e in page if not filters or matches(_dataset(e), filters)]
            if len(first) > 2 * count + BIG:
                first = sorted(first, key=_newest_first)[:count]
        found = map(InstanceRecord.from_entity, sorted(first, key=_newest_first)[:count])
        return [Match(study, series[i.series_instance_uid], i) for i in found if i.series_instance_uid in series]

    async def complete(self, page: Sequence[Match]) -> list[Match]:
        """Read the attributes of instances that came without; one that is gone meanwhile is left out."""
        bare = [m.instance for m in page if m.instance and m.instance.attributes == NO_ATTRIBUTES]
        if not bare:
            return list(page)
        keys = [(m.study.partition_key, self._instance_row(m.instance)) for m in page if m.instance]
        entities = await self._tables.get_many(CATALOG, keys, select=records.SEARCH)
        return [replace(m, instance=InstanceRecord.from_entity(e)) for m, e in zip(page, entities, strict=True) if e]

    async def metadata_row(self, match: Match) -> InstanceRecord | None:
        """Read the row that has the metadata of an instance, or of the newest one of a study or series."""
        pk = match.study.partition_key
        row_key = self._instance_row(match.instance) if match.instance else match.representative
        entity = await self._tables.get(CATALOG, pk, row_key, select=records.METADATA) if row_key else None
        if entity is None and not match.instance:
            entity = await self._any_instance(match)
        return InstanceRecord.from_entity(entity) if entity else None

    async def _any_instance(self, match: Match) -> Entity | None:
        prefix = self._key.instance_prefix(match.series.series_instance_uid) if match.series else INSTANCE_PREFIX
        pk = match.study.partition_key
        pages = self._tables.pages(CATALOG, pk, start=prefix, stop=prefix + AFTER, select=records.METADATA, page_size=1)
        page: list[Entity] = await anext(pages, [])
        return page[0] if page else None

    def _instance_row(self, instance: InstanceRecord) -> str:
        return self._key.instance_row(instance.series_instance_uid, instance.sop_instance_uid)

    async def _series_rows(self, study: FoundStudy) -> list[Entity]:
        pk = study.partition_key
        named = dict.fromkeys(t.series_instance_uid for t in study.targets if t.series_instance_uid)
        if named:
            return await self._present(pk, [self._key.series_row(uid) for uid in named])
        pages = self._tables.pages(CATALOG, pk, start=SERIES_PREFIX, stop=SERIES_PREFIX + AFTER)
        return [entity async for page in pages for entity in page]

    async def _instance_rows(
        self, study: FoundStudy, series: Iterable[str], columns: Sequence[str], *, narrowed: bool
    ) -> AsyncIterator[list[Entity]]:
        pk = study.partition_key
        named = [(t.series_instance_uid, t.sop_instance_uid) for t in study.targets if t.series_instance_uid and t.sop_instance_uid]
        if named:
            row_keys = [self._key.instance_row(series_uid, sop_uid) for series_uid, sop_uid in named if series_uid in series]
            yield await self._present(pk, row_keys, columns)
            return
        prefixes = [self._key.instance_prefix(uid) for uid in series] if narrowed or study.targets else [INSTANCE_PREFIX]
        for prefix in prefixes:
            async for page in self._tables.pages(CATALOG, pk, start=prefix, stop=prefix + AFTER, select=columns):
                yield page

    async def _present(self, partition_key: str, row_keys: Iterable[str], select: Sequence[str] | None = None) -> list[Entity]:
        entities = await self._tables.get_many(CATALOG, [(partition_key, row_key) for row_key in row_keys], select=select)
        return [entity for entity in entities if entity]


def _dataset(entity: Entity) -> records.DicomJson:
    properties: Any = entity.properties
    dataset: records.DicomJson = orjson.loads(properties["attributes"])
    return dataset


def _newest_first(entity: Entity) -> tuple[int, str]:
    properties: Any = entity.properties
    return -properties["version"], properties["sop_instance_uid"]
