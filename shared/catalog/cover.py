"""Settle messages: every commit is covered by one, so that somebody finishes what a dead process began.

A settle message names a study's partition (a hash, nothing else) and becomes visible after the settle delay.
Its handler publishes what is left in the study's outbox, and looks whether FHIR is in step; a look that comes too
early is put off by a message that says until when. One message covers all that this process commits on the study
during the first third of the delay: a commit sent later than that might take effect after the message was handled,
so it sends its own.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import orjson

from shared.catalog.keys import SETTLE_QUEUE
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.ports import MessageQueue

_REMEMBERED = 10_000


class SettleMessage(NamedTuple):
    """A settle message: the study's PartitionKey, and the time (Unix milliseconds) that a look was put off to, if it was."""

    partition_key: str
    next_ms: int | None = None


def encode_settle_message(partition_key: str, next_ms: int | None = None) -> str:
    """Write the body of a settle message."""
    put_off = {} if next_ms is None else {"next": next_ms}
    return orjson.dumps({"schema": 1, "partition": partition_key, **put_off}).decode()


def decode_settle_message(body: str) -> SettleMessage:
    """Read the body of a settle message.

    Raises
    ------
    InvalidRequest
        It is none: the queue holds something that we did not write.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or message.get("schema") != 1 or not isinstance(message.get("partition"), str):
        raise InvalidRequest("A message of the settle queue must be an object with schema 1 and a partition.")
    put_off = message.get("next")
    return SettleMessage(message["partition"], put_off if isinstance(put_off, int) else None)


class Cover:
    """Sends settle messages, as few as the rule allows."""

    def __init__(self, queues: MessageQueue, delay_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queues, self._delay, self._monotonic = queues, delay_seconds, monotonic
        self._sent: OrderedDict[str, float] = OrderedDict()

    async def ensure(self, partition_key: str) -> None:
        """Send a settle message for the study unless one was sent less than a third of the delay ago."""
        now = self._monotonic()
        if now - self._sent.get(partition_key, float("-inf")) < self._delay / 3:
            return
        await self.send(partition_key)
        self._sent[partition_key] = now
        self._sent.move_to_end(partition_key)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    async def send(self, partition_key: str) -> None:
        """Send a settle message for the study."""
        await self._queues.send(SETTLE_QUEUE, encode_settle_message(partition_key), delay_seconds=self._delay)

    async def send_at(self, partition_key: str, now_ms: int, next_ms: int) -> None:
        """Send a message that is seen at ``next_ms``, and carries it."""
        delay_seconds = max(next_ms - now_ms, 0) / 1000
        await self._queues.send(SETTLE_QUEUE, encode_settle_message(partition_key, next_ms), delay_seconds=delay_seconds)
