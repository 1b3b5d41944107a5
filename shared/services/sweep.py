"""The sweeper: removes what no row names, and finds what was left unfinished. The only one who deletes blobs.

The container ``dicom`` is walked in 256 slices, one a call, and container ``metadata`` along with it. A blob goes
when it is over 24 hours old, was written under this archive's key, and the instance row that its metadata points
to, read after the listing, does not name it. A commit names only blobs of the last 12 hours, so nothing that goes
can still be named. If over a tenth of a slice (and more than a handful) would go, something else is wrong: nothing
goes, and health turns red until an operator looked.

Once for each study met it also looks for outbox rows that are left and for a version that is not in FHIR yet, and
clears published markers that are over 30 days old.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.catalog import terms
from shared.catalog.feed import FEED_PARTITION, MARKER_PREFIX, to_ms
from shared.catalog.keys import AFTER, CATALOG, DEFAULT_PARTITION, DICOM, FEED, JOBS, METADATA, OUTBOX_PREFIX, ArchiveKey
from shared.errors import NotPresent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.catalog.cover import Cover
    from shared.ports import BlobInfo, Scalar, Stores
    from shared.services.fhir_sync import FhirSyncService

SLICES = 256
MIN_AGE = timedelta(hours=24)
MARKER_AGE = timedelta(days=30)
HANDFUL = 20
"""Blobs of one slice that may go whatever share of it they are."""
MAX_SHARE = 0.1

_JOB, _ROW = "sweep", "cursor"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SweepState:
    """Where the sweeper stands; ``held`` says that it refused to remove what it met in a slice."""

    next_slice: int = 0
    next_terms: str = ""
    held: bool = False

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        return {"schema": 1, "next_slice": self.next_slice, "next_terms": self.next_terms, "held": self.held}


class SweepService:
    """Walks the archive, a slice at a time."""

    def __init__(
        self,
        stores: Stores,
        key: ArchiveKey,
        cover: Cover,
        data_partition: str = DEFAULT_PARTITION,
        fhir: FhirSyncService | None = None,
    ) -> None:
        self._blobs, self._tables, self._clock = stores.blobs, stores.tables, stores.clock
        self._key, self._cover, self._data_partition, self._fhir = key, cover, data_partition, fhir

    async def state(self) -> SweepState:
        """Read where the sweeper stands."""
        entity = await self._tables.get(JOBS, _JOB, _ROW)
        if entity is None:
            return SweepState()
        p: Any = entity.properties
        return SweepState(p["next_slice"], p["next_terms"], p["held"])

    async def sweep(self) -> int:
        """Sweep the next slice; give how many blobs went."""
        state = await self.state()
        prefix = f"{state.next_slice:02x}/"
        removed = await self._sweep_container(DICOM, prefix) if not state.held else None
        removed_beside = await self._sweep_container(METADATA, prefix) if removed is not None else None
        swept = await terms.sweep_terms(self._tables, self._key, self._data_partition, to_ms(self._clock.now()), state.next_terms)
        held = removed is None or removed_beside is None
        moved = replace(state, next_slice=(state.next_slice + (not held)) % SLICES, next_terms=swept.resume or "", held=held)
        await self._tables.upsert_many(JOBS, [(_JOB, _ROW, moved.properties())])
        await self._tables.durable()
        return (removed or 0) + (removed_beside or 0)

    async def release(self) -> None:
        """Let a held sweeper go on: an operator has looked."""
        state = await self.state()
        await self._tables.upsert_many(JOBS, [(_JOB, _ROW, replace(state, held=False).properties())])
        await self._tables.durable()

    async def _sweep_container(self, container: str, prefix: str) -> int | None:
        """Remove the unnamed blobs of a slice; None where there are too many of them to believe it."""
        listed = [b async for page in self._blobs.list(container, prefix=prefix) for b in page]
        unnamed = await self._unnamed(listed)
        if len(unnamed) > max(HANDFUL, MAX_SHARE * len(listed)):
            _log.error("the sweeper holds: too many blobs of a slice are unnamed", extra={"unnamed": len(unnamed), "listed": len(listed)})
            return None
        for blob in unnamed:
            await self._remove(container, blob)
        if container == DICOM:
            await self._look_at_studies(listed)
        return len(unnamed)

    async def _remove(self, container: str, blob: BlobInfo) -> None:
        try:
            await self._blobs.delete(container, blob.name, if_match=blob.etag)
        except NotPresent:
            _log.info("a blob went before the sweeper came")

    async def _unnamed(self, listed: Sequence[BlobInfo]) -> list[BlobInfo]:
        youngest = self._clock.now() - MIN_AGE
        candidates = [b for b in listed if b.modified < youngest and b.metadata.get("key_id") == self._key.key_id]
        rows = await self._tables.get_many(CATALOG, [self._row_of(b) for b in candidates], select=("blob_name",))
        return [
            b for b, row in zip(candidates, rows, strict=True) if row is None or _stem(str(row.properties["blob_name"])) != _stem(b.name)
        ]

    def _row_of(self, blob: BlobInfo) -> tuple[str, str]:
        m = blob.metadata
        return self._partition_of(blob), self._key.instance_row(m["series"], m["instance"])

    def _partition_of(self, blob: BlobInfo) -> str:
        return self._key.study_partition(blob.metadata["partition"], blob.metadata["study"])

    async def _look_at_studies(self, listed: Sequence[BlobInfo]) -> None:
        ours = [b for b in listed if b.metadata.get("key_id") == self._key.key_id]
        for partition_key in dict.fromkeys(map(self._partition_of, ours)):
            left = self._tables.pages(
                CATALOG, partition_key, start=OUTBOX_PREFIX, stop=OUTBOX_PREFIX + AFTER, select=("version",), page_size=1
            )
            async for _ in left:
                await self._cover.send(partition_key)
                break
            else:
                await self._clear_markers(partition_key)
                if self._fhir is not None and await self._fhir.is_behind(partition_key):
                    await self._cover.send(partition_key)

    async def _clear_markers(self, partition_key: str) -> None:
        """Clear old markers of a study whose outbox is empty: nobody will look for them any more."""
        prefix = f"{MARKER_PREFIX}{partition_key}~"
        oldest = to_ms(self._clock.now() - MARKER_AGE)
        async for page in self._tables.pages(FEED, FEED_PARTITION, start=prefix, stop=prefix + AFTER):
            old = [e.row_key for e in page if int(e.properties["timestamp_ms"]) < oldest]
            await self._tables.remove_many(FEED, [(FEED_PARTITION, row_key) for row_key in old])


def _stem(name: str) -> str:
    return name.partition(".")[0]
