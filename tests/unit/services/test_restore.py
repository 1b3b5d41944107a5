"""What was deleted comes back: the file outlives its rows, and the inbox takes it again (docs/operations.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.catalog.keys import DICOM, INBOX
from tests.support.archive import TestArchive, open_archive
from tests.support.dicom_builders import make_instance

if TYPE_CHECKING:
    from shared.ports import BlobInfo

STUDY = "1.2.826.1"
FILE = make_instance(StudyInstanceUID=STUDY, SeriesInstanceUID=STUDY + ".1", SOPInstanceUID=STUDY + ".1.1")


async def blobs(archive: TestArchive) -> list[BlobInfo]:
    return [blob async for page in archive.stores.blobs.list(DICOM) for blob in page]


async def test_a_deleted_instance_is_restored_by_dropping_its_file_into_the_inbox() -> None:
    archive = await open_archive()
    await archive.store(FILE)
    (kept,) = await blobs(archive)
    await archive.services.delete.delete(STUDY)
    assert [blob.name for blob in await blobs(archive)] == [kept.name]
    assert kept.metadata["study"] == STUDY  # by which an operator finds it
    await archive.stores.blobs.put(INBOX, "restored.dcm", await archive.stores.blobs.read(DICOM, kept.name))
    await archive.services.ingest.ingest("restored.dcm")
    found = [record async for page in archive.services.delete._reader.instances(STUDY) for record in page]
    assert [record.sop_instance_uid for record in found] == [STUDY + ".1.1"]
    assert found[0].blob_name != kept.name
