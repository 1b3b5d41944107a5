"""Finding the frames of an instance: from its header, its size and, where encapsulated, the headers of its fragments.

The scanner sees a file stream by and keeps no pixels: it asks for a few bytes at an offset (an item header, an offset
table, the first bytes of a fragment), and skips to the next.

How fragments make frames, the first that fits
    1. the Extended Offset Table, 2. the Basic Offset Table, each only if it has one entry for each frame, begins with 0
    and points at fragments; 3. one fragment for each frame; 4. all fragments for the only frame; 5. fragments that begin
    as an image of the transfer syntax begins.

Decisions
    * Native pixel data shorter than the header says: the frames that lie completely inside are served.
    * Encapsulated pixel data that breaks off has no table: what lies in it cannot be told for sure.
    * Video has none either: its frames are no byte ranges.
    * YBR_FULL_422 halves the chroma samples; where the data has room for all of them, they are there.

References
----------
PS3.5 8.2 "Native or Encapsulated Format Encoding" and A.4; PS3.3 C.7.6.3.1.8 "Extended Offset Table".
"""

from __future__ import annotations

import re
import struct
from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from shared.dicom.frame_table import ITEM_HEADER_BYTES, EncapsulatedFrames, FrameTable, NativeFrames, Span, decode_frame_table

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from shared.dicom.instance import ParsedInstance, PixelData

__all__ = ["FrameScanner", "FrameTable", "Span", "build_frame_table", "decode_frame_table"]

MAX_FRAGMENTS = 2_000_000
"""More make no table: at this number it has 8 MB."""
MAX_FRAMES = 2**31 - 1
"""The most that Number of Frames (0028,0008), an IS, can say."""

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_UNDEFINED = 0xFFFFFFFF
_LENGTH = struct.Struct("<I")

_NATIVE_SYNTAXES = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_ENCAPSULATED_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2\.(4\..*|5|7\..*|8\..*)")
_VIDEO_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2\.(4\.10[0-8](\.1)?|7\..*)")
"""MPEG-2, MPEG-4 AVC and HEVC (PS3.5 8.2.5 to 8.2.8), and SMPTE ST 2110 (8.2.9)."""

_IMAGE_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cJXL ")
"""JPEG and JPEG-LS, JPEG 2000, JPEG XL bare and boxed."""
_LONGEST_START = max(map(len, _IMAGE_STARTS))

_FLOAT_BITS = {"7FE00008": 32, "7FE00009": 64}
_SUBSAMPLED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


def is_native(transfer_syntax_uid: str) -> bool:
    """Tell whether a transfer syntax stores pixel data neither encapsulated nor deflated (PS3.5 A.1 to A.3)."""
    return transfer_syntax_uid in _NATIVE_SYNTAXES


def build_frame_table(parsed: ParsedInstance, buffer: bytes | memoryview) -> FrameTable | None:
    """Find the frames of a whole file in memory; None where there is no sound table."""
    scanner = FrameScanner(parsed)
    scanner.feed(buffer)
    return scanner.finish()


