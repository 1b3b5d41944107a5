"""Retrieving frames: byte ranges, few requests, honest refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.dicomweb.media_types import parse_accept
from shared.dicomweb.resources import Resource
from shared.errors import FrameNotFound, InvalidRequest, NotAcceptable, NotFound
from shared.services import frames as frames_module
from shared.services import receive
from tests.support.archive import TestArchive, open_archive
from tests.support.dicom_builders import DEFLATED_LE, JPEG_BASELINE, make_encapsulated, make_instance, new_uid

if TYPE_CHECKING:
    from shared.dicomweb.media_types import Accept
    from shared.services.wado import Retrieved

ANY = parse_accept(None)
SINGLE = parse_accept("application/octet-stream; transfer-syntax=*")
FRAMES = [bytes([number]) * 50 for number in range(1, 31)]


async def stored(file_of: object) -> tuple[TestArchive, Resource]:
    """Store the file that ``file_of`` makes for given UIDs."""
    archive = await open_archive()
    uids = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    await archive.store(file_of(uids))  # type: ignore[operator]
    return archive, Resource(*uids.values())


def native(uids: dict[str, str]) -> bytes:
    return make_instance(**uids, Rows=5, Columns=5, NumberOfFrames=30, PixelData=b"".join(FRAMES))


def compressed(uids: dict[str, str]) -> bytes:
    return make_encapsulated(FRAMES, transfer_syntax_uid=JPEG_BASELINE, fragments_per_frame=2, has_bot=True, **uids)


async def retrieve(archive: TestArchive, resource: Resource, numbers: list[int], accept: Accept = ANY) -> Retrieved:
    service = archive.services.frames
    return await service.open(await service.select(resource), numbers, accept)


async def content(retrieved: Retrieved) -> list[bytes]:
    return [bytes(piece) async for piece in retrieved.body]


@pytest.mark.parametrize("make", [native, compressed])
async def test_one_frame_costs_one_table_read_and_one_ranged_blob_read(make: object) -> None:
    archive, resource = await stored(make)
    retrieved = await retrieve(archive, resource, [7], SINGLE)
    assert (await content(retrieved), retrieved.length) == ([FRAMES[6]], 50)
    assert archive.counts == {"get catalog": 1, "read dicom": 1}


@pytest.mark.parametrize("make", [native, compressed])
@pytest.mark.parametrize(
    ("numbers", "reads"), [([1, 2, 3, 4], 1), ([1, 2, 9, 10], 2), ([3, 2, 1], 3), ([5, 5], 2), (list(range(1, 31)), 1)]
)
async def test_frames_that_follow_one_another_are_read_at_once(make: object, numbers: list[int], reads: int) -> None:
    archive, resource = await stored(make)
    pieces = await content(await retrieve(archive, resource, numbers))
    assert pieces[1::2] == [FRAMES[n - 1] for n in numbers]
    assert archive.counts == {"get catalog": 1, "read dicom": reads}


async def test_a_long_run_is_read_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "MAX_RUN_BYTES", 500)
    archive, resource = await stored(native)
    pieces = await content(await retrieve(archive, resource, list(range(1, 31))))
    assert pieces[1::2] == FRAMES
    assert archive.counts["read dicom"] == 3


async def test_a_frame_table_too_big_for_its_row_is_read_from_its_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_INLINE_FRAMES", 1)
    archive, resource = await stored(compressed)
    assert (await content(await retrieve(archive, resource, [30])))[1] == FRAMES[29]
    assert archive.counts == {"get catalog": 1, "read metadata": 1, "read dicom": 1}


@pytest.mark.parametrize("number", [31, 10_000_000])
async def test_a_frame_beyond_the_last_is_not_found(number: int) -> None:
    archive, resource = await stored(native)
    with pytest.raises(FrameNotFound, match="30 frames"):
        await retrieve(archive, resource, [1, number])


async def test_several_frames_are_no_single_part() -> None:
    archive, resource = await stored(native)
    with pytest.raises(InvalidRequest):
        await retrieve(archive, resource, [1, 2], SINGLE)


async def test_compressed_frames_are_not_sent_as_uncompressed() -> None:
    archive, resource = await stored(compressed)
    with pytest.raises(NotAcceptable):
        await retrieve(archive, resource, [1], parse_accept("application/octet-stream"))


async def test_compressed_frames_are_sent_as_what_they_are() -> None:
    archive, resource = await stored(compressed)
    retrieved = await retrieve(archive, resource, [1], parse_accept('multipart/related; type="image/jpeg"'))
    assert b"image/jpeg" in (await content(retrieved))[0]


@pytest.mark.parametrize("size", [{"Rows": None, "Columns": None}, {}], ids=["without size", "with size"])
async def test_an_instance_without_pixels_has_no_frames(size: dict[str, Any]) -> None:
    archive, resource = await stored(lambda uids: make_instance(**uids, PixelData=None, **size))
    with pytest.raises(FrameNotFound):
        await retrieve(archive, resource, [1])


async def test_frames_of_a_deflated_file_are_refused_with_a_remedy() -> None:
    archive, resource = await stored(lambda uids: make_instance(transfer_syntax_uid=DEFLATED_LE, **uids))
    with pytest.raises(NotAcceptable, match="retrieve the instance"):
        await retrieve(archive, resource, [1])


async def test_an_unknown_instance_is_not_found() -> None:
    archive = await open_archive()
    with pytest.raises(NotFound):
        await retrieve(archive, Resource(new_uid(), new_uid(), new_uid()), [1])
