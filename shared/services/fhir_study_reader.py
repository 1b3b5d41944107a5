"""Reading all that a study's instances say, for the FHIR projection: rows, and metadata that lies in blobs of its own."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from shared.catalog.keys import METADATA as METADATA_CONTAINER
from shared.catalog.records import FACTS
from shared.errors import NotPresent
from shared.fhir.evidence import InstanceFacts, gather

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.catalog.reading import CatalogReader
    from shared.catalog.records import InstanceRecord
    from shared.fhir.evidence import StudyEvidence
    from shared.ports import BlobStore

_AT_ONCE = 16


class StudyChanged(Exception):
    """The study changed while it was read; read it again."""


class StudyReader:
    """Reads a study whole."""

    def __init__(self, reader: CatalogReader, blobs: BlobStore) -> None:
        self._reader, self._blobs = reader, blobs

    async def read(self, study_instance_uid: str) -> StudyEvidence:
        """Read a study; the metadata is inflated one instance after the other, off the event loop.

        Raises
        ------
        StudyChanged
            An instance was replaced or deleted meanwhile.
        """
        records = [record async for page in self._reader.instances(study_instance_uid, columns=FACTS) for record in page]
        large = await self._read_large([record for record in records if record.metadata_blob])
        return await asyncio.to_thread(gather, study_instance_uid, _inflated(records, large))

    async def _read_large(self, records: Sequence[InstanceRecord]) -> dict[str, bytes]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def read(record: InstanceRecord) -> bytes:
            async with room:
                return await self._blobs.read(METADATA_CONTAINER, record.metadata_blob_name)

        try:
            bodies = await asyncio.gather(*map(read, records))
        except NotPresent as error:
            raise StudyChanged from error
        return {record.sop_instance_uid: body for record, body in zip(records, bodies, strict=True)}


def _inflated(records: Sequence[InstanceRecord], large: dict[str, bytes]) -> Iterator[tuple[InstanceFacts, bytes]]:
    for record in records:
        deflated = large.get(record.sop_instance_uid)
        yield _facts(record), record.metadata() if deflated is None else zlib.decompress(deflated)


def _facts(record: InstanceRecord) -> InstanceFacts:
    return InstanceFacts(
        series_instance_uid=record.series_instance_uid,
        sop_instance_uid=record.sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        version=record.version,
        created_ms=record.created_ms,
        size_bytes=record.size_bytes,
    )
