"""What the archive asks of storage: four ports at the level of storage verbs. No code.

Two sets of adapters implement them: embedded (files and SQLite) and Azure. Errors are the
``StorageFailure`` family of ``shared.errors``. Everything above (catalog, search hints, feed, services) is
written once, against these.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

Scalar: TypeAlias = str | int | float | bool | bytes
Properties: TypeAlias = Mapping[str, Scalar]
Key: TypeAlias = tuple[str, str]
"""PartitionKey and RowKey."""

Piece: TypeAlias = bytes | memoryview
Content: TypeAlias = bytes | Sequence[Piece] | AsyncIterable[Piece]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entity:
    """One row of a table as read: its keys, properties and ETag."""

    partition_key: str
    row_key: str
    properties: Properties
    etag: str


@dataclass(frozen=True, slots=True)
class Create:
    """Insert a row; ``AlreadyPresent`` where one is."""

    row_key: str
    properties: Properties


@dataclass(frozen=True, slots=True)
class Replace:
    """Overwrite a row If-Match; ``PreconditionFailed`` where changed, ``NotPresent`` where gone."""

    row_key: str
    properties: Properties
    etag: str


@dataclass(frozen=True, slots=True)
class Upsert:
    """Insert or overwrite a row, whatever is there. Always changes the ETag."""

    row_key: str
    properties: Properties


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a row If-Match (``"*"`` for any); errors as ``Replace``."""

    row_key: str
    etag: str


Operation: TypeAlias = Create | Replace | Upsert | Remove


class TableStore(Protocol):
    """Tables of entities, with Table Storage's semantics and limits."""

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] | None = None) -> Entity | None:
        """Read one row; None where there is none."""
        ...

    async def get_many(self, table: str, keys: Sequence[Key], *, select: Sequence[str] | None = None) -> list[Entity | None]:
        """Read rows at once, in the order of ``keys``; one request each."""
        ...

    def pages(
        self,
        table: str,
        partition_key: str,
        *,
        start: str = "",
        stop: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[list[Entity]]:
        """Read the rows ``start <= RowKey < stop`` of a partition in order, a page (one request) at a time.

        ``page_size`` is at most 1000. Pages are fetched as they are asked for; no empty page is given.
        """
        ...

    async def upsert_many(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        """Insert or overwrite ``(PartitionKey, RowKey, properties)`` rows at once, one request each, not atomically."""
        ...

    async def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations of one partition or none; give the new ETags ("" for removals).

        Raises the error of the first failing operation with its ``index``. At most 100 operations and 4 MiB,
        every row at most once. Never retried inside the adapter: a lost answer is ``OutcomeUnknown``.
        """
        ...

    async def remove_many(self, table: str, keys: Sequence[Key]) -> None:
        """Remove rows at once, unconditionally; absent ones are no error. One request each."""
        ...

    async def is_empty(self, table: str) -> bool:
        """Tell whether a table has no row at all."""
        ...

    async def durable(self) -> None:
        """Return when everything written so far survives a power cut. On Azure it does already."""
        ...

    async def check(self, table: str) -> None:
        """Raise a ``StorageFailure`` where the table cannot be reached (health probe)."""
        ...


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of a blob without reading it; ``size`` in bytes, ``modified`` in UTC."""

    name: str
    size: int
    etag: str
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuiltBlob:
    """A blob made by a ``build`` call: the pieces of its content, in order, and its metadata."""

    pieces: Sequence[Piece]
    metadata: Mapping[str, str]


class BlobStore(Protocol):
    """Blobs in containers."""

    async def put(
        self, container: str, name: str, content: Content, *, metadata: Mapping[str, str] | None = None, exclusive: bool = True
    ) -> str:
        """Write a blob durably; give its ETag. ``exclusive``: ``AlreadyPresent`` where one is, else overwrite.

        Nobody ever sees half a blob. An iterable content is streamed, never held whole; where it raises, nothing is left.
        """
        ...

    async def put_built(self, container: str, name: str, build: Callable[[], tuple[BuiltBlob | None, T]]) -> T:
        """Call ``build`` off the event loop, write what it gives (exclusively, durably), give its other result.

        One hand-over to a thread serves building and, where storage is local, writing. None writes nothing. The name must be
        new and known to nobody before this returns.
        """
        ...

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        """Append durably to a blob that has ``offset`` bytes; make it where ``offset`` is 0.

        Only blobs that this made can be appended to. ``PreconditionFailed`` where it has another size: so a call whose outcome is
        unknown may be repeated, and succeeds or says so, but never appends twice. ``NotPresent`` where there should be one.
        A power cut may leave a part of ``data``.
        """
        ...

    async def read(self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None) -> bytes:
        """Read bytes ``[start, stop)``, clipped at the end. ``NotPresent``, ``PreconditionFailed``."""
        ...

    def stream(
        self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        """Read bytes ``[start, stop)`` in pieces of at most 4 MiB. Errors arise at the first piece."""
        ...

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Describe a blob; None where there is none."""
        ...

    async def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """Delete a blob. ``NotPresent``, ``PreconditionFailed``."""
        ...

    def list(self, container: str, *, prefix: str = "") -> AsyncIterator[list[BlobInfo]]:
        """List blobs in name order, a page (one request) at a time, with metadata."""
        ...

    async def check(self, container: str) -> None:
        """Raise a ``StorageFailure`` where the container cannot be reached (health probe)."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """A queue message as received: ``receipt`` deletes it, ``dequeue_count`` counts this delivery too."""

    id: str
    receipt: str
    body: str
    dequeue_count: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a queue.

    Attributes
    ----------
    messages
        About how many there are, those that are hidden or taken too.
    oldest
        Body of the oldest message that can be received now; None where there is none.
    since
        A time between its sending and its becoming visible.
    """

    messages: int
    oldest: str | None = None
    since: datetime | None = None


class MessageQueue(Protocol):
    """Queues with visibility time-outs, at-least-once. Messages never expire."""

    async def send(self, queue: str, body: str, *, delay_seconds: float = 0) -> None:
        """Send a message that nobody sees for ``delay_seconds``."""
        ...

    async def receive(self, queue: str, *, limit: int = 16, visibility_seconds: float = 300) -> list[Message]:
        """Take up to ``limit`` (32) messages; unless deleted they come back after ``visibility_seconds``."""
        ...

    async def delete(self, queue: str, message: Message) -> None:
        """Finish a message. ``NotPresent`` where it was taken by somebody else meanwhile."""
        ...

    async def postpone(self, queue: str, message: Message, *, delay_seconds: float) -> Message:
        """Keep a taken message out of sight for ``delay_seconds`` from now (0: give it back); give it with its new receipt.

        ``NotPresent`` as ``delete``. A function host renews with it, and gives back what failed.
        """
        ...

    async def backlog(self, queue: str) -> Backlog:
        """Tell what waits, without taking it."""
        ...

    async def check(self, queue: str) -> None:
        """Raise a ``StorageFailure`` where the queue cannot be reached (health probe)."""
        ...


class Clock(Protocol):
    """Wall time. Waiting is ``asyncio.sleep``; tests bring a loop whose time is their own."""

    def now(self) -> datetime:
        """Give the time, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Stores:
    """One set of adapters."""

    blobs: BlobStore
    tables: TableStore
    queues: MessageQueue
    clock: Clock
