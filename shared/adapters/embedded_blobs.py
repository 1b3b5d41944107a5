"""The BlobStore port on files: ``<folder of the container>/<blob name>``.

A blob's ETag is made from its file's time, size and inode, so files that people drop into the inbox by hand have one as well. Its metadata,
where it has any, is a row of the database, and counts only under the ETag it was written for.

File first, row second: a crash in between leaves a blob without metadata, which nothing refers to, because what would refer
to it stands in the same log after the row. Deleting waits until the database is durable: what made the blob
superfluous must not be lost while the deletion stays.

Blobs deleted from ``dicom`` are moved to a folder ``trash``, for the operator to empty.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import orjson

from shared.adapters import embedded_files as files
from shared.adapters.blob_limits import PAGE, check_metadata, check_name
from shared.adapters.names import DICOM, INBOX
from shared.adapters.worker_threads import WorkerThreads
from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed, StorageFailure, StorageLimit
from shared.ports import BlobInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from shared.adapters.embedded_database import Database
    from shared.adapters.inbox_events import InboxEvents
    from shared.ports import BuiltBlob, Content, Piece

T = TypeVar("T")
_Listed: TypeAlias = tuple[str, os.stat_result]
_Described: TypeAlias = list[BlobInfo]

PIECE_BYTES = 1024 * 1024
"""Of a stream, both ways: one read, or one hand-over to a thread."""
_THREADS = 4

_TABLE = """CREATE TABLE IF NOT EXISTS blob_metadata (container TEXT NOT NULL, name TEXT NOT NULL, etag TEXT NOT NULL,
    metadata BLOB NOT NULL, PRIMARY KEY (container, name)) WITHOUT ROWID"""
_REMEMBER = "INSERT OR REPLACE INTO blob_metadata VALUES (?, ?, ?, ?)"
_FORGET = "DELETE FROM blob_metadata WHERE container = ? AND name = ?"
_RECALL = "SELECT name, etag, metadata FROM blob_metadata WHERE container = ? AND name BETWEEN ? AND ?"


class EmbeddedBlobs:
    """Containers as folders.

    Parameters
    ----------
    roots
        The folder of each container; made where they are missing.
    trash
        Where blobs deleted from ``dicom`` go.
    database
        Keeps blobs' metadata.
    events
        Told of blobs in ``inbox``.
    """

    def __init__(self, roots: Mapping[str, Path], trash: Path, database: Database, events: InboxEvents) -> None:
        self._roots, self._trash = dict(roots), trash
        self._database, self._events = database, events
        self._threads = WorkerThreads(_THREADS, "blobs")
        database.define(_TABLE)
        for root in self._roots.values():
            files.prepare_root(root)
        self._syncing_names = {container for container, root in self._roots.items() if files.syncs_names(root)}

    async def put(
        self, container: str, name: str, content: Content, *, metadata: Mapping[str, str] | None = None, exclusive: bool = True
    ) -> str:
        """Write a blob durably; give its ETag."""
        root = self._root(container)
        check_name(name)
        check_metadata(metadata or {})
        if isinstance(content, AsyncIterable):
            etag = await self._put_stream(root, name, content, exclusive=exclusive)
        else:
            pieces = [content] if isinstance(content, bytes) else content
            etag = await self._run(partial(files.write_file, root, name, pieces, exclusive=exclusive))
        if metadata:
            self._remember(container, name, etag, metadata)
            await self._database.durable()
        if container == INBOX:
            await self._events.announce(name, etag)
        return etag

    async def put_built(self, container: str, name: str, build: Callable[[], tuple[BuiltBlob | None, T]]) -> T:
        """Call ``build`` and write what it gives in one hand-over to a thread; its metadata is durable with the next ``durable``."""
        root, name_goes_along = self._root(container), container in self._syncing_names
        check_name(name)

        def work() -> tuple[T, str, Mapping[str, str]]:
            blob, result = build()
            if blob is None:
                return result, "", {}
            check_metadata(blob.metadata)
            with _TRANSLATED:
                etag = files.write_file(root, name, blob.pieces, exclusive=True, name_goes_along=name_goes_along)
            return result, etag, blob.metadata

        def remember(done: tuple[T, str, Mapping[str, str]]) -> None:
            if done[2]:
                self._remember(container, name, done[1], done[2])

        result, _, _ = await self._threads.run(work, remember)
        return result

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        """Append to a blob of ``offset`` bytes, durably; make it where that is 0."""
        root = self._root(container)
        check_name(name)
        if not await self._run(partial(files.append, root / name, data, offset)):
            raise PreconditionFailed("the blob has another size")

    async def read(self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None) -> bytes:
        """Read bytes ``[start, stop)``, clipped at the end."""
        file, status = self._open(container, name, if_match)
        try:
            return await self._read(file, start, _clip(status, stop))
        finally:
            os.close(file)

    async def stream(
        self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        """Read bytes ``[start, stop)`` in pieces."""
        file, status = self._open(container, name, if_match)
        try:
            stop = _clip(status, stop)
            while start < stop:
                piece = await self._read(file, start, min(start + PIECE_BYTES, stop))
                if files.etag_of(os.fstat(file)) != files.etag_of(status):
                    raise PreconditionFailed("the blob was changed while it was read")
                yield piece
                start += len(piece)
        finally:
            os.close(file)

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Describe a blob; None where there is none."""
        try:
            file, status = self._open(container, name, None)
        except NotPresent:
            return None
        os.close(file)
        return self._describe(container, [(name, status)])[0]

    async def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """Delete a blob; from ``dicom`` to the trash."""
        await self._database.durable()
        file, _ = self._open(container, name, if_match)
        os.close(file)
        path = self._root(container) / name
        if container == DICOM:
            await self._run(partial(files.move, path, self._trash / name))
        else:
            with _TRANSLATED:
                path.unlink()
        self._database.write((_FORGET, [(container, name)]))

    async def list(self, container: str, *, prefix: str = "") -> AsyncIterator[list[BlobInfo]]:
        """List blobs in name order, a page at a time, with metadata."""
        found = files.walk(self._root(container), prefix)
        while True:
            page = await self._run(partial(files.take, found, PAGE))
            if described := self._describe(container, [listed for listed in page if _is_name(listed[0])]):
                yield described
            if len(page) < PAGE:
                return

    async def check(self, container: str) -> None:
        """Raise a ``StorageFailure`` where the container cannot be reached."""
        with _TRANSLATED:
            self._root(container).stat()

    def close(self) -> None:
        """Finish what the threads have in hand."""
        self._threads.close()

    def _root(self, container: str) -> Path:
        try:
            return self._roots[container]
        except KeyError as error:
            raise NotPresent("no such container") from error

    def _open(self, container: str, name: str, if_match: str | None) -> tuple[int, os.stat_result]:
        check_name(name)
        with _TRANSLATED:
            file, status = files.open_file(self._root(container) / name)
        if if_match not in (None, "*", files.etag_of(status)):
            os.close(file)
            raise PreconditionFailed("the blob was changed meanwhile")
        return file, status

    async def _read(self, file: int, start: int, stop: int) -> bytes:
        # A cancelled caller may close the file while the thread still reads it; what it reads then is thrown away.
        if start >= stop:
            return b""
        if stop - start <= PIECE_BYTES and files.is_cached(file, start, stop):
            with _TRANSLATED:
                return files.read_range(file, start, stop)
        return await self._run(partial(files.read_range, file, start, stop))

    async def _put_stream(self, root: Path, name: str, content: AsyncIterable[Piece], *, exclusive: bool) -> str:
        with _TRANSLATED:
            file = files.NewFile(root)
        try:
            pieces: list[Piece] = []
            size = 0
            async for piece in content:
                pieces.append(piece)
                size += len(piece)
                if size >= PIECE_BYTES:
                    await self._run(partial(file.write, pieces))
                    pieces, size = [], 0
            return await self._run(partial(files.finish, file, name, pieces, exclusive=exclusive))
        finally:
            file.discard()

    async def _run(self, work: Callable[[], T]) -> T:
        with _TRANSLATED:
            return await self._threads.run(work)

    def _remember(self, container: str, name: str, etag: str, metadata: Mapping[str, str]) -> None:
        self._database.write((_REMEMBER, [(container, name, etag, orjson.dumps(dict(metadata)))]))

    def _describe(self, container: str, found: Sequence[_Listed]) -> _Described:
        """Add metadata to files that follow each other in the order of names."""
        if not found:
            return []
        rows = self._database.read(_RECALL, (container, found[0][0], found[-1][0]))
        metadata = {(name, etag): known for name, etag, known in rows}
        return [_info(name, status, metadata.get((name, files.etag_of(status)))) for name, status in found]


def _info(name: str, status: os.stat_result, metadata: bytes | None) -> BlobInfo:
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return BlobInfo(name, status.st_size, files.etag_of(status), modified, orjson.loads(metadata) if metadata else {})


def _clip(status: os.stat_result, stop: int | None) -> int:
    return status.st_size if stop is None else min(stop, status.st_size)


def _is_name(name: str) -> bool:
    """Tell whether a file that somebody dropped has a name that a blob can have."""
    try:
        check_name(name)
    except StorageLimit:
        return False
    return True


class _Translation:
    """Turns the operating system's errors into ours. A class, since it enters and leaves faster than a generator."""

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Raise ours instead."""
        match error:
            case FileExistsError():
                raise AlreadyPresent("the blob is there already") from error
            case FileNotFoundError() | NotADirectoryError() | OSError(errno=errno.ELOOP):  # a symbolic link is no blob
                raise NotPresent("the blob is not there") from error
            case OSError():
                raise StorageFailure("the data directory cannot be read or written; see to the disk's space and permissions") from error


_TRANSLATED = _Translation()
