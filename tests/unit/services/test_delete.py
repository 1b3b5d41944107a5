"""Delete at three levels, on stores in memory."""

from __future__ import annotations

import pytest

from shared.catalog.feed import FeedReader
from shared.catalog.outbox import Action
from shared.dicom.instance import Rules
from shared.errors import NotFound
from shared.services.delete import DeleteService
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.requests import SmallArchive, parts, small_archive
from tests.support.stores import memory_stores

STUDY = new_uid()
SERIES = [new_uid(), new_uid()]
INSTANCES = {series: [new_uid() for _ in range(3)] for series in SERIES}


@pytest.fixture
async def archive() -> SmallArchive:
    archive = await small_archive(memory_stores())
    await fill(archive)
    return archive


async def fill(archive: SmallArchive) -> None:
    files = [make_instance(StudyInstanceUID=STUDY, SeriesInstanceUID=s, SOPInstanceUID=i) for s, many in INSTANCES.items() for i in many]
    await archive.stow.store(parts(files), study_instance_uid=None, rules=Rules.V2)


async def delete(archive: SmallArchive, *uids: str) -> None:
    await DeleteService(archive.stores.tables, archive.reader, archive.committer).delete(STUDY, *uids)


async def counts(archive: SmallArchive) -> tuple[int, int] | None:
    study = await archive.reader.study(STUDY)
    return (study.series_count, study.instance_count) if study else None


async def test_an_instance_goes_alone(archive: SmallArchive) -> None:
    await delete(archive, SERIES[0], INSTANCES[SERIES[0]][0])
    assert await counts(archive) == (2, 5)


async def test_a_series_goes_with_its_instances(archive: SmallArchive) -> None:
    await delete(archive, SERIES[0])
    assert await counts(archive) == (1, 3)
    assert await archive.reader.one_series(STUDY, SERIES[0]) is None


async def test_a_study_goes_whole(archive: SmallArchive) -> None:
    await delete(archive)
    assert await counts(archive) is None
    assert [r async for page in archive.reader.instances(STUDY) for r in page] == []


@pytest.mark.parametrize("uids", [("9.9",), ("9.9", "9.8")])
async def test_what_is_not_stored_cannot_be_deleted(archive: SmallArchive, uids: tuple[str, ...]) -> None:
    with pytest.raises(NotFound):
        await delete(archive, *uids)


async def test_a_second_delete_finds_nothing(archive: SmallArchive) -> None:
    await delete(archive)
    with pytest.raises(NotFound):
        await delete(archive)


async def test_each_deleted_instance_is_announced_once(archive: SmallArchive) -> None:
    await delete(archive, SERIES[1])
    events = await FeedReader(archive.stores.tables).read(6, 100)
    assert {(e.action, e.sop_instance_uid) for e in events} == {(Action.DELETE, i) for i in INSTANCES[SERIES[1]]}
    assert len(events) == 3


async def test_the_same_uids_can_be_stored_again_at_once(archive: SmallArchive) -> None:
    await delete(archive)
    await fill(archive)
    assert await counts(archive) == (2, 6)


async def test_deleting_leaves_the_blobs_to_the_sweeper(archive: SmallArchive) -> None:
    await delete(archive)
    assert len([b async for page in archive.stores.blobs.list("dicom") for b in page]) == 6
