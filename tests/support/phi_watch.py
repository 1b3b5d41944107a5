"""The canary: values that stand for patients in tests, and a watch that finds them where no patient may be (threat T13).

``NAMES`` are what tests call their patients and who treats them, in whatever spelling; ``UIDS`` those that ``new_uid`` and the canary
tests make. ``watching`` is on during the whole suite. It looks at what our code logs; at names of blobs, keys of tables and queue
messages that any store of this process is given; at error bodies; and, for names, at audit records. ``watch_host`` looks at what a
running host has logged and left in its data folder.

Not looked at: the names of files in the inbox, which are their sender's, and thus the events that announce them; what other people's
loggers say, which the guard of ``shared.telemetry`` strips, as its own tests show.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from unittest.mock import patch

import requests

from shared.adapters.azure_blobs import AzureBlobs
from shared.adapters.azure_queues import AzureQueues
from shared.adapters.azure_tables import AzureTables
from shared.adapters.embedded_blobs import EmbeddedBlobs
from shared.adapters.embedded_queues import EmbeddedQueues
from shared.adapters.embedded_tables import EmbeddedTables
from shared.adapters.memory_blobs import MemoryBlobs
from shared.adapters.names import INBOX, INBOX_EVENTS
from tests.support.app_client import AppClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CANARY: Final = "CANARY"
CANARY_UID: Final = "2.25.73138713"
"""Beginning of every UID of a canary."""

NAMES: Final = re.compile(
    r"canary|doe\W{1,3}jane|jane\W{1,3}doe|referrer\W{1,3}rita|rita\W{1,3}referrer|sample\W{1,3}phantom", re.IGNORECASE
)
UIDS: Final = re.compile(r"2\.25\.\d{5,}")
OURS: Final = ("function_app", "functions", "shared", "localhost", "samples")
"""Loggers whose words are ours."""

_THEIRS: Final = (INBOX, "inbox-rejected")
_PROBLEM: Final = "application/problem+json"

_See: TypeAlias = "Callable[..., None]"


class Watch(logging.Handler):
    """Looks at what it is shown.

    Attributes
    ----------
    seen
        How much it was shown of each kind.
    found
        What it found, with the test that showed it.
    """

    def __init__(self, names: re.Pattern[str] = NAMES) -> None:
        super().__init__()
        self._names = names
        self.seen: Counter[str] = Counter()
        self.found: list[str] = []

    def see(self, what: str, *texts: str, uids: bool = True) -> None:
        """Look at texts."""
        self.seen[what] += len(texts)
        for text in texts:
            if found := [*self._names.findall(text), *(UIDS.findall(text) if uids else ())]:
                self.found.append(f"{what}: {found} in {os.environ.get('PYTEST_CURRENT_TEST')}")

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a log record: its text, its traceback, its fields."""
        if record.name.split(".")[0] in OURS:
            self.see("log", f"{self.format(record)} {vars(record)}")


def _blob(see: _See, container: str, name: str, *_: Any, **__: Any) -> None:
    if container not in _THEIRS:
        see("blob name", name)


def _audit(see: _See, container: str, name: str, data: bytes, **_: Any) -> None:
    see("blob name", name)
    see("audit record", data.decode(errors="replace"), uids=False)


def _message(see: _See, queue: str, body: str, **_: Any) -> None:
    if queue != INBOX_EVENTS:
        see("queue message", body)


def _rows(see: _See, _table: str, rows: Iterable[tuple[str, str, Any]]) -> None:
    see("key", *(key for row in rows for key in row[:2]))


def _operations(see: _See, _table: str, partition_key: str, operations: Iterable[Any]) -> None:
    see("key", partition_key, *(operation.row_key for operation in operations))


_BLOBS, _QUEUES, _TABLES = (MemoryBlobs, EmbeddedBlobs, AzureBlobs), (EmbeddedQueues, AzureQueues), (EmbeddedTables, AzureTables)
_WATCHED: Final[list[tuple[tuple[type, ...], str, Callable[..., None]]]] = [
    (_BLOBS, "put", _blob),
    (_BLOBS, "put_built", _blob),
    (_BLOBS, "append", _audit),
    (_QUEUES, "send", _message),
    (_TABLES, "upsert_many", _rows),
    (_TABLES, "transact", _operations),
]


def _watched(verb: Any, look: Callable[..., None]) -> Any:
    """Make a verb of an adapter show what it is given before it does its work."""

    @wraps(verb)
    def call(self: object, *args: Any, **kwargs: Any) -> Any:
        look(*args, **kwargs)
        return verb(self, *args, **kwargs)

    return call


def _watched_app(send: Any, see: _See) -> Any:
    @wraps(send)
    async def serve(self: object, *args: Any) -> Any:
        reply = await send(self, *args)
        if reply.headers.get("content-type") == _PROBLEM:
            see("error body", reply.body.decode())
        return reply

    return serve


def _watched_session(send: Any, see: _See) -> Any:
    @wraps(send)
    def ask(self: object, *args: Any, **kwargs: Any) -> Any:
        answer = send(self, *args, **kwargs)
        if answer.headers.get("content-type") == _PROBLEM and not kwargs.get("stream"):
            see("error body", answer.text)
        return answer

    return ask


@contextmanager
def watching(names: re.Pattern[str] = NAMES) -> Iterator[Watch]:
    """Watch this process: everything that ``Watch`` is shown from here."""
    watch = Watch(names)
    with ExitStack() as stack:
        for adapters, verb, look in _WATCHED:
            for adapter in adapters:
                stack.enter_context(patch.object(adapter, verb, _watched(getattr(adapter, verb), partial(look, watch.see))))
        stack.enter_context(patch.object(AppClient, "_serve", _watched_app(AppClient._serve, watch.see)))
        stack.enter_context(patch.object(requests.Session, "send", _watched_session(requests.Session.send, watch.see)))
        for name in OURS:
            logging.getLogger(name).setLevel(logging.DEBUG)
        logging.getLogger().addHandler(watch)
        stack.callback(logging.getLogger().removeHandler, watch)
        yield watch


def watch_host(log: Iterable[str], data_folder: Path) -> Watch:
    """Look at what a host that has ended leaves: its log, blobs' names, keys, messages, audit records."""
    watch = Watch()
    watch.see("log of the host", *log)
    blobs = data_folder / "blobs"
    for container in blobs.iterdir() if blobs.is_dir() else ():
        if container.name not in _THEIRS:
            watch.see("blob name", *(str(path.relative_to(blobs)) for path in container.rglob("*")))
    for file in (blobs / "audit").rglob("*.ndjson"):
        watch.see("audit record", file.read_text(encoding="utf-8"), uids=False)
    database = data_folder / "archive.sqlite3"
    if database.exists():
        with closing(sqlite3.connect(database)) as opened:
            _see_database(watch.see, opened)
    return watch


def _see_database(see: _See, database: sqlite3.Connection) -> None:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'table_%'")]
    for table in tables:
        see("key", *(key for keys in database.execute(f"SELECT pk, rk FROM {table}") for key in keys))  # noqa: S608 -- our own name
    messages = database.execute("SELECT body FROM messages WHERE queue <> ?", (INBOX_EVENTS,))
    see("queue message", *(body for (body,) in messages))
