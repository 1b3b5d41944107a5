"""Triggers that are not HTTP: queues, blobs and timers, fired from the stores that the app itself uses.

Messages are taken as the real host takes them: in batches, at least once, hidden while they are worked on. A function that fails
gives its message back for another try; after ``maxDequeueCount`` tries it goes to the poison queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from localhost.engine import BlobEvent, InvocationFailed, TimerEvent
from shared.errors import NotPresent, StorageFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from localhost.bindings import Function
    from localhost.engine import Engine, Event
    from localhost.host_json import QueueOptions
    from localhost.ncrontab import Schedule
    from shared.ports import BlobStore, Clock, Message, MessageQueue

_logger = logging.getLogger(__name__)
_LEASE_SECONDS = 30.0
"""How long a message stays hidden should the host die; the real host takes ten minutes."""
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
"""Between looks into an empty queue; the real host's ``maxPollingInterval`` may be longer, which nobody waits for on a laptop."""
_BLOB_LISTING_SECONDS = 2.0
_SUBJECT = re.compile(r"/blobServices/default/containers/(?P<container>[^/]+)/blobs/(?P<blob>.+)", re.DOTALL)


@dataclass
class QueueListener:
    """Feeds one function from one queue, several messages at a time.

    Parameters
    ----------
    queue
        Where messages are taken from; those that failed too often go to the queue of this name with ``-poison``.
    read
        Makes the function's event of a message; None fails as the function would.
    """

    queues: MessageQueue
    engine: Engine
    function: Function
    options: QueueOptions
    queue: str
    read: Callable[[Message], Event | None]
    _working: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Take messages until cancelled; then wait for those in work."""
        pause = _FIRST_PAUSE_SECONDS
        try:
            while True:
                if await self._take_batch():
                    pause = _FIRST_PAUSE_SECONDS
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS, self.options.max_polling_interval_seconds)
        finally:
            if self._working:
                await asyncio.wait(self._working)

    async def _take_batch(self) -> bool:
        while len(self._working) > self.options.new_batch_threshold:
            await asyncio.wait(self._working, return_when=asyncio.FIRST_COMPLETED)
        try:
            messages = await self.queues.receive(self.queue, limit=self.options.batch_size, visibility_seconds=_LEASE_SECONDS)
        except NotPresent:
            return False
        except StorageFailure as error:
            _logger.warning("Queue %s cannot be read: %s", self.queue, error)
            return False
        for message in messages:
            task = asyncio.create_task(self._work(message))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        return bool(messages)

    async def _work(self, message: Message) -> None:
        lease = _Lease(self.queues, self.queue, message)
        renewing = asyncio.create_task(lease.renew())
        try:
            failed = message.dequeue_count > self.options.max_dequeue_count or not await self._fire(message)
        finally:
            renewing.cancel()
            await asyncio.wait((renewing,))
        try:
            await self._settle(lease.message, failed=failed)
        except NotPresent:
            _logger.warning("A message of queue %s was taken by somebody else while it was worked on.", self.queue)
        except StorageFailure as error:
            _logger.warning("A message of queue %s will come again: %s", self.queue, error)

    async def _fire(self, message: Message) -> bool:
        event = self.read(message)
        return event is not None and await _run(self.engine, self.function, event)

    async def _settle(self, message: Message, *, failed: bool) -> None:
        if failed and message.dequeue_count < self.options.max_dequeue_count:
            await self.queues.postpone(self.queue, message, delay_seconds=self.options.visibility_timeout_seconds)
            return
        if failed:
            _logger.error("A message of queue %s failed %d times; it goes to the poison queue.", self.queue, message.dequeue_count)
            await self.queues.send(f"{self.queue}-poison", message.body)
        await self.queues.delete(self.queue, message)


@dataclass
class _Lease:
    """Keeps a message hidden while it is worked on."""

    queues: MessageQueue
    queue: str
    message: Message

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(_LEASE_SECONDS / 2)
            with contextlib.suppress(StorageFailure):  # it comes again then, which a function must bear anyway
                self.message = await self.queues.postpone(self.queue, self.message, delay_seconds=_LEASE_SECONDS)


@dataclass
class BlobPoller:
    """Fires a blob function by listing its container, where the store tells of no events (Azurite, or an account without them)."""

    blobs: BlobStore
    engine: Engine
    function: Function
    container: str
    max_tries: int
    _tries: dict[tuple[str, str], int] = field(default_factory=dict)

    async def run(self) -> None:
        """List and fire until cancelled."""
        while True:
            try:
                await self._look()
            except StorageFailure as error:
                _logger.warning("Container %s cannot be listed: %s", self.container, error)
            await asyncio.sleep(_BLOB_LISTING_SECONDS)

    async def _look(self) -> None:
        tries: dict[tuple[str, str], int] = {}
        async for page in self.blobs.list(self.container):
            for blob in page:
                seen = (blob.name, blob.etag)
                tries[seen] = self._tries.get(seen, 0)
                if tries[seen] < self.max_tries:
                    done = await _run(self.engine, self.function, BlobEvent(self.container, blob.name))
                    tries[seen] = self.max_tries if done else tries[seen] + 1
        self._tries = tries


@dataclass
class Timer:
    """Fires a function by its schedule, in UTC; one run at a time."""

    clock: Clock
    engine: Engine
    function: Function
    schedule: Schedule
    run_on_startup: bool

    async def run(self) -> None:
        """Wait and fire until cancelled."""
        if self.run_on_startup:
            await _run(self.engine, self.function, TimerEvent())
        due = self.clock.now()
        while True:
            due = self.schedule.next_after(max(due, self.clock.now()))  # a sleep may end a little early
            await asyncio.sleep((due - self.clock.now()).total_seconds())
            await _run(self.engine, self.function, TimerEvent())


async def _run(engine: Engine, function: Function, event: Event) -> bool:
    try:
        await engine.invoke(function, event)
    except InvocationFailed as failure:
        _logger.error("Function %s failed: %s", function.name, failure)  # noqa: TRY400 -- a traceback could quote a patient's values
        return False
    return True


def read_blob_event(message: Message) -> BlobEvent | None:
    """Read a blob-created event in Event Grid's shape; None where it is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        if found := _SUBJECT.fullmatch(json.loads(message.body)["subject"]):
            return BlobEvent(found["container"], found["blob"])
    return None
