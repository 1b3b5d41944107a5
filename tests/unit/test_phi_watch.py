"""The watch over the suite finds a patient wherever one may slip out: each leak is made once, with a bird of its own."""

from __future__ import annotations

import logging
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from functions._answers import problem
from shared.ports import BuiltBlob, Create
from tests.support.app_client import AppClient
from tests.support.dicom_builders import new_uid
from tests.support.phi_watch import NAMES, UIDS, Watch, watch_host, watching
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

BIRD = "MAGPIE"
"""No canary: the watch of the whole suite is not to find it."""


@pytest.fixture
def watch() -> Iterator[Watch]:
    with watching(re.compile(BIRD)) as watch:
        yield watch


def test_what_tests_call_their_patients_is_known() -> None:
    for text in ("CANARY", "canary^1", "Doe^Jane", "doe, jane", "Jane Doe", "Referrer^Rita", "SAMPLE^PHANTOM"):
        assert NAMES.search(text)
    assert UIDS.search(new_uid())
    assert not NAMES.search("a study was stored")
    assert not UIDS.search("1.2.840.10008.1.2.1 in 2.25.1")


LEAKS: list[tuple[str, Callable[[], Awaitable[object]]]] = [
    ("blob name", lambda: memory_stores().blobs.put("dicom", BIRD, b"")),
    ("blob name", lambda: memory_stores().blobs.put_built("metadata", BIRD, lambda: (BuiltBlob([b""], {}), None))),
    ("blob name", lambda: memory_stores().blobs.append("audit", BIRD, b"", offset=0)),
    ("audit record", lambda: memory_stores().blobs.append("audit", "a", BIRD.encode(), offset=0)),
    ("queue message", lambda: memory_stores().queues.send("settle", BIRD)),
    ("key", lambda: memory_stores().tables.upsert_many("search", [(BIRD, "a", {})])),
    ("key", lambda: memory_stores().tables.upsert_many("search", [("a", BIRD, {})])),
    ("key", lambda: memory_stores().tables.transact("catalog", BIRD, [Create("a", {})])),
    ("key", lambda: memory_stores().tables.transact("catalog", "a", [Create(BIRD, {})])),
]


@pytest.mark.parametrize(("what", "leak"), LEAKS)
async def test_what_a_store_is_given_is_seen(watch: Watch, what: str, leak: Callable[[], Awaitable[object]]) -> None:
    await leak()
    assert {found.partition(":")[0] for found in watch.found} == {what}
    assert "test_what_a_store_is_given_is_seen" in watch.found[0]


async def test_the_senders_names_are_the_senders(watch: Watch) -> None:
    await memory_stores().blobs.put("inbox", BIRD, b"")
    await memory_stores().blobs.put("dicom", "a", b"", metadata={"study": BIRD})
    await memory_stores().tables.upsert_many("search", [("a", "b", {"PatientName": BIRD})])
    assert watch.found == []


@pytest.mark.parametrize("logger", ["functions._http", "shared.services.stow", "localhost.http"])
def test_what_we_log_is_seen(watch: Watch, logger: str) -> None:
    log = logging.getLogger(logger)
    log.debug("%s", BIRD)
    log.warning("fine", extra={"field": BIRD})
    log.warning("fine", exc_info=ValueError(BIRD))
    logging.getLogger("others").warning(BIRD)
    assert len(watch.found) == 3


async def test_error_bodies_are_seen(monkeypatch: pytest.MonkeyPatch, watch: Watch) -> None:
    monkeypatch.setattr("functions.capabilities.problem", lambda status, _: problem(status, BIRD))
    assert (await AppClient().send("DELETE", "/v2/studies")).status == 405
    assert [found.partition(":")[0] for found in watch.found] == ["error body"]


def test_what_a_host_leaves_is_seen(tmp_path: Path) -> None:
    (tmp_path / "blobs" / "dicom" / "ab").mkdir(parents=True)
    (tmp_path / "blobs" / "inbox").mkdir()
    (tmp_path / "blobs" / "audit").mkdir()
    (tmp_path / "blobs" / "inbox" / "2.25.123456").touch()
    (tmp_path / "blobs" / "audit" / "a.ndjson").write_text("2.25.123456 may stand here")
    assert watch_host(["fine"], tmp_path).found == []
    (tmp_path / "blobs" / "dicom" / "ab" / "2.25.123456").touch()
    with closing(sqlite3.connect(tmp_path / "archive.sqlite3")) as database, database:
        database.execute("CREATE TABLE messages (queue, body)")
        database.execute("CREATE TABLE table_catalog (pk, rk)")
        database.execute("INSERT INTO messages VALUES ('settle', '2.25.123456'), ('inbox-events', '2.25.123456')")
        database.execute("INSERT INTO table_catalog VALUES ('2.25.123456', 'a'), ('a', '2.25.123456')")
    found = watch_host(["fine", "2.25.123456 failed"], tmp_path).found
    assert sorted(each.partition(":")[0] for each in found) == ["blob name", "key", "key", "log of the host", "queue message"]
