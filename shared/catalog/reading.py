"""Reading the truth: study, series and instance rows, point reads and ranges. Not: writing, not finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.catalog import keys, records
from shared.catalog.keys import AFTER, CATALOG, INSTANCE_PREFIX, SERIES_PREFIX, STUDY_ROW, ArchiveKey
from shared.catalog.records import InstanceRecord, SeriesRecord, StudyRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.ports import TableStore


class CatalogReader:
    """Reads of table ``catalog`` within one data partition. A study without instances does not exist."""

    def __init__(self, tables: TableStore, key: ArchiveKey, data_partition: str = keys.DEFAULT_PARTITION) -> None:
        self._tables, self._key, self._data_partition = tables, key, data_partition

    def study_partition(self, study_instance_uid: str) -> str:
        """PartitionKey of a study."""
        return self._key.study_partition(self._data_partition, study_instance_uid)

    async def study(self, study_instance_uid: str) -> StudyRecord | None:
        """Read one study; one request."""
        return (await self.studies([self.study_partition(study_instance_uid)]))[0]

    async def studies(self, partition_keys: Sequence[str]) -> list[StudyRecord | None]:
        """Read studies by PartitionKey, one request each, in order."""
        entities = await self._tables.get_many(CATALOG, [(pk, STUDY_ROW) for pk in partition_keys])
        found = [StudyRecord.from_entity(e) if e else None for e in entities]
        return [s if s and s.exists else None for s in found]

    async def one_series(self, study_instance_uid: str, series_instance_uid: str) -> SeriesRecord | None:
        """Read one series; one request."""
        pk = self.study_partition(study_instance_uid)
        entity = await self._tables.get(CATALOG, pk, self._key.series_row(series_instance_uid))
        return SeriesRecord.from_entity(entity) if entity else None

    async def series_of(self, partition_key: str) -> list[SeriesRecord]:
        """Read all series of a study, by its PartitionKey."""
        pages = self._tables.pages(CATALOG, partition_key, start=SERIES_PREFIX, stop=SERIES_PREFIX + AFTER)
        return [SeriesRecord.from_entity(e) async for page in pages for e in page]

    async def instance(
        self,
        study_instance_uid: str,
        series_instance_uid: str,
        sop_instance_uid: str,
        columns: Sequence[str] | None = records.LOCATION,
    ) -> InstanceRecord | None:
        """Read one instance; one request. ``columns`` is one of the sets of ``records``, None for all."""
        pk = self.study_partition(study_instance_uid)
        row_key = self._key.instance_row(series_instance_uid, sop_instance_uid)
        entity = await self._tables.get(CATALOG, pk, row_key, select=columns)
        return InstanceRecord.from_entity(entity) if entity else None

    async def instances(
        self, study_instance_uid: str, series_instance_uid: str | None = None, columns: Sequence[str] | None = records.LOCATION
    ) -> AsyncIterator[list[InstanceRecord]]:
        """Read the instances of a study or series, a page of at most 1000 (one request) at a time."""
        prefix = INSTANCE_PREFIX if series_instance_uid is None else self._key.instance_prefix(series_instance_uid)
        pk = self.study_partition(study_instance_uid)
        async for page in self._tables.pages(CATALOG, pk, start=prefix, stop=prefix + AFTER, select=columns):
            yield [InstanceRecord.from_entity(e) for e in page]
