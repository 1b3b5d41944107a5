"""Retrieve (WADO-RS): instances, metadata and frames, as they are stored.

A retrieval has two steps, so that a caller who has the current version already costs one request: ``select``
reads rows and gives the ETag, ``open_…`` begins to read content. What is opened has read its first piece, so
that it can still fail with a status. The rest is read ahead while it is sent, a bounded number of bytes.

A blob can vanish between its row and its reading, when the instance was replaced or deleted and the sweeper came
by. Before the first byte is sent, everything is selected once more; later, one more look at the row may find the
same instance under another blob. Otherwise the body ends early, and its length tells the caller so.

References
----------
PS3.18 10.4 "Retrieve Transaction".
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from shared.catalog.keys import DICOM
from shared.catalog.records import LOCATION
from shared.dicomweb.multipart import MultipartWriter
from shared.dicomweb.representations import Representation, choose_for_instance, choose_for_instances
from shared.errors import Busy, NotFound, NotPresent
from shared.services.read_ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from shared.catalog.reading import CatalogReader
    from shared.catalog.records import InstanceRecord
    from shared.dicomweb.media_types import Accept
    from shared.dicomweb.resources import Resource
    from shared.ports import BlobStore, Piece

PIECE_BYTES = 4 * 1024 * 1024
"""Larger instances are read in pieces of this size."""


class ChangedMeanwhile(Busy):
    """What was selected is not there any more."""

    def __init__(self) -> None:
        super().__init__("What you asked for was changed while it was being read; ask again.", retry_after_seconds=1)


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a retrieval is about. ``etag`` is without quotes."""

    resource: Resource
    etag: str
    records: Sequence[InstanceRecord]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Content ready to be sent.

    Attributes
    ----------
    length
        In bytes; None where it is not known beforehand.
    left_out
        How many instances cannot be sent in a form that the caller takes.
    """

    content_type: str
    body: AsyncGenerator[Piece]
    length: int | None = None
    left_out: int = 0


async def select_instances(reader: CatalogReader, resource: Resource) -> Selection:
    """Read the rows of a study, series or instance.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    study, series, instance = resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid
    if series is not None and instance is not None:
        record = await reader.instance(study, series, instance, LOCATION)
        if record is None:
            raise NotFound("No instance is stored under these UIDs.")
        return Selection(resource, str(record.version), (record,))
    etag = await level_etag(reader, resource)
    records = [record async for page in reader.instances(study, series, LOCATION) for record in page]
    if not records:
        raise NotFound("No instance is stored under these UIDs.")
    return Selection(resource, etag, records)


async def level_etag(reader: CatalogReader, resource: Resource) -> str:
    """Give the ETag of a study or series: the version that changed it last, and its number of instances.

    Raises
    ------
    NotFound
        Nothing is stored there.
    """
    study, series = resource.study_instance_uid, resource.series_instance_uid
    record = await (reader.study(study) if series is None else reader.one_series(study, series))
    if record is None:
        raise NotFound("Nothing is stored under these UIDs.")
    return f"{record.version}-{record.instance_count}"


class _Chunk(NamedTuple):
    """A stretch of an instance's file, and what is sent before it."""

    head: bytes
    record: InstanceRecord
    start: int
    stop: int

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.stop == self.record.size_bytes


