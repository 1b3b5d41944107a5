"""The BlobStore port in memory, for tests: the rules of the others, and neither files nor threads."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from shared.adapters.blob_limits import MAX_PIECE_BYTES, PAGE, check_metadata, check_name
from shared.adapters.names import INBOX
from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed
from shared.ports import BlobInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from shared.adapters.inbox_events import InboxEvents
    from shared.ports import BuiltBlob, Clock, Content

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    info: BlobInfo


class MemoryBlobs:
    """Containers as dictionaries."""

    def __init__(self, containers: Iterable[str], events: InboxEvents, clock: Clock) -> None:
        self._containers: dict[str, dict[str, _Blob]] = {name: {} for name in containers}
        self._events, self._clock = events, clock
        self._etags = count(1)

    async def put(
        self, container: str, name: str, content: Content, *, metadata: Mapping[str, str] | None = None, exclusive: bool = True
    ) -> str:
        """Write a blob; give its ETag."""
        whole = b"".join([piece async for piece in content]) if isinstance(content, AsyncIterable) else content
        etag = self._put(container, name, whole if isinstance(whole, bytes) else b"".join(whole), metadata or {}, exclusive=exclusive)
        if container == INBOX:
            await self._events.announce(name, etag)
        return etag

    async def put_built(self, container: str, name: str, build: Callable[[], tuple[BuiltBlob | None, T]]) -> T:
        """Call ``build``, write what it gives, give its other result."""
        blob, result = build()
        if blob is not None:
            await self.put(container, name, blob.pieces, metadata=blob.metadata)
        return result

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        """Append to a blob of ``offset`` bytes; make it where that is 0."""
        known = self._container(container).get(name)
        if known is None and offset:
            raise NotPresent("the blob is not there")
        content = known.content if known else b""
        if len(content) != offset:
            raise PreconditionFailed("the blob has another size")
        self._put(container, name, content + data, {}, exclusive=False)

    async def read(self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None) -> bytes:
        """Read bytes ``[start, stop)``, clipped at the end."""
        return self._find(container, name, if_match).content[start:stop]

    async def stream(
        self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        """Read bytes ``[start, stop)`` in pieces."""
        content = self._find(container, name, if_match).content[start:stop]
        for offset in range(0, len(content), MAX_PIECE_BYTES):
            yield content[offset : offset + MAX_PIECE_BYTES]

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Describe a blob; None where there is none."""
        try:
            return self._find(container, name, None).info
        except NotPresent:
            return None

    async def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """Delete a blob."""
        self._find(container, name, if_match)
        del self._containers[container][name]

    async def list(self, container: str, *, prefix: str = "") -> AsyncIterator[list[BlobInfo]]:
        """List blobs in name order, a page at a time."""
        blobs = self._container(container)
        found = [blobs[name].info for name in sorted(blobs) if name.startswith(prefix)]
        for first in range(0, len(found), PAGE):
            yield found[first : first + PAGE]

    async def check(self, container: str) -> None:
        """Raise a ``StorageFailure`` where the container cannot be reached."""
        self._container(container)

    def close(self) -> None:
        """Nothing is open."""

    def _container(self, container: str) -> dict[str, _Blob]:
        try:
            return self._containers[container]
        except KeyError as error:
            raise NotPresent("no such container") from error

    def _put(self, container: str, name: str, content: bytes, metadata: Mapping[str, str], *, exclusive: bool) -> str:
        check_name(name)
        check_metadata(metadata)
        blobs = self._container(container)
        if exclusive and name in blobs:
            raise AlreadyPresent("the blob is there already")
        info = BlobInfo(name, len(content), str(next(self._etags)), self._clock.now(), dict(metadata))
        blobs[name] = _Blob(content, info)
        return info.etag

    def _find(self, container: str, name: str, if_match: str | None) -> _Blob:
        check_name(name)
        blob = self._container(container).get(name)
        if blob is None:
            raise NotPresent("the blob is not there")
        if if_match not in (None, "*", blob.info.etag):
            raise PreconditionFailed("the blob was changed meanwhile")
        return blob
