"""The attributes that a match is returned with."""

from __future__ import annotations

import pytest

from shared.dicom.attributes import Level
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.search_query import parse_search
from shared.dicomweb.search_result import ReturnSet, return_set


def test_a_dataset_has_the_attributes_asked_for_in_order_of_tags_and_the_last_layer_counts() -> None:
    returned = ReturnSet(("00080020", "00100010", "00100020"), {"00100010": {"vr": "PN"}}, frozenset())

    made = returned.dataset(
        {"00100020": {"vr": "LO", "Value": ["A"]}, "00200010": {"vr": "SH"}}, {"00100020": {"vr": "LO", "Value": ["B"]}}
    )

    assert made == b'{"00100010":{"vr":"PN"},"00100020":{"vr":"LO","Value":["B"]}}'


@pytest.mark.parametrize(
    ("level", "fields", "from_metadata"),
    [
        pytest.param(Level.STUDY, "PatientAge,ModalitiesInStudy", set(), id="kept or counted"),
        pytest.param(Level.STUDY, "Modality", {"00080060"}, id="of a lower level"),
        pytest.param(Level.SERIES, "Modality,PatientAge", set(), id="of a higher level"),
        pytest.param(Level.INSTANCE, "00091001", {"00091001", "00090010"}, id="private, with its creator"),
        pytest.param(Level.STUDY, "NumberOfSeriesRelatedInstances,RetrieveURL", set(), id="made, never stored"),
        pytest.param(Level.STUDY, "all", set(), id="all"),
    ],
)
def test_only_what_no_row_keeps_is_taken_from_metadata(level: Level, fields: str, from_metadata: set[str]) -> None:
    returned = return_set(parse_search(level, [("includefield", fields)]), ApiVersion.V2)

    assert returned.from_metadata == from_metadata


@pytest.mark.parametrize("version", list(ApiVersion))
@pytest.mark.parametrize("level", list(Level))
def test_defaults_never_need_metadata(level: Level, version: ApiVersion) -> None:
    assert return_set(parse_search(level, []), version).from_metadata == frozenset()


def test_only_v2_returns_attributes_without_a_value() -> None:
    query = parse_search(Level.SERIES, [])

    assert return_set(query, ApiVersion.V1).empty == {}
    assert {"00100010", "00080020", "00080060", "00200011"} <= return_set(query, ApiVersion.V2).empty.keys()
