"""What a search returns, what it costs, and when it gives up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from shared.catalog import finding, terms
from shared.catalog.keys import CATALOG, METADATA
from shared.dicom.attributes import Level, keyword_of
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.search_query import parse_search
from shared.services.qido import QidoService, SearchPage
from tests.support.catalog_rows import KEY, Series, WrittenStudy, change_study, with_new_sort_key, write_study, write_terms
from tests.support.counting import counting
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections import Counter

    from shared.ports import Stores, TableStore

BASE_URL = "https://pacs.example/v2"
STUDY, SERIES, INSTANCE = Level.STUDY, Level.SERIES, Level.INSTANCE


@dataclass
class Archive:
    """An archive in memory whose requests are counted."""

    stores: Stores
    counts: Counter[str]

    @property
    def tables(self) -> TableStore:
        return self.stores.tables

    async def search(
        self, level: Level, *, study: str | None = None, series: str | None = None, version: ApiVersion = ApiVersion.V2, **params: Any
    ) -> SearchPage:
        self.counts.clear()
        query = parse_search(level, [(name, str(value)) for name, value in params.items()], study=study, series=series)
        return await QidoService(self.stores, KEY).search(query, version, BASE_URL)

    async def find(self, level: Level, **params: Any) -> list[dict[str, Any]]:
        """Search, and give datasets by keyword, with plain values."""
        return [_plain(orjson.loads(d)) for d in (await self.search(level, **params)).datasets]


def _plain(dataset: dict[str, Any]) -> dict[str, Any]:
    assert list(dataset) == sorted(dataset)
    return {keyword_of(tag) or tag: element.get("Value") for tag, element in dataset.items()}


@pytest.fixture
def archive() -> Archive:
    return Archive(*counting(memory_stores()))


FULL_STUDY: dict[str, Any] = {
    "SpecificCharacterSet": "ISO_IR 192",
    "StudyDate": "20240115",
    "StudyTime": "101500",
    "AccessionNumber": "A1",
    "ReferringPhysicianName": "Ref^R",
    "StudyDescription": "CT HEAD",
    "PatientName": "Doe^Jane",
    "PatientID": "P1",
    "PatientBirthDate": "19700101",
    "PatientSex": "F",
    "StudyID": "7",
    "PatientAge": "054Y",
}

V1_STUDY = {
    "SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "InstanceAvailability", "ReferringPhysicianName",
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
}  # fmt: skip
V2_STUDY = V1_STUDY | {
    "StudyDescription", "ModalitiesInStudy", "RetrieveURL", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
}  # fmt: skip
SERIES_SET = {"Modality", "SeriesInstanceUID"}
V2_SERIES = SERIES_SET | {"SeriesNumber", "NumberOfSeriesRelatedInstances", "RetrieveURL"}
INSTANCE_SET = {"SOPClassUID", "SOPInstanceUID", "InstanceAvailability", "InstanceNumber", "Rows", "Columns"}
V2_INSTANCE = INSTANCE_SET | {"RetrieveURL"}


@pytest.mark.parametrize(
    ("level", "depth", "version", "expected"),
    [
        pytest.param(STUDY, 0, "v1", V1_STUDY, id="v1 studies"),
        pytest.param(STUDY, 0, "v2", V2_STUDY, id="v2 studies"),
        pytest.param(SERIES, 0, "v1", V1_STUDY | SERIES_SET, id="v1 series"),
        pytest.param(SERIES, 0, "v2", V2_STUDY | V2_SERIES, id="v2 series"),
        pytest.param(SERIES, 1, "v1", SERIES_SET | {"StudyInstanceUID", "SpecificCharacterSet"}, id="v1 series of a study"),
        pytest.param(SERIES, 1, "v2", V2_SERIES | {"StudyInstanceUID", "SpecificCharacterSet"}, id="v2 series of a study"),
        pytest.param(INSTANCE, 0, "v2", V2_STUDY | V2_SERIES | V2_INSTANCE, id="v2 instances"),
        pytest.param(
            INSTANCE, 1, "v2", V2_SERIES | V2_INSTANCE | {"StudyInstanceUID", "SpecificCharacterSet"}, id="v2 instances of a study"
        ),
        pytest.param(
            INSTANCE,
            2,
            "v1",
            INSTANCE_SET | {"StudyInstanceUID", "SeriesInstanceUID", "SpecificCharacterSet"},
            id="v1 instances of a series",
        ),
    ],
)
async def test_each_resource_returns_the_attributes_of_its_levels_and_the_uids_of_its_path(
    archive: Archive, level: Level, depth: int, version: str, expected: set[str]
) -> None:
    written = await write_study(archive.tables, **FULL_STUDY)
    path = {"study": written.study.study_instance_uid, "series": written.series[0].series_instance_uid}

    [found] = await archive.find(level, version=ApiVersion(version), **dict(list(path.items())[:depth]))

    assert set(found) == expected


async def test_computed_attributes_are_exact(archive: Archive) -> None:
    written = await write_study(archive.tables, Series("SR"), Series("CT", instances=3), Series("CT", instances=2))
    uid = written.study.study_instance_uid

    [study] = await archive.find(STUDY)
    series = await archive.find(SERIES, study=uid)
    instance = (await archive.find(INSTANCE))[0]

    assert study["ModalitiesInStudy"] == ["CT", "SR"]
    assert (study["NumberOfStudyRelatedSeries"], study["NumberOfStudyRelatedInstances"]) == ([3], [6])
    assert study["InstanceAvailability"] == ["ONLINE"]
    assert study["RetrieveURL"] == [f"{BASE_URL}/studies/{uid}"]
    assert [s["NumberOfSeriesRelatedInstances"] for s in series] == [[2], [3], [1]], "newest first"
    assert series[0]["RetrieveURL"] == [f"{BASE_URL}/studies/{uid}/series/{series[0]['SeriesInstanceUID'][0]}"]
    assert instance["RetrieveURL"][0].endswith(f"/series/{instance['SeriesInstanceUID'][0]}/instances/{instance['SOPInstanceUID'][0]}")


async def test_v2_returns_required_attributes_without_a_value_and_v1_leaves_them_out(archive: Archive) -> None:
    await write_study(archive.tables, PatientID="P1", StudyDate=None)

    [of_v1] = await archive.find(STUDY, version=ApiVersion.V1)
    [of_v2] = [orjson.loads(d) for d in (await archive.search(STUDY)).datasets]

    assert set(of_v1) == {"PatientID", "StudyInstanceUID", "StudyDate", "InstanceAvailability"}
    assert of_v2["00100010"] == {"vr": "PN"}
    assert of_v2["00080020"] == {"vr": "DA"}
    assert "00080201" not in of_v2, "of type C: only where known"


async def test_filters_and_fields_asked_for_are_returned_too(archive: Archive) -> None:
    await write_study(archive.tables, **FULL_STUDY)

    [found] = await archive.find(STUDY, version=ApiVersion.V1, StudyDescription="ct*", includefield="PatientAge,NumberOfStudyRelatedSeries")

    assert set(found) == V1_STUDY | {"StudyDescription", "PatientAge", "NumberOfStudyRelatedSeries"}


async def test_includefield_all_returns_all_that_rows_keep(archive: Archive) -> None:
    await write_study(archive.tables, **FULL_STUDY)

    [found] = await archive.find(STUDY, includefield="all")

    assert set(found) == V2_STUDY | {"PatientAge"}
    assert archive.counts["get catalog"] == 1


@pytest.mark.parametrize("level", list(Level))
async def test_fields_that_no_row_keeps_come_from_the_newest_instance_by_one_more_read(archive: Archive, level: Level) -> None:
    written = await write_study(archive.tables, Series(instances=2), metadata={"00091001": "private", "00090010": "CREATOR"})
    comments = [f"number {written.instances[n].version}" for n in (1, 0)]
    await archive.search(level)
    without = archive.counts.copy()

    found = await archive.find(level, includefield="ImageComments,00091001")

    assert [f["ImageComments"] for f in found] == [[c] for c in comments[: len(found)]]
    assert found[0]["00091001"] == ["private"]
    assert found[0]["00090010"] == ["CREATOR"], "the private creator comes along"
    assert archive.counts["get catalog"] == without["get catalog"] + len(found)


async def test_metadata_in_a_blob_of_its_own_is_read_there(archive: Archive) -> None:
    written = await write_study(archive.tables)
    [instance] = written.instances
    assert instance.metadata_deflated
    await archive.stores.blobs.put(METADATA, instance.metadata_blob_name, instance.metadata_deflated)
    moved = replace(instance, metadata_deflated=None, metadata_blob=True)
    await archive.tables.upsert_many(CATALOG, [(written.study.partition_key, written.study.newest, moved.properties())])

    [found] = await archive.find(STUDY, includefield="ImageComments")

    assert found["ImageComments"] == [f"number {instance.version}"]


async def test_where_the_newest_instance_is_gone_any_other_stands_for_the_study(archive: Archive) -> None:
    written = await write_study(archive.tables, Series(instances=2))
    await archive.tables.remove_many(CATALOG, [(written.study.partition_key, written.study.newest)])

    [study] = await archive.find(STUDY, includefield="ImageComments")
    [series] = await archive.find(SERIES, includefield="ImageComments")

    assert study["ImageComments"] == series["ImageComments"] == [f"number {written.instances[0].version}"]


async def studies(archive: Archive, count: int, **attributes: Any) -> list[WrittenStudy]:
    """Write studies, each a month older than the one before."""
    dates = [f"{2024 - n // 12}{12 - n % 12:02}15" for n in range(count)]
    return [await write_study(archive.tables, StudyDate=date, **attributes) for date in dates]


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="all studies"),
        pytest.param({"StudyDate": "20000101-20241231"}, id="date range"),
        pytest.param({"PatientID": "P1"}, id="term"),
        pytest.param({"PatientName": "Doe^Ja*"}, id="beginning of a name"),
        pytest.param({"PatientName": "*Jane*"}, id="no term"),
        pytest.param({"PatientName": "jan do", "fuzzymatching": "true", "ModalitiesInStudy": "CT"}, id="two terms, none matching"),
    ],
)
async def test_a_page_of_studies_costs_at_most_its_size_and_three_requests(archive: Archive, params: dict[str, Any]) -> None:
    await studies(archive, 40, PatientID="P1", PatientName="Doe^Jane")

    page = await archive.search(STUDY, limit=10, **params)

    assert page.more is bool(page.datasets)
    assert archive.counts.total() <= 13


async def test_searches_by_uid_are_point_reads(archive: Archive) -> None:
    made = await studies(archive, 5)
    uids = [w.study.study_instance_uid for w in made[1:3]]

    found = await archive.find(STUDY, StudyInstanceUID=",".join([*reversed(uids), "1.9"]))

    assert [f["StudyInstanceUID"] for f in found] == [[uid] for uid in uids]
    assert archive.counts == {"get catalog": 3}


@pytest.mark.parametrize(
    ("level", "key", "requests"),
    [
        pytest.param(SERIES, "SeriesInstanceUID", {"page search": 1, "get catalog": 2}, id="series"),
        pytest.param(INSTANCE, "SOPInstanceUID", {"page search": 1, "get catalog": 3}, id="instance"),
    ],
)
async def test_series_and_instances_are_found_by_their_uid_anywhere(
    archive: Archive, level: Level, key: str, requests: dict[str, int]
) -> None:
    made = await studies(archive, 5)
    uid = {"SeriesInstanceUID": made[3].series[0].series_instance_uid, "SOPInstanceUID": made[3].instances[0].sop_instance_uid}[key]

    [found] = await archive.find(level, **{key: uid})

    assert found["StudyInstanceUID"] == [made[3].study.study_instance_uid]
    assert archive.counts == requests
    assert await archive.find(level, **{key: "1.9.9"}) == []
    assert await archive.find(level, **{key: uid}, PatientID="other") == []


async def test_one_sop_uid_in_several_series_is_found_in_each(archive: Archive) -> None:
    one = [{"SOPInstanceUID": "1.4.4.4"}]
    written = await write_study(archive.tables, Series(instances=one), Series(instances=one))

    found = await archive.find(INSTANCE, SOPInstanceUID="1.4.4.4")
    other = await write_study(archive.tables, Series(instances=one))
    of_a_study = await archive.find(INSTANCE, study=other.study.study_instance_uid, SOPInstanceUID="1.4.4.4")
    of_a_series = await archive.find(
        INSTANCE, study=written.study.study_instance_uid, series=written.series[0].series_instance_uid, SOPInstanceUID="1.4.4.4"
    )

    assert {f["SeriesInstanceUID"][0] for f in found} == {s.series_instance_uid for s in written.series}
    assert [f["SeriesInstanceUID"][0] for f in of_a_study] == [other.series[0].series_instance_uid]
    assert [f["SeriesInstanceUID"][0] for f in of_a_series] == [written.series[0].series_instance_uid]


async def test_series_of_a_study_cost_two_requests_and_instances_of_a_series_three(archive: Archive) -> None:
    written = await write_study(archive.tables, Series(instances=5), Series(instances=5))
    path = {"study": written.study.study_instance_uid, "series": written.series[0].series_instance_uid}

    await archive.search(SERIES, study=path["study"])
    assert archive.counts == {"get catalog": 1, "page catalog": 1}
    found = await archive.find(INSTANCE, **path)
    assert archive.counts == {"get catalog": 2, "page catalog": 1}
    assert [f["InstanceNumber"] for f in found] == [[5], [4], [3], [2], [1]], "newest stored first"


async def test_nothing_is_found_in_what_is_not_there(archive: Archive) -> None:
    written = await write_study(archive.tables)

    assert await archive.find(SERIES, study="1.9") == []
    assert await archive.find(INSTANCE, study=written.study.study_instance_uid, series="1.9") == []
    assert await archive.search(STUDY, offset=1) == SearchPage([], more=False, incomplete=False)


async def test_only_the_studies_of_the_page_are_read_for_its_series(archive: Archive) -> None:
    for n in range(20):
        await write_study(archive.tables, Series(instances=3), Series(instances=3), StudyDate=f"202401{n + 1:02}")

    page = await archive.search(SERIES, limit=2, offset=20)

    assert len(page.datasets) == 2
    assert archive.counts["page catalog"] == 2, "two series of one study, and one that says there are more"


async def test_instances_of_a_big_study_are_put_in_order_without_their_attributes(archive: Archive) -> None:
    written = await write_study(archive.tables, Series(instances=1200))
    uid = written.study.study_instance_uid

    found = await archive.find(INSTANCE, study=uid, limit=3, offset=1190)

    assert [f["InstanceNumber"] for f in found] == [[10], [9], [8]]
    assert archive.counts == {"get catalog": 1 + 3, "page catalog": 1 + 2}
    assert [f["InstanceNumber"] for f in await archive.find(INSTANCE, study=uid, InstanceNumber=77)] == [[77]]


async def test_rows_left_by_many_changes_of_a_study_hide_no_other(archive: Archive) -> None:
    await studies(archive, 3)
    busy = await write_study(archive.tables, StudyDate="20250101")
    for n in range(300):
        await change_study(archive.tables, busy, StudyDescription=f"description {n}")

    page = await archive.search(STUDY, limit=10)

    assert len(page.datasets) == 4
    assert not page.incomplete
    assert archive.counts["page search"] <= 20


async def test_a_search_without_an_index_gives_up_within_its_budget_and_says_so(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_TERM_PAGE", 10)
    monkeypatch.setattr(finding, "MAX_IN_VAIN", 18)
    await studies(archive, 40, StudyID="other")
    await write_study(archive.tables, StudyDate="19990101", StudyID="wanted")

    page = await archive.search(STUDY, StudyID="wanted")
    narrowed = await archive.search(STUDY, StudyID="wanted", StudyDate="19990101-19991231")

    assert (page.datasets, page.more, page.incomplete) == ([], False, True)
    assert len(narrowed.datasets) == 1
    assert not narrowed.incomplete


async def test_a_search_for_series_gives_up_where_no_study_has_a_match(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.catalog.descent.MAX_ROWS_IN_VAIN", 1600)
    await studies(archive, 40)

    page = await archive.search(SERIES, SeriesNumber=9)

    assert (page.datasets, page.incomplete) == ([], True)
    assert archive.counts["page catalog"] == 16


async def test_an_offset_beyond_the_budget_is_incomplete_and_one_beyond_the_end_is_not(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await studies(archive, 30)
    assert await archive.search(STUDY, offset=10**12) == SearchPage([], more=False, incomplete=False)

    monkeypatch.setattr(finding, "MAX_TERM_PAGE", 10)
    monkeypatch.setattr(finding, "MAX_READ", 20)

    assert (await archive.search(STUDY, offset=10**12)).incomplete
    assert archive.counts["get catalog"] == 20


async def test_values_too_long_to_be_covered_are_matched_on_the_study_row(archive: Archive) -> None:
    await write_study(archive.tables, StudyDescription="x" * 300 + "y", PatientID="P1")

    assert len(await archive.find(STUDY, PatientID="P1", StudyDescription="*y")) == 1
    assert await archive.find(STUDY, PatientID="P1", StudyDescription="*z") == []


async def test_a_term_row_of_a_commit_that_never_was_does_not_count(archive: Archive) -> None:
    written = await write_study(archive.tables, PatientID="P1", StudyDate="20240101")
    never = with_new_sort_key(replace(written.study, attributes=b'{"00100020":{"vr":"LO","Value":["P2"]}}'))
    await write_terms(archive.tables, never)

    assert await archive.find(STUDY, PatientID="P2") == []
    assert len(await archive.find(STUDY)) == 1
    assert terms.text_values(written.study.dataset(), terms.PATIENT_ID) == ["P1"]
