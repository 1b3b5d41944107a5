"""Names for blobs: ULIDs, which say when and nothing else."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [one + other for one in _CROCKFORD for other in _CROCKFORD]
_SHIFTS = range(120, -1, -10)


_RANDOM_BYTES = 10


def _random_parts() -> Iterator[int]:
    """Draw from the system many at a time: each draw gives the interpreter to another thread, and waits to have it back."""
    while True:
        block = os.urandom(256 * _RANDOM_BYTES)
        yield from (int.from_bytes(block[i : i + _RANDOM_BYTES], "big") for i in range(0, len(block), _RANDOM_BYTES))


_parts = _random_parts()


def new_ulid(now_ms: int) -> str:
    """Make a ULID: 48 bits of Unix milliseconds and 80 random ones, as 26 lower-case characters. For one thread only."""
    number = now_ms << 80 | next(_parts)
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def blob_name(ulid: str) -> str:
    """Name a blob of container ``dicom``: ``{hh}/{ulid}.dcm``, so that the sweeper can walk it slice by slice."""
    return f"{slice_of(ulid)}/{ulid}.dcm"


def slice_of(ulid: str) -> str:
    """Give the two hex digits that a ULID hashes to."""
    return hashlib.sha256(ulid.encode()).hexdigest()[:2]
