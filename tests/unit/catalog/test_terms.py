"""Which terms a study has, when two records need the same rows, and the sweep of rows that no longer count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog import terms
from shared.catalog.keys import CATALOG, DEFAULT_PARTITION, SEARCH, STUDY_ROW
from shared.catalog.records import StudyRecord
from shared.dicom.text import fold, name_words
from tests.support.catalog_rows import KEY, Series, change_study, dataset, delete_study, write_study, write_terms
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from shared.ports import TableStore

DAY_MS = 24 * 3600 * 1000
NOW_MS = 1_700_000_000_000


def study(*modalities: str, **attributes: object) -> StudyRecord:
    return StudyRecord(
        "1.2.3", orjson.dumps(dataset(attributes)), dict.fromkeys(modalities, 1), instance_count=1, sk="7~8~a~1", changed_ms=NOW_MS
    )


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"PatientID": "AbC 1 "}, {("00100020", "abc 1")}, id="whole value, folded"),
        pytest.param({"PatientID": None}, set(), id="empty"),
        pytest.param({"AccessionNumber": ["A1", "A2"]}, {("00080050", "a1"), ("00080050", "a2")}, id="each of several values"),
        pytest.param({"PatientBirthDate": "19700101"}, {("00100030", "19700101")}, id="date"),
        pytest.param({"StudyDescription": "Schädel CT"}, {("00081030", "schadel ct")}, id="accents"),
        pytest.param(
            {"PatientName": "Müller^Jo"},
            {("00100010", word) for word in ("mu", "mul", "mulle", "muller", "jo")},
            id="words of a name and how they begin",
        ),
        pytest.param(
            {"ReferringPhysicianName": {"Alphabetic": "Li", "Ideographic": "李^四"}},
            {("00080090", word) for word in ("li", "李", "四")},
            id="all component groups",
        ),
        pytest.param({"PatientSex": "F", "StudyID": "1", "StudyTime": "10"}, set(), id="attributes without terms"),
    ],
)
def test_a_study_has_the_terms_of_its_values(attributes: dict[str, object], expected: set[tuple[str, str]]) -> None:
    assert terms.study_terms(study(**attributes)) == expected | {(terms.ALL_STUDIES, "")}


def test_each_modality_of_the_series_is_a_term() -> None:
    record = replace(study(), series_per_modality={"CT": 2, "SR": 1, "MR": 0, "": 1})

    assert terms.study_terms(record) == {(terms.ALL_STUDIES, ""), ("00080061", "ct"), ("00080061", "sr")}


def test_a_hostile_study_brings_few_rows() -> None:
    name = "^".join(f"word{n:06d}" for n in range(1000))
    record = study(*(f"M{n}" for n in range(1000)), PatientName=name, PatientID=[str(n) for n in range(1000)])

    rows = terms.study_term_rows(KEY, DEFAULT_PARTITION, record)

    assert len(rows) <= 1 + terms.MAX_MODALITIES + terms.MAX_VALUES + terms.MAX_WORDS * (1 + len(terms.PREFIX_LENGTHS))
    assert max(len(value) for _, _, properties in rows for value in properties.values() if isinstance(value, str | bytes)) < 20_000


@given(st.text(min_size=1, max_size=30), st.integers(2, 12))
def test_every_word_that_begins_with_some_letters_has_their_usable_prefix_as_term(name: str, length: int) -> None:
    made = terms.study_terms(study(PatientName=name))

    for word in name_words(fold(name))[: terms.MAX_WORDS]:
        prefix = terms.usable_prefix(word[:length])
        assert prefix is None or (terms.PATIENT_NAME, prefix) in made
        assert (terms.PATIENT_NAME, word) in made


def test_term_rows_lie_under_the_sort_key_and_hold_no_value_in_their_keys() -> None:
    rows = terms.study_term_rows(KEY, DEFAULT_PARTITION, study("CT", PatientID="SECRET", PatientName="Doe^Jane"))

    assert {row_key for _, row_key, _ in rows} == {"7~8~a~1"}
    assert len({pk for pk, _, _ in rows}) == len(rows)
    assert not any("secret" in pk.lower() or "doe" in pk.lower() for pk, _, _ in rows)


def test_covering_values_are_those_of_the_study_but_for_big_ones() -> None:
    record = study("SR", "CT", PatientID="P1", StudyID=None, StudyDescription="x" * 300)

    covering = orjson.loads(terms.study_term_rows(KEY, DEFAULT_PARTITION, record)[0][2]["covering"])  # type: ignore[arg-type]

    assert covering == {
        "00100020": {"vr": "LO", "Value": ["P1"]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00081030": None,
    }


BASE = study("CT", PatientID="P1", PatientName="Doe^Jane", StudyDescription="x" * 300, PatientSex="F")


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(replace(BASE, version=7, instance_count=9, series_per_modality={"CT": 5}), True, id="counts"),
        pytest.param(study("CT", PatientID="P1", PatientName="Doe^Jane", StudyDescription="x" * 300, PatientSex="M"), True, id="no term"),
        pytest.param(replace(BASE, series_per_modality={"CT": 1, "MR": 0}), True, id="modality without series"),
        pytest.param(replace(BASE, series_per_modality={"CT": 1, "MR": 1}), False, id="modality"),
        pytest.param(study("CT", PatientID="P2", PatientName="Doe^Jane", StudyDescription="x" * 300), False, id="term"),
        pytest.param(study("CT", PatientID="P1", PatientName="DOE^Jane", StudyDescription="x" * 300), False, id="covering value"),
        pytest.param(study("CT", PatientID="P1", PatientName="Doe^Jane", StudyDescription="y" * 300), False, id="big value"),
        pytest.param(study("CT", PatientID="P1", PatientName="Doe^Jane", StudyDescription="x" * 300, StudyTime="10"), False, id="added"),
    ],
)
def test_records_have_the_same_terms_iff_their_rows_would_be_the_same(other: StudyRecord, same: bool) -> None:
    assert terms.same_terms(BASE, other) is same
    assert (terms.terms_signature(BASE) == terms.terms_signature(other)) is same


def test_uid_rows_lead_to_study_and_series() -> None:
    rows = terms.uid_rows(KEY, DEFAULT_PARTITION, "1.2", ["1.3"], [("1.3", "1.4"), ("1.5", "1.4")])

    assert [dict(p) for _, _, p in rows] == [
        {"schema": 1, "study_instance_uid": "1.2"},
        {"schema": 1, "study_instance_uid": "1.2", "series_instance_uid": "1.3"},
        {"schema": 1, "study_instance_uid": "1.2", "series_instance_uid": "1.5"},
    ]
    assert len({(pk, row_key) for pk, row_key, _ in rows}) == 3, "one SOP UID in two series is two rows"
    assert rows[1][0] == rows[2][0]


async def rows_of(tables: TableStore, record: StudyRecord, row_key: str) -> int:
    keys = [(pk, row_key) for pk, _, _ in terms.study_term_rows(KEY, DEFAULT_PARTITION, record)]
    return sum(e is not None for e in await tables.get_many(SEARCH, keys))


async def test_the_sweep_removes_old_rows_that_do_not_count_and_no_others() -> None:
    tables = memory_stores().tables
    kept = await write_study(tables, PatientID="KEPT", created_ms=NOW_MS)
    changed = await write_study(tables, PatientID="BEFORE", created_ms=NOW_MS)
    before = changed.study
    await change_study(tables, changed, PatientID="AFTER")
    gone = await write_study(tables, Series("MR"), PatientID="GONE", created_ms=NOW_MS)
    terms_gone = gone.study
    await delete_study(tables, gone)

    swept = await terms.sweep_terms(tables, KEY, DEFAULT_PARTITION, NOW_MS + DAY_MS + 1)

    assert swept.rows_removed == len(terms.study_terms(before)) + len(terms.study_terms(terms_gone))
    assert await rows_of(tables, before, before.sk) == await rows_of(tables, terms_gone, terms_gone.sk) == 0
    for study_ in (kept.study, changed.study):
        assert await rows_of(tables, study_, study_.sk) == len(terms.study_terms(study_))


async def test_the_sweep_leaves_rows_of_a_commit_that_may_be_under_way() -> None:
    tables = memory_stores().tables
    written = await write_study(tables, created_ms=NOW_MS)
    under_way = replace(written.study, sk=written.study.sk + "x", changed_ms=NOW_MS)
    await write_terms(tables, under_way)

    swept = await terms.sweep_terms(tables, KEY, DEFAULT_PARTITION, NOW_MS + DAY_MS)

    assert swept.rows_removed == 0
    assert await rows_of(tables, under_way, under_way.sk) == len(terms.study_terms(under_way))


async def test_the_sweep_goes_through_the_list_in_slices() -> None:
    tables = memory_stores().tables
    for _ in range(3):
        written = await write_study(tables, created_ms=NOW_MS)
        await tables.remove_many(CATALOG, [(written.study.partition_key, STUDY_ROW)])
    start: str | None = ""
    removed = slices = 0

    while start is not None:
        swept = await terms.sweep_terms(tables, KEY, DEFAULT_PARTITION, NOW_MS + DAY_MS + 1, start)
        start, removed, slices = swept.resume, removed + swept.rows_removed, slices + 1

    assert (slices, removed) == (2, 3 * 2), "all studies and modality"
