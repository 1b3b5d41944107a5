"""Retrieve frames (WADO-RS): byte ranges of the stored file, found by its frame table.

References
----------
PS3.18 10.4.1.1.6 "Pixel Data Resources".
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from shared.catalog.keys import DICOM, METADATA
from shared.catalog.records import FRAMES
from shared.dicom.frames import FrameTable, Span, decode_frame_table, is_native
from shared.dicomweb.multipart import MultipartWriter
from shared.dicomweb.representations import choose_for_frames
from shared.errors import FrameNotFound, NotAcceptable, NotFound, NotPresent
from shared.services.read_ahead import read_ahead
from shared.services.wado import ChangedMeanwhile, Retrieved, Selection, opened, read_whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from shared.catalog.reading import CatalogReader
    from shared.catalog.records import InstanceRecord
    from shared.dicomweb.media_types import Accept
    from shared.dicomweb.resources import Resource
    from shared.ports import BlobStore, Piece

MAX_RUN_BYTES = 8 * 1024 * 1024
"""Neighbouring frames are read in one go up to this size."""

_ROWS = b'"00280010"'


class FramesService:
    """The retrieve transaction for frames."""

    def __init__(self, reader: CatalogReader, blobs: BlobStore) -> None:
        self._reader, self._blobs = reader, blobs

    async def select(self, resource: Resource) -> Selection:
        """Read the instance's row; ``NotFound`` where there is none."""
        series, instance = resource.series_instance_uid or "", resource.sop_instance_uid or ""
        record = await self._reader.instance(resource.study_instance_uid, series, instance, FRAMES)
        if record is None:
            raise NotFound("No instance is stored under these UIDs.")
        return Selection(resource, str(record.version), (record,))

    async def open(self, selection: Selection, frame_numbers: Sequence[int], accept: Accept, *, body: bool = True) -> Retrieved:
        """Begin to read frames.

        Parameters
        ----------
        selection
            What ``select`` gave.
        frame_numbers
            One-based, in the order in which they are to be sent; repeats are kept.
        accept
            What the caller takes.
        body
            False where only the description is wanted: then no frame is read, and the body is not to be asked for.

        Raises
        ------
        FrameNotFound
            The instance has no such frame.
        NotAcceptable
            The frames cannot be told apart in the stored file, or the caller takes them in another form.
        """
        try:
            return await self._open(selection.records[0], frame_numbers, accept, body=body)
        except ChangedMeanwhile:
            selection = await self.select(selection.resource)
            return await self._open(selection.records[0], frame_numbers, accept, body=body)

    async def _open(self, record: InstanceRecord, numbers: Sequence[int], accept: Accept, *, body: bool) -> Retrieved:
        table = await self._table(record)
        if max(numbers) > table.count:
            raise FrameNotFound(f"The instance has {table.count} frames, fewer than the number of one that was asked for.")
        chosen = choose_for_frames(accept, record.transfer_syntax_uid, len(numbers))
        part_type = chosen.content_type(record.transfer_syntax_uid)
        runs = list(_runs(table, numbers))
        frames = self._frames(record, table, runs)
        if chosen.multipart:
            writer = MultipartWriter(chosen.media_type)
            retrieved = Retrieved(writer.content_type, _parts(frames, writer, part_type))
        else:
            retrieved = Retrieved(part_type, frames)
        if not body:
            return retrieved
        return await (read_whole(retrieved) if len(runs) == 1 else opened(retrieved))

    async def _table(self, record: InstanceRecord) -> FrameTable:
        encoded = record.frames
        if record.frames_blob:
            try:
                encoded = await self._blobs.read(METADATA, record.frames_blob_name)
            except NotPresent as error:
                raise ChangedMeanwhile from error
        if encoded is not None:
            return decode_frame_table(encoded)
        if _ROWS in record.attributes and not is_native(record.transfer_syntax_uid):
            raise NotAcceptable("The frames of this instance cannot be told apart without decoding it; retrieve the instance.")
        raise FrameNotFound("The instance has no pixel data.")

    async def _frames(self, record: InstanceRecord, table: FrameTable, runs: Sequence[_Run]) -> AsyncGenerator[Piece]:
        async def read(run: _Run) -> tuple[_Run, bytes]:
            try:
                return run, await self._blobs.read(DICOM, record.blob_name, start=run.span.start, stop=run.span.stop)
            except NotPresent as error:
                raise ChangedMeanwhile from error

        async with aclosing(read_ahead(((run, run.span.stop - run.span.start) for run in runs), read)) as reads:
            async for run, content in reads:
                for number in run.frame_numbers:
                    yield table.cut(number, content, run.span.start)


async def _parts(frames: AsyncGenerator[Piece], writer: MultipartWriter, part_type: str) -> AsyncGenerator[Piece]:
    async with aclosing(frames):
        async for frame in frames:
            yield writer.part(part_type)
            yield frame
    yield writer.close()


class _Run(NamedTuple):
    """Frames that follow one another, and the bytes of the file that hold them."""

    frame_numbers: Sequence[int]
    span: Span


def _runs(table: FrameTable, numbers: Sequence[int]) -> Iterator[_Run]:
    run, span = [numbers[0]], table.covering(numbers[:1])
    for number in numbers[1:]:
        own = table.covering((number,))
        both = Span(min(span.start, own.start), max(span.stop, own.stop))
        if number == run[-1] + 1 and both.stop - both.start <= MAX_RUN_BYTES:
            run.append(number)
            span = both
        else:
            yield _Run(run, span)
            run, span = [number], own
    yield _Run(run, span)
