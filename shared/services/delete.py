"""Delete a study, a series or an instance (our extension to PS3.18, as the predecessor had it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.catalog.changes import DeleteInstance
from shared.catalog.records import LOCATION
from shared.errors import ArchiveError, NotFound

if TYPE_CHECKING:
    from shared.catalog.reading import CatalogReader
    from shared.catalog.studies import Committer
    from shared.ports import TableStore


class DeleteService:
    """The delete transaction."""

    def __init__(self, tables: TableStore, reader: CatalogReader, committer: Committer) -> None:
        self._tables, self._reader, self._committer = tables, reader, committer

    async def delete(self, study_instance_uid: str, series_instance_uid: str | None = None, sop_instance_uid: str | None = None) -> None:
        """Remove what is stored under these UIDs; return when none of it is left.

        Each commit on the way leaves a whole and counted study. Interrupted, it is simply repeated. The blobs go
        later, by the sweeper.

        Raises
        ------
        NotFound
            Nothing is stored there.
        Busy
            The study is being changed by too many; repeat.
        """
        listed = await self._list(study_instance_uid, series_instance_uid, sop_instance_uid)
        if not listed:
            raise NotFound("Nothing is stored under these UIDs.")
        results = await self._committer.submit(study_instance_uid, listed)
        for result in results:
            if isinstance(result, ArchiveError):
                raise result
        await self._tables.durable()

    async def _list(self, study: str, series: str | None, instance: str | None) -> list[DeleteInstance]:
        if series is not None and instance is not None:
            record = await self._reader.instance(study, series, instance, LOCATION)
            return [DeleteInstance(series, instance)] if record else []
        pages = self._reader.instances(study, series, LOCATION)
        return [DeleteInstance(r.series_instance_uid, r.sop_instance_uid) async for page in pages for r in page]
