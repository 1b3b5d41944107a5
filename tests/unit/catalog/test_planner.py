"""Where a search starts."""

from __future__ import annotations

import pytest

from shared.catalog.planner import Lookup, Named, Target, TermRange, plan_search
from shared.dicom.attributes import Level
from shared.dicomweb.search_query import parse_search

STUDY, SERIES, INSTANCE = Level.STUDY, Level.SERIES, Level.INSTANCE


def term(level: Level, **params: str) -> TermRange:
    start = plan_search(parse_search(level, list(params.items())))
    assert isinstance(start, TermRange)
    return start


@pytest.mark.parametrize(
    ("params", "field", "folded", "unsettled"),
    [
        pytest.param({}, "all", "", [], id="nothing: all studies"),
        pytest.param({"AccessionNumber": "A1", "PatientID": "P1"}, "00080050", "a1", ["PatientID"], id="accession before patient"),
        pytest.param(
            {"PatientBirthDate": "19700101", "PatientID": "P 1"}, "00100020", "p 1", ["PatientBirthDate"], id="patient before birth"
        ),
        pytest.param(
            {"PatientBirthDate": "19700101", "PatientName": "Doe"}, "00100030", "19700101", ["PatientName"], id="birth before name"
        ),
        pytest.param({"PatientBirthDate": "19700101-"}, "all", "", ["PatientBirthDate"], id="birth range has no term"),
        pytest.param({"PatientName": "Doe^Johanna"}, "00100010", "johanna", ["PatientName"], id="name: its longest word, whole"),
        pytest.param({"PatientName": "Mül*"}, "00100010", "mul", ["PatientName"], id="name: beginning"),
        pytest.param({"PatientName": "Hannelo*"}, "00100010", "hanne", ["PatientName"], id="name: longest usable prefix"),
        pytest.param({"PatientName": "Doe^Hannelore*"}, "00100010", "hannelor", ["PatientName"], id="name: longest of several"),
        pytest.param({"PatientName": "jo smit", "fuzzymatching": "true"}, "00100010", "smi", ["PatientName"], id="name: fuzzy"),
        pytest.param({"PatientName": "D*"}, "all", "", ["PatientName"], id="name: one letter is too short"),
        pytest.param({"PatientName": "*Doe*"}, "all", "", ["PatientName"], id="name: leading wildcard"),
        pytest.param(
            {"PatientName": "*Doe*", "StudyDescription": "Head"}, "00081030", "head", ["PatientName"], id="description before all"
        ),
        pytest.param(
            {"ReferringPhysicianName": "Ref*", "ModalitiesInStudy": "CT"},
            "00080090",
            "ref",
            ["ReferringPhysicianName", "ModalitiesInStudy"],
            id="physician",
        ),
        pytest.param({"ModalitiesInStudy": "CT"}, "00080061", "ct", [], id="modality"),
        pytest.param({"ModalitiesInStudy": "CT,MR"}, "all", "", ["ModalitiesInStudy"], id="several modalities"),
        pytest.param({"StudyID": "7"}, "all", "", ["StudyID"], id="no term, but covered"),
        pytest.param({"PatientID": "P*"}, "all", "", ["PatientID"], id="wildcard, but covered"),
    ],
)
def test_a_search_starts_from_the_most_selective_term(params: dict[str, str], field: str, folded: str, unsettled: list[str]) -> None:
    start = term(STUDY, **params)

    assert (start.field, start.folded, start.start, start.stop) == (field, folded, "", None)
    assert {f.keyword for f in start.unsettled} == set(unsettled)


@pytest.mark.parametrize(
    ("study_date", "start", "stop"),
    [
        ("20240115", "79759884", "79759885"),
        ("20240101-20240131", "79759868", "79759899"),
        ("20240101-", "", "79759899"),
        ("-20240131", "79759868", "99999999"),
    ],
)
def test_study_dates_are_a_range_of_row_keys_on_any_term(study_date: str, start: str, stop: str) -> None:
    everything, patient = term(STUDY, StudyDate=study_date), term(STUDY, StudyDate=study_date, PatientID="P1")

    assert (everything.field, everything.start, everything.stop, everything.unsettled) == ("all", start, stop, ())
    assert (patient.field, patient.start, patient.stop, patient.unsettled) == ("00100020", start, stop, ())


def test_a_series_modality_starts_from_the_studies_that_have_it() -> None:
    start = term(SERIES, Modality="SR", ModalitiesInStudy="C*", SeriesNumber="1")

    assert (start.field, start.folded) == ("00080061", "sr")
    assert [f.keyword for f in start.unsettled] == ["ModalitiesInStudy"]


@pytest.mark.parametrize(
    ("level", "path", "params", "expected"),
    [
        pytest.param(STUDY, (), {"StudyInstanceUID": "1.2,1.1"}, Named((Target("1.1"), Target("1.2"))), id="study list"),
        pytest.param(SERIES, ("1",), {}, Named((Target("1"),)), id="study in path"),
        pytest.param(SERIES, ("1",), {"SeriesInstanceUID": "2"}, Named((Target("1", "2"),)), id="series of a study"),
        pytest.param(SERIES, (), {"SeriesInstanceUID": "2,3", "PatientID": "P"}, Lookup("0020000E", ("2", "3")), id="series anywhere"),
        pytest.param(SERIES, (), {"StudyInstanceUID": "1", "SeriesInstanceUID": "2"}, Named((Target("1", "2"),)), id="both by key"),
        pytest.param(SERIES, (), {"StudyInstanceUID": "1,4", "SeriesInstanceUID": "2"}, Lookup("0020000E", ("2",)), id="no cross product"),
        pytest.param(INSTANCE, ("1", "2"), {"SOPInstanceUID": "3"}, Named((Target("1", "2", "3"),)), id="instance of a series"),
        pytest.param(INSTANCE, ("1",), {"SOPInstanceUID": "3"}, Lookup("00080018", ("3",), "1"), id="instance of a study"),
        pytest.param(INSTANCE, (), {"SeriesInstanceUID": "2", "SOPInstanceUID": "3"}, Lookup("00080018", ("3",)), id="instance anywhere"),
        pytest.param(INSTANCE, ("1", "2"), {}, Named((Target("1", "2"),)), id="series in path"),
    ],
)
def test_known_uids_are_read_by_key(level: Level, path: tuple[str, ...], params: dict[str, str], expected: Named | Lookup) -> None:
    study, series = [*path, None, None][:2]

    assert plan_search(parse_search(level, list(params.items()), study=study, series=series)) == expected