class FrameScanner:
    """Finds the frames of a file that streams by: feed all of it from byte 0, in pieces of any size.

    Parameters
    ----------
    parsed
        What ``parse_instance`` made of the file's beginning.
    """

    def __init__(self, parsed: ParsedInstance) -> None:
        self._pixel_data = parsed.pixel_data
        self._fragments = _Fragments()
        self._size = 0
        self._wanted, self._gathered = Span(0, 0), b""
        self._walk: Generator[Span, bytes, None] | None = None
        if self._pixel_data and _is_encapsulated(self._pixel_data):
            self._walk = self._fragments.walk(self._pixel_data.offset)
            self._wanted = next(self._walk)

    def feed(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes of the file; borrowed, not kept."""
        base = self._size
        self._size += len(chunk)
        while self._walk is not None:
            start = self._wanted.start + len(self._gathered)
            if start > self._size or (start == self._size and start < self._wanted.stop):
                return
            self._gathered += bytes(chunk[start - base : self._wanted.stop - base])
            if len(self._gathered) < self._wanted.stop - self._wanted.start:
                return
            self._step()

    def _step(self) -> None:
        gathered, self._gathered = self._gathered, b""
        try:
            self._wanted = self._walk.send(gathered) if self._walk else self._wanted
        except StopIteration:
            self._walk = None

    def finish(self) -> FrameTable | None:
        """Tell where the frames lie, after the last byte; None where there is no sound table."""
        pixel_data = self._pixel_data
        if pixel_data is None or pixel_data.number_of_frames > MAX_FRAMES:
            return None
        if _is_encapsulated(pixel_data):
            return _encapsulated_table(pixel_data, self._fragments, self._size)
        return _native_table(pixel_data, self._size)


def _is_encapsulated(pixel_data: PixelData) -> bool:
    syntax = pixel_data.transfer_syntax_uid
    return pixel_data.length is None and not is_native(syntax) and _VIDEO_SYNTAX.fullmatch(syntax) is None


def _native_table(pixel_data: PixelData, file_size: int) -> FrameTable | None:
    if pixel_data.length is None or _ENCAPSULATED_SYNTAX.fullmatch(pixel_data.transfer_syntax_uid):
        return None
    length = min(pixel_data.length, file_size - pixel_data.offset)
    frame_bits = _native_frame_bits(pixel_data, length)
    count = min(pixel_data.number_of_frames, 8 * length // frame_bits) if frame_bits else 0
    return NativeFrames(pixel_data.offset, frame_bits, count) if count else None


def _native_frame_bits(pixel_data: PixelData, length: int) -> int:
    pixels = pixel_data.rows * pixel_data.columns
    if pixel_data.tag in _FLOAT_BITS:
        return pixels * _FLOAT_BITS[pixel_data.tag]
    bits = pixels * pixel_data.bits_allocated * (pixel_data.samples_per_pixel or 1)
    short = 8 * length < bits * pixel_data.number_of_frames
    if short and pixel_data.samples_per_pixel == 3 and pixel_data.photometric_interpretation in _SUBSAMPLED:
        return bits // 3 * 2
    return bits


class _Fragments:
    """What the item headers of encapsulated pixel data say."""

    def __init__(self) -> None:
        self.basic_offsets = b""
        self.lengths = array("I")
        self.starts_image = bytearray()
        self.first = self.stop = 0
        self.ended = False

    def walk(self, position: int) -> Generator[Span, bytes, None]:
        """Ask for byte ranges and take them in, to the sequence delimiter or whatever breaks the sequence."""
        head = yield Span(position, position + ITEM_HEADER_BYTES)
        (length,) = _LENGTH.unpack_from(head, 4)
        if head[:4] != _ITEM or length > 4 * MAX_FRAGMENTS:
            return
        position += ITEM_HEADER_BYTES
        self.basic_offsets = yield Span(position, position + length)
        position += length
        self.first = position + ITEM_HEADER_BYTES
        while len(self.lengths) < MAX_FRAGMENTS:
            head = yield Span(position, position + ITEM_HEADER_BYTES)
            (length,) = _LENGTH.unpack_from(head, 4)
            if head[:4] != _ITEM or length == _UNDEFINED:
                self.ended = head[:4] == _SEQUENCE_END
                return
            position += ITEM_HEADER_BYTES
            start = yield Span(position, position + min(length, _LONGEST_START))
            self.starts_image.append(start.startswith(_IMAGE_STARTS))
            self.lengths.append(length)
            position += length
            self.stop = position


def _encapsulated_table(pixel_data: PixelData, fragments: _Fragments, file_size: int) -> FrameTable | None:
    whole = fragments.ended or fragments.stop == file_size
    if not whole or not fragments.lengths:
        return None
    counts = _fragment_counts(pixel_data, fragments)
    if counts is None:
        return None
    one_each = len(counts) == len(fragments.lengths)
    return EncapsulatedFrames(fragments.first, fragments.lengths, array("I") if one_each else array("I", counts))


def _fragment_counts(pixel_data: PixelData, fragments: _Fragments) -> Sequence[int] | None:
    """Tell how many fragments each frame has; None if that is not sure."""
    frames, total = pixel_data.number_of_frames, len(fragments.lengths)
    for table, form in ((pixel_data.extended_offsets, "Q"), (fragments.basic_offsets, "I")):
        counts = _counts_by_offsets(_unpack(table, form), fragments.lengths, frames)
        if counts:
            return counts
    if frames == total:
        return [1] * total
    if frames == 1:
        return [total]
    first_fragments = [index for index, starts in enumerate(fragments.starts_image) if starts]
    return _counts_by_first(first_fragments, total) if len(first_fragments) == frames else None


def _unpack(table: bytes, form: str) -> tuple[int, ...]:
    count = len(table) // struct.calcsize("<" + form)
    return struct.unpack_from(f"<{count}{form}", table)


def _counts_by_offsets(offsets: tuple[int, ...], lengths: Sequence[int], frames: int) -> list[int] | None:
    if len(offsets) != frames:
        return None
    steps = accumulate((length + ITEM_HEADER_BYTES for length in lengths), initial=0)
    fragment_at = {offset: index for index, offset in enumerate(steps) if index < len(lengths)}
    first_fragments = [fragment_at.get(offset, -1) for offset in offsets]
    return _counts_by_first(first_fragments, len(lengths))


def _counts_by_first(first_fragments: list[int], total: int) -> list[int] | None:
    """Turn the index of each frame's first fragment into counts; None unless they begin with 0 and ascend."""
    counts = [after - before for before, after in pairwise([*first_fragments, total])]
    return counts if first_fragments[:1] == [0] and min(counts) > 0 else None
