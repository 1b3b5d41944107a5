"""Appending to the change feed: dense, in commit order within a study, each commit exactly once.

What is kept
    A commit leaves its changes in the study's outbox. Publishing is one transaction on the feed's partition:
    the head moves on (If-Match), event rows are created, and a marker row says that this commit is in. Then the
    outbox row goes.

Invariants
    * A marker is created in the transaction that appends the commit's events. So a commit cannot be appended
      twice: the second transaction meets the marker (409).
    * An outbox row is dropped only after its marker exists. So reading the outbox first and the marker second
      always finds one of them for a commit that happened.
    * Before version v of a study is appended, its older versions are in the feed: this process appended v-1
      itself, or it reads the outbox and appends what is older along with it.

When two writers meet, one fails on the head (412), reads it and stamps anew. When one dies half-way, the outbox
row is still there, and the settle message that covers every commit brings somebody to publish it. An unknown
outcome is looked up in the markers; a late original is fenced by the markers, too.

One publisher per process gathers what waits, so that the head is fought over by processes, not requests.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.catalog.feed import FEED_PARTITION, HEAD_ROW, FeedEvent, FeedHead, from_ms, marker_row, read_head, to_ms
from shared.catalog.keys import AFTER, CATALOG, FEED, OUTBOX_PREFIX, outbox_row
from shared.catalog.outbox import Commit
from shared.catalog.records import SCHEMA
from shared.errors import AlreadyPresent, ArchiveError, Busy, OutcomeUnknown, PreconditionFailed, StorageFailure
from shared.ports import Clock, Create, Operation, Replace, Scalar, TableStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAX_OPERATIONS = 100
"""Operations in one transaction of Table Storage."""
MAX_TRIES = 12
_REMEMBERED = 10_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    commit: Commit
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class FeedPublisher:
    """Appends commits to the feed, one transaction at a time."""

    def __init__(self, tables: TableStore, clock: Clock, jitter: Callable[[], float] = random.random) -> None:
        self._tables, self._clock, self._jitter = tables, clock, jitter
        self._queue: deque[_Waiting] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._head: FeedHead | None = None
        self._last: OrderedDict[str, int] = OrderedDict()  # study partition → newest version known to be in the feed

    def publish(self, commit: Commit) -> asyncio.Future[None]:
        """Put a commit in line; the future ends when it is in the feed, or with the error that kept it out."""
        waiting = _Waiting(commit)
        self._queue.append(waiting)
        if self._drain is None or self._drain.done():
            self._drain = asyncio.get_running_loop().create_task(self._run())
        return waiting.done

    async def publish_outbox(self, partition_key: str) -> bool:
        """Publish what waits in a study's outbox; False where it was empty."""
        commits = await self._outbox(partition_key, OUTBOX_PREFIX + AFTER)
        await asyncio.gather(*[self.publish(c) for c in commits])
        return bool(commits)

    async def _run(self) -> None:
        while self._queue:
            batch = self._next_batch()
            commits = [w.commit for w in batch]
            if await self._publish_batch(batch, commits):
                await self._drop(commits)

    async def _publish_batch(self, batch: Sequence[_Waiting], commits: Sequence[Commit]) -> bool:
        """Publish a batch; whatever happens, nobody is left waiting. What was not published is left to the settle message."""
        error: ArchiveError | None = ArchiveError("Publishing failed in a way that was not foreseen.")
        try:
            await self._publish(commits)
            error = None
        except ArchiveError as known:
            error = known
            _log.warning("publishing failed", extra={"error": type(error).__name__, "commits": len(commits)})
        finally:
            _finish(batch, error)
        return error is None

    def _next_batch(self) -> list[_Waiting]:
        batch = [self._queue.popleft()]
        room = MAX_OPERATIONS - 1 - _operations(batch[0].commit)
        while self._queue and (needed := _operations(self._queue[0].commit)) <= room:
            room -= needed
            batch.append(self._queue.popleft())
        return batch

    async def _publish(self, commits: Sequence[Commit]) -> None:
        """Append commits and what must stand before them; drop the outbox rows of the latter."""
        todo: OrderedDict[tuple[str, int], Commit] = OrderedDict()
        for commit in commits:
            for older in await self._older(commit, todo):
                todo[older.partition_key, older.version] = older
            todo[commit.partition_key, commit.version] = commit
        waiting = deque(todo.values())
        while waiting:
            await self._append(_take(waiting))
        asked = {(c.partition_key, c.version) for c in commits}
        await self._drop([c for k, c in todo.items() if k not in asked])

    async def _older(self, commit: Commit, todo: OrderedDict[tuple[str, int], Commit]) -> list[Commit]:
        """Find the study's older commits that nobody is known to have appended."""
        previous = (commit.partition_key, commit.version - 1)
        if commit.first or previous in todo or self._last.get(commit.partition_key, 0) >= commit.version - 1:
            return []
        return await self._outbox(commit.partition_key, outbox_row(commit.version))

    async def _outbox(self, partition_key: str, stop: str) -> list[Commit]:
        pages = self._tables.pages(CATALOG, partition_key, start=OUTBOX_PREFIX, stop=stop)
        return [Commit.from_entity(e) async for page in pages for e in page]

    async def _append(self, commits: list[Commit]) -> None:
        """Append commits in one transaction, less those that are in the feed already."""
        for attempt in range(MAX_TRIES):
            if attempt:
                await asyncio.sleep(self._jitter() * min(0.02 * 2**attempt, 1.0))
            head = self._head or await read_head(self._tables)
            self._head = None  # until the transaction tells
            operations, moved = _transaction(commits, head, to_ms(self._clock.now()))
            try:
                etags = await self._tables.transact(FEED, FEED_PARTITION, operations)
            except PreconditionFailed:
                continue
            except AlreadyPresent as error:
                commits = _without_marker(commits, operations, error.index)
            except OutcomeUnknown:
                commits = await self._unpublished(commits)
            else:
                self._head = FeedHead(moved.sequence, moved.timestamp_ms, etags[0])
                self._remember(commits)
                return
            if not commits:
                return
        raise Busy("The change feed is busy; what was committed is announced a little later.")

    async def _unpublished(self, commits: list[Commit]) -> list[Commit]:
        """Look an unknown outcome up: keep the commits that have no marker."""
        rows = [(FEED_PARTITION, marker_row(c.partition_key, c.version)) for c in commits]
        markers = await self._tables.get_many(FEED, rows)
        return [c for c, marker in zip(commits, markers, strict=True) if marker is None]

    def _remember(self, commits: Sequence[Commit]) -> None:
        for commit in commits:
            self._last[commit.partition_key] = max(commit.version, self._last.get(commit.partition_key, 0))
            self._last.move_to_end(commit.partition_key)
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)

    async def _drop(self, commits: Sequence[Commit]) -> None:
        """Drop the outbox rows of appended commits; one that stays is met by the settle message."""
        try:
            await self._tables.remove_many(CATALOG, [(c.partition_key, outbox_row(c.version)) for c in commits])
        except StorageFailure as error:
            _log.info("outbox rows stay for the settle message", extra={"error": type(error).__name__, "commits": len(commits)})


