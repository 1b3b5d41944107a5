"""What survives a crash, who shares a sync, and what happens when the disk is full."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from shared.adapters import embedded_database
from shared.adapters.embedded_database import MERGE_SECONDS, Database
from shared.errors import OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSERT = "INSERT INTO numbers VALUES (?, ?)"


@pytest.fixture(params=[True, False], ids=["merged", "unmerged"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path, merge_writes=request.param)
    yield opened
    opened.close()


def open_database(folder: Path, *, merge_writes: bool = True) -> Database:
    opened = Database(folder / "archive.sqlite3", merge_writes=merge_writes)
    opened.define("CREATE TABLE IF NOT EXISTS numbers (n INTEGER, filler BLOB)")
    return opened


def write(database: Database, *numbers: int, filler: bytes = b"") -> None:
    for number in numbers:
        database.write((INSERT, [(number, filler)]))


def after_crash(folder: Path, *, with_log: bool = True) -> list[int]:
    """Read what another process would find if ours died now: copies of the files as they are."""
    crashed = folder / "crashed"
    crashed.mkdir(exist_ok=True)
    for name in ("archive.sqlite3", "archive.sqlite3-wal")[: 1 + with_log]:
        shutil.copy(folder / name, crashed / name)
    connection = sqlite3.connect(crashed / "archive.sqlite3")
    try:
        return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]
    finally:
        connection.close()
        shutil.rmtree(crashed)


def wait_for_checkpoint(database: Database) -> None:
    assert database._log is not None
    assert database._log._checkpoint is not None
    database._log._checkpoint.result(30)


async def test_what_is_durable_survives_a_crash(database: Database, tmp_path: Path) -> None:
    write(database, 1, 2, 3)
    await database.durable()
    assert after_crash(tmp_path) == [1, 2, 3]


async def test_crash_loses_only_the_last_verbs(database: Database, tmp_path: Path) -> None:
    for n in range(20):
        write(database, n)
        if n % 7 == 0:
            await database.durable()
        found = after_crash(tmp_path)
        assert found == list(range(len(found)))
        assert len(found) > n - n % 7


async def test_unmerged_verb_survives_a_crash_of_the_process_at_once(tmp_path: Path) -> None:
    database = open_database(tmp_path, merge_writes=False)
    write(database, 1)
    assert after_crash(tmp_path) == [1]
    database.close()


async def test_merged_verbs_are_committed_soon_though_nobody_asks(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    write(database, 1, 2)
    assert after_crash(tmp_path) == []
    await asyncio.sleep(2 * MERGE_SECONDS)
    assert after_crash(tmp_path) == [1, 2]
    database.close()


async def test_many_rows_are_committed_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_database, "MERGE_ROWS", 10)
    database = open_database(tmp_path)
    write(database, *range(11))
    assert after_crash(tmp_path) == list(range(11))
    database.close()


async def test_verb_of_several_statements_is_whole_or_absent_after_a_crash(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    for n in range(30):
        database.write((INSERT, [(n, b"")]), (INSERT, [(n + 100, b"")]))
        found = after_crash(tmp_path)
        assert [m + 100 for m in found if m < 100] == [m for m in found if m >= 100]
        if n % 5 == 0:
            database.commit()
    database.close()


async def test_closing_keeps_everything_and_folds_the_log_in(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    write(database, 1, 2)
    database.close()
    assert not (tmp_path / "archive.sqlite3-wal").exists()
    again = open_database(tmp_path)
    assert again.read("SELECT n FROM numbers") == [(1,), (2,)]
    again.close()


async def test_writes_are_read_before_they_are_committed(database: Database) -> None:
    write(database, 1)
    assert database.read("SELECT n FROM numbers") == [(1,)]


async def test_etags_never_come_again_even_after_a_crash(tmp_path: Path) -> None:
    first = open_database(tmp_path)
    given = {first.new_etag() for _ in range(100)}
    first.close()
    again = open_database(tmp_path)
    assert given.isdisjoint(again.new_etag() for _ in range(100))
    again.close()


class Syncs:
    """Counts syncs of the log; ``first`` is set when one runs."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, file: int) -> None:
        self.count += 1
        self._loop.call_soon_threadsafe(self.first.set)
        os.fsync(file)


@pytest.fixture
async def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    counting = Syncs()
    monkeypatch.setattr(embedded_database, "_fdatasync", counting)
    return counting


async def test_waiters_share_syncs(database: Database, syncs: Syncs) -> None:
    async def write_one(n: int) -> None:
        write(database, n)
        await database.durable()

    first = asyncio.create_task(write_one(0))
    await syncs.first.wait()
    await asyncio.gather(first, *map(write_one, range(1, 50)))
    assert syncs.count <= 3  # the first comer's, and one for all who came while that ran (or was over)


async def test_nothing_new_is_durable_without_a_sync(database: Database, syncs: Syncs) -> None:
    write(database, 1)
    await database.durable()
    await database.durable()
    assert syncs.count == 1


async def test_cancelled_waiter_does_not_disturb_the_others(database: Database, tmp_path: Path) -> None:
    write(database, 1)
    waiting = [asyncio.create_task(database.durable()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(*waiting[1:])
    assert after_crash(tmp_path) == [1]


async def test_full_disk_fails_every_verb_until_the_next_start(tmp_path: Path) -> None:
    database = open_database(tmp_path)
    write(database, 1)
    await database.durable()
    database.read("PRAGMA max_page_count = 20")
    with pytest.raises(OutcomeUnknown):
        write(database, *range(2, 100), filler=bytes(50_000))
    for verb in (lambda: write(database, 100), lambda: database.read("SELECT 1")):
        with pytest.raises(OutcomeUnknown):
            verb()
    with pytest.raises(OutcomeUnknown):
        await database.durable()
    database.close()
    again = open_database(tmp_path)
    assert again.read("SELECT n FROM numbers") == [(1,)]
    again.close()


async def test_log_is_written_from_its_start_again_after_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_database, "CHECKPOINT_BYTES", 256 * 1024)
    database = open_database(tmp_path)
    sizes = []
    for first in range(0, 1000, 100):
        write(database, *range(first, first + 100), filler=bytes(4000))
        await database.durable()
        wait_for_checkpoint(database)
        sizes.append((tmp_path / "archive.sqlite3-wal").stat().st_size)
    assert sizes[-1] < 2 * sizes[0]
    assert after_crash(tmp_path) == list(range(1000))
    database.close()


async def test_writer_finishes_a_checkpoint_that_could_not_catch_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_database, "CHECKPOINT_BYTES", 256 * 1024)
    monkeypatch.setattr(embedded_database, "WAL_CEILING_BYTES", 64 * 1024)
    database = open_database(tmp_path)
    reader = sqlite3.connect(tmp_path / "archive.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM numbers").fetchall()  # what is written from here on cannot be copied while this lasts
    write(database, *range(100), filler=bytes(4000))
    await database.durable()
    wait_for_checkpoint(database)
    reader.close()
    write(database, 100)
    database.commit()
    assert after_crash(tmp_path, with_log=False) == list(range(101))
    database.close()


async def test_database_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "archive.sqlite3").write_bytes(b"something else entirely" * 100)
    with pytest.raises(OutcomeUnknown, match="damaged"):
        open_database(tmp_path)
