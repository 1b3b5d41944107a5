"""Search meets store: what was acknowledged is found by every key, and what was deleted is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from shared.dicom.attributes import Level
from shared.dicom.instance import Rules
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.search_query import parse_search
from shared.services.delete import DeleteService
from shared.services.qido import QidoService
from tests.support.dicom_builders import make_instance
from tests.support.requests import SmallArchive, parts, small_archive
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from typing import Any

STUDY, SERIES, SOP = "1.2.3", "1.2.3.4", "1.2.3.4.5"
UIDS = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": SOP}


@pytest.fixture
async def archive() -> SmallArchive:
    return await small_archive(memory_stores())


async def store(archive: SmallArchive, **attributes: Any) -> None:
    await archive.stow.store(parts([make_instance(**{**UIDS, **attributes})]), study_instance_uid=None, rules=Rules.V2, replace=False)


async def find(archive: SmallArchive, level: Level, **params: str) -> list[dict[str, Any]]:
    service = QidoService(archive.stores, archive.key)
    page = await service.search(parse_search(level, list(params.items())), ApiVersion.V2, "http://host/v2")
    return [orjson.loads(dataset) for dataset in page.datasets]


@pytest.mark.parametrize(
    ("level", "key", "value"),
    [
        (Level.STUDY, "StudyInstanceUID", STUDY),
        (Level.STUDY, "PatientID", "p1"),
        (Level.STUDY, "PatientName", "doe^*"),
        (Level.STUDY, "PatientName", "Doe^Jane"),
        (Level.STUDY, "PatientBirthDate", "19700101"),
        (Level.STUDY, "AccessionNumber", "A1"),
        (Level.STUDY, "ReferringPhysicianName", "Referrer*"),
        (Level.STUDY, "StudyDate", "20240101-20240131"),
        (Level.STUDY, "StudyTime", "10-11"),
        (Level.STUDY, "StudyID", "1"),
        (Level.STUDY, "StudyDescription", "ct head"),
        (Level.STUDY, "ModalitiesInStudy", "CT"),
        (Level.SERIES, "SeriesInstanceUID", SERIES),
        (Level.SERIES, "Modality", "CT"),
        (Level.SERIES, "SeriesNumber", "1"),
        (Level.INSTANCE, "SOPInstanceUID", SOP),
        (Level.INSTANCE, "InstanceNumber", "1"),
    ],
)
async def test_a_stored_instance_is_found_by_each_key_and_not_once_deleted(
    archive: SmallArchive, level: Level, key: str, value: str
) -> None:
    await store(archive)
    [found] = await find(archive, level, **{key: value})
    await DeleteService(archive.stores.tables, archive.reader, archive.committer).delete(STUDY)

    assert found["0020000D"] == {"vr": "UI", "Value": [STUDY]}
    assert await find(archive, level, **{key: value}) == []


async def test_a_study_is_found_by_its_newest_values_only(archive: SmallArchive) -> None:
    await store(archive)
    await store(archive, SOPInstanceUID="1.2.3.4.6", StudyDescription="CT CHEST", StudyDate="20240305")

    assert await find(archive, Level.STUDY, StudyDescription="CT HEAD") == []
    assert await find(archive, Level.STUDY, StudyDate="20240102") == []
    [found] = await find(archive, Level.STUDY, StudyDate="20240305", StudyDescription="CT CHEST")
    assert found["00201208"] == {"vr": "IS", "Value": [2]}


async def test_a_study_that_was_deleted_and_stored_again_is_found_once(archive: SmallArchive) -> None:
    await store(archive)
    await DeleteService(archive.stores.tables, archive.reader, archive.committer).delete(STUDY)
    await store(archive, PatientID="P2")

    assert len(await find(archive, Level.STUDY)) == 1
    assert await find(archive, Level.STUDY, PatientID="P1") == []
    assert len(await find(archive, Level.INSTANCE, SOPInstanceUID=SOP)) == 1


async def test_a_field_that_no_row_keeps_is_that_of_the_newest_instance(archive: SmallArchive) -> None:
    await store(archive, ImageComments="first")
    await store(archive, SOPInstanceUID="1.2.3.4.6", ImageComments="second")

    [study] = await find(archive, Level.STUDY, includefield="ImageComments")
    [series] = await find(archive, Level.SERIES, includefield="ImageComments")

    assert study["00204000"]["Value"] == series["00204000"]["Value"] == ["second"]
