"""Queues, blobs and timers fire functions as the real host does, at least once; time is virtual, the stores are the embedded ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from localhost.bindings import Function, QueueTrigger
from localhost.engine import BlobEvent, InvocationFailed, QueueEvent, TimerEvent
from localhost.host_json import QueueOptions
from localhost.ncrontab import parse_schedule
from localhost.triggers import BlobPoller, QueueListener, Timer, read_blob_event
from shared.ports import Message
from tests.support.stores import memory_stores
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from localhost.engine import Event, Receive, Scope, Send
    from localhost.routing import RouteValues
    from shared.ports import Stores

QUEUE = "settle"
FUNCTION = Function("work", QueueTrigger("msg", QUEUE))


class ScriptedEngine:
    """Notes each event and when it came; ``body`` says what the function does then."""

    def __init__(self, body: Callable[[Event], Awaitable[None]] | None = None) -> None:
        self.seen: list[tuple[float, Event]] = []
        self.running = self.most_running = 0
        self._body = body

    async def start(self) -> list[Function]:
        return []

    async def serve(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def invoke(self, function: Function, event: Event) -> None:
        self.seen.append((asyncio.get_running_loop().time(), event))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._body is not None:
                await self._body(event)
        finally:
            self.running -= 1

    async def stop(self) -> None: ...

    def tries(self) -> list[tuple[str, int]]:
        return [(event.message.body, event.message.dequeue_count) for _, event in self.seen if isinstance(event, QueueEvent)]


async def fail(_event: Event) -> None:
    raise InvocationFailed("RuntimeError")


async def take_a_minute(_event: Event) -> None:
    await asyncio.sleep(60)


async def listen(stores: Stores, engine: ScriptedEngine, options: QueueOptions, seconds: float) -> None:
    listener = QueueListener(stores.queues, engine, FUNCTION, options, QUEUE, QueueEvent)
    task = asyncio.create_task(listener.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait((task,))


async def bodies(stores: Stores, queue: str) -> list[str]:
    return [message.body for message in await stores.queues.receive(queue)]


def test_a_message_that_succeeds_is_finished() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine()
        await stores.queues.send(QUEUE, "one")
        await listen(stores, engine, QueueOptions(), seconds=100)
        assert engine.tries() == [("one", 1)]

    run_virtually(scenario())


def test_a_message_is_seen_within_a_second_and_a_bit() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine()
        await stores.queues.send(QUEUE, "late", delay_seconds=50)
        await listen(stores, engine, QueueOptions(), seconds=60)
        assert 50 <= engine.seen[0][0] <= 51.1

    run_virtually(scenario())


def test_a_message_that_fails_is_tried_again_and_then_poisoned() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(fail)
        await stores.queues.send(QUEUE, "bad")
        await listen(stores, engine, QueueOptions(max_dequeue_count=5), seconds=100)
        assert engine.tries() == [("bad", number) for number in range(1, 6)]
        assert await bodies(stores, "settle-poison") == ["bad"]

    run_virtually(scenario())


def test_a_failed_message_waits_for_the_visibility_timeout() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(fail)
        await stores.queues.send(QUEUE, "bad")
        await listen(stores, engine, QueueOptions(max_dequeue_count=2, visibility_timeout_seconds=20), seconds=100)
        first, second = (when for when, _ in engine.seen)
        assert 20 <= second - first <= 21.1

    run_virtually(scenario())


def test_a_message_in_work_for_long_is_not_handed_out_twice() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(take_a_minute)
        await stores.queues.send(QUEUE, "long")
        await listen(stores, engine, QueueOptions(), seconds=200)
        assert engine.tries() == [("long", 1)]

    run_virtually(scenario())


def test_a_message_of_a_host_that_died_comes_again() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine()
        await stores.queues.send(QUEUE, "orphan")
        await stores.queues.receive(QUEUE, visibility_seconds=30)
        await listen(stores, engine, QueueOptions(), seconds=40)
        assert engine.tries() == [("orphan", 2)]

    run_virtually(scenario())


def test_no_more_messages_are_in_work_than_the_options_allow() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(take_a_minute)
        for number in range(20):
            await stores.queues.send(QUEUE, str(number))
        await listen(stores, engine, QueueOptions(batch_size=4, new_batch_threshold=2), seconds=600)
        assert len(engine.seen) == 20
        assert engine.most_running <= 6

    run_virtually(scenario())


def test_a_stopping_host_finishes_what_is_in_work() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(take_a_minute)
        await stores.queues.send(QUEUE, "long")
        await listen(stores, engine, QueueOptions(), seconds=1)
        await asyncio.sleep(100)
        assert await bodies(stores, QUEUE) == []

    run_virtually(scenario())


def test_a_queue_that_is_not_there_is_looked_for_again() -> None:
    async def scenario() -> None:
        engine = ScriptedEngine()
        task = asyncio.create_task(
            QueueListener(memory_stores(VirtualClock()).queues, engine, FUNCTION, QueueOptions(), "absent", QueueEvent).run()
        )
        await asyncio.sleep(10)
        assert not task.done()

    run_virtually(scenario())


def test_an_event_that_cannot_be_read_is_poisoned() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine()
        await stores.queues.send("inbox-events", "nonsense")
        task = asyncio.create_task(QueueListener(stores.queues, engine, FUNCTION, QueueOptions(), "inbox-events", read_blob_event).run())
        await asyncio.sleep(10)
        assert engine.seen == []
        assert await bodies(stores, "inbox-events-poison") == ["nonsense"]
        task.cancel()

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("body", "event"),
    [
        ('{"subject": "/blobServices/default/containers/inbox/blobs/a/b c.dcm"}', BlobEvent("inbox", "a/b c.dcm")),
        ('{"subject": "/blobServices/default/containers/inbox"}', None),
        ('{"subject": 1}', None),
        ("[]", None),
        ("{", None),
    ],
)
def test_a_blob_event_names_container_and_blob(body: str, event: BlobEvent | None) -> None:
    assert read_blob_event(Message("1", "1", body, 1)) == event


async def poll(stores: Stores, engine: ScriptedEngine, seconds: float) -> None:
    task = asyncio.create_task(BlobPoller(stores.blobs, engine, FUNCTION, "inbox", max_tries=3).run())
    await asyncio.sleep(seconds)
    task.cancel()


def test_a_listed_blob_fires_once_for_each_time_it_was_written() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine()
        await stores.blobs.put("inbox", "a", b"1")
        watching = asyncio.create_task(poll(stores, engine, 20))
        await asyncio.sleep(10)
        await stores.blobs.put("inbox", "a", b"2", exclusive=False)
        await watching
        assert [event for _, event in engine.seen] == [BlobEvent("inbox", "a")] * 2

    run_virtually(scenario())


def test_a_listed_blob_that_fails_is_given_up_after_some_tries() -> None:
    async def scenario() -> None:
        stores, engine = memory_stores(VirtualClock()), ScriptedEngine(fail)
        await stores.blobs.put("inbox", "a", b"1")
        await poll(stores, engine, 60)
        assert len(engine.seen) == 3

    run_virtually(scenario())


class SlowClock:
    """Runs a little slower than the loop's time, so that sleeps seem to end early."""

    def now(self) -> datetime:
        return EPOCH + (VirtualClock().now() - EPOCH) * 0.999


@pytest.mark.parametrize("clock", [VirtualClock(), SlowClock()], ids=["precise", "slow"])
def test_a_timer_fires_once_a_due_second(clock: VirtualClock | SlowClock) -> None:
    async def scenario() -> None:
        engine = ScriptedEngine()
        task = asyncio.create_task(Timer(clock, engine, FUNCTION, parse_schedule("*/10 * * * * *"), run_on_startup=False).run())
        await asyncio.sleep(35)
        assert [round(when) for when, event in engine.seen if event == TimerEvent()] == [10, 20, 30]
        task.cancel()

    run_virtually(scenario())


def test_a_timer_may_fire_at_the_start_and_bears_failures() -> None:
    async def scenario() -> None:
        engine = ScriptedEngine(fail)
        task = asyncio.create_task(Timer(VirtualClock(), engine, FUNCTION, parse_schedule("0 * * * * *"), run_on_startup=True).run())
        await asyncio.sleep(61)
        assert [round(when) for when, _ in engine.seen] == [0, 60]
        task.cancel()

    run_virtually(scenario())
