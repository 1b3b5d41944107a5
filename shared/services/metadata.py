"""Retrieve metadata (WADO-RS): the stored DICOM JSON of instances, joined without being parsed.

References
----------
PS3.18 10.4.1.1.2 "Metadata Resources"; Annex F "DICOM JSON Model".
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.catalog.keys import METADATA as METADATA_CONTAINER
from shared.catalog.records import METADATA
from shared.dicomweb.media_types import DICOM_JSON
from shared.errors import NotFound, NotPresent
from shared.services.wado import ChangedMeanwhile, Retrieved, level_etag, opened, read_whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from shared.catalog.reading import CatalogReader
    from shared.catalog.records import InstanceRecord
    from shared.dicomweb.resources import Resource
    from shared.ports import BlobStore, Piece

_SLICE = 64
"""So many instances are inflated in one go, and sent in one piece: about a millisecond's work."""


@dataclass(frozen=True, slots=True)
class MetadataSelection:
    """Whose metadata is asked for; an instance's row is read already. ``etag`` is without quotes."""

    resource: Resource
    etag: str
    record: InstanceRecord | None = None


class MetadataService:
    """The retrieve transaction for metadata."""

    def __init__(self, reader: CatalogReader, blobs: BlobStore) -> None:
        self._reader, self._blobs = reader, blobs

    async def select(self, resource: Resource) -> MetadataSelection:
        """Read the ETag of what is asked for; one request.

        Raises
        ------
        NotFound
            Nothing is stored there.
        """
        study, series, instance = resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid
        if series is None or instance is None:
            return MetadataSelection(resource, await level_etag(self._reader, resource))
        record = await self._reader.instance(study, series, instance, METADATA)
        if record is None:
            raise NotFound("No instance is stored under these UIDs.")
        return MetadataSelection(resource, str(record.version), record)

    async def open(self, selection: MetadataSelection, *, body: bool = True) -> Retrieved:
        """Begin to read the metadata; with ``body`` False nothing is read, and the body is not to be asked for.

        Raises
        ------
        NotFound
            It was deleted since it was selected.
        """
        retrieved = Retrieved(DICOM_JSON, self._array(selection))
        if not body:
            return retrieved
        return await (opened(retrieved) if selection.record is None else read_whole(retrieved))

    async def of_instance(self, record: InstanceRecord) -> bytes | None:
        """Give one instance's metadata, of a row read with ``METADATA`` columns; None where it was deleted since."""
        try:
            return (await self._inflated([record]))[0]
        except ChangedMeanwhile:
            return None

    async def _array(self, selection: MetadataSelection) -> AsyncGenerator[Piece]:
        """Give the JSON array piece by piece."""
        before = b"["
        async for objects in self._slices(selection):
            yield before + b",".join(objects)
            before = b","
        if before == b"[":
            raise NotFound("Nothing is stored under these UIDs any more.")
        yield b"]"

    async def _slices(self, selection: MetadataSelection) -> AsyncGenerator[list[bytes]]:
        if selection.record is not None:
            yield await self._inflated([selection.record])
            return
        resource = selection.resource
        async for page in self._reader.instances(resource.study_instance_uid, resource.series_instance_uid, METADATA):
            for first in range(0, len(page), _SLICE):
                yield await self._inflated(page[first : first + _SLICE])

    async def _inflated(self, records: Sequence[InstanceRecord]) -> list[bytes]:
        """Give the metadata of instances; those too big for their rows are read at once."""
        large = [r for r in records if r.metadata_blob]
        if not large:
            return [r.metadata() for r in records]
        read = dict(zip((id(r) for r in large), await asyncio.gather(*map(self._read_large, large)), strict=True))
        return [read[id(r)] if r.metadata_blob else r.metadata() for r in records]

    async def _read_large(self, record: InstanceRecord) -> bytes:
        try:
            return zlib.decompress(await self._blobs.read(METADATA_CONTAINER, record.metadata_blob_name))
        except NotPresent:
            return await self._read_moved(record)

    async def _read_moved(self, old: InstanceRecord) -> bytes:
        """Read metadata whose blob has vanished, by a fresh look at the row."""
        new = await self._reader.instance(old.study_instance_uid, old.series_instance_uid, old.sop_instance_uid, METADATA)
        if new is None:
            raise ChangedMeanwhile
        if not new.metadata_blob:
            return new.metadata()
        try:
            return zlib.decompress(await self._blobs.read(METADATA_CONTAINER, new.metadata_blob_name))
        except NotPresent as error:
            raise ChangedMeanwhile from error
