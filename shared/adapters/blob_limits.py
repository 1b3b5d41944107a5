"""Blob Storage's limits, and those of a file system, enforced by all blob adapters."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.errors import StorageLimit

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_NAME_CHARACTERS = 1024
MAX_PART_BYTES = 255
"""Of a name between slashes: what file systems take."""
MAX_METADATA_BYTES = 8 * 1024
MAX_PIECE_BYTES = 4 * 1024 * 1024
"""Of a piece that a stream gives."""
PAGE = 1000
"""Blobs in a page of a listing."""
RESERVED = ".aside"
"""First part of no blob's name: where the embedded store writes what is not whole yet."""

_METADATA_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
"""Lower case, since HTTP does not keep the case of header names."""


def check_name(name: str) -> None:
    """Raise ``StorageLimit`` unless ``name`` is legal in all stores and stays inside its container.

    Names in ``inbox`` are the sender's choice.
    """
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or "\x00" in name or "\\" in name:
        raise StorageLimit(f"a blob name is empty, longer than {MAX_NAME_CHARACTERS} characters or holds NUL or a backslash")
    parts = name.split("/")
    if parts[0] == RESERVED or any(part in ("", ".", "..") for part in parts):
        raise StorageLimit(f"a part of a blob name is empty, '.', '..' or (the first) '{RESERVED}'")
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError as error:
        raise StorageLimit("a blob name is no valid Unicode text") from error
    if longest > MAX_PART_BYTES:
        raise StorageLimit(f"a part of a blob name is longer than {MAX_PART_BYTES} bytes")


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise ``StorageLimit`` unless Blob Storage would take the metadata, which travels in HTTP headers."""
    if sum(len(name) + len(value) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        raise StorageLimit(f"blob metadata is larger than {MAX_METADATA_BYTES} bytes")
    for name, value in metadata.items():
        if not _METADATA_NAME.match(name) or not value.isascii() or not value.isprintable() or value != value.strip():
            raise StorageLimit(
                "blob metadata has a name that is no lower-case identifier, or a value that is not printable ASCII without outer blanks"
            )
