"""The TableStore port on Azure Table Storage.

Reads are retried by the SDK, and so are unconditional upserts and removals, which may happen twice without harm. Transactions are not:
a retry would hide whether the first try succeeded.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, UpdateMode

from shared.adapters import table_limits
from shared.adapters.azure_errors import Translation, code_of
from shared.ports import Create, Entity, Remove, Replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient, TableServiceClient

    from shared.ports import Key, Operation, Properties, Scalar

T = TypeVar("T")
U = TypeVar("U")

AT_ONCE = 32
"""Requests in flight, of verbs that send many."""
_READING, _WRITING, _REMOVING = Translation("read from a table"), Translation("write to a table"), Translation("remove from a table")
_TRANSACTING = Translation("transaction in a table")


class AzureTables:
    """Tables of a storage account."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._clients: dict[str, TableClient] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] | None = None) -> Entity | None:
        """Read one row; None where there is none."""
        with _READING:
            try:
                found = await self._table(table).get_entity(partition_key, row_key, select=_columns(select))
            except ResourceNotFoundError as error:
                if code_of(error) == "TableNotFound":
                    raise
                return None
        return _entity(partition_key, row_key, found)

    async def get_many(self, table: str, keys: Sequence[Key], *, select: Sequence[str] | None = None) -> list[Entity | None]:
        """Read rows at once, in the order of ``keys``; one request each."""
        return await self._at_once(lambda key: self.get(table, *key, select=select), keys)

    async def pages(
        self,
        table: str,
        partition_key: str,
        *,
        start: str = "",
        stop: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = table_limits.MAX_PAGE,
    ) -> AsyncIterator[list[Entity]]:
        """Read the rows ``start <= RowKey < stop`` of a partition in order, a page (one request) at a time."""
        table_limits.check_page_size(page_size)
        found = self._table(table).query_entities(
            _range_filter(partition_key, start, stop), select=_columns(select), results_per_page=page_size
        )
        pages = found.by_page()
        while (page := await _next_page(pages)) is not None:
            if page:
                yield [_entity(partition_key, row["RowKey"], row) for row in page]

    async def upsert_many(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        """Insert or overwrite rows at once, one request each, not atomically."""
        client = self._table(table)
        for row in rows:
            table_limits.check_entity(*row)

        async def upsert(row: tuple[str, str, Properties]) -> None:
            with _WRITING:
                await client.upsert_entity(_sent(*row), mode=UpdateMode.REPLACE)

        await self._at_once(upsert, rows)

    async def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations of one partition or none; give the new ETags ("" for removals)."""
        table_limits.check_transaction(partition_key, operations)
        batch = [_batched(partition_key, operation) for operation in operations]
        with _TRANSACTING:
            answers = await self._table(table).submit_transaction(batch, retry_total=0)
        return [answer.get("etag") or "" for answer in answers]

    async def remove_many(self, table: str, keys: Sequence[Key]) -> None:
        """Remove rows at once, unconditionally; absent ones are no error. One request each."""
        client = self._table(table)

        async def remove(key: Key) -> None:
            with _REMOVING:
                await client.delete_entity(*key)  # which takes a missing row for removed

        await self._at_once(remove, keys)

    async def is_empty(self, table: str) -> bool:
        """Tell whether a table has no row at all."""
        pages = self._table(table).list_entities(select="RowKey", results_per_page=1).by_page()
        while (page := await _next_page(pages)) is not None:
            if page:
                return False
        return True

    async def durable(self) -> None:
        """Return: what Azure acknowledged is durable."""

    async def check(self, table: str) -> None:
        """Raise a ``StorageFailure`` where the table cannot be reached."""
        with _READING:
            async for _ in self._table(table).list_entities(select="RowKey", results_per_page=1, retry_total=0):
                break

    def _table(self, table: str) -> TableClient:
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = self._service.get_table_client(table)
        return client

    async def _at_once(self, work: Callable[[T], Awaitable[U]], items: Sequence[T]) -> list[U]:
        """Do work on all items, some at a time, and finish all of it before raising the first error."""

        async def in_turn(item: T) -> U:
            async with self._slots:
                return await work(item)

        results = await asyncio.gather(*map(in_turn, items), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]


async def _next_page(pages: AsyncIterator[Any]) -> list[TableEntity] | None:
    with _READING:
        try:
            page = await anext(pages)
        except StopAsyncIteration:
            return None
        return [entity async for entity in page]


def _range_filter(partition_key: str, start: str, stop: str | None) -> str:
    clauses = [f"PartitionKey eq {_quoted(partition_key)}"]
    if start:
        clauses.append(f"RowKey ge {_quoted(start)}")
    if stop is not None:
        clauses.append(f"RowKey lt {_quoted(stop)}")
    return " and ".join(clauses)


def _quoted(text: str) -> str:
    # The service takes no control characters. No key holds one of U+007F to U+009F, so what follows them bounds the same keys.
    return "'" + text.replace("'", "''").replace("\x7f", "\xa0") + "'"


def _columns(select: Sequence[str] | None) -> str | None:
    return None if select is None else ",".join(("RowKey", *select))


def _sent(partition_key: str, row_key: str, properties: Properties) -> dict[str, Any]:
    """Add the keys, and the type to integers: without it the SDK sends 32 bits."""
    entity: dict[str, Any] = {
        name: EntityProperty(value, EdmType.INT64) if type(value) is int else value for name, value in properties.items()
    }
    entity["PartitionKey"], entity["RowKey"] = partition_key, row_key
    return entity


def _batched(partition_key: str, operation: Operation) -> tuple[str, dict[str, Any], dict[str, Any]]:
    if isinstance(operation, Remove):
        return "delete", _sent(partition_key, operation.row_key, {}), _condition(operation.etag)
    entity = _sent(partition_key, operation.row_key, operation.properties)
    if isinstance(operation, Create):
        return "create", entity, {}
    if isinstance(operation, Replace):
        return "update", entity, {"mode": UpdateMode.REPLACE, **_condition(operation.etag)}
    return "upsert", entity, {"mode": UpdateMode.REPLACE}


def _condition(etag: str) -> dict[str, Any]:
    if etag == "*":
        return {"match_condition": MatchConditions.Unconditionally}
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def _entity(partition_key: str, row_key: str, row: TableEntity) -> Entity:
    properties: dict[str, Scalar] = {}
    for name, value in row.items():
        if name not in ("PartitionKey", "RowKey"):
            properties[name] = value.value if isinstance(value, EntityProperty) else value
    return Entity(partition_key, row_key, properties, row.metadata["etag"] or "")
