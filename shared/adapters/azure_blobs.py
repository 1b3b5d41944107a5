"""The BlobStore port on Azure Blob Storage.

Bytes go in one request, streams in staged blocks that a last request commits: so nobody sees half a blob. Exclusive writes and
deletions are not retried by the SDK, since a retry would hide whether the first try succeeded; everything else is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobBlock

from shared.adapters.azure_errors import Translation
from shared.adapters.blob_limits import MAX_PIECE_BYTES, PAGE, check_metadata, check_name
from shared.ports import BlobInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from azure.storage.blob import BlobProperties
    from azure.storage.blob.aio import BlobClient, BlobServiceClient, ContainerClient

    from shared.ports import BuiltBlob, Content, Piece

T = TypeVar("T")

BLOCK_BYTES = 8 * 1024 * 1024
"""Of a streamed blob; 50,000 of them fit."""
_BUILDERS = 2
"""Builds at once: they are bound by the CPU."""
_RANGE_NOT_SATISFIABLE = 416
_UNRETRIED: dict[str, Any] = {"retry_total": 0}
_APPENDING: dict[str, Any] = {**_UNRETRIED, "read_timeout": 10}
"""Small, and requests wait for it."""
_READING, _WRITING, _DELETING = Translation("read of a blob"), Translation("write of a blob"), Translation("deletion of a blob")


class AzureBlobs:
    """Containers of a storage account."""

    def __init__(self, service: BlobServiceClient) -> None:
        self._service = service
        self._containers: dict[str, ContainerClient] = {}
        self._building = asyncio.Semaphore(_BUILDERS)

    async def put(
        self, container: str, name: str, content: Content, *, metadata: Mapping[str, str] | None = None, exclusive: bool = True
    ) -> str:
        """Write a blob; give its ETag."""
        check_metadata(metadata or {})
        blob = self._blob(container, name)
        if isinstance(content, AsyncIterable):
            return await _put_stream(blob, content, metadata or {}, exclusive=exclusive)
        return await _put_whole(blob, content if isinstance(content, bytes) else b"".join(content), metadata or {}, exclusive=exclusive)

    async def put_built(self, container: str, name: str, build: Callable[[], tuple[BuiltBlob | None, T]]) -> T:
        """Call ``build`` in a thread and write what it gives; give its other result."""
        async with self._building:
            blob, result = await asyncio.to_thread(build)
        if blob is not None:
            await self.put(container, name, blob.pieces, metadata=blob.metadata)
        return result

    async def append(self, container: str, name: str, data: bytes, *, offset: int) -> None:
        """Append to a blob of ``offset`` bytes; make it where that is 0."""
        blob = self._blob(container, name)
        with _WRITING:
            if not offset:
                with suppress(ResourceExistsError):  # made by a try whose answer was lost; what it holds is looked at next
                    await blob.create_append_blob(match_condition=MatchConditions.IfMissing, **_APPENDING)
            await blob.append_block(data, length=len(data), appendpos_condition=offset, **_APPENDING)

    async def read(self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None) -> bytes:
        """Read bytes ``[start, stop)``, clipped at the end."""
        data, _, _ = await _download(self._blob(container, name), start, stop, if_match)
        return data

    async def stream(
        self, container: str, name: str, *, start: int = 0, stop: int | None = None, if_match: str | None = None
    ) -> AsyncIterator[bytes]:
        """Read bytes ``[start, stop)`` in pieces, a request each, all of the same ETag."""
        blob = self._blob(container, name)
        end = stop
        while end is None or start < end:  # not known, or not reached
            piece_stop = start + MAX_PIECE_BYTES if end is None else min(start + MAX_PIECE_BYTES, end)
            piece, size, if_match = await _download(blob, start, piece_stop, if_match)
            end = size if end is None else min(end, size)
            if piece:
                yield piece
            start = piece_stop

    async def head(self, container: str, name: str) -> BlobInfo | None:
        """Describe a blob; None where there is none."""
        with _READING:
            try:
                return _info(await self._blob(container, name).get_blob_properties())
            except ResourceNotFoundError:
                return None

    async def delete(self, container: str, name: str, *, if_match: str | None = None) -> None:
        """Delete a blob."""
        with _DELETING:
            await self._blob(container, name).delete_blob(retry_total=0, **_condition(if_match))

    async def list(self, container: str, *, prefix: str = "") -> AsyncIterator[list[BlobInfo]]:
        """List blobs in name order, a page (one request) at a time, with metadata."""
        found = self._container(container).list_blobs(name_starts_with=prefix or None, include=["metadata"], results_per_page=PAGE)
        pages = found.by_page()
        while (page := await _next_page(pages)) is not None:
            if page:
                yield page

    async def check(self, container: str) -> None:
        """Raise a ``StorageFailure`` where the container cannot be reached."""
        with _READING:
            await self._container(container).get_container_properties(retry_total=0)

    def _container(self, container: str) -> ContainerClient:
        client = self._containers.get(container)
        if client is None:
            client = self._containers[container] = self._service.get_container_client(container)
        return client

    def _blob(self, container: str, name: str) -> BlobClient:
        check_name(name)
        return self._container(container).get_blob_client(name)


async def _put_whole(blob: BlobClient, content: bytes, metadata: Mapping[str, str], *, exclusive: bool) -> str:
    retries = _UNRETRIED if exclusive else {}
    with _WRITING:
        answer = await blob.upload_blob(content, length=len(content), overwrite=not exclusive, metadata=dict(metadata), **retries)
    return _bare(str(answer["etag"]))


async def _put_stream(blob: BlobClient, content: AsyncIterable[Piece], metadata: Mapping[str, str], *, exclusive: bool) -> str:
    """Stage blocks as they fill. Left uncommitted, the service drops them after a week."""
    upload = token_hex(8)  # blocks of two uploads of one name must not mix
    blocks: list[BlobBlock] = []
    async for block in _blocks(content):
        if not blocks and len(block) < BLOCK_BYTES:  # all there is
            return await _put_whole(blob, block, metadata, exclusive=exclusive)
        blocks.append(BlobBlock(f"{upload}-{len(blocks):06}"))
        with _WRITING:
            await blob.stage_block(blocks[-1].id, block, length=len(block))
    condition = {"match_condition": MatchConditions.IfMissing, **_UNRETRIED} if exclusive else {}
    with _WRITING:
        answer = await blob.commit_block_list(blocks, metadata=dict(metadata), **condition)
    return _bare(str(answer["etag"]))


async def _blocks(content: AsyncIterable[Piece]) -> AsyncIterator[bytes]:
    """Join pieces to blocks of ``BLOCK_BYTES``; the last is shorter, and the only one of an empty content is empty."""
    held: list[Piece] = []
    size = 0
    async for piece in content:
        rest = memoryview(piece)
        while size + len(rest) >= BLOCK_BYTES:
            yield b"".join((*held, rest[: BLOCK_BYTES - size]))
            rest, held, size = rest[BLOCK_BYTES - size :], [], 0
        held.append(rest)
        size += len(rest)
    yield b"".join(held)


async def _download(blob: BlobClient, start: int, stop: int | None, if_match: str | None) -> tuple[bytes, int, str]:
    """Read a range; give it, the size of the whole blob and its ETag."""
    with _READING:
        if stop is not None and stop <= start:  # which the service does not know
            known = await blob.get_blob_properties(**_condition(if_match))
            return b"", known.size, _bare(known.etag)
        try:
            found = await blob.download_blob(offset=start, length=None if stop is None else stop - start, **_condition(if_match))
            return await found.readall(), _whole_size(found.properties), _bare(found.properties.etag)
        except HttpResponseError as error:
            if error.status_code != _RANGE_NOT_SATISFIABLE:
                raise
            return b"", 0, if_match or ""


async def _next_page(pages: AsyncIterator[Any]) -> list[BlobInfo] | None:
    with _READING:
        try:
            page = await anext(pages)
        except StopAsyncIteration:
            return None
        return [_info(blob) async for blob in page]


def _info(blob: BlobProperties) -> BlobInfo:
    return BlobInfo(blob.name, blob.size, _bare(blob.etag), blob.last_modified, dict(blob.metadata or {}))


def _whole_size(properties: BlobProperties) -> int:
    return int(str(properties.content_range).rpartition("/")[2])


def _bare(etag: str) -> str:
    """Give an ETag without quotes: the service has them in headers and not in listings."""
    return etag.strip('"')


def _condition(if_match: str | None) -> dict[str, Any]:
    if if_match in (None, "*"):
        return {}
    return {"etag": f'"{if_match}"', "match_condition": MatchConditions.IfNotModified}
