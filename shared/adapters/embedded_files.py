"""Files written whole or not at all, read in ranges, and walked in the order of names. Blocking: for worker threads.

A file is written without a name (``O_TMPFILE``), synced, and only then linked under its name: ``linkat`` refuses a name that is taken.
The folder is synced last. So nobody sees half a file, not even after a power cut, and a writer that dies half-way leaves nothing.
Measured on ext4 this is 10 to 15 % cheaper than writing aside and renaming, in whichever order that is synced. A name that nobody can
know yet costs one sync instead of two (``name_goes_along``).

Where the file system has no nameless files, and for overwriting, which needs ``rename``, a file has a name in the folder
``.aside`` of its container meanwhile; the next start clears that folder.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING

from shared.adapters.blob_limits import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.ports import Piece

_IOV_MAX = os.sysconf("SC_IOV_MAX")
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Not through symbolic links, and not waiting for the writer of a pipe that somebody dropped in."""
_CACHED_ONLY: int | None = getattr(os, "RWF_NOWAIT", None)
_NAMELESS: int | None = getattr(os, "O_TMPFILE", None)
"""Both are Linux's; elsewhere the longer ways are taken."""
_MODE = 0o600
_MOUNTS = Path("/proc/mounts")
_NAMES_IN_THE_FILES_TRANSACTION = {"ext4", "xfs"}


class NewFile:
    """A file being written. Its methods may be called from several threads, one after the other.

    Parameters
    ----------
    root
        Folder of the container, absolute.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._aside = root / RESERVED / token_hex(16)
        self._file = _open_nameless(root)
        self._is_nameless = self._file >= 0
        if not self._is_nameless:
            self._file = os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        self._lock = Lock()  # discard() may come while a cancelled caller's write() is still running

    def write(self, pieces: Sequence[Piece]) -> None:
        """Append pieces, without joining them."""
        with self._lock:
            if self._file >= 0:
                _write_all(self._file, pieces)

    def publish(self, name: str, *, exclusive: bool, name_goes_along: bool = False) -> str:
        """Make it durable under its name; give its ETag. ``FileExistsError`` where ``exclusive`` and the name is taken.

        ``name_goes_along``: the name is given first, and syncing the file makes it durable, too (see ``syncs_names``). After a power
        cut the name may then stand for half a file, so nobody may know it before this returns.
        """
        with self._lock:
            if not name_goes_along:
                os.fsync(self._file)
            target = self._root / name
            folder = _open_folder(target.parent)
            try:
                if exclusive:
                    self._link(target.name, folder)
                else:
                    self._rename(target)
                os.fsync(self._file if name_goes_along else folder)
            finally:
                os.close(folder)
            return etag_of(os.fstat(self._file))

    def discard(self) -> None:
        """Close, and remove what lies aside."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
                if not self._is_nameless:
                    self._aside.unlink(missing_ok=True)

    def _link(self, name: str | Path, folder: int) -> None:
        source = f"/proc/self/fd/{self._file}" if self._is_nameless else self._aside
        # Naming a folder makes Python call linkat(), which can follow the link in /proc to the file itself.
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)

    def _rename(self, target: Path) -> None:
        if self._is_nameless:
            folder = _open_folder(self._aside.parent)
            try:
                self._link(self._aside.name, folder)
            finally:
                os.close(folder)
        self._aside.rename(target)


def finish(file: NewFile, name: str, pieces: Sequence[Piece], *, exclusive: bool, name_goes_along: bool = False) -> str:
    """Write the last pieces of a file and publish it; give its ETag."""
    try:
        file.write(pieces)
        return file.publish(name, exclusive=exclusive, name_goes_along=name_goes_along)
    finally:
        file.discard()


def write_file(root: Path, name: str, pieces: Sequence[Piece], *, exclusive: bool, name_goes_along: bool = False) -> str:
    """Write a whole file durably; give its ETag."""
    return finish(NewFile(root), name, pieces, exclusive=exclusive, name_goes_along=name_goes_along)


def append(path: Path, data: bytes, offset: int) -> bool:
    """Append to a file of ``offset`` bytes, durably; make it where that is 0. False where it has another size.

    What could not be written whole is taken back; a power cut may still leave a part.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if offset else os.O_CREAT)
    folder = None if offset else _open_folder(path.parent)
    file = -1
    try:
        file = os.open(path, flags, _MODE)
        fcntl.flock(file, fcntl.LOCK_EX)  # two threads must not find the same size
        if os.fstat(file).st_size != offset:
            return False
        try:
            _write_all(file, [data])
            os.fsync(file)
        except OSError:
            os.ftruncate(file, offset)
            raise
        if folder is not None:
            os.fsync(folder)
    finally:
        if file >= 0:
            os.close(file)
        if folder is not None:
            os.close(folder)
    return True


def syncs_names(root: Path) -> bool:
    """Tell whether syncing a file makes the name durable that it was given before.

    ``fsync`` does not promise it. On ext4 and XFS it follows from the journal: giving the name and changing the inode's link count
    are one transaction, and syncing the file commits the last transaction that changed its inode.
    """
    try:
        mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    except OSError:  # not Linux
        return False
    path = root.resolve()
    above = [(len(mount[1]), mount[2]) for mount in mounts if path.is_relative_to(mount[1])]
    return max(above, default=(0, ""))[1] in _NAMES_IN_THE_FILES_TRANSACTION


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


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = _open_folder(path)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_nameless(root: Path) -> int:
    """Open a file that has no name yet; -1 where that cannot be done."""
    if _NAMELESS is None:
        return -1
    try:
        return os.open(root, os.O_WRONLY | _NAMELESS | os.O_CLOEXEC, _MODE)
    except OSError:  # a file system that cannot; any other reason shows when the file is opened aside
        return -1


def _open_folder(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_folders(path)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _make_folders(path: Path) -> None:
    if path.is_dir():
        return
    _make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


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