class WadoService:
    """The retrieve transaction for objects. Metadata and frames: ``MetadataService``, ``FramesService``."""

    def __init__(self, reader: CatalogReader, blobs: BlobStore) -> None:
        self._reader, self._blobs = reader, blobs

    async def select(self, resource: Resource) -> Selection:
        """Read the rows of what is asked for; ``NotFound`` where nothing is."""
        return await select_instances(self._reader, resource)

    async def open(self, selection: Selection, accept: Accept, *, body: bool = True) -> Retrieved:
        """Begin to read the selected instances.

        Parameters
        ----------
        selection
            What ``select`` gave.
        accept
            What the caller takes.
        body
            False where only the description is wanted: then nothing is read, and the body is not to be asked for.

        Raises
        ------
        NotAcceptable
            No instance can be sent as the caller wants it.
        ChangedMeanwhile
            The instances were changed twice while we looked.
        """
        retrieved = self._describe(selection, accept)
        if not body:
            return retrieved
        try:
            return await opened(retrieved)
        except ChangedMeanwhile:
            return await opened(self._describe(await self.select(selection.resource), accept))

    def _describe(self, selection: Selection, accept: Accept) -> Retrieved:
        chosen = _choose(selection, accept)
        records = [r for r in selection.records if chosen.serves(r.transfer_syntax_uid)]
        left_out = len(selection.records) - len(records)
        if not chosen.multipart:
            return Retrieved(chosen.content_type(records[0].transfer_syntax_uid), self._body([b""], records, b""), records[0].size_bytes)
        writer = MultipartWriter(chosen.media_type)
        heads = [writer.part(chosen.content_type(r.transfer_syntax_uid)) for r in records]
        tail = writer.close()
        length = sum(map(len, heads)) + sum(r.size_bytes for r in records) + len(tail)
        return Retrieved(writer.content_type, self._body(heads, records, tail), length, left_out)

    async def _body(self, heads: Sequence[bytes], records: Sequence[InstanceRecord], tail: bytes) -> AsyncGenerator[Piece]:
        chunks = ((chunk, chunk.stop - chunk.start) for chunk in _chunks(heads, records))
        async with aclosing(read_ahead(chunks, self._read)) as reads:
            async for head, content in reads:
                if head:
                    yield head
                yield content
        if tail:
            yield tail

    async def _read(self, chunk: _Chunk) -> tuple[bytes, bytes]:
        try:
            return chunk.head, await self._blobs.read(DICOM, chunk.record.blob_name, start=chunk.start, stop=chunk.stop)
        except NotPresent:
            return chunk.head, await self._read_moved(chunk)

    async def _read_moved(self, chunk: _Chunk) -> bytes:
        """Read an instance whose blob has vanished, where its row names another one of the same kind."""
        old = chunk.record
        new = await self._reader.instance(old.study_instance_uid, old.series_instance_uid, old.sop_instance_uid, LOCATION)
        if new is None or not chunk.is_whole or (new.size_bytes, new.transfer_syntax_uid) != (old.size_bytes, old.transfer_syntax_uid):
            raise ChangedMeanwhile
        try:
            return await self._blobs.read(DICOM, new.blob_name)
        except NotPresent as error:
            raise ChangedMeanwhile from error


def _choose(selection: Selection, accept: Accept) -> Representation:
    if selection.resource.sop_instance_uid is not None:
        return choose_for_instance(accept, selection.records[0].transfer_syntax_uid)
    return choose_for_instances(accept, {r.transfer_syntax_uid for r in selection.records})


def _chunks(heads: Sequence[bytes], records: Sequence[InstanceRecord]) -> Iterator[_Chunk]:
    for head, record in zip(heads, records, strict=True):
        for start in range(0, record.size_bytes, PIECE_BYTES):
            yield _Chunk(b"" if start else head, record, start, min(start + PIECE_BYTES, record.size_bytes))


async def opened(retrieved: Retrieved) -> Retrieved:
    """Read the first piece, so that what fails at once fails here."""
    first = await anext(retrieved.body)
    return replace(retrieved, body=_resumed(first, retrieved.body))


async def read_whole(retrieved: Retrieved) -> Retrieved:
    """Read all of a short body, so that its length is known."""
    pieces = [piece async for piece in retrieved.body]
    return replace(retrieved, body=_given(pieces), length=sum(map(len, pieces)))


async def _given(pieces: Sequence[Piece]) -> AsyncGenerator[Piece]:
    for piece in pieces:
        yield piece


async def _resumed(first: Piece, rest: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece
