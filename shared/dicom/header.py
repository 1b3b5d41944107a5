"""The outside of a Part 10 file: preamble, file meta information, inflation, limits. Not: elements of the dataset.

A header is what stands before the pixel data. It is read from the start of the file only, within stated limits, and
never past them: a length that lies is found out before anything is allocated for it.

References
----------
PS3.10 chapter 7 "DICOM File Format"; PS3.5 annex A "Transfer Syntax Specifications".
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from shared.errors import InvalidDicom

if TYPE_CHECKING:
    from collections.abc import Iterator

PREAMBLE_BYTES = 128
MAX_HEADER_BYTES = 64 * 1024 * 1024
"""How much of a file is asked for at most before its pixel data begins, or it ends."""
_MAX_META_BYTES = 1024 * 1024
"""Where the file meta information is taken to end at the latest."""
MAX_DEPTH = 64
"""Sequences within sequences."""
MAX_ELEMENTS = 500_000
"""Elements and items of a header, all levels together: a multi-frame image describes each of its thousands of frames."""
MAX_DEFLATE_RATIO = 100
MAX_INFLATED_HEADER_BYTES = 16 * 1024 * 1024
_DEFLATE_ALLOWANCE = 1024 * 1024
"""Bytes that a small file may inflate to whatever the ratio."""
_DEFLATED_STEP, _INFLATED_STEP = 16 * 1024, 1024 * 1024

DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Deflated Explicit VR Little Endian, and the JPIP syntaxes that deflate their dataset."""


class NeedMoreBytes(Exception):
    """The header does not end inside the bytes given; ask again with more of the file.

    Parameters
    ----------
    at_least
        How many bytes of the file must be given before another try can get further. Give twice what you gave
        when that is more, and the whole effort stays linear.
    """

    def __init__(self, at_least: int) -> None:
        super().__init__("the header goes on beyond the bytes given")
        self.at_least = at_least


FIRST_HEAD_BYTES = 6
"""What must be seen of the dataset to tell how it is encoded."""

_META_GROUP = b"\x02\x00"
_HEAD = struct.Struct("<H2sH")
_LONG_LENGTH = struct.Struct("<I")
_LONG_VRS = frozenset({b"OB", b"UN", b"UT"})
_TRANSFER_SYNTAX_UID = 0x0010


def read_file_meta(buffer: bytes, *, complete: bool) -> tuple[str, int]:
    """Read the file meta information.

    Returns
    -------
    tuple of str and int
        Transfer Syntax UID (0002,0010), and the offset of the dataset.

    Raises
    ------
    InvalidDicom
        There is no preamble with its prefix, or no sound file meta information.
    NeedMoreBytes
        It goes on beyond the bytes given, and they are not the whole file.

    References
    ----------
    PS3.10 7.1 "DICOM File Meta Information".
    """
    position = PREAMBLE_BYTES + 4
    if len(buffer) < position:
        raise short_of(position, complete=complete)
    if buffer[PREAMBLE_BYTES:position] != b"DICM":
        raise InvalidDicom("The file does not begin with a 128-byte preamble and the prefix DICM (PS3.10 7.1).")
    value = b""
    try:
        while buffer[position : position + 2] == _META_GROUP and position < _MAX_META_BYTES:
            element, vr, length = _HEAD.unpack_from(buffer, position + 2)
            start = position + 8
            if vr in _LONG_VRS:
                (length,) = _LONG_LENGTH.unpack_from(buffer, start)
                start += 4
            position = start + length
            if element == _TRANSFER_SYNTAX_UID:
                value = buffer[start:position]
    except struct.error:
        raise short_of(position + 12, complete=complete) from None
    if len(buffer) < position + (0 if complete else FIRST_HEAD_BYTES):
        raise short_of(position + FIRST_HEAD_BYTES, complete=complete)
    if not value:
        raise InvalidDicom("The file meta information has no TransferSyntaxUID (0002,0010).")
    return value.rstrip(b"\0 ").decode("ascii", "replace"), position


def short_of(stop: int, *, complete: bool) -> Exception:
    """Make the error for bytes that are not there: refusal, or a request for more where more may come."""
    if complete:
        return InvalidDicom("The file ends inside its header, or a length in it is wrong.")
    if stop > MAX_HEADER_BYTES:
        return InvalidDicom(f"The header is longer than {MAX_HEADER_BYTES // 2**20} MiB, or a length in it is wrong.")
    return NeedMoreBytes(stop)


def inflate(deflated: memoryview) -> tuple[bytes, bool]:
    """Inflate a deflated dataset as far as a header may reach, and try the rest of it without keeping it.

    Returns
    -------
    tuple of bytes and bool
        The beginning of the dataset, and whether that is all of it.

    Raises
    ------
    InvalidDicom
        The stream is broken, or inflates to more than a hundred times its length.

    References
    ----------
    PS3.5 A.5 "DICOM Deflated Little Endian Transfer Syntax (Explicit VR)".
    """
    limit = max(MAX_DEFLATE_RATIO * len(deflated), _DEFLATE_ALLOWANCE)
    kept, total = [], 0
    for piece in _inflated(deflated):
        total += len(piece)
        if total > limit:
            raise InvalidDicom(f"The deflated dataset inflates to more than {MAX_DEFLATE_RATIO} times its length.")
        if total <= MAX_INFLATED_HEADER_BYTES:
            kept.append(piece)
    beginning = b"".join(kept)
    return beginning, len(beginning) == total


def _inflated(deflated: memoryview) -> Iterator[bytes]:
    """Inflate in steps small on both sides, so that neither memory nor the copying of unread input grows."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(0, len(deflated), _DEFLATED_STEP):
            unread: bytes | memoryview = deflated[at : at + _DEFLATED_STEP]
            while unread and not stream.eof:
                yield stream.decompress(unread, _INFLATED_STEP)
                unread = stream.unconsumed_tail
        yield stream.flush()
    except zlib.error:
        raise InvalidDicom("The deflated dataset cannot be inflated.") from None
