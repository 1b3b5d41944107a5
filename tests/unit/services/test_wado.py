"""Retrieving instances: what it costs, how it streams, and what happens when blobs vanish meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.dicomweb.media_types import parse_accept
from shared.dicomweb.resources import Resource
from shared.errors import NotAcceptable, NotFound
from shared.services import wado
from shared.services.wado import ChangedMeanwhile
from tests.support.archive import TestArchive, open_archive
from tests.support.dicom_builders import make_instance, new_uid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.services.wado import Retrieved

ANY = parse_accept(None)
SINGLE = parse_accept("application/dicom; transfer-syntax=*")


async def content(retrieved: Retrieved) -> bytes:
    return b"".join([bytes(piece) async for piece in retrieved.body])


async def blob_names(archive: TestArchive, container: str = "dicom") -> list[str]:
    names = [b.name async for page in archive.stores.blobs.list(container) for b in page]
    archive.counts.clear()
    return names


async def stored(count: int) -> tuple[TestArchive, Resource, list[bytes]]:
    """Store a study of one series; give also its files, their preambles zeroed."""
    archive, study, series = await open_archive(), new_uid(), new_uid()
    files = [make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=i) for i in range(count)]
    await archive.store(*files)
    return archive, Resource(study, series), [bytes(128) + f[128:] for f in files]


async def one() -> tuple[TestArchive, Resource, bytes]:
    archive, study, series, instance = await open_archive(), new_uid(), new_uid(), new_uid()
    file = make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance)
    await archive.store(file)
    return archive, Resource(study, series, instance), bytes(128) + file[128:]


async def test_an_instance_costs_one_table_read_and_one_blob_read() -> None:
    archive, resource, file = await one()
    service = archive.services.wado
    retrieved = await service.open(await service.select(resource), SINGLE)
    assert (await content(retrieved), retrieved.length) == (file, len(file))
    assert archive.counts == {"get catalog": 1, "read dicom": 1}


async def test_a_caller_with_the_current_version_costs_one_table_read() -> None:
    archive, resource, _ = await one()
    assert (await archive.services.wado.select(resource)).etag.isdigit()
    assert archive.counts == {"get catalog": 1}


@pytest.mark.parametrize("level", ["study", "series"])
async def test_a_study_costs_one_read_of_rows_and_one_of_each_blob(level: str) -> None:
    archive, resource, files = await stored(20)
    if level == "study":
        resource = Resource(resource.study_instance_uid)
    service = archive.services.wado
    selection = await service.select(resource)
    retrieved = await service.open(selection, ANY)
    body = await content(retrieved)
    assert retrieved.length == len(body)
    assert all(body.count(file) == 1 for file in files)
    assert selection.etag.endswith("-20")
    assert archive.counts == {"get catalog": 1, "page catalog": 1, "read dicom": 20}


async def test_without_a_body_no_blob_is_read() -> None:
    archive, resource, file = await one()
    service = archive.services.wado
    retrieved = await service.open(await service.select(resource), SINGLE, body=False)
    assert retrieved.length == len(file)
    assert archive.counts == {"get catalog": 1}


async def test_an_instance_larger_than_a_piece_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wado, "PIECE_BYTES", 100)
    archive, resource, file = await one()
    service = archive.services.wado
    assert await content(await service.open(await service.select(resource), SINGLE)) == file
    assert archive.counts["read dicom"] == -(-len(file) // 100)


async def test_reading_ahead_stops_when_nobody_listens() -> None:
    archive, resource, _ = await stored(100)
    service = archive.services.wado
    retrieved = await service.open(await service.select(resource), ANY)
    await retrieved.body.aclose()
    assert archive.counts["read dicom"] < 20


async def test_what_is_not_stored_is_not_found() -> None:
    archive, resource, _ = await one()
    for other in (Resource(new_uid()), Resource(resource.study_instance_uid, new_uid())):
        with pytest.raises(NotFound):
            await archive.services.wado.select(other)


async def test_a_form_that_does_not_fit_is_refused_before_anything_is_read() -> None:
    archive, resource, _ = await one()
    service = archive.services.wado
    with pytest.raises(NotAcceptable):
        await service.open(await service.select(resource), parse_accept("image/png"))
    assert archive.counts == {"get catalog": 1}


async def test_an_instance_replaced_after_it_was_selected_comes_new() -> None:
    archive, resource, _ = await one()
    service = archive.services.wado
    selection = await service.select(resource)
    new = make_instance(
        StudyInstanceUID=resource.study_instance_uid,
        SeriesInstanceUID=resource.series_instance_uid,
        SOPInstanceUID=resource.sop_instance_uid,
        PatientName="A^Longer^Name",
    )
    old_blob = (await blob_names(archive))[0]
    await archive.store(new, replace=True)
    await archive.stores.blobs.delete("dicom", old_blob)
    retrieved = await service.open(selection, SINGLE)
    assert (await content(retrieved), retrieved.length) == (bytes(128) + new[128:], len(new))


async def test_an_instance_deleted_after_it_was_selected_is_not_found() -> None:
    archive, resource, _ = await one()
    service = archive.services.wado
    selection = await service.select(resource)
    await archive.services.delete.delete(resource.study_instance_uid)
    for name in await blob_names(archive):
        await archive.stores.blobs.delete("dicom", name)
    with pytest.raises(NotFound):
        await service.open(selection, SINGLE)


async def test_a_row_whose_blob_is_lost_is_trouble_and_not_404() -> None:
    archive, resource, _ = await one()
    service = archive.services.wado
    for name in await blob_names(archive):
        await archive.stores.blobs.delete("dicom", name)
    with pytest.raises(ChangedMeanwhile):
        await service.open(await service.select(resource), SINGLE)


async def sent_until_cut(pieces: AsyncIterator[bytes | memoryview]) -> int:
    size = 0
    try:
        async for piece in pieces:
            size += len(piece)
    except ChangedMeanwhile:
        return size
    return pytest.fail("the body came whole")


async def test_a_blob_that_vanishes_on_the_way_ends_the_body_early() -> None:
    archive, resource, files = await stored(40)
    service = archive.services.wado
    names = await blob_names(archive)
    retrieved = await service.open(await service.select(resource), ANY)
    for name in names:
        await archive.stores.blobs.delete("dicom", name)
    assert 0 < await sent_until_cut(retrieved.body) < sum(map(len, files))


async def test_a_blob_moved_on_the_way_is_found_by_its_row() -> None:
    archive, resource, files = await stored(40)
    service = archive.services.wado
    retrieved = await service.open(await service.select(resource), ANY)
    names = await blob_names(archive)
    changed = [f.replace(b"CT HEAD ", b"CT FOOT ") for f in files]
    await archive.store(*changed, replace=True)
    for name in names:
        await archive.stores.blobs.delete("dicom", name)
    body = await content(retrieved)
    assert len(body) == retrieved.length
    assert sum(body.count(file) for file in changed) > 20
