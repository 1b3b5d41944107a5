"""The change feed as rows, and reading windows of it. Not: appending (``publisher``).

Table ``feed``, one partition: the row ``head`` (last sequence and timestamp), dense ``event~{sequence}``
rows from 1, and ``published~{study partition}~{version}`` markers. Sequences have no holes and timestamps
never run backwards, so that a time window is found by bisection.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.catalog.keys import FEED
from shared.catalog.outbox import Action
from shared.catalog.records import SCHEMA
from shared.ports import Create, Entity, Scalar, TableStore

FEED_PARTITION = "feed"
HEAD_ROW = "head"
MARKER_PREFIX = "published~"
DEFAULT_PARTITION_NAME = "Microsoft.Default"
"""Name of the only data partition while partitions are not offered."""

_MAX_PAGE = 1000


def event_row(sequence: int) -> str:
    """RowKey of an event."""
    return f"event~{sequence:020d}"


def marker_row(partition_key: str, version: int) -> str:
    """RowKey of the marker that says: this commit of the study is in the feed."""
    return f"{MARKER_PREFIX}{partition_key}~{version:020d}"


@dataclass(frozen=True, slots=True)
class FeedHead:
    """The last sequence given out and its time (Unix milliseconds); ETag "" where there is no head yet."""

    sequence: int = 0
    timestamp_ms: int = 0
    etag: str = ""

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        return {"schema": SCHEMA, "sequence": self.sequence, "timestamp_ms": self.timestamp_ms}


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One change of one instance; ``version`` is the study's version that made it."""

    sequence: int
    timestamp: datetime
    action: Action
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    version: int
    partition_name: str = DEFAULT_PARTITION_NAME

    def operation(self) -> Create:
        """Give the transaction's operation that appends the event."""
        return Create(
            event_row(self.sequence),
            {
                "schema": SCHEMA,
                "sequence": self.sequence,
                "timestamp_ms": to_ms(self.timestamp),
                "action": str(self.action),
                "study_instance_uid": self.study_instance_uid,
                "series_instance_uid": self.series_instance_uid,
                "sop_instance_uid": self.sop_instance_uid,
                "version": self.version,
                "partition_name": self.partition_name,
            },
        )

    @classmethod
    def from_entity(cls, entity: Entity) -> FeedEvent:
        """Read an event row."""
        p: Any = entity.properties
        return cls(
            sequence=p["sequence"],
            timestamp=from_ms(p["timestamp_ms"]),
            action=Action(p["action"]),
            study_instance_uid=p["study_instance_uid"],
            series_instance_uid=p["series_instance_uid"],
            sop_instance_uid=p["sop_instance_uid"],
            version=p["version"],
            partition_name=p["partition_name"],
        )


def to_ms(moment: datetime) -> int:
    """Give Unix milliseconds."""
    return round(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """Give the time, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


async def read_head(tables: TableStore) -> FeedHead:
    """Read the feed's head; an empty one where nothing was published yet."""
    entity = await tables.get(FEED, FEED_PARTITION, HEAD_ROW)
    if entity is None:
        return FeedHead()
    p: Any = entity.properties
    return FeedHead(p["sequence"], p["timestamp_ms"], entity.etag)


class FeedReader:
    """Windows of the change feed."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables

    async def latest(self) -> FeedEvent | None:
        """Read the newest event; None where there is none."""
        head = await read_head(self._tables)
        return await self._event(head.sequence) if head.sequence else None

    async def read(self, after_sequence: int, limit: int) -> list[FeedEvent]:
        """Read the events ``after_sequence < sequence <= after_sequence + limit``."""
        start, stop = event_row(after_sequence + 1), event_row(after_sequence + limit + 1)
        pages = self._tables.pages(FEED, FEED_PARTITION, start=start, stop=stop, page_size=min(limit, _MAX_PAGE))
        return [FeedEvent.from_entity(e) async for page in pages for e in page]

    async def read_by_time(self, start: datetime | None, end: datetime | None, offset: int, limit: int) -> list[FeedEvent]:
        """Read events of ``start <= timestamp < end`` in order, ``offset`` of them skipped."""
        head = await read_head(self._tables)
        first = 1 if start is None else await self._first_at_or_after(to_ms(start), head)
        events = await self.read(first - 1 + offset, limit)
        return events if end is None else [e for e in events if e.timestamp < end]

    async def _first_at_or_after(self, timestamp_ms: int, head: FeedHead) -> int:
        """Bisect to the first sequence at or after a time; one past the head where there is none."""
        low, high = 1, head.sequence + 1
        while low < high:
            middle = (low + high) // 2
            event = await self._event(middle)
            if event is None or to_ms(event.timestamp) >= timestamp_ms:
                high = middle
            else:
                low = middle + 1
        return low

    async def _event(self, sequence: int) -> FeedEvent | None:
        entity = await self._tables.get(FEED, FEED_PARTITION, event_row(sequence))
        return FeedEvent.from_entity(entity) if entity else None
