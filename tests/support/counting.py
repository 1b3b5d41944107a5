"""Stores that count requests as Azure bills them: what carries over from this machine to production.

Wrap any stores with ``counting(stores)``, act, and look at ``counts``: a ``Counter`` from labels such as
``"get catalog"``, ``"upsert search"``, ``"put dicom"`` or ``"send settle"`` to requests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from shared.ports import Stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from shared.ports import (
        Backlog,
        BlobInfo,
        BlobStore,
        BuiltBlob,
        Content,
        Entity,
        Key,
        Message,
        MessageQueue,
        Operation,
        Properties,
        TableStore,
    )

T = TypeVar("T")
BLOCK_BYTES = 8 * 1024 * 1024
"""Of a streamed blob: one request each, and one to commit them."""


@dataclass
class CountingTables:
    """A TableStore whose requests are counted: ``get``, ``page``, ``upsert``, ``transact``, ``remove``."""

    inner: TableStore
    counts: Counter[str] = field(default_factory=Counter)

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] | None = None) -> Entity | None:
        self.counts[f"get {table}"] += 1
        return await self.inner.get(table, partition_key, row_key, select=select)

    async def get_many(self, table: str, keys: Sequence[Key], *, select: Sequence[str] | None = None) -> list[Entity | None]:
        self.counts[f"get {table}"] += len(keys)
        return await self.inner.get_many(table, keys, select=select)

    async def pages(
        self,
        table: str,
        partition_key: str,
        *,
        start: str = "",
        stop: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[list[Entity]]:
        given = 0
        async for page in self.inner.pages(table, partition_key, start=start, stop=stop, select=select, page_size=page_size):
            self.counts[f"page {table}"] += 1
            given += 1
            yield page
        if not given:
            self.counts[f"page {table}"] += 1

    async def upsert_many(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        self.counts[f"upsert {table}"] += len(rows)
        await self.inner.upsert_many(table, rows)

    async def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        self.counts[f"transact {table}"] += 1
        return await self.inner.transact(table, partition_key, operations)

    async def remove_many(self, table: str, keys: Sequence[Key]) -> None:
        self.counts[f"remove {table}"] += len(keys)
        await self.inner.remove_many(table, keys)

    async def is_empty(self, table: str) -> bool:
        self.counts[f"page {table}"] += 1
        return await self.inner.is_empty(table)

    async def durable(self) -> None:
        await self.inner.durable()

    async def check(self, table: str) -> None:
        self.counts[f"check {table}"] += 1
        await self.inner.check(table)


@dataclass
class CountingBlobs:
    """A BlobStore whose requests are counted: ``put``, ``append``, ``read``, ``head``, ``delete``, ``list``."""

    inner: BlobStore
    counts: Counter[str] = field(default_factory=Counter)

    async def put(
        self, container: str, name: str, content: Content, *, metadata: Mapping[str, str] | None = None, exclusive: bool = True
    ) -> str:
        self.counts[f"put {container}"] += 1
        if isinstance(content, AsyncIterable):
            content = self._count_blocks(container, content)
        return await self.inner.put(container, name, content, metadata=metadata, exclusive=exclusive)

    async def put_built(self, container: str, name: str, build: Callable[[], tuple[BuiltBlob | None, T]]) -> T:
        def build_and_count() -> tuple[BuiltBlob | None, T]:
            blob, result = build()
            self.counts[f"put {container}"] += blob is not None
            return blob, result

        return await self.inner.put_built(container, name, build_and_count)

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        self.counts[f"append {container}"] += 1 if offset else 2  # the first makes the blob
        await self.inner.append(container, name, data, offset=offset)

    async def read(self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None) -> bytes:
        self.counts[f"read {container}"] += 1
        return await self.inner.read(container, name, start=start, stop=stop, if_match=if_match)

    async def stream(
        self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        self.counts[f"read {container}"] += 1
        async for piece in self.inner.stream(container, name, start=start, stop=stop, if_match=if_match):
            yield piece

    async def head(self, container: str, name: str) -> BlobInfo | None:
        self.counts[f"head {container}"] += 1
        return await self.inner.head(container, name)

    async def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        self.counts[f"delete {container}"] += 1
        await self.inner.delete(container, name, if_match=if_match)

    async def list(self, container: str, *, prefix: str = "") -> AsyncIterator[list[BlobInfo]]:
        async for page in self.inner.list(container, prefix=prefix):
            self.counts[f"list {container}"] += 1
            yield page

    async def check(self, container: str) -> None:
        self.counts[f"check {container}"] += 1
        await self.inner.check(container)

    async def _count_blocks(self, container: str, content: AsyncIterable[bytes | memoryview]) -> AsyncIterator[bytes | memoryview]:
        size = 0
        async for piece in content:
            size += len(piece)
            yield piece
        if size > BLOCK_BYTES:
            self.counts[f"put {container}"] += -(-size // BLOCK_BYTES)


@dataclass
class CountingQueues:
    """A MessageQueue whose requests are counted: ``send``, ``receive``, ``finish``, ``postpone``."""

    inner: MessageQueue
    counts: Counter[str] = field(default_factory=Counter)

    async def send(self, queue: str, body: str, *, delay_seconds: float = 0) -> None:
        self.counts[f"send {queue}"] += 1
        await self.inner.send(queue, body, delay_seconds=delay_seconds)

    async def receive(self, queue: str, *, limit: int = 16, visibility_seconds: float = 300) -> list[Message]:
        self.counts[f"receive {queue}"] += 1
        return await self.inner.receive(queue, limit=limit, visibility_seconds=visibility_seconds)

    async def delete(self, queue: str, message: Message) -> None:
        self.counts[f"finish {queue}"] += 1
        await self.inner.delete(queue, message)

    async def postpone(self, queue: str, message: Message, *, delay_seconds: float) -> Message:
        self.counts[f"postpone {queue}"] += 1
        return await self.inner.postpone(queue, message, delay_seconds=delay_seconds)

    async def backlog(self, queue: str) -> Backlog:
        self.counts[f"backlog {queue}"] += 2  # its properties, and a peek
        return await self.inner.backlog(queue)

    async def check(self, queue: str) -> None:
        self.counts[f"check {queue}"] += 1
        await self.inner.check(queue)


def counting(stores: Stores) -> tuple[Stores, Counter[str]]:
    """Wrap stores so that all their requests are counted in one ``Counter``, which a test may clear."""
    counts: Counter[str] = Counter()
    counted = Stores(
        blobs=CountingBlobs(stores.blobs, counts),
        tables=CountingTables(stores.tables, counts),
        queues=CountingQueues(stores.queues, counts),
        clock=stores.clock,
    )
    return counted, counts
