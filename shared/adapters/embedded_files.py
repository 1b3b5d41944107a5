"""Files written whole or not at all, read in ranges, and walked in the order of names. Blocking: for worker threads.

A file is written aside, in the folder ``.aside`` of its container, synced, and only then gets its name: by ``link``, which refuses a name
that is taken, or by ``rename``, which takes it over. The directory is synced last. So nobody sees half a file, not even after a
power cut, and a writer that dies half-way leaves nothing but a file in ``.aside``, which the next start removes.
(Naming before syncing, as in the performance notes, measured no faster here and would leave half files after a power cut.)
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from itertools import islice
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING

from shared.adapters.blob_limits import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shared.ports import Piece

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not through symbolic links, and not waiting for the writer of a pipe that somebody dropped in."""
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", None)


class NewFile:
    """A file being written aside. Its methods may be called from several threads, one after the other.

    Parameters
    ----------
    root
        Folder of the container.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = root / RESERVED / token_hex(16)
        self._file = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._lock = Lock()  # discard() may come while a cancelled caller's write() is still running

    def write(self, pieces: Sequence[Piece]) -> None:
        """Append pieces, without joining them."""
        with self._lock:
            if self._file >= 0:
                _write_all(self._file, pieces)

    def publish(self, name: str, *, exclusive: bool) -> str:
        """Make it durable under its name; give its ETag. ``FileExistsError`` where ``exclusive`` and the name is taken."""
        with self._lock:
            target = self._root / name
            os.fsync(self._file)
            try:
                self._give_name(target, exclusive=exclusive)
            except FileNotFoundError:
                _make_folders(target.parent)
                self._give_name(target, exclusive=exclusive)
            sync_folder(target.parent)
            return etag_of(os.fstat(self._file))

    def discard(self) -> None:
        """Close, and remove what lies aside."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                self._aside.unlink(missing_ok=True)

    def _give_name(self, target: Path, *, exclusive: bool) -> None:
        if exclusive:
            os.link(self._aside, target)
        else:
            self._aside.rename(target)


def finish(file: NewFile, name: str, pieces: Sequence[Piece], *, exclusive: bool) -> str:
    """Write the last pieces of a file and publish it; give its ETag."""
    try:
        file.write(pieces)
        return file.publish(name, exclusive=exclusive)
    finally:
        file.discard()


def write_file(root: Path, name: str, pieces: Sequence[Piece], *, exclusive: bool) -> str:
    """Write a whole file durably; give its ETag."""
    return finish(NewFile(root), name, pieces, exclusive=exclusive)


def move(source: Path, target: Path) -> None:
    """Move a file into another folder of the same file system, over what may be there."""
    _make_folders(target.parent)
    source.rename(target)


def prepare_root(root: Path) -> None:
    """Make the folder of a container, and remove what an earlier process left half-written."""
    aside = root / RESERVED
    _make_folders(aside)
    for left in aside.iterdir():
        left.unlink()


def etag_of(status: os.stat_result) -> str:
    """Give the ETag of a file: it changes with each replacement and each write a file system clock tick apart."""
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def open_file(path: Path) -> tuple[int, os.stat_result]:
    """Open a regular file for reading; ``FileNotFoundError`` for anything else."""
    file = os.open(path, _READ_FLAGS)
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        os.close(file)
        raise FileNotFoundError
    return file, status


def read_range(file: int, start: int, stop: int) -> bytes:
    """Read ``[start, stop)``, less where the file ends before."""
    data = os.pread(file, stop - start, start)
    if not data or len(data) == stop - start:
        return data
    return data + read_range(file, start + len(data), stop)


def is_cached(file: int, start: int, stop: int) -> bool:
    """Tell whether a range is likely to be in memory, by looking at its first and last byte."""
    if _CACHED_ONLY is None:
        return False
    try:
        return all(os.preadv(file, [bytearray(1)], offset, _CACHED_ONLY) for offset in (start, stop - 1))
    except OSError:  # not in memory (EAGAIN), or a file system that cannot tell
        return False


def walk(root: Path, prefix: str, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Give name and status of the regular files whose names begin with ``prefix``, in the order of names."""
    try:
        with os.scandir(root / below) as entries:
            found = sorted((below + entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""), entry) for entry in entries)
    except FileNotFoundError:
        return
    for name, entry in found:
        if name.endswith("/"):
            if name != f"{RESERVED}/" and (name.startswith(prefix) or prefix.startswith(name)):
                yield from walk(root, prefix, name)
        elif name.startswith(prefix) and entry.is_file(follow_symlinks=False):
            with suppress(FileNotFoundError):  # gone since the folder was read
                yield name, entry.stat(follow_symlinks=False)


def take(files: Iterator[tuple[str, os.stat_result]], count: int) -> list[tuple[str, os.stat_result]]:
    """Take the next files of a walk."""
    return list(islice(files, count))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _write_all(file: int, pieces: Sequence[Piece]) -> None:
    for first in range(0, len(pieces), _IOV_MAX):
        group = pieces[first : first + _IOV_MAX]
        written = os.writev(file, group)
        if written < sum(map(len, group)):
            _write_rest(file, group, written)


def _write_rest(file: int, pieces: Sequence[Piece], written: int) -> None:
    for piece in pieces:
        rest = memoryview(piece)[written:]
        written = max(0, written - len(piece))
        while rest:
            rest = rest[os.write(file, rest) :]
