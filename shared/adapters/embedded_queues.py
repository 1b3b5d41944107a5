"""The MessageQueue port on SQLite: one table of messages, with the time from which each is visible."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.adapters.queue_limits import check_body, check_limit
from shared.errors import NotPresent
from shared.ports import Backlog, Message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.adapters.embedded_database import Database
    from shared.ports import Clock

_TABLE = """CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL,
    visible_at REAL NOT NULL, dequeue_count INTEGER NOT NULL, receipt INTEGER, body TEXT NOT NULL)"""
_INDEX = "CREATE INDEX IF NOT EXISTS messages_by_time ON messages (queue, visible_at)"
_SEND = "INSERT INTO messages (queue, visible_at, dequeue_count, body) VALUES (?, ?, 0, ?)"
_DUE = "SELECT id, body, dequeue_count + 1 FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?"
_TAKE = "UPDATE messages SET visible_at = ?, receipt = ?, dequeue_count = dequeue_count + 1 WHERE id = ?"
_FIND = "SELECT 1 FROM messages WHERE id = ? AND queue = ? AND receipt = ?"
_POSTPONE = "UPDATE messages SET visible_at = ?, receipt = ? WHERE id = ?"
_COUNT = "SELECT COUNT(*) FROM messages WHERE queue = ?"
_OLDEST = "SELECT body, visible_at FROM messages WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT 1"
_DELETE = "DELETE FROM messages WHERE id = ?"


class EmbeddedQueues:
    """Queues in a SQLite database. Each delivery and each postponement gives a message a new receipt."""

    def __init__(self, database: Database, queues: Iterable[str], clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._queues = frozenset(queues)
        database.define(_TABLE)
        database.define(_INDEX)

    async def send(self, queue: str, body: str, *, delay_seconds: float = 0) -> None:
        """Send a message that nobody sees for ``delay_seconds``."""
        self._check_queue(queue)
        check_body(body)
        self._database.write((_SEND, [(queue, self._now() + delay_seconds, body)]))

    async def receive(self, queue: str, *, limit: int = 16, visibility_seconds: float = 300) -> list[Message]:
        """Take up to ``limit`` messages; unless deleted they come back after ``visibility_seconds``."""
        self._check_queue(queue)
        check_limit(limit)
        now = self._now()
        due = self._database.read(_DUE, (queue, now, limit))
        taken = [(number, body, delivery, self._database.new_etag()) for number, body, delivery in due]
        if taken:
            self._database.write((_TAKE, [(now + visibility_seconds, receipt, number) for number, _, _, receipt in taken]))
        return [Message(str(number), str(receipt), body, delivery) for number, body, delivery, receipt in taken]

    async def delete(self, queue: str, message: Message) -> None:
        """Finish a message. ``NotPresent`` where it was taken by somebody else meanwhile."""
        self._database.write((_DELETE, [(self._find(queue, message),)]))

    async def postpone(self, queue: str, message: Message, *, delay_seconds: float) -> Message:
        """Keep a taken message out of sight for ``delay_seconds`` from now; give it with its new receipt."""
        number = self._find(queue, message)
        receipt = self._database.new_etag()
        self._database.write((_POSTPONE, [(self._now() + delay_seconds, receipt, number)]))
        return replace(message, receipt=str(receipt))

    async def backlog(self, queue: str) -> Backlog:
        """Tell what waits, without taking it."""
        self._check_queue(queue)
        ((count,),) = self._database.read(_COUNT, (queue,))
        oldest = self._database.read(_OLDEST, (queue, self._now()))
        return Backlog(count, oldest[0][0], datetime.fromtimestamp(oldest[0][1], UTC)) if oldest else Backlog(count)

    async def check(self, queue: str) -> None:
        """Raise a ``StorageFailure`` where the queue cannot be reached."""
        self._check_queue(queue)
        self._database.read("SELECT 1 FROM messages LIMIT 1")

    def _find(self, queue: str, message: Message) -> int:
        self._check_queue(queue)
        number = int(message.id)
        if not self._database.read(_FIND, (number, queue, int(message.receipt))):
            raise NotPresent("the message is gone, or was taken by somebody else")
        return number

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _check_queue(self, queue: str) -> None:
        if queue not in self._queues:
            raise NotPresent("no such queue")
