"""Retrieving metadata: joined from rows, few requests, large ones beside the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shared.catalog import records
from shared.dicomweb.resources import Resource
from shared.errors import NotFound
from shared.services import receive
from tests.support.archive import TestArchive, open_archive
from tests.support.dicom_builders import make_instance, new_uid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.services.wado import Retrieved


async def datasets(retrieved: Retrieved) -> list[dict[str, object]]:
    parsed: list[dict[str, object]] = json.loads(b"".join([bytes(piece) async for piece in retrieved.body]))
    return parsed


async def stored(count: int) -> tuple[TestArchive, Resource]:
    archive, study, series = await open_archive(), new_uid(), new_uid()
    await archive.store(*[make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=i) for i in range(count)])
    return archive, Resource(study, series)


@pytest.mark.parametrize("count", [1, 64, 65, 1000])
async def test_the_metadata_of_a_study_is_complete_and_costs_at_most_five_requests(count: int) -> None:
    archive, resource = await stored(count)
    service = archive.services.metadata
    found = await datasets(await service.open(await service.select(Resource(resource.study_instance_uid))))
    numbers: Sequence[object] = [d["00200013"]["Value"][0] for d in found]  # type: ignore[index]
    assert sorted(numbers) == list(range(count))  # type: ignore[type-var]
    assert archive.counts.total() <= 5
    assert archive.counts == {"get catalog": 1, "page catalog": 1}


async def test_an_instance_costs_one_request_and_its_length_is_known() -> None:
    archive, study, series, instance = await open_archive(), new_uid(), new_uid(), new_uid()
    await archive.store(make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance))
    service = archive.services.metadata
    retrieved = await service.open(await service.select(Resource(study, series, instance)))
    assert [d["00080018"] for d in await datasets(retrieved)] == [{"vr": "UI", "Value": [instance]}]
    assert retrieved.length is not None
    assert archive.counts == {"get catalog": 1}


async def test_metadata_too_big_for_its_row_is_read_from_its_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_INLINE_METADATA", 10)
    archive, resource = await stored(3)
    service = archive.services.metadata
    found = await datasets(await service.open(await service.select(resource)))
    assert len(found) == 3
    assert archive.counts == {"get catalog": 1, "page catalog": 1, "read metadata": 3}


async def test_metadata_whose_blob_vanished_is_found_by_a_fresh_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "MAX_INLINE_METADATA", 10)
    archive, study, series, instance = await open_archive(), new_uid(), new_uid(), new_uid()
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": instance}
    await archive.store(make_instance(**uids))
    service = archive.services.metadata
    selection = await service.select(Resource(study, series, instance))
    old = [b.name async for page in archive.stores.blobs.list("metadata") for b in page]
    await archive.store(make_instance(**uids, InstanceNumber=7), replace=True)
    for name in old:
        await archive.stores.blobs.delete("metadata", name)
    found = await datasets(await service.open(selection))
    assert found[0]["00200013"] == {"vr": "IS", "Value": [7]}


async def test_what_was_deleted_since_it_was_selected_is_not_found() -> None:
    archive, resource = await stored(2)
    service = archive.services.metadata
    selection = await service.select(resource)
    await archive.services.delete.delete(resource.study_instance_uid)
    with pytest.raises(NotFound):
        await service.open(selection)


async def test_without_a_body_no_page_is_read() -> None:
    archive, resource = await stored(2)
    service = archive.services.metadata
    await service.open(await service.select(resource), body=False)
    assert archive.counts == {"get catalog": 1}


def test_the_columns_for_metadata_do_not_hold_frame_tables() -> None:
    assert "frames" not in records.METADATA
