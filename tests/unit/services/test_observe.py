"""The gauges: what waits, since when, and what cannot be read is left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.catalog.cover import encode_settle_message
from shared.catalog.feed import to_ms
from shared.catalog.keys import SETTLE_QUEUE
from shared.errors import OutcomeUnknown
from shared.ports import Backlog
from shared.services.archive import Archive
from shared.services.observe import QUEUES
from shared.settings import Settings, StorageSettings
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from shared.ports import Stores

DELAY = 60.0
SETTINGS = Settings(storage=StorageSettings(kind="embedded"), settle_delay_seconds=DELAY)
START = datetime(2026, 1, 1, tzinfo=UTC)


class SettableClock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def stores(clock: SettableClock) -> Stores:
    return memory_stores(clock)


async def read(stores: Stores) -> dict[tuple[str, ...], float]:
    readings = await Archive(stores, SETTINGS).observation.readings()
    return {(r.metric.name, *map(str, r.dimensions.values())): r.value for r in readings}


async def test_an_idle_archive_is_healthy_and_nothing_waits(stores: Stores) -> None:
    gauges = await read(stores)
    assert {gauges["archive.health", check] for check in ("blobs", "tables", "queues", "archive")} == {1}
    assert {gauges["archive.queue.messages", queue] for queue in QUEUES[:-1]} == {0}
    assert gauges["archive.feed.lag",] == 0
    assert not [name for name, *_ in gauges if name.startswith("archive.fhir")]


async def test_a_queue_says_how_much_waits_and_since_when(stores: Stores, clock: SettableClock) -> None:
    for body in ("a", "b"):
        await stores.queues.send("inbox-events", body)
    await stores.queues.send("inbox-events", "hidden", delay_seconds=3600)
    clock.time += timedelta(seconds=90)
    gauges = await read(stores)
    assert gauges["archive.queue.messages", "inbox-events"] == 3
    assert gauges["archive.queue.oldest.age", "inbox-events"] == 90


async def test_the_feed_lags_while_a_settle_message_is_overdue(stores: Stores, clock: SettableClock) -> None:
    await stores.queues.send(SETTLE_QUEUE, encode_settle_message("1~x"))
    clock.time += timedelta(seconds=DELAY + 40)
    assert (await read(stores))["archive.feed.lag",] == 40


async def test_a_look_at_fhir_that_was_put_off_for_hours_is_not_late_before_its_time(stores: Stores, clock: SettableClock) -> None:
    """On Azure a message's age counts from its sending, hours before."""

    async def backlog(queue: str) -> Backlog:
        put_off = encode_settle_message("1~x", to_ms(clock.time - timedelta(seconds=5)))
        return Backlog(1, put_off, clock.time - timedelta(hours=3)) if queue == SETTLE_QUEUE else Backlog(0)

    queues: Any = stores.queues
    queues.backlog = backlog
    assert (await read(stores))["archive.feed.lag",] == 5


async def test_what_cannot_be_read_is_left_out_and_health_says_why(stores: Stores) -> None:
    async def away(*_: object) -> Any:
        raise OutcomeUnknown("use of a queue: no answer")

    queues: Any = stores.queues
    queues.backlog = queues.check = away
    gauges = await read(stores)
    assert gauges["archive.health", "queues"] == 0
    assert gauges["archive.health", "tables"] == 1
    assert not [name for name, *_ in gauges if "queue" in name or "feed" in name]
