"""Frames are found in whole files and in files that stream by."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.frames import FrameScanner, FrameTable, build_frame_table
from shared.dicom.instance import ParsedInstance, Rules, parse_instance
from shared.errors import InvalidDicom
from tests.support.dataset import ManifestRow, manifest
from tests.support.dicom_builders import DEFLATED_LE, EXPLICIT_BE, EXPLICIT_LE, JPEG_BASELINE, make_encapsulated, make_instance, raw_item

if TYPE_CHECKING:
    from collections.abc import Sequence

JPEG_2000, MPEG2 = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.100"
SOI, SOC = b"\xff\xd8\xff", b"\xff\x4f\xff\x51"


def parse(file: bytes) -> ParsedInstance:
    return parse_instance(file, rules=Rules.V1)


def table_of(file: bytes) -> FrameTable | None:
    return build_frame_table(parse(file), file)


def frames_of(file: bytes) -> list[bytes] | None:
    table = table_of(file)
    return None if table is None else [table.cut(number, file) for number in range(1, table.count + 1)]


def padded(frames: Sequence[bytes]) -> list[bytes]:
    return [frame + b"\0" * (len(frame) % 2) for frame in frames]


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT_LE, EXPLICIT_BE])
def test_native_frames_are_cut_as_they_lie(transfer_syntax_uid: str) -> None:
    pixels = bytes(range(96))
    file = make_instance(transfer_syntax_uid=transfer_syntax_uid, NumberOfFrames=3, PixelData=pixels)
    assert frames_of(file) == [pixels[:32], pixels[32:64], pixels[64:]]


@pytest.mark.parametrize(("photometric", "length"), [("YBR_FULL_422", 32), ("YBR_FULL_422", 48), ("RGB", 48)])
def test_the_chroma_of_native_frames_may_be_subsampled(photometric: str, length: int) -> None:
    file = make_instance(
        SamplesPerPixel=3, BitsAllocated=8, PhotometricInterpretation=photometric, NumberOfFrames=2, PixelData=bytes(2 * length)
    )
    assert frames_of(file) == [bytes(length)] * 2


def test_single_bit_frames_are_cut_between_bytes() -> None:
    file = make_instance(BitsAllocated=1, Rows=3, Columns=3, NumberOfFrames=2, PixelData=b"\xff\x55\x02\x00")
    assert frames_of(file) == [b"\xff\x01", b"\x2a\x01"]


def test_float_pixel_data_is_native_too() -> None:
    file = make_instance(PixelData=None, FloatPixelData=struct.pack("<32f", *range(32)), NumberOfFrames=2, BitsAllocated=32)
    assert frames_of(file) == [struct.pack("<16f", *range(16)), struct.pack("<16f", *range(16, 32))]


@pytest.mark.parametrize(("length", "count"), [(96, 3), (94, 2), (64, 2), (30, 0), (0, 0), (500, 3)])
def test_of_native_pixel_data_that_is_short_the_whole_frames_are_served(length: int, count: int) -> None:
    table = table_of(make_instance(NumberOfFrames=3, PixelData=bytes(length)))
    assert (table.count if table else 0) == count


def test_a_file_that_ends_within_its_pixel_data_serves_the_frames_before() -> None:
    table = table_of(make_instance(NumberOfFrames=3, PixelData=bytes(96))[:-1])
    assert table
    assert table.count == 2


@pytest.mark.parametrize("missing", ["Rows", "Columns", "BitsAllocated"])
def test_native_pixel_data_without_description_has_no_table(missing: str) -> None:
    assert table_of(make_instance(**{missing: None})) is None


FRAMES = [SOI + b"the first of", SOI + b"three frames", SOI + b"and the third"]


@pytest.mark.parametrize("fragments", [1, 2, 3])
@pytest.mark.parametrize("has_bot", [True, False])
def test_encapsulated_frames_are_joined_from_their_fragments(fragments: int, has_bot: bool) -> None:
    file = make_encapsulated(FRAMES, fragments_per_frame=fragments, has_bot=has_bot)
    assert frames_of(file) == padded(FRAMES)


def test_without_offset_table_the_start_of_an_image_tells_frames_apart() -> None:
    frames = [SOC + b"first", SOC + b"the second frame"]
    assert frames_of(make_encapsulated(frames, transfer_syntax_uid=JPEG_2000, fragments_per_frame=2, has_bot=False)) == padded(frames)


def test_without_any_hint_several_fragments_have_no_table() -> None:
    assert table_of(make_encapsulated([b"abcd", b"efgh"], fragments_per_frame=2, has_bot=False)) is None


def test_all_fragments_belong_to_an_only_frame() -> None:
    assert frames_of(make_encapsulated([b"abcdefgh"], fragments_per_frame=4, has_bot=False)) == [b"abcdefgh"]


def test_an_extended_offset_table_is_preferred() -> None:
    offsets = struct.pack("<2Q", 0, 10)
    pixels = raw_item() + raw_item(b"ab") + raw_item(b"cd") + raw_item(b"ef")
    file = make_encapsulated([b"x"], NumberOfFrames=2, PixelData=pixels, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=bytes(16))
    assert frames_of(file) == [b"ab", b"cdef"]


@pytest.mark.parametrize("offsets", [(0, 11), (10, 0), (0, 0), (10, 20), (0, 30), (0, 10, 20)])
def test_an_offset_table_that_points_elsewhere_is_not_believed(offsets: tuple[int, ...]) -> None:
    pixels = raw_item(struct.pack(f"<{len(offsets)}I", *offsets)) + raw_item(b"ab") + raw_item(b"cd") + raw_item(b"ef")
    assert table_of(make_encapsulated([b"x"], NumberOfFrames=2, PixelData=pixels)) is None


def test_video_has_no_table() -> None:
    assert table_of(make_encapsulated([b"stream"], transfer_syntax_uid=MPEG2, NumberOfFrames=50)) is None


def test_encapsulated_pixel_data_that_breaks_off_has_no_table() -> None:
    file = make_encapsulated(FRAMES)
    assert table_of(file[:-9]) is None
    assert table_of(file[:-8]) is not None, "only the delimiter is missing"


@pytest.mark.parametrize(
    "file", [make_instance(PixelData=None), make_instance(transfer_syntax_uid=DEFLATED_LE), make_instance(NumberOfFrames=0, PixelData=b"")]
)
def test_without_pixels_in_reach_there_is_no_table(file: bytes) -> None:
    assert table_of(file) is None


def test_native_data_under_an_encapsulated_syntax_and_the_reverse_have_no_table() -> None:
    assert table_of(make_instance(transfer_syntax_uid=EXPLICIT_LE).replace(EXPLICIT_LE.encode() + b"\0", b"1.2.840.10008.1.2.5\0")) is None
    assert table_of(make_encapsulated([b"ab"]).replace(JPEG_BASELINE.encode(), b"1.2.840.10008.1.2.1\0\0\0")) is None


FILES = [
    make_encapsulated(FRAMES),
    make_encapsulated(FRAMES, fragments_per_frame=3, has_bot=False),
    make_encapsulated([b"x"], NumberOfFrames=2, PixelData=raw_item() + raw_item() + raw_item(b"ab")),
    make_encapsulated(FRAMES)[:-11],
    make_instance(NumberOfFrames=3, PixelData=bytes(96)),
    make_instance(PixelData=None),
]


@given(st.sampled_from(FILES), st.lists(st.integers(0, 40), max_size=60))
def test_a_file_that_streams_by_gives_the_same_table(file: bytes, lengths: list[int]) -> None:
    scanner = FrameScanner(parse(file))
    position = 0
    for length in [*lengths, len(file)]:
        scanner.feed(memoryview(file)[position : position + length])
        position += length
    assert scanner.finish() == table_of(file)


@given(st.sampled_from(FILES[:4]), st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_broken_fragments_raise_nothing_and_spans_stay_inside_the_file(file: bytes, at: int, damage: bytes) -> None:
    start = len(file) - 200 + at
    broken = file[:start] + damage + file[start + len(damage) :]
    try:
        table = table_of(broken)
    except InvalidDicom:
        return
    spans = [] if table is None else [span for number in range(1, table.count + 1) for span in table.spans(number)]
    assert all(0 <= start <= stop <= len(broken) for start, stop in spans)


@pytest.mark.parametrize("row", manifest(), ids=lambda row: row.file)
@pytest.mark.parametrize("step", [7, 4096])
def test_the_files_of_the_data_set_give_the_same_table_whole_and_in_pieces(row: ManifestRow, step: int) -> None:
    file = row.path.read_bytes()[: 60_000 if step == 7 else None]
    try:
        parsed = parse(file)
    except InvalidDicom:
        return
    scanner = FrameScanner(parsed)
    for position in range(0, len(file), step):
        scanner.feed(file[position : position + step])
    assert scanner.finish() == build_frame_table(parsed, file)
