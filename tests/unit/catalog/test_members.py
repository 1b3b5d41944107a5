"""The series and instances of a found study, where rows are not what they were a moment ago."""

from __future__ import annotations

from dataclasses import replace

from shared.catalog.finding import FoundStudy
from shared.catalog.keys import CATALOG
from shared.catalog.members import Match, MemberFinder
from tests.support.catalog_rows import KEY, Series, WrittenStudy, write_study
from tests.support.stores import memory_stores


def found(written: WrittenStudy) -> FoundStudy:
    s = written.study
    return FoundStudy(s.study_instance_uid, s.partition_key, s.sk, s.series_count, s.instance_count, s.newest, s.dataset())


async def test_an_instance_that_is_gone_before_its_attributes_are_read_is_left_out() -> None:
    tables = memory_stores().tables
    written = await write_study(tables, Series(instances=2))
    study = found(written)
    bare = [Match(study, written.series[0], replace(i, attributes=b"{}", metadata_deflated=None)) for i in written.instances]
    await tables.remove_many(CATALOG, [(written.study.partition_key, written.study.newest)])

    page = await MemberFinder(tables, KEY).complete(bare)

    assert [m.instance.attributes for m in page if m.instance] == [written.instances[0].attributes]


async def test_an_instance_whose_series_row_does_not_match_is_no_match() -> None:
    tables = memory_stores().tables
    written = await write_study(tables, Series("CT"), Series("MR"))
    study = found(written)
    await tables.remove_many(CATALOG, [(written.study.partition_key, KEY.series_row(written.series[0].series_instance_uid))])

    matches = await MemberFinder(tables, KEY).instances(study, (), (), 10)

    assert [m.instance.series_instance_uid for m in matches if m.instance] == [written.series[1].series_instance_uid]
