"""The one SQLite database behind the embedded tables, queues and blob metadata.

Theory of operation
-------------------
*What is kept.* ``archive.sqlite3`` in the data directory holds a table per logical table, the queues' messages and
the blobs' metadata, in WAL mode. One connection, used on the event loop's own thread: a verb takes
microseconds, a hand-over to a thread would take more. A second one belongs to the checkpointer's thread.

*A verb is atomic.* It checks its conditions in Python and then writes, without awaiting in between; nobody else
writes, since the data directory is locked to one process. So a verb never has to be rolled back.

*Verbs merge.* With ``merge_writes`` a verb's writes join an open SQLite transaction, which is committed when somebody
asks for durability, after ``MERGE_SECONDS``, when it is large, or on closing. All verbs share the connection, so what
is on disk is always a prefix of what was done, in order: a crash loses a suffix, and never a verb that somebody
acknowledged, for they call ``durable`` before. Without merging every verb commits alone; the invariant is the same.

*Durable* is one COMMIT and one ``fdatasync`` of the WAL file for everybody who waits. Who comes while one is running
waits for the next. Commits themselves do not sync (``synchronous=NORMAL``).

*The WAL file may restart under us*: when a checkpoint has copied all of it into the database file, the next commit
overwrites it from its start. That loses nothing: SQLite syncs the WAL before it copies, and the database file before it
says that all was copied. The file itself stays the same while a connection is open, so our descriptor of it
stays good.

*Checkpoints* are PASSIVE and run in a thread (``wal_autocheckpoint=0``), since otherwise some commit would pay for them.
Under constant writing they never quite catch up; then, above ``WAL_CEILING_BYTES``, the loop's thread copies the short rest.

*Effects outside the database* (a file moved to the trash) wait for ``durable`` first: else a crash could take back the
reason and leave the effect.

*When SQLite or the disk fails* while writing, verbs that had returned may be lost with the transaction, and their callers
cannot be told apart from others. So the database stays failed until the process is started again: every verb
raises ``OutcomeUnknown``, which is the truth, and the health probe shows it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeAlias

from shared.adapters.embedded_files import sync_folder
from shared.adapters.worker_threads import WorkerThreads
from shared.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Row: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, "Sequence[Row]"]
"""SQL and the parameters of each of its executions."""

MERGE_SECONDS = 0.02
"""How long written verbs may stay uncommitted while nobody asks for durability."""
MERGE_ROWS = 5000
CHECKPOINT_BYTES = 16 * 1024 * 1024
"""Written since the last checkpoint, roughly, that start the next."""
WAL_CEILING_BYTES = 128 * 1024 * 1024
PAGE_BYTES = 4096
_PASSES = 3
"""Of a checkpoint: each has less left to copy than the one before."""
_PAGES_PER_ROW = 1.5
"""Rough number of pages that a written row costs in the WAL."""

_SETUP = f"""
PRAGMA page_size={PAGE_BYTES};
PRAGMA journal_mode=WAL;
PRAGMA synchronous=NORMAL;
PRAGMA wal_autocheckpoint=0;
PRAGMA mmap_size=4294967296;
PRAGMA cache_size=-65536;
PRAGMA temp_store=MEMORY;
CREATE TABLE IF NOT EXISTS epoch (number INTEGER NOT NULL);
"""

MAX_ROWS_AT_ONCE = 8
"""Rows that are inserted by one statement. Each statement, and with ``executemany`` each row, gives the interpreter to another
thread and waits to have it back; the statement for each number of rows is kept prepared."""

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has none


class Database:
    """A connection whose writes merge and become durable together.

    Parameters
    ----------
    path
        The database file; None keeps it in memory, where everything is as durable as it gets.
    merge_writes
        Whether verbs may share a transaction.
    """

    def __init__(self, path: Path | None, *, merge_writes: bool = True) -> None:
        self._merge_writes = merge_writes
        self._connection = _connect(path)
        try:
            self._connection.executescript(_SETUP)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise OutcomeUnknown("the database cannot be opened: it is damaged, or none; restore it from a backup") from error
        self._log = _Log(path) if path else None
        self._in_transaction = False
        self._rows_written = 0
        self._written = self._durable = 0
        self._round: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failed = False
        self._etags = count(self._next_epoch() << 40)

    def define(self, sql: str) -> None:
        """Run a data definition, on opening."""
        self._connection.execute(sql)

    def new_etag(self) -> int:
        """Give a number that was never given before, in this or an earlier process."""
        return next(self._etags)

    def read(self, sql: str, parameters: Row = ()) -> list[Row]:
        """Run a query; sees all verbs written so far."""
        self._raise_if_failed()
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise OutcomeUnknown("the database could not be read") from error

    def read_one(self, sql: str, parameters: Row) -> Row | None:
        """Run a query of at most one row."""
        self._raise_if_failed()
        try:
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
        except sqlite3.Error as error:
            raise OutcomeUnknown("the database could not be read") from error
        return row

    def write(self, *statements: Statement) -> None:
        """Do one verb's writes, all or none. The caller has checked every condition."""
        self._raise_if_failed()
        try:
            if not self._in_transaction:
                self._connection.execute("BEGIN")
                self._in_transaction = True
            for sql, rows in statements:
                if rows:
                    self._execute(sql, rows)
                    self._note_rows(len(rows))
        except sqlite3.Error as error:
            raise self._fail() from error
        self._written += 1
        if not self._merge_writes or self._rows_written > MERGE_ROWS:
            self.commit()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MERGE_SECONDS, self._commit_on_time)

    def _execute(self, sql: str, rows: Sequence[Row]) -> None:
        if " VALUES (" not in sql or len(rows) > MAX_ROWS_AT_ONCE:
            self._connection.executemany(sql, rows)
        else:
            self._connection.execute(_many_rows(sql, len(rows)), tuple(chain.from_iterable(rows)))

    def commit(self) -> None:
        """End the open transaction, if any. Survives a crash of the process, not yet of the machine."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._in_transaction:
            return
        self._raise_if_failed()
        try:
            self._connection.execute("COMMIT")
            self._in_transaction, self._rows_written = False, 0
            if self._log:
                self._log.keep_short(self._connection)
        except sqlite3.Error as error:
            raise self._fail() from error

    async def durable(self) -> None:
        """Return when every verb written so far survives a power cut."""
        self._raise_if_failed()
        if self._log is None:
            self.commit()
            return
        wanted = self._written
        while self._durable < wanted:
            if self._round is None:
                self._round = asyncio.get_running_loop().create_task(self._sync_once(self._log))
            await asyncio.shield(self._round)

    def close(self) -> None:
        """Commit, sync and close; the write-ahead log is folded into the database file."""
        if not self._failed:
            self.commit()
        if self._log:
            self._log.close()
            if not self._failed:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    async def _sync_once(self, log: _Log) -> None:
        try:
            self.commit()
            covers = self._written
            await log.sync()
            self._durable = covers
        except OSError as error:
            raise self._fail() from error
        finally:
            self._round = None

    def _commit_on_time(self) -> None:
        self._timer = None
        if not self._failed:
            self.commit()

    def _note_rows(self, rows: int) -> None:
        self._rows_written += rows
        if self._log:
            self._log.bytes_written += int(rows * _PAGES_PER_ROW * PAGE_BYTES)

    def _fail(self) -> OutcomeUnknown:
        self._failed = True
        return OutcomeUnknown("the database could not be written; free disk space or replace the disk, then start again")

    def _raise_if_failed(self) -> None:
        if self._failed:
            raise self._fail()

    def _next_epoch(self) -> int:
        row = self.read_one("SELECT max(number) FROM epoch", ())
        epoch: int = (row[0] if row and row[0] else 0) + 1
        self._connection.execute("INSERT INTO epoch VALUES (?)", (epoch,))
        self._connection.execute("DELETE FROM epoch WHERE number < ?", (epoch,))
        return epoch


class _Log:
    """The WAL file: syncing it, and keeping it short."""

    def __init__(self, path: Path) -> None:
        self.bytes_written = 0
        self._path = path
        self._file = os.open(f"{path}-wal", os.O_RDWR)
        sync_folder(path.parent)
        self._syncer = WorkerThreads(1, "wal-sync")
        self._checkpointer = ThreadPoolExecutor(1, "wal-checkpoint")
        self._checkpoint: Future[int] | None = None

    async def sync(self) -> None:
        await self._syncer.run(partial(_fdatasync, self._file))

    def keep_short(self, connection: sqlite3.Connection) -> None:
        """Start a checkpoint when it is time; finish one here that cannot catch up with the writers."""
        if self._checkpoint and self._checkpoint.done():
            left_bytes = self._checkpoint.result() * PAGE_BYTES
            self._checkpoint = None
            if left_bytes > WAL_CEILING_BYTES:
                _copy_passively(connection)
        if self.bytes_written > CHECKPOINT_BYTES and self._checkpoint is None:
            self.bytes_written = 0
            self._checkpoint = self._checkpointer.submit(self._run_checkpoint)

    def close(self) -> None:
        self._checkpointer.shutdown()
        self._syncer.close()
        _fdatasync(self._file)
        os.close(self._file)

    def _run_checkpoint(self) -> int:
        connection = _connect(self._path)
        try:
            return min(_copy_passively(connection) for _ in range(_PASSES))
        finally:
            connection.close()


@lru_cache
def _many_rows(sql: str, rows: int) -> str:
    """Turn ``INSERT … VALUES (?, …)`` into one for several rows."""
    values = sql[sql.rindex("(") :]
    return sql + f", {values}" * (rows - 1)


def _connect(path: Path | None) -> sqlite3.Connection:
    # One thread at a time uses it, but not always the one that made it: a test's loop may run elsewhere.
    return sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=256)


def _copy_passively(connection: sqlite3.Connection) -> int:
    """Copy what can be copied of the log without waiting for anybody; give the length of the log in pages, 0 if that was all of it."""
    _, in_log, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return 0 if in_log == copied else int(in_log)
