"""The contract of the BlobStore port."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed, StorageLimit
from shared.ports import BuiltBlob

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.ports import BlobStore, Content

CONTAINER = "metadata"
MEBIBYTE = 1024 * 1024


async def streamed(*pieces: bytes | memoryview) -> AsyncIterator[bytes | memoryview]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def broken(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise ConnectionResetError


async def names(blobs: BlobStore, prefix: str) -> list[str]:
    return [blob.name async for page in blobs.list(CONTAINER, prefix=prefix) for blob in page]


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


CONTENTS: list[tuple[str, Content, bytes]] = [
    ("bytes", b"abc", b"abc"),
    ("nothing", b"", b""),
    ("pieces", [b"ab", memoryview(b"xcdx")[1:3], b""], b"abcd"),
    ("no-pieces", [], b""),
    ("very-many-pieces", [b"%04d" % n for n in range(3000)], b"".join(b"%04d" % n for n in range(3000))),
    ("megabytes", pattern(5 * MEBIBYTE + 1), pattern(5 * MEBIBYTE + 1)),
]


@pytest.mark.parametrize(("content", "expected"), [row[1:] for row in CONTENTS], ids=[row[0] for row in CONTENTS])
async def test_content_comes_back(blobs: BlobStore, folder: str, content: Content, expected: bytes) -> None:
    await blobs.put(CONTAINER, folder + "blob", content)
    assert await blobs.read(CONTAINER, folder + "blob") == expected


@pytest.mark.parametrize(
    "sizes",
    [[], [0], [10], [3 * MEBIBYTE, 1], [MEBIBYTE] * 9, [8 * MEBIBYTE], [8 * MEBIBYTE, 8 * MEBIBYTE], [20 * MEBIBYTE]],
    ids=str,
)
async def test_streamed_content_comes_back(blobs: BlobStore, folder: str, sizes: list[int]) -> None:
    pieces = [pattern(size) for size in sizes]
    etag = await blobs.put(CONTAINER, folder + "blob", streamed(*pieces), metadata={"a": "b"})
    info = await blobs.head(CONTAINER, folder + "blob")
    assert info is not None
    assert (info.etag, info.size, info.metadata) == (etag, sum(sizes), {"a": "b"})
    read = [piece async for piece in blobs.stream(CONTAINER, folder + "blob")]
    assert b"".join(read) == b"".join(pieces)
    assert all(0 < len(piece) <= 4 * MEBIBYTE for piece in read)


@pytest.mark.parametrize("before", [[b"x"], [bytes(9 * MEBIBYTE)]], ids=["soon", "late"])
async def test_content_that_breaks_off_leaves_nothing(blobs: BlobStore, folder: str, before: list[bytes]) -> None:
    with pytest.raises(ConnectionResetError):
        await blobs.put(CONTAINER, folder + "blob", broken(*before))
    assert await blobs.head(CONTAINER, folder + "blob") is None
    assert await names(blobs, folder) == []


async def test_nobody_sees_a_blob_that_is_still_streaming(blobs: BlobStore, folder: str) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield bytes(9 * MEBIBYTE)
        await go_on.wait()
        yield b"end"

    writing = asyncio.create_task(blobs.put(CONTAINER, folder + "blob", slow()))
    await asyncio.sleep(0.1)
    assert await blobs.head(CONTAINER, folder + "blob") is None
    assert await names(blobs, folder) == []
    go_on.set()
    await writing
    assert await blobs.read(CONTAINER, folder + "blob", start=9 * MEBIBYTE) == b"end"


@pytest.mark.parametrize("large", [False, True])
async def test_exclusive_put_does_not_overwrite(blobs: BlobStore, folder: str, *, large: bool) -> None:
    await blobs.put(CONTAINER, folder + "blob", b"first")
    content = streamed(bytes(9 * MEBIBYTE)) if large else b"second"
    with pytest.raises(AlreadyPresent):
        await blobs.put(CONTAINER, folder + "blob", content)
    assert await blobs.read(CONTAINER, folder + "blob") == b"first"


async def test_of_many_exclusive_puts_at_once_one_wins(blobs: BlobStore, folder: str) -> None:
    contents = [f"{n}".encode() for n in range(8)]
    puts = (blobs.put(CONTAINER, folder + "blob", content) for content in contents)
    results = await asyncio.gather(*puts, return_exceptions=True)
    won = [content for content, result in zip(contents, results, strict=True) if isinstance(result, str)]
    assert len(won) == 1
    assert all(isinstance(result, str | AlreadyPresent) for result in results)
    assert await blobs.read(CONTAINER, folder + "blob") == won[0]


@pytest.mark.parametrize("large", [False, True])
async def test_put_that_is_not_exclusive_overwrites_content_metadata_and_etag(blobs: BlobStore, folder: str, *, large: bool) -> None:
    first = await blobs.put(CONTAINER, folder + "blob", b"first", metadata={"old": "1"})
    content = streamed(bytes(9 * MEBIBYTE)) if large else b"second"
    second = await blobs.put(CONTAINER, folder + "blob", content, metadata={"new": "2"}, exclusive=False)
    info = await blobs.head(CONTAINER, folder + "blob")
    assert info is not None
    assert (info.etag, info.metadata) == (second, {"new": "2"})
    assert first != second


async def test_overwriting_without_metadata_leaves_none(blobs: BlobStore, folder: str) -> None:
    await blobs.put(CONTAINER, folder + "blob", b"first", metadata={"old": "1"})
    await blobs.put(CONTAINER, folder + "blob", b"other", exclusive=False)
    info = await blobs.head(CONTAINER, folder + "blob")
    assert info is not None
    assert info.metadata == {}


async def test_built_blob_is_written_with_its_metadata(blobs: BlobStore, folder: str) -> None:
    def build() -> tuple[BuiltBlob, str]:
        return BuiltBlob([b"ab", b"cd"], {"key": "value"}), "result"

    assert await blobs.put_built(CONTAINER, folder + "blob", build) == "result"
    info = await blobs.head(CONTAINER, folder + "blob")
    assert info is not None
    assert (info.size, info.metadata) == (4, {"key": "value"})
    assert await blobs.read(CONTAINER, folder + "blob") == b"abcd"


async def test_build_may_decide_to_write_nothing(blobs: BlobStore, folder: str) -> None:
    assert await blobs.put_built(CONTAINER, folder + "blob", lambda: (None, 7)) == 7
    assert await names(blobs, folder) == []


async def test_error_of_a_build_is_the_callers(blobs: BlobStore, folder: str) -> None:
    def build() -> tuple[None, None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await blobs.put_built(CONTAINER, folder + "blob", build)
    assert await names(blobs, folder) == []


async def test_built_blob_is_exclusive(blobs: BlobStore, folder: str) -> None:
    await blobs.put(CONTAINER, folder + "blob", b"first")
    with pytest.raises(AlreadyPresent):
        await blobs.put_built(CONTAINER, folder + "blob", lambda: (BuiltBlob([b"second"], {}), None))
    assert await blobs.read(CONTAINER, folder + "blob") == b"first"


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 0), (0, 1), (5, 9), (9, 10), (5, None), (5, 99), (10, None), (10, 12), (99, None), (99, 100), (7, 7)]
)
async def test_range_is_clipped_at_the_end(blobs: BlobStore, folder: str, start: int, stop: int | None) -> None:
    content = b"0123456789"
    await blobs.put(CONTAINER, folder + "blob", content)
    assert await blobs.read(CONTAINER, folder + "blob", start=start, stop=stop) == content[start:stop]
    pieces = [piece async for piece in blobs.stream(CONTAINER, folder + "blob", start=start, stop=stop)]
    assert b"".join(pieces) == content[start:stop]


async def test_range_of_a_large_blob_streams_in_small_pieces(blobs: BlobStore, folder: str) -> None:
    content = pattern(11 * MEBIBYTE)
    await blobs.put(CONTAINER, folder + "blob", content)
    pieces = [piece async for piece in blobs.stream(CONTAINER, folder + "blob", start=3, stop=10 * MEBIBYTE)]
    assert b"".join(pieces) == content[3 : 10 * MEBIBYTE]
    assert max(map(len, pieces)) <= 4 * MEBIBYTE


async def test_condition_holds_while_the_blob_is_the_same(blobs: BlobStore, folder: str) -> None:
    etag = await blobs.put(CONTAINER, folder + "blob", b"abc")
    assert await blobs.read(CONTAINER, folder + "blob", if_match=etag) == b"abc"
    assert [piece async for piece in blobs.stream(CONTAINER, folder + "blob", if_match=etag)] == [b"abc"]
    await blobs.delete(CONTAINER, folder + "blob", if_match=etag)
    assert await blobs.head(CONTAINER, folder + "blob") is None


async def test_condition_fails_once_the_blob_is_another(blobs: BlobStore, folder: str) -> None:
    etag = await blobs.put(CONTAINER, folder + "blob", b"abc")
    await blobs.put(CONTAINER, folder + "blob", b"xyz", exclusive=False)
    with pytest.raises(PreconditionFailed):
        await blobs.read(CONTAINER, folder + "blob", if_match=etag)
    with pytest.raises(PreconditionFailed):
        await anext(blobs.stream(CONTAINER, folder + "blob", if_match=etag))
    with pytest.raises(PreconditionFailed):
        await blobs.delete(CONTAINER, folder + "blob", if_match=etag)
    assert await blobs.read(CONTAINER, folder + "blob") == b"xyz"


async def test_stream_never_mixes_two_versions(blobs: BlobStore, folder: str) -> None:
    await blobs.put(CONTAINER, folder + "blob", b"a" * 9 * MEBIBYTE)
    read = b""
    try:
        async for piece in blobs.stream(CONTAINER, folder + "blob"):
            if not read:
                await blobs.put(CONTAINER, folder + "blob", b"b" * 9 * MEBIBYTE, exclusive=False)
            read += piece
    except PreconditionFailed:
        pass
    assert set(read) == {ord("a")}


async def test_absent_blob(blobs: BlobStore, folder: str) -> None:
    assert await blobs.head(CONTAINER, folder + "nothing") is None
    with pytest.raises(NotPresent):
        await blobs.read(CONTAINER, folder + "nothing")
    with pytest.raises(NotPresent):
        await anext(blobs.stream(CONTAINER, folder + "nothing"))
    with pytest.raises(NotPresent):
        await blobs.delete(CONTAINER, folder + "nothing")


@pytest.mark.parametrize("container", ["metadata", "dicom", "inbox"])
async def test_deleted_blob_is_gone_and_its_name_free(blobs: BlobStore, folder: str, container: str) -> None:
    await blobs.put(container, folder + "blob", b"first", metadata={"a": "1"})
    await blobs.delete(container, folder + "blob")
    assert await blobs.head(container, folder + "blob") is None
    await blobs.put(container, folder + "blob", b"second")
    info = await blobs.head(container, folder + "blob")
    assert info is not None
    assert info.metadata == {}


async def test_listing_is_in_name_order_with_everything_that_head_says(blobs: BlobStore, folder: str) -> None:
    written = ["b", "a/2", "a/1", "a.b", "a/b/c", "a0", "Z", "ä"]
    for name in written:
        await blobs.put(CONTAINER, folder + name, name.encode(), metadata={"name": str(len(name))})
    listed = [blob async for page in blobs.list(CONTAINER, prefix=folder) for blob in page]
    assert [blob.name for blob in listed] == [folder + name for name in sorted(written)]
    assert listed == [await blobs.head(CONTAINER, blob.name) for blob in listed]


@pytest.mark.parametrize(
    ("prefix", "expected"), [("a", ["a/1", "a/2", "ab"]), ("a/", ["a/1", "a/2"]), ("a/2", ["a/2"]), ("b", ["b"]), ("c", [])]
)
async def test_listing_takes_a_prefix(blobs: BlobStore, folder: str, prefix: str, expected: list[str]) -> None:
    for name in ("a/1", "a/2", "ab", "b"):
        await blobs.put(CONTAINER, folder + name, b"")
    assert await names(blobs, folder + prefix) == [folder + name for name in expected]


async def test_blob_was_modified_just_now_in_utc(blobs: BlobStore, folder: str) -> None:
    await blobs.put(CONTAINER, folder + "blob", b"")
    info = await blobs.head(CONTAINER, folder + "blob")
    assert info is not None
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "name", ["", "/a", "a//b", "a/", "../a", "a/../../b", "./a", "a\x00b", "a\\b", "x" * 1025, "y" * 256, ".aside/x", "\ud800"], ids=repr
)
async def test_name_that_leaves_its_container_or_is_illegal_is_refused(blobs: BlobStore, name: str) -> None:
    with pytest.raises(StorageLimit):
        await blobs.put(CONTAINER, name, b"")
    with pytest.raises(StorageLimit):
        await blobs.read(CONTAINER, name)


@pytest.mark.parametrize(
    "metadata", [{"a-b": "1"}, {"A": "1"}, {"a": "ä"}, {"a": "1\n"}, {"a": " 1"}, {"a": "x" * 9000}], ids=lambda m: repr(m)[:20]
)
async def test_metadata_that_no_header_can_carry_is_refused(blobs: BlobStore, folder: str, metadata: dict[str, str]) -> None:
    with pytest.raises(StorageLimit):
        await blobs.put(CONTAINER, folder + "blob", b"", metadata=metadata)
    with pytest.raises(StorageLimit):
        await blobs.put_built(CONTAINER, folder + "blob", lambda: (BuiltBlob([b""], metadata), None))
    assert await names(blobs, folder) == []


async def test_check_passes_for_our_containers_and_fails_for_others(blobs: BlobStore) -> None:
    await blobs.check(CONTAINER)
    with pytest.raises(NotPresent):
        await blobs.check("no-such-container")


LINES = [b"first\n", b"second\n", b"third\n"]


async def append_all(blobs: BlobStore, name: str, blocks: list[bytes]) -> None:
    offset = 0
    for block in blocks:
        await blobs.append("audit", name, block, offset=offset)
        offset += len(block)


async def test_appended_blocks_follow_each_other(blobs: BlobStore, folder: str) -> None:
    await append_all(blobs, folder + "a/log", LINES)
    info = await blobs.head("audit", folder + "a/log")
    assert info is not None
    assert (info.size, info.metadata) == (len(b"".join(LINES)), {})
    assert await blobs.read("audit", folder + "a/log") == b"".join(LINES)
    listed = [blob.name async for page in blobs.list("audit", prefix=folder) for blob in page]
    assert listed == [folder + "a/log"]


async def test_large_block_is_appended_whole(blobs: BlobStore, folder: str) -> None:
    blocks = [pattern(5 * MEBIBYTE + 1), b"end"]
    await append_all(blobs, folder + "log", blocks)
    assert await blobs.read("audit", folder + "log") == b"".join(blocks)


@pytest.mark.parametrize("offset", [0, 5, 7, 99])
async def test_append_at_another_place_than_the_end_is_refused(blobs: BlobStore, folder: str, offset: int) -> None:
    await append_all(blobs, folder + "log", LINES[:1])
    with pytest.raises(PreconditionFailed):
        await blobs.append("audit", folder + "log", b"other", offset=offset)
    assert await blobs.read("audit", folder + "log") == LINES[0]


async def test_repeated_append_does_not_append_twice(blobs: BlobStore, folder: str) -> None:
    await append_all(blobs, folder + "log", LINES)
    with pytest.raises(PreconditionFailed):
        await blobs.append("audit", folder + "log", LINES[2], offset=len(LINES[0] + LINES[1]))
    assert await blobs.read("audit", folder + "log") == b"".join(LINES)


async def test_append_to_what_should_be_there_and_is_not(blobs: BlobStore, folder: str) -> None:
    with pytest.raises(NotPresent):
        await blobs.append("audit", folder + "log", b"x", offset=3)
    with pytest.raises(NotPresent):
        await blobs.append("no-such-container", folder + "log", b"x", offset=0)
    assert await blobs.head("audit", folder + "log") is None


async def test_of_many_appends_at_the_same_place_one_wins(blobs: BlobStore, folder: str) -> None:
    await append_all(blobs, folder + "log", LINES[:1])
    appends = (blobs.append("audit", folder + "log", b"%d" % n, offset=len(LINES[0])) for n in range(4))
    results = await asyncio.gather(*appends, return_exceptions=True)
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, PreconditionFailed) for result in results) == 3


@pytest.mark.parametrize("name", ["", "../log", "a//log"])
async def test_append_keeps_to_its_container(blobs: BlobStore, name: str) -> None:
    with pytest.raises(StorageLimit):
        await blobs.append("audit", name, b"x", offset=0)
