"""Reading windows of the change feed, and appending to it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.catalog.feed import FEED_PARTITION, FeedReader, event_row
from shared.catalog.keys import CATALOG, FEED, outbox_row
from shared.catalog.outbox import Action, Commit, FeedChange
from shared.catalog.publisher import FeedPublisher
from shared.ports import TableStore, Upsert
from tests.support.stores import memory_stores
from tests.support.virtual_time import EPOCH


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.time = EPOCH

    def now(self) -> datetime:
        return self.time


def commit(study: str, version: int, instances: int = 1, *, first: bool = True) -> Commit:
    changes = tuple(FeedChange(Action.CREATE, "1.1", f"{study}.{version}.{i}") for i in range(instances))
    return Commit(f"1~{study}", version, f"attempt{version}", study, changes, first)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def fill(tables: TableStore, clock: Clock, count: int) -> None:
    publisher = FeedPublisher(tables, clock)
    for i in range(count):
        clock.time = EPOCH + timedelta(minutes=i)
        await publisher.publish(commit(f"study{i}", 1))


async def test_an_empty_feed_has_no_latest_event(clock: Clock) -> None:
    reader = FeedReader(memory_stores(clock).tables)
    assert (await reader.latest(), await reader.read(0, 10), await reader.read_by_time(None, None, 0, 10)) == (None, [], [])


async def test_a_window_is_cut_by_sequence(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    await fill(tables, clock, 12)
    assert [e.sequence for e in await FeedReader(tables).read(3, 4)] == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("start", "end", "offset", "limit", "expected"),
    [
        (None, None, 0, 5, [1, 2, 3, 4, 5]),
        (None, None, 10, 5, [11, 12]),
        (3, None, 0, 3, [4, 5, 6]),
        (2.5, None, 1, 2, [5, 6]),
        (None, 2, 0, 10, [1, 2]),
        (3, 5, 0, 10, [4, 5]),
        (50, None, 0, 10, []),
    ],
)
async def test_a_window_is_cut_by_time(
    clock: Clock, start: float | None, end: float | None, offset: int, limit: int, expected: list[int]
) -> None:
    tables = memory_stores(clock).tables
    await fill(tables, clock, 12)
    begin, stop = (None if m is None else EPOCH + timedelta(minutes=m) for m in (start, end))
    assert [e.sequence for e in await FeedReader(tables).read_by_time(begin, stop, offset, limit)] == expected


async def test_a_clock_that_runs_backwards_does_not_take_the_feed_along(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    publisher = FeedPublisher(tables, clock)
    await publisher.publish(commit("a", 1))
    clock.time = EPOCH - timedelta(hours=1)
    await publisher.publish(commit("b", 1))
    first, second = await FeedReader(tables).read(0, 10)
    assert second.timestamp == first.timestamp


async def test_a_commit_published_twice_is_in_the_feed_once(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    await FeedPublisher(tables, clock).publish(commit("a", 1))
    await FeedPublisher(tables, clock).publish(commit("a", 1))
    assert len(await FeedReader(tables).read(0, 10)) == 1


async def test_waiting_commits_share_a_transaction_and_none_is_split(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    publisher = FeedPublisher(tables, clock)
    waiting = [publisher.publish(commit(f"s{i}", 1, instances=40)) for i in range(5)]
    for future in waiting:
        await future
    events = await FeedReader(tables).read(0, 1000)
    assert [e.study_instance_uid for e in events] == [f"s{i}" for i in range(5) for _ in range(40)]


async def test_what_another_process_left_is_published_first_and_dropped(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    left = commit("a", 1, first=False)
    await tables.transact(CATALOG, left.partition_key, [left.operation()])
    await FeedPublisher(tables, clock).publish(commit("a", 2, first=False))
    assert [e.version for e in await FeedReader(tables).read(0, 10)] == [1, 2]
    assert await tables.get(CATALOG, left.partition_key, outbox_row(1)) is None


async def test_a_head_that_moved_meanwhile_is_read_again(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    ours, other = FeedPublisher(tables, clock), FeedPublisher(tables, clock)
    await ours.publish(commit("a", 1))
    await other.publish(commit("b", 1))
    await ours.publish(commit("c", 1))
    assert [e.study_instance_uid for e in await FeedReader(tables).read(0, 10)] == ["a", "b", "c"]


async def test_publishing_that_failed_is_told_and_does_not_stop_the_next(clock: Clock) -> None:
    tables = memory_stores(clock).tables
    publisher = FeedPublisher(tables, clock, jitter=lambda: 0)
    # a foreign row where the next event belongs: no head agrees with it
    await tables.transact(FEED, FEED_PARTITION, [Upsert(event_row(1), {"schema": 1})])
    with pytest.raises(Exception, match="busy"):
        await publisher.publish(commit("a", 1))
    await tables.remove_many(FEED, [(FEED_PARTITION, event_row(1))])
    await publisher.publish(commit("b", 1))
    assert len(await FeedReader(tables).read(0, 10)) == 1