def _finish(batch: Sequence[_Waiting], error: ArchiveError | None) -> None:
    for waiting in batch:
        if waiting.done.done():
            continue
        if error is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(error)
            waiting.done.exception()  # nobody may be waiting any more: the settle message brings it up again


def _operations(commit: Commit) -> int:
    return len(commit.changes) + 1


def _take(waiting: deque[Commit]) -> list[Commit]:
    """Take whole commits, in order, as many as one transaction holds beside the head."""
    taken, room = [], MAX_OPERATIONS - 1
    while waiting and _operations(waiting[0]) <= room:
        room -= _operations(waiting[0])
        taken.append(waiting.popleft())
    return taken


def _transaction(commits: Sequence[Commit], head: FeedHead, now_ms: int) -> tuple[list[Operation], FeedHead]:
    """Make the operations that append commits after ``head``, and the head as it will be."""
    timestamp_ms = max(now_ms, head.timestamp_ms)
    timestamp, sequence = from_ms(timestamp_ms), head.sequence
    operations: list[Operation] = []
    for commit in commits:
        for change in commit.changes:
            sequence += 1
            uids = (commit.study_instance_uid, change.series_instance_uid, change.sop_instance_uid)
            operations.append(FeedEvent(sequence, timestamp, change.action, *uids, commit.version).operation())
        marker: dict[str, Scalar] = {"schema": SCHEMA, "attempt_id": commit.attempt_id, "timestamp_ms": timestamp_ms}
        operations.append(Create(marker_row(commit.partition_key, commit.version), marker))
    moved = FeedHead(sequence, timestamp_ms)
    first: Operation = Replace(HEAD_ROW, moved.properties(), head.etag) if head.etag else Create(HEAD_ROW, moved.properties())
    return [first, *operations], moved


def _without_marker(commits: list[Commit], operations: Sequence[Operation], index: int) -> list[Commit]:
    """Leave out the commit whose marker is there already; all stay where it was a row of the head's making."""
    row_key = operations[index].row_key
    return [c for c in commits if marker_row(c.partition_key, c.version) != row_key]
