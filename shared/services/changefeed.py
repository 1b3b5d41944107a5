"""The change feed as callers see it: events with the state of their instance as it is now.

Version 1 pages by sequence number, version 2 by time; the entries are alike. An event is ``Current`` while the
instance is what the event made of it, ``Replaced`` once something newer is stored, ``Deleted`` when nothing is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from shared.catalog.outbox import Action
from shared.catalog.records import LOCATION, METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from shared.catalog.feed import FeedEvent, FeedReader
    from shared.catalog.reading import CatalogReader
    from shared.catalog.records import InstanceRecord
    from shared.services.metadata import MetadataService

_AT_ONCE = 16
"""So many instance rows are read at a time."""


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """``start <= timestamp < end``, in UTC; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class ChangeFeedService:
    """Reads the change feed."""

    def __init__(self, feed: FeedReader, reader: CatalogReader, metadata: MetadataService) -> None:
        self._feed, self._reader, self._metadata = feed, reader, metadata

    async def read_sequence(self, offset: int, limit: int, *, include_metadata: bool) -> bytes:
        """Give the events ``offset < sequence <= offset + limit`` as a JSON array (version 1)."""
        return await self._array(await self._feed.read(offset, limit), include_metadata=include_metadata)

    async def read_window(self, window: TimeWindow, offset: int, limit: int, *, include_metadata: bool) -> bytes:
        """Give ``limit`` events of a time window, ``offset`` of them skipped, as a JSON array (version 2)."""
        events = await self._feed.read_by_time(window.start, window.end, offset, limit)
        return await self._array(events, include_metadata=include_metadata)

    async def latest(self, *, include_metadata: bool) -> bytes | None:
        """Give the newest event as a JSON object; None where the feed is empty."""
        event = await self._feed.latest()
        return await self._entry(event, include_metadata=include_metadata) if event else None

    async def _array(self, events: Sequence[FeedEvent], *, include_metadata: bool) -> bytes:
        entries: list[bytes] = []
        for first in range(0, len(events), _AT_ONCE):
            some = events[first : first + _AT_ONCE]
            entries += await asyncio.gather(*[self._entry(e, include_metadata=include_metadata) for e in some])
        return b"[" + b",".join(entries) + b"]"

    async def _entry(self, event: FeedEvent, *, include_metadata: bool) -> bytes:
        columns = METADATA if include_metadata else LOCATION
        uids = (event.study_instance_uid, event.series_instance_uid, event.sop_instance_uid)
        record = await self._reader.instance(*uids, columns)
        metadata = await self._metadata.of_instance(record) if record and include_metadata else None
        return _json(event, record, metadata)


def _json(event: FeedEvent, record: InstanceRecord | None, metadata: bytes | None) -> bytes:
    entry: dict[str, object] = {
        "sequence": event.sequence,
        "partitionName": event.partition_name,
        "studyInstanceUid": event.study_instance_uid,
        "seriesInstanceUid": event.series_instance_uid,
        "sopInstanceUid": event.sop_instance_uid,
        "action": str(event.action),
        "timestamp": event.timestamp.isoformat(timespec="milliseconds"),
        "state": _state(event, record),
    }
    if metadata is not None:
        entry["metadata"] = orjson.Fragment(metadata)
    return orjson.dumps(entry)


def _state(event: FeedEvent, record: InstanceRecord | None) -> str:
    if record is None:
        return "Deleted"
    is_newest = event.action is not Action.DELETE and event.version == record.version
    return "Current" if is_newest else "Replaced"
