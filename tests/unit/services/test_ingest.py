"""The inbox door: stored once, whatever becomes of the events and the file meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import Busy, OutcomeUnknown
from shared.services import receive
from tests.support.archive import TestArchive, open_archive
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MARKER = "Secret^Patient"


class SetClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime(2024, 5, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


async def drop(archive: TestArchive, name: str, file: bytes) -> None:
    await archive.stores.blobs.put("inbox", name, file, exclusive=False)


async def names(archive: TestArchive, container: str) -> list[str]:
    return [b.name async for page in archive.stores.blobs.list(container) for b in page]


async def events(archive: TestArchive) -> list[tuple[str, str]]:
    from shared.catalog.feed import FeedReader  # noqa: PLC0415

    return [(str(e.action), e.sop_instance_uid) for e in await FeedReader(archive.stores.tables).read(0, 100)]


async def rejected(archive: TestArchive, name: str) -> str:
    info = await archive.stores.blobs.head("inbox-rejected", name)
    assert info is not None
    return info.metadata["reason"]


async def test_a_dropped_file_is_stored_announced_and_gone() -> None:
    archive, instance = await open_archive(), new_uid()
    await drop(archive, "folder/a.dcm", make_instance(SOPInstanceUID=instance))
    await archive.services.ingest.ingest("folder/a.dcm")
    assert (await names(archive, "inbox"), await events(archive)) == ([], [("Create", instance)])
    assert len(await names(archive, "dicom")) == 1


async def test_an_event_that_comes_again_finds_nothing_to_do() -> None:
    archive = await open_archive()
    await drop(archive, "a", make_instance())
    for _ in range(3):
        await archive.services.ingest.ingest("a")
    assert len(await events(archive)) == 1


async def test_the_same_file_under_two_names_is_stored_once_and_both_go() -> None:
    archive, file = await open_archive(), make_instance()
    for name in ("a", "b"):
        await drop(archive, name, b"\xff" * 128 + file[128:] if name == "b" else file)
        await archive.services.ingest.ingest(name)
    assert (await names(archive, "inbox"), await names(archive, "inbox-rejected")) == ([], [])
    assert len(await events(archive)) == 1


async def test_another_file_under_stored_uids_is_rejected_with_its_reason_and_kept_as_it_was() -> None:
    archive, uids = await open_archive(), {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    other = make_instance(**uids, PatientName=MARKER)
    for name, file in (("a", make_instance(**uids)), ("b", other)):
        await drop(archive, name, file)
        await archive.services.ingest.ingest(name)
    assert await rejected(archive, "b") == "ALREADY_STORED B00E"
    assert await archive.stores.blobs.read("inbox-rejected", "b") == other
    assert await names(archive, "inbox") == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "VALIDATION_FAILED A900"),
        (b"not DICOM" * 100, "VALIDATION_FAILED A900"),
        (make_instance(PatientName=MARKER)[:400], "VALIDATION_FAILED A900"),
        (make_instance(StudyInstanceUID=MARKER, PatientName=MARKER), "VALIDATION_FAILED A900 0020000D"),
    ],
    ids=["empty", "foreign", "truncated", "no-uid"],
)
async def test_a_bad_file_is_rejected_with_a_reason_that_holds_no_value(file: bytes, reason: str) -> None:
    archive = await open_archive()
    await drop(archive, "bad", file)
    await archive.services.ingest.ingest("bad")
    assert await rejected(archive, "bad") == reason
    assert (await names(archive, "inbox"), await events(archive)) == ([], [])


async def test_two_bad_files_of_one_name_are_both_kept() -> None:
    archive = await open_archive()
    for content in (b"one", b"two"):
        await drop(archive, "bad", content)
        await archive.services.ingest.ingest("bad")
    kept = [await archive.stores.blobs.read("inbox-rejected", name) for name in await names(archive, "inbox-rejected")]
    assert sorted(kept) == [b"one", b"two"]


async def test_a_file_over_the_limit_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = await open_archive()
    monkeypatch.setattr(archive.services.stow, "_max_bytes", 100)
    await drop(archive, "big", make_instance())
    await archive.services.ingest.ingest("big")
    assert await rejected(archive, "big") == "too-large"


async def test_a_large_file_streams_and_is_stored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.services.stow.WHOLE_PART_BYTES", 1000)
    archive, pixels = await open_archive(), bytes(64 * 64 * 2)
    file = make_instance(Rows=64, Columns=64, PixelData=pixels)
    await drop(archive, "large", file)
    await archive.services.ingest.ingest("large")
    stored = await archive.stores.blobs.read("dicom", (await names(archive, "dicom"))[0])
    assert stored == bytes(128) + file[128:]


class Overwriting:
    """Blobs of which a file in the inbox is overwritten at the n-th touch."""

    def __init__(self, inner: Any, touch: int, file: bytes) -> None:
        self._inner, self._left, self._file = inner, touch, file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _touch(self, container: str, name: str) -> None:
        self._left -= container == "inbox"
        if container == "inbox" and self._left == 0:
            await self._inner.put("inbox", name, self._file, exclusive=False)

    async def stream(self, container: str, name: str, **options: Any) -> AsyncIterator[bytes]:
        await self._touch(container, name)
        async for piece in self._inner.stream(container, name, **options):
            yield piece

    async def delete(self, container: str, name: str, **options: Any) -> None:
        await self._touch(container, name)
        await self._inner.delete(container, name, **options)


@pytest.mark.parametrize("touch", [1, 2], ids=["before-it-is-read", "before-it-is-deleted"])
@pytest.mark.parametrize("first", [make_instance(SOPInstanceUID="1.2.3"), b"bad"], ids=["good", "bad"])
async def test_a_file_overwritten_meanwhile_is_left_to_its_own_event(touch: int, first: bytes) -> None:
    archive, second = await open_archive(), make_instance(SOPInstanceUID="1.2.4")
    ingest = archive.services.ingest
    await drop(archive, "a", first)
    inner = ingest._blobs
    ingest._blobs = Overwriting(inner, touch, second)
    await ingest.ingest("a")
    ingest._blobs = inner
    assert await names(archive, "inbox") == ["a"]
    await ingest.ingest("a")
    assert await names(archive, "inbox") == []
    assert [uid for _, uid in await events(archive)][-1] == "1.2.4"


async def test_trouble_of_ours_leaves_the_file_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = await open_archive()
    await drop(archive, "a", make_instance())

    def fail(*_: object, **__: object) -> None:
        raise OutcomeUnknown("blobs: put")

    with monkeypatch.context() as patch:
        patch.setattr(receive, "parse_instance", fail)
        with pytest.raises((Busy, OutcomeUnknown)):
            await archive.services.ingest.ingest("a")
    assert (await names(archive, "inbox"), await names(archive, "inbox-rejected")) == (["a"], [])
    await archive.services.ingest.ingest("a")
    assert len(await events(archive)) == 1


async def test_the_sweep_takes_what_has_lain_there_for_ten_minutes() -> None:
    clock = SetClock()
    archive = await open_archive(memory_stores(clock))
    await drop(archive, "old", make_instance(SOPInstanceUID="1.2.1"))
    await drop(archive, "old-and-bad", b"bad")
    clock.time += timedelta(minutes=9, seconds=59)
    await drop(archive, "new", make_instance(SOPInstanceUID="1.2.2"))
    await archive.services.ingest.sweep_inbox()
    assert await events(archive) == []
    clock.time += timedelta(seconds=1)
    await archive.services.ingest.sweep_inbox()
    assert [uid for _, uid in await events(archive)] == ["1.2.1"]
    assert await names(archive, "inbox") == ["new"]


async def test_one_file_in_trouble_does_not_keep_the_sweep_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SetClock()
    archive = await open_archive(memory_stores(clock))
    await drop(archive, "a", make_instance())
    await drop(archive, "b", make_instance())
    clock.time += timedelta(minutes=11)
    take, taken = archive.services.ingest._take, []

    async def take_but_the_first(info: Any) -> None:
        taken.append(info.name)
        if info.name == "a":
            raise OutcomeUnknown("blobs: read")
        await take(info)

    monkeypatch.setattr(archive.services.ingest, "_take", take_but_the_first)
    await archive.services.ingest.sweep_inbox()
    assert taken == ["a", "b"]
    assert await names(archive, "inbox") == ["a"]
