"""What is particular to blobs as files: what people and crashes leave in the folders."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest

from shared.adapters import embedded_files
from shared.adapters.embedded_stores import open_embedded
from shared.errors import AlreadyPresent, NotConfigured, NotPresent, PreconditionFailed, StorageFailure
from shared.ports import BuiltBlob
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shared.adapters.open_stores import OpenStores
    from shared.ports import BlobStore


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def opened(data: Path) -> AsyncIterator[OpenStores]:
    opened = open_embedded(StorageSettings("embedded", data))
    yield opened
    await opened.close()


@pytest.fixture
def blobs(opened: OpenStores) -> BlobStore:
    return opened.stores.blobs


async def names(blobs: BlobStore, container: str) -> list[str]:
    return [blob.name async for page in blobs.list(container) for blob in page]


async def test_blob_is_a_file_of_its_name(blobs: BlobStore, data: Path) -> None:
    await blobs.put("dicom", "ab/blob.dcm", b"content")
    assert (data / "blobs" / "dicom" / "ab" / "blob.dcm").read_bytes() == b"content"


async def test_nothing_lies_aside_after_a_put(blobs: BlobStore, data: Path) -> None:
    await blobs.put("dicom", "a", b"1")
    await blobs.put("dicom", "a", b"2", exclusive=False)
    with pytest.raises(AlreadyPresent):
        await blobs.put("dicom", "a", b"3")
    assert list((data / "blobs" / "dicom" / ".aside").iterdir()) == []


async def test_half_written_file_is_not_listed_and_is_removed_on_opening(data: Path) -> None:
    left = data / "blobs" / "dicom" / ".aside" / "half"
    first = open_embedded(StorageSettings("embedded", data))
    left.write_bytes(b"half")
    assert await names(first.stores.blobs, "dicom") == []
    await first.close()
    again = open_embedded(StorageSettings("embedded", data))
    assert not left.exists()
    await again.close()


async def test_deleted_instance_lies_in_the_trash(blobs: BlobStore, data: Path) -> None:
    await blobs.put("dicom", "ab/blob.dcm", b"content")
    await blobs.delete("dicom", "ab/blob.dcm")
    assert (data / "trash" / "ab" / "blob.dcm").read_bytes() == b"content"


async def test_blob_deleted_elsewhere_is_gone(blobs: BlobStore, data: Path) -> None:
    await blobs.put("metadata", "blob", b"content")
    await blobs.delete("metadata", "blob")
    assert not (data / "trash").exists()


async def test_metadata_survives_closing(data: Path) -> None:
    first = open_embedded(StorageSettings("embedded", data))
    await first.stores.blobs.put_built("dicom", "a", lambda: (BuiltBlob([b"1"], {"key": "value"}), None))
    await first.close()
    again = open_embedded(StorageSettings("embedded", data))
    info = await again.stores.blobs.head("dicom", "a")
    assert info is not None
    assert info.metadata == {"key": "value"}
    await again.close()


async def test_dropped_file_is_a_blob_without_metadata(blobs: BlobStore, data: Path) -> None:
    (data / "blobs" / "inbox" / "folder").mkdir()
    (data / "blobs" / "inbox" / "folder" / "file").write_bytes(b"dropped")
    ((info,),) = [page async for page in blobs.list("inbox")]
    assert (info.name, info.size, info.metadata) == ("folder/file", 7, {})
    assert await blobs.read("inbox", info.name, if_match=info.etag) == b"dropped"


async def test_metadata_does_not_count_for_a_file_that_took_the_place(blobs: BlobStore, data: Path) -> None:
    await blobs.put("inbox", "file", b"1", metadata={"a": "b"})
    (data / "blobs" / "inbox" / "file").write_bytes(b"other")
    info = await blobs.head("inbox", "file")
    assert info is not None
    assert info.metadata == {}


async def test_links_pipes_and_folders_are_no_blobs(blobs: BlobStore, data: Path, tmp_path: Path) -> None:
    inbox = data / "blobs" / "inbox"
    (tmp_path / "secret").write_bytes(b"secret")
    (inbox / "link").symlink_to(tmp_path / "secret")
    (inbox / "loop").symlink_to(inbox)
    (inbox / "folder").mkdir()
    os.mkfifo(inbox / "pipe")
    assert await names(blobs, "inbox") == []
    for name in ("link", "folder", "pipe"):
        assert await blobs.head("inbox", name) is None
        with pytest.raises(NotPresent):
            await blobs.read("inbox", name)


async def test_file_with_a_name_that_no_blob_can_have_is_not_listed(blobs: BlobStore, data: Path) -> None:
    os.mknod(bytes(data / "blobs" / "inbox") + b"/not-utf8-\xff")
    (data / "blobs" / "inbox" / "back\\slash").write_bytes(b"")
    (data / "blobs" / "inbox" / "fine").write_bytes(b"")
    assert await names(blobs, "inbox") == ["fine"]


async def test_file_that_grows_while_it_is_streamed_ends_the_stream(blobs: BlobStore, data: Path) -> None:
    path = data / "blobs" / "inbox" / "file"
    path.write_bytes(bytes(3 * 1024 * 1024))
    os.utime(path, (1, 1))
    stream = blobs.stream("inbox", "file")
    await anext(stream)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(PreconditionFailed):
        async for _ in stream:
            pass


async def test_listing_of_many_comes_in_pages(blobs: BlobStore, data: Path) -> None:
    for n in range(2500):
        (data / "blobs" / "inbox" / f"{n:04}").touch()
    pages = [[blob.name for blob in page] async for page in blobs.list("inbox")]
    assert [len(page) for page in pages] == [1000, 1000, 500]
    assert [name for page in pages for name in page] == [f"{n:04}" for n in range(2500)]


async def test_inbox_may_lie_elsewhere(tmp_path: Path, data: Path) -> None:
    inbox = tmp_path / "in" / "box"
    opened = open_embedded(StorageSettings("embedded", data, inbox_dir=inbox))
    (inbox / "file").write_bytes(b"1")
    assert await names(opened.stores.blobs, "inbox") == ["file"]
    await opened.close()


async def test_data_directory_is_refused_while_somebody_has_it(data: Path) -> None:
    first = open_embedded(StorageSettings("embedded", data))
    with pytest.raises(NotConfigured, match="another process"):
        open_embedded(StorageSettings("embedded", data))
    await first.close()
    await open_embedded(StorageSettings("embedded", data)).close()


async def test_build_runs_while_the_loop_goes_on(blobs: BlobStore) -> None:
    go_on = threading.Event()
    building = asyncio.create_task(blobs.put_built("dicom", "a", lambda: (None, go_on.wait(10))))
    await asyncio.sleep(0)
    go_on.set()
    assert await building


async def test_blob_whose_writer_was_cancelled_keeps_its_metadata(blobs: BlobStore) -> None:
    go_on = threading.Event()

    def build() -> tuple[BuiltBlob, None]:
        go_on.wait(10)
        return BuiltBlob([b"1"], {"key": "value"}), None

    writing = asyncio.create_task(blobs.put_built("dicom", "a", build))
    await asyncio.sleep(0)
    writing.cancel()
    go_on.set()
    await blobs.put_built("dicom", "b", lambda: (None, None))
    for _ in range(1000):
        if info := await blobs.head("dicom", "a"):
            break
        await asyncio.sleep(0.005)
    assert info is not None
    await asyncio.sleep(0.05)
    info = await blobs.head("dicom", "a")
    assert info is not None
    assert info.metadata == {"key": "value"}


async def test_cancelled_stream_leaves_nothing(blobs: BlobStore, data: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(256 * 1024)

    writing = asyncio.create_task(blobs.put("dicom", "a", endless()))
    await asyncio.sleep(0.05)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await names(blobs, "dicom") == []
    assert list((data / "blobs" / "dicom" / ".aside").iterdir()) == []


async def test_deletion_makes_what_came_before_durable_first(opened: OpenStores, data: Path) -> None:
    stores = opened.stores
    await stores.blobs.put("dicom", "a", b"1")
    await stores.tables.upsert_many("catalog", [("p", "r", {"reason": "replaced"})])
    await stores.blobs.delete("dicom", "a")
    log = (data / "archive.sqlite3-wal").read_bytes()
    assert b'"reason":"replaced"' in log


async def test_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotConfigured):
        open_embedded(StorageSettings("embedded", tmp_path / "file"))


async def test_file_system_without_nameless_files_serves_too(opened: OpenStores, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_files, "_NAMELESS", None)
    blobs = opened.stores.blobs
    await blobs.put("dicom", "ab/a", b"1")
    with pytest.raises(AlreadyPresent):
        await blobs.put("dicom", "ab/a", b"2")
    await blobs.put("dicom", "ab/a", b"3", exclusive=False)
    assert await blobs.read("dicom", "ab/a") == b"3"
    assert list((data / "blobs" / "dicom" / ".aside").iterdir()) == []


async def test_append_that_fails_half_way_is_taken_back(blobs: BlobStore, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await blobs.append("audit", "a/log", b"first\n", offset=0)

    def run_out_of_space(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", run_out_of_space)
        with pytest.raises(StorageFailure, match="disk's space"):
            await blobs.append("audit", "a/log", b"second\n", offset=6)
    assert (data / "blobs" / "audit" / "a" / "log").read_bytes() == b"first\n"
    await blobs.append("audit", "a/log", b"second\n", offset=6)
    assert await blobs.read("audit", "a/log") == b"first\nsecond\n"
