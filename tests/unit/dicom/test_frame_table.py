"""A frame table gives the byte ranges of frames, and survives being stored."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.frame_table import EncapsulatedFrames, FrameTable, NativeFrames, Span, decode_frame_table
from shared.errors import ArchiveError, FrameNotFound


def encapsulated(offset: int, lengths: list[int], counts: list[int]) -> EncapsulatedFrames:
    return EncapsulatedFrames(offset, array("I", lengths), array("I", counts))


def test_native_frames_follow_each_other() -> None:
    table = NativeFrames(offset=100, frame_bits=80, frame_count=3)
    assert [table.spans(number) for number in (1, 2, 3)] == [(Span(100, 110),), (Span(110, 120),), (Span(120, 130),)]


def test_the_spans_of_packed_bits_hold_the_bits_of_the_neighbours_too() -> None:
    table = NativeFrames(offset=0, frame_bits=12, frame_count=2)
    assert table.spans(1) + table.spans(2) == (Span(0, 2), Span(1, 3))


@given(st.integers(1, 50), st.integers(1, 9), st.data())
def test_packed_bits_are_shifted_to_the_beginning_of_a_byte(frame_bits: int, count: int, data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.integers(0, 1), min_size=frame_bits * count, max_size=frame_bits * count))
    packed = sum(bit << place for place, bit in enumerate(bits)).to_bytes(-(-len(bits) // 8), "little")
    table = NativeFrames(offset=3, frame_bits=frame_bits, frame_count=count)
    for index in range(count):
        frame = int.from_bytes(table.cut(index + 1, b"abc" + packed), "little")
        assert [frame >> place & 1 for place in range(frame_bits)] == bits[index * frame_bits : (index + 1) * frame_bits]
        assert frame < 1 << frame_bits


def test_fragments_stand_eight_bytes_apart() -> None:
    table = encapsulated(100, [10, 20, 30], [])
    assert [table.spans(number) for number in (1, 2, 3)] == [(Span(100, 110),), (Span(118, 138),), (Span(146, 176),)]


def test_a_frame_of_several_fragments_is_joined() -> None:
    data = b"........ab--------c--------de"
    table = encapsulated(8, [2, 1, 2], [2, 1])
    assert table.spans(1) == (Span(8, 10), Span(18, 19))
    assert (table.cut(1, data), table.cut(2, data[18:], base=18)) == (b"abc", b"de")


def test_one_range_covers_what_is_asked_for() -> None:
    assert encapsulated(100, [10, 20, 30], []).covering([3, 2, 3]) == Span(118, 176)


@pytest.mark.parametrize("table", [NativeFrames(0, 8, 3), encapsulated(0, [1, 2, 3], []), encapsulated(0, [1, 2, 3, 4], [1, 2, 1])])
@pytest.mark.parametrize("number", [-1, 0, 4])
def test_a_number_outside_the_instance_is_not_found(table: FrameTable, number: int) -> None:
    with pytest.raises(FrameNotFound, match="1 to 3"):
        table.spans(number)


OFFSETS = st.integers(0, 2**40)
LENGTHS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30)
TABLES = st.one_of(
    st.builds(NativeFrames, OFFSETS, st.integers(1, 2**40), st.integers(1, 2**31)),
    st.builds(encapsulated, OFFSETS, LENGTHS, st.lists(st.integers(1, 99), max_size=9)),
)


@given(TABLES)
def test_a_table_survives_being_stored(table: FrameTable) -> None:
    assert decode_frame_table(table.encode()) == table


def test_a_table_of_a_thousand_frames_takes_four_bytes_for_each() -> None:
    assert len(encapsulated(0, [70_000] * 1000, []).encode()) < 4100


@given(st.binary(max_size=40) | TABLES.map(lambda table: table.encode()[:-1]))
def test_what_is_damaged_is_refused(encoded: bytes) -> None:
    try:
        decode_frame_table(encoded)
    except ArchiveError as refused:
        assert "frame table" in str(refused)  # noqa: PT017 - damage need not show
