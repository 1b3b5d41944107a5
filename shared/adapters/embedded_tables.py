"""The TableStore port on SQLite: one table ``(pk, rk, etag, body, bin)`` per logical table, clustered by key.

``body`` is JSON of a row's numbers and texts, and under ``""`` (no legal name) the names and lengths of its binary properties,
whose bytes lie joined in ``bin``. That is the last column, so that a read which selects no binary property does not
touch it; ``binary_names`` remembers which properties ever were binary, for otherwise the reader could not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters import table_limits
from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed
from shared.ports import Create, Entity, Operation, Remove, Replace, Upsert

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from shared.adapters.embedded_database import Database, Row
    from shared.ports import Key, Properties, Scalar

_AFTER_EVERY_KEY = "\U0010ffff"
_ETAG = 2
"""Position of the ETag in a row."""


class EmbeddedTables:
    """Tables of entities in a SQLite database."""

    def __init__(self, database: Database, tables: Iterable[str]) -> None:
        self._database = database
        self._tables = {name: _Sql(name) for name in tables}
        for sql in self._tables.values():
            database.define(sql.create_table)
        database.define("CREATE TABLE IF NOT EXISTS binary_names (name TEXT PRIMARY KEY) WITHOUT ROWID")
        self._binary_names: set[str] = {name for (name,) in database.read("SELECT name FROM binary_names")}

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] | None = None) -> Entity | None:
        """Read one row; None where there is none."""
        sql = self._sql(table).get[self._wants_binary(select)]
        return self._get(sql, (partition_key, row_key), select)

    async def get_many(self, table: str, keys: Sequence[Key], *, select: Sequence[str] | None = None) -> list[Entity | None]:
        """Read rows at once, in the order of ``keys``."""
        if len(keys) == 1:
            return [await self.get(table, *keys[0], select=select)]
        sql = self._sql(table).get_many[self._wants_binary(select)]
        found: list[Entity | None] = [None] * len(keys)
        for place, *row in self._database.read(sql, (orjson.dumps(keys).decode(),)):
            found[place] = _entity(keys[place][0], tuple(row), select)
        return found

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
        """Read the rows ``start <= RowKey < stop`` of a partition in order, a page at a time."""
        table_limits.check_page_size(page_size)
        statements = self._sql(table).page
        last = _AFTER_EVERY_KEY if stop is None else stop
        while True:
            rows = self._database.read(statements[self._wants_binary(select)], (partition_key, start, last, page_size))
            if rows:
                yield [_entity(partition_key, row, select) for row in rows]
            if len(rows) < page_size:
                return
            start = rows[-1][0] + "\x00"

    async def upsert_many(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        """Insert or overwrite rows, whatever is there."""
        sql = self._sql(table)
        for row in rows:
            table_limits.check_entity(*row)
        self._database.write((sql.put, [self._encode(*row) for row in rows]))

    async def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        """Do all operations of one partition or none; give the new ETags ("" for removals)."""
        sql = self._sql(table)
        table_limits.check_transaction(partition_key, operations)
        self._check_conditions(sql, partition_key, operations)
        put: list[Row] = []
        removed: list[Row] = []
        etags: list[str] = []
        for operation in operations:
            if isinstance(operation, Remove):
                removed.append((partition_key, operation.row_key))
                etags.append("")
            else:
                put.append(self._encode(partition_key, operation.row_key, operation.properties))
                etags.append(str(put[-1][_ETAG]))
        self._database.write((sql.put, put), (sql.remove, removed))
        return etags

    async def remove_many(self, table: str, keys: Sequence[Key]) -> None:
        """Remove rows, unconditionally; absent ones are no error."""
        self._database.write((self._sql(table).remove, keys))

    async def is_empty(self, table: str) -> bool:
        """Tell whether a table has no row at all."""
        return not self._database.read(self._sql(table).probe)

    async def durable(self) -> None:
        """Return when everything written so far survives a power cut."""
        await self._database.durable()

    async def check(self, table: str) -> None:
        """Raise a ``StorageFailure`` where the table cannot be reached."""
        self._database.read(self._sql(table).probe)

    def _sql(self, table: str) -> _Sql:
        try:
            return self._tables[table]
        except KeyError as error:
            raise NotPresent("no such table") from error

    def _wants_binary(self, select: Sequence[str] | None) -> bool:
        return select is None or not self._binary_names.isdisjoint(select)

    def _get(self, sql: str, key: Key, select: Sequence[str] | None) -> Entity | None:
        row = self._database.read_one(sql, key)
        return _entity(key[0], row, select) if row else None

    def _check_conditions(self, sql: _Sql, partition_key: str, operations: Sequence[Operation]) -> None:
        row_keys = [operation.row_key for operation in operations if not isinstance(operation, Upsert)]
        etags: dict[str, int] = dict(self._database.read(sql.get_etags, (partition_key, orjson.dumps(row_keys).decode())))
        for index, operation in enumerate(operations):
            if not isinstance(operation, Upsert):
                _check_condition(operation, etags.get(operation.row_key), index)

    def _encode(self, partition_key: str, row_key: str, properties: Properties) -> Row:
        body: dict[str, Any] = dict(properties)
        binary = {name: value for name, value in properties.items() if isinstance(value, bytes)}
        etag = self._database.new_etag()
        if not binary:
            return partition_key, row_key, etag, orjson.dumps(body), None
        self._remember_binary(binary)
        for name in binary:
            del body[name]
        body[""] = {name: len(value) for name, value in binary.items()}
        return partition_key, row_key, etag, orjson.dumps(body), b"".join(binary.values())

    def _remember_binary(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self._binary_names]
        if new:
            self._database.write(("INSERT OR IGNORE INTO binary_names VALUES (?)", [(name,) for name in new]))
            self._binary_names.update(new)


class _Sql:
    """The statements of one table."""

    # ruff: noqa: S608 -- the name put into them is one of ours, never a caller's text

    def __init__(self, table: str) -> None:
        name = f'"table_{table}"'
        columns = {False: "rk, etag, body", True: "rk, etag, body, bin"}
        self.create_table = (
            f"CREATE TABLE IF NOT EXISTS {name} (pk TEXT NOT NULL, rk TEXT NOT NULL, etag INTEGER NOT NULL, "
            "body BLOB NOT NULL, bin BLOB, PRIMARY KEY (pk, rk)) WITHOUT ROWID"
        )
        self.get = {binary: f"SELECT {c} FROM {name} WHERE pk = ? AND rk = ?" for binary, c in columns.items()}
        self.get_many = {  # one statement for all: each gives the interpreter away, and waits to have it back
            binary: f"SELECT wanted.key, {c} FROM json_each(?) AS wanted CROSS JOIN {name} "
            "ON pk = json_extract(wanted.value, '$[0]') AND rk = json_extract(wanted.value, '$[1]')"
            for binary, c in columns.items()
        }
        self.page = {
            binary: f"SELECT {c} FROM {name} WHERE pk = ? AND rk >= ? AND rk < ? ORDER BY rk LIMIT ?" for binary, c in columns.items()
        }
        self.get_etags = f"SELECT rk, etag FROM {name} WHERE pk = ? AND rk IN (SELECT value FROM json_each(?))"
        self.put = f"INSERT OR REPLACE INTO {name} VALUES (?, ?, ?, ?, ?)"
        self.remove = f"DELETE FROM {name} WHERE pk = ? AND rk = ?"
        self.probe = f"SELECT 1 FROM {name} LIMIT 1"


def _check_condition(operation: Create | Replace | Remove, etag: int | None, index: int) -> None:
    if isinstance(operation, Create):
        if etag is not None:
            raise AlreadyPresent("the row is there already", index)
    elif etag is None:
        raise NotPresent("the row is not there", index)
    elif operation.etag not in ("*", str(etag)):
        raise PreconditionFailed("the row was changed meanwhile", index)


def _entity(partition_key: str, row: Row, select: Sequence[str] | None) -> Entity:
    """Decode ``rk, etag, body[, bin]``."""
    properties: dict[str, Scalar] = orjson.loads(row[2])
    lengths: Any = properties.pop("", None)
    if lengths and len(row) > 3:
        _unpack(properties, lengths, row[3])
    if select is not None:
        properties = {name: properties[name] for name in select if name in properties}
    return Entity(partition_key, row[0], properties, str(row[1]))


def _unpack(properties: dict[str, Scalar], lengths: Mapping[str, int], packed: bytes) -> None:
    start = 0
    for name, length in lengths.items():
        properties[name] = packed[start : start + length]
        start += length
