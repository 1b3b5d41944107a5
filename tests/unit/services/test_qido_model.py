"""Searches against an oracle: whatever lies around in the tables, a search gives what matching all rows one by one gives."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.catalog import terms
from shared.dicom.attributes import Level
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.search_query import SearchQuery, parse_search
from shared.services.qido import QidoService
from tests.support.catalog_rows import (
    KEY,
    Series,
    WrittenStudy,
    change_study,
    dataset,
    delete_study,
    with_new_sort_key,
    write_study,
    write_terms,
)
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.catalog.records import DicomJson
    from shared.ports import TableStore

UID_TAG = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.INSTANCE: "00080018"}

NAMES = [None, "Doe^Jane", "Doe^John", "Döring^Jan", "DOERING^Jan^^Dr", "Müller-Lüdenscheidt^Hannelore", "Smith", "de la Cruz^Ana"]
DATES = [None, "20231231", "20240101", "20240115", "20240131", "20240201"]
IDS = [None, "P1", "p1", "P-2", "Ä3", "A3", ["P1", "P9"]]
MODALITIES = ["CT", "MR", "SR"]

attributes = st.fixed_dictionaries(
    {
        "PatientName": st.sampled_from(NAMES),
        "PatientID": st.sampled_from(IDS),
        "StudyDate": st.sampled_from(DATES),
        "PatientBirthDate": st.sampled_from([None, "19700101", "19700102"]),
        "AccessionNumber": st.sampled_from([None, "A1", "A2"]),
        "ReferringPhysicianName": st.sampled_from(NAMES[:4]),
        "StudyDescription": st.sampled_from([None, "Head", "HEAD CT", "x" * 300 + "y"]),
        "StudyID": st.sampled_from([None, "1", "2"]),
        "StudyTime": st.sampled_from([None, "10", "101500.5"]),
    }
)
series = st.builds(
    Series,
    modality=st.sampled_from(MODALITIES),
    instances=st.lists(st.fixed_dictionaries({"InstanceNumber": st.integers(1, 3)}), min_size=1, max_size=3),
    attributes=st.fixed_dictionaries({"ManufacturerModelName": st.sampled_from([None, "One", "Two"])}),
)
studies = st.tuples(attributes, st.lists(series, min_size=1, max_size=3), st.integers(0, 2))
events = st.one_of(
    st.tuples(st.just("change"), st.integers(0, 9), attributes),
    st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
    st.tuples(st.just("lost commit"), st.integers(0, 9), attributes),
)

STUDY_KEYS = {
    "PatientName": ["Doe^Jane", "doe*", "Do*", "D*", "*j*", "mü*", "muller*", "Doe^J?n*", "smith", "*^Jan*", "de la*"],
    "PatientID": ["P1", "a3", "Ä3", "P*", "P9", "none"],
    "StudyDate": ["20240115", "20240101-20240131", "20240115-", "-20240101"],
    "PatientBirthDate": ["19700101", "19700101-19700102"],
    "AccessionNumber": ["A1", "a2"],
    "ReferringPhysicianName": ["Doe^Jane", "do*"],
    "StudyDescription": ["head", "head*", "x*y", "*CT"],
    "StudyID": ["1", "?"],
    "StudyTime": ["10", "1000-1100"],
    "ModalitiesInStudy": ["CT", "ct,mr", "M*"],
}
SERIES_KEYS = {"Modality": ["MR", "SR,CT", "?R"], "ManufacturerModelName": ["one", "t*"], "SeriesNumber": ["1", "2"]}
INSTANCE_KEYS = {"InstanceNumber": ["1", "3"]}
KEYS_OF = {
    Level.STUDY: STUDY_KEYS,
    Level.SERIES: STUDY_KEYS | SERIES_KEYS,
    Level.INSTANCE: STUDY_KEYS | SERIES_KEYS | INSTANCE_KEYS,
}


@st.composite
def searches(draw: st.DrawFn) -> tuple[SearchQuery, int]:
    """Draw a search without its page, and the size of its pages."""
    level = draw(st.sampled_from(list(Level)))
    names = draw(st.lists(st.sampled_from(sorted(KEYS_OF[level])), unique=True, max_size=3))
    params = [(name, draw(st.sampled_from(KEYS_OF[level][name]))) for name in names]
    if draw(st.booleans()):
        params = [(name, value.replace("*", " ") if name == "PatientName" else value) for name, value in params]
        params.append(("fuzzymatching", "true"))
    return parse_search(level, params), draw(st.integers(1, 5))


@dataclass
class World:
    """A store and what is really in it."""

    tables: TableStore
    written: list[WrittenStudy] = field(default_factory=list)

    async def happen(self, what: str, index: int, new: Any) -> None:
        if not self.written:
            return
        study = self.written[index % len(self.written)]
        if what == "change" and study.instances:
            await change_study(self.tables, study, **new)
        elif what == "delete":
            await delete_study(self.tables, study)
        elif what == "lost commit":
            lost = replace(study.study, attributes=orjson.dumps({**study.study.dataset(), **dataset(new)}))
            await write_terms(self.tables, with_new_sort_key(lost))

    def expected(self, query: SearchQuery) -> list[str]:
        """Give the UIDs of all matches in order, found the slow way."""
        found = []
        there = [w for w in self.written if w.instances and query.study_instance_uid in (None, w.study.study_instance_uid)]
        for written in sorted(there, key=lambda w: w.study.sk.rpartition("~")[0]):
            found += [
                ds[UID_TAG[query.level]]["Value"][0]
                for ds in self._candidates(written, query.level)
                if all(f.matches(ds.get(f.top_tag)) for f in query.filters)
            ]
        return found

    def _candidates(self, written: WrittenStudy, level: Level) -> Iterator[DicomJson]:
        modalities = sorted({s.modality for s in written.series})
        study = written.study.dataset() | {terms.MODALITIES_IN_STUDY: {"vr": "CS", "Value": modalities}}
        of_series = {s.series_instance_uid: s.dataset() for s in written.series}
        if level is Level.STUDY:
            yield study
        elif level is Level.SERIES:
            newest_first = sorted(written.series, key=lambda s: (-s.created_ms, s.series_instance_uid))
            yield from (study | s.dataset() for s in newest_first)
        else:
            for i in sorted(written.instances, key=lambda i: (-i.version, i.sop_instance_uid)):
                yield study | of_series[i.series_instance_uid] | i.dataset()


async def all_pages(service: QidoService, query: SearchQuery, limit: int) -> list[str]:
    uids: list[str] = []
    more = True
    while more:
        page = await service.search(replace(query, limit=limit, offset=len(uids)), ApiVersion.V2, "http://host/v2")
        assert not page.incomplete
        assert len(page.datasets) == limit or not page.more
        uids += [orjson.loads(d)[UID_TAG[query.level]]["Value"][0] for d in page.datasets]
        more = page.more
    return uids


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(studies, max_size=8), st.lists(events, max_size=6), st.lists(searches(), min_size=1, max_size=8))
def test_pages_of_a_search_are_all_matches_in_order_without_gaps_or_repeats(
    made: list[Any], later: list[tuple[str, int, Any]], asked: list[tuple[SearchQuery, int]]
) -> None:
    async def run() -> None:
        stores = memory_stores()
        world = World(stores.tables)
        for own, its_series, created in made:
            world.written.append(await write_study(stores.tables, *its_series, created_ms=1_700_000_000_000 + created, **own))
        for event in later:
            await world.happen(*event)
        service = QidoService(stores, KEY)
        in_studies = [
            (SearchQuery(level, w.study.study_instance_uid), 2) for w in world.written for level in (Level.SERIES, Level.INSTANCE)
        ]
        for query, limit in [*asked, *in_studies]:
            assert await all_pages(service, query, limit) == world.expected(query)

    asyncio.run(run())
