"""Events of the embedded inbox: one for each file that lies still, in Event Grid's shape."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.adapters import inbox_events
from shared.adapters.embedded_stores import open_embedded
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shared.ports import Stores


class Inbox:
    """An inbox folder and its watcher, whose looks are taken by hand."""

    def __init__(self, stores: Stores, folder: Path, events: inbox_events.InboxEvents) -> None:
        self.stores, self.folder = stores, folder
        self._events = events
        self._seen: dict[str, str] = {}

    def drop(self, name: str, content: bytes, age_seconds: float) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        changed = (datetime.now(UTC) - timedelta(seconds=age_seconds)).timestamp()
        os.utime(path, (changed, changed))

    async def look(self) -> list[str]:
        self._seen = await inbox_events.look(self._events, self.stores.blobs, self.stores.clock, self._seen)
        return await self.announced()

    async def announced(self) -> list[str]:
        messages = await self.stores.queues.receive("inbox-events")
        subjects = [json.loads(message.body)["subject"] for message in messages]
        assert all(subject.startswith("/blobServices/default/containers/inbox/blobs/") for subject in subjects)
        return [subject.removeprefix("/blobServices/default/containers/inbox/blobs/") for subject in subjects]


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[Inbox]:
    opened = open_embedded(StorageSettings("embedded", tmp_path))
    yield Inbox(opened.stores, tmp_path / "blobs" / "inbox", inbox_events.InboxEvents(opened.stores.queues))
    await opened.close()


async def test_blob_that_is_put_is_announced_at_once(inbox: Inbox) -> None:
    await inbox.stores.blobs.put("inbox", "folder/name with blanks/ä", b"1")
    assert await inbox.announced() == ["folder/name with blanks/ä"]


async def test_blob_of_another_container_is_not_announced(inbox: Inbox) -> None:
    await inbox.stores.blobs.put("dicom", "a", b"1")
    assert await inbox.announced() == []


async def test_dropped_file_is_announced_once_it_lies_still(inbox: Inbox) -> None:
    inbox.drop("folder/file", b"1", age_seconds=5)
    assert await inbox.look() == []
    assert await inbox.look() == ["folder/file"]
    assert await inbox.look() == []


async def test_file_that_was_written_just_now_is_left_alone(inbox: Inbox) -> None:
    inbox.drop("file", b"1", age_seconds=0)
    assert [await inbox.look() for _ in range(3)] == [[], [], []]


async def test_file_that_grows_between_looks_is_left_alone(inbox: Inbox) -> None:
    for size in range(1, 4):
        inbox.drop("file", bytes(size), age_seconds=5)
        assert await inbox.look() == []
    assert await inbox.look() == ["file"]


async def test_overwritten_file_is_announced_again(inbox: Inbox) -> None:
    inbox.drop("file", b"1", age_seconds=50)
    assert [await inbox.look() for _ in range(2)] == [[], ["file"]]
    inbox.drop("file", b"2", age_seconds=5)
    assert [await inbox.look() for _ in range(3)] == [[], ["file"], []]


async def test_file_that_comes_again_after_it_went_is_announced_again(inbox: Inbox) -> None:
    inbox.drop("file", b"1", age_seconds=5)
    assert [await inbox.look() for _ in range(2)] == [[], ["file"]]
    kept = inbox.folder.parent / "kept"
    (inbox.folder / "file").rename(kept)
    assert await inbox.look() == []
    kept.rename(inbox.folder / "file")  # the same inode, time and size: the same ETag
    assert [await inbox.look() for _ in range(2)] == [[], ["file"]]


async def test_watcher_of_the_open_stores_does_not_repeat_what_a_put_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_events, "LOOK_SECONDS", 0.01)
    opened = open_embedded(StorageSettings("embedded", tmp_path))
    assert opened.watch_inbox is not None
    inbox = Inbox(opened.stores, tmp_path / "blobs" / "inbox", inbox_events.InboxEvents(opened.stores.queues))
    await opened.stores.blobs.put("inbox", "put", b"1")
    inbox.drop("dropped", b"1", age_seconds=5)
    with suppress(TimeoutError):
        await asyncio.wait_for(opened.watch_inbox(), 0.3)
    assert sorted(await inbox.announced()) == ["dropped", "put"]
    await opened.close()
