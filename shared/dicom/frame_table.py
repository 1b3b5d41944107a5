"""Where each frame of an instance lies in its file; kept in the instance's row so that frames are read by byte range.

Two kinds. Native frames follow each other without a gap, to the bit. Encapsulated ones are fragments, each behind an
item header of eight bytes, so that the lengths of all fragments tell every offset.

References
----------
PS3.5 8.1.1 "Pixel Data Encoding of Related Data Elements" and A.4 "Transfer Syntaxes for Encapsulation of Encoded Pixel Data".
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from shared.errors import ArchiveError, FrameNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

ITEM_HEADER_BYTES = 8
_VERSION = 1
_NATIVE, _ENCAPSULATED = 0, 1
_KIND = struct.Struct("<BB")
_NATIVE_TABLE = struct.Struct("<QQI")
_ENCAPSULATED_TABLE = struct.Struct("<QII")


class Span(NamedTuple):
    """A byte range of the file, half-open."""

    start: int
    stop: int


class FrameTable(ABC):
    """Where each frame lies. Frame numbers are one-based, as in a request; repeats are allowed."""

    __slots__ = ()

    @property
    @abstractmethod
    def count(self) -> int:
        """How many frames can be served."""

    @abstractmethod
    def spans(self, frame_number: int) -> tuple[Span, ...]:
        """Give the byte ranges of the file that hold a frame, in order.

        Raises
        ------
        FrameNotFound
            The number is below 1 or above ``count``.
        """

    @abstractmethod
    def cut(self, frame_number: int, data: bytes | memoryview, base: int = 0) -> bytes:
        """Cut a frame out of ``data``, which begins at byte ``base`` of the file and holds all of the frame's spans.

        Fragments are joined. A frame whose pixels are single bits begins at the lowest bit of the first byte.
        """

    @abstractmethod
    def encode(self) -> bytes:
        """Write the table compactly, with its version."""

    def covering(self, frame_numbers: Iterable[int]) -> Span:
        """Give the one range that holds all these frames, of which there is at least one."""
        numbers = set(frame_numbers)
        return Span(self.spans(min(numbers))[0].start, self.spans(max(numbers))[-1].stop)

    def _require(self, frame_number: int) -> None:
        if not 1 <= frame_number <= self.count:
            raise FrameNotFound(f"The instance has frames 1 to {self.count}.")


@dataclass(frozen=True, slots=True)
class NativeFrames(FrameTable):
    """Frames of equal length in bits, one after the other from byte ``offset`` of the file."""

    offset: int
    frame_bits: int
    frame_count: int

    @property
    def count(self) -> int:
        """How many frames can be served."""
        return self.frame_count

    def spans(self, frame_number: int) -> tuple[Span, ...]:
        """Give the byte range that holds a frame; the first and last byte may hold bits of its neighbours."""
        self._require(frame_number)
        stop_bit = frame_number * self.frame_bits
        return (Span(self.offset + (stop_bit - self.frame_bits) // 8, self.offset + -(-stop_bit // 8)),)

    def cut(self, frame_number: int, data: bytes | memoryview, base: int = 0) -> bytes:
        """Cut a frame out, shifted so that it begins with a whole byte."""
        ((start, stop),) = self.spans(frame_number)
        taken = bytes(data[start - base : stop - base])
        if self.frame_bits % 8 == 0:
            return taken
        shift = (frame_number - 1) * self.frame_bits % 8
        bits = (int.from_bytes(taken, "little") >> shift) & ((1 << self.frame_bits) - 1)
        return bits.to_bytes(-(-self.frame_bits // 8), "little")

    def encode(self) -> bytes:
        """Write the table."""
        return _KIND.pack(_VERSION, _NATIVE) + _NATIVE_TABLE.pack(self.offset, self.frame_bits, self.frame_count)


@dataclass(frozen=True, slots=True)
class EncapsulatedFrames(FrameTable):
    """Frames of one or more fragments.

    ``offset`` is that of the first fragment's first byte in the file, ``lengths`` are those of all fragments, in bytes;
    ``fragment_counts`` tells how many fragments each frame has, and is empty where each has one.
    """

    offset: int
    lengths: array[int]
    fragment_counts: array[int]

    @property
    def count(self) -> int:
        """How many frames can be served."""
        return len(self.fragment_counts) or len(self.lengths)

    def spans(self, frame_number: int) -> tuple[Span, ...]:
        """Give the byte ranges of a frame's fragments."""
        self._require(frame_number)
        first, fragments = frame_number - 1, 1
        if self.fragment_counts:
            first, fragments = sum(self.fragment_counts[:first]), self.fragment_counts[first]
        start = self.offset + sum(self.lengths[:first]) + ITEM_HEADER_BYTES * first
        spans = []
        for length in self.lengths[first : first + fragments]:
            spans.append(Span(start, start + length))
            start += length + ITEM_HEADER_BYTES
        return tuple(spans)

    def cut(self, frame_number: int, data: bytes | memoryview, base: int = 0) -> bytes:
        """Join the fragments of a frame."""
        return b"".join(data[start - base : stop - base] for start, stop in self.spans(frame_number))

    def encode(self) -> bytes:
        """Write the table."""
        head = _ENCAPSULATED_TABLE.pack(self.offset, len(self.lengths), len(self.fragment_counts))
        numbers = struct.pack(f"<{len(self.lengths) + len(self.fragment_counts)}I", *self.lengths, *self.fragment_counts)
        return _KIND.pack(_VERSION, _ENCAPSULATED) + head + numbers


def decode_frame_table(encoded: bytes) -> FrameTable:
    """Read what ``encode`` wrote.

    Raises
    ------
    ArchiveError
        It is damaged, or of a version that this code does not know.
    """
    try:
        version, kind = _KIND.unpack_from(encoded)
        if version == _VERSION and kind == _NATIVE:
            return NativeFrames(*_NATIVE_TABLE.unpack(encoded[_KIND.size :]))
        if version == _VERSION and kind == _ENCAPSULATED:
            return _decode_encapsulated(encoded[_KIND.size :])
    except struct.error:
        pass
    raise ArchiveError("A stored frame table is damaged or of an unknown version.")


def _decode_encapsulated(encoded: bytes) -> EncapsulatedFrames:
    offset, fragments, frames = _ENCAPSULATED_TABLE.unpack_from(encoded)
    numbers = struct.unpack(f"<{fragments + frames}I", encoded[_ENCAPSULATED_TABLE.size :])
    return EncapsulatedFrames(offset, array("I", numbers[:fragments]), array("I", numbers[fragments:]))
