"""The change feed: an extension that PS3.18 does not have; the contract of the predecessor, chapter 9."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dicom_builders import make_instance

if TYPE_CHECKING:
    from tests.support.dicomweb import Caller


def latest(service: Caller) -> int:
    """Give the newest sequence number; 0 where the feed is empty."""
    response = service.get("/changefeed/latest")
    return 0 if response.status_code == 204 else int(response.json()["sequence"])


def entries_after(service: Caller, sequence: int, **more: str) -> list[dict[str, Any]]:
    """Read the v1 window behind a sequence number."""
    response = service.at("v1").get("/changefeed", query=[("offset", str(sequence)), ("limit", "100"), *more.items()])
    assert response.status_code == 200
    return list(response.json())


def test_every_change_is_announced_once_in_order(service: Caller) -> None:
    before = latest(service)
    sent = service.stored(make_instance())
    service.call("DELETE", sent.path)
    again = service.stored(sent.data)
    entries = [entry for entry in entries_after(service, before) if entry["sopInstanceUid"] == sent.instance]
    assert [entry["action"] for entry in entries] == ["Create", "Delete", "Create"]
    assert [entry["state"] for entry in entries] == ["Replaced", "Replaced", "Current"]
    assert [entry["sequence"] for entry in entries] == sorted(entry["sequence"] for entry in entries)
    assert entries[-1]["metadata"]["00080018"]["Value"] == [again.instance]


def test_a_deleted_instance_has_no_metadata_left(service: Caller) -> None:
    before = latest(service)
    sent = service.stored(make_instance())
    service.call("DELETE", sent.study_path)
    entries = [entry for entry in entries_after(service, before) if entry["sopInstanceUid"] == sent.instance]
    assert [(entry["action"], entry["state"], "metadata" in entry) for entry in entries] == [
        ("Create", "Deleted", False),
        ("Delete", "Deleted", False),
    ]


def test_a_replacement_is_an_update(service: Caller) -> None:
    before = latest(service)
    sent = service.stored(make_instance())
    changed = make_instance(
        StudyInstanceUID=sent.study, SeriesInstanceUID=sent.series, SOPInstanceUID=sent.instance, StudyDescription="CHANGED"
    )
    assert service.store(changed, method="PUT").status_code == 200
    entries = [entry for entry in entries_after(service, before) if entry["sopInstanceUid"] == sent.instance]
    assert [(entry["action"], entry["state"]) for entry in entries] == [("Create", "Replaced"), ("Update", "Current")]


def test_latest_is_the_newest_entry(service: Caller) -> None:
    sent = service.stored(make_instance())
    for version in ("v1", "v2"):
        entry = service.at(version).get("/changefeed/latest").json()
        assert entry["sopInstanceUid"] == sent.instance
        assert entry["partitionName"] == "Microsoft.Default"
        assert datetime.fromisoformat(entry["timestamp"]).tzinfo is not None


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_metadata_can_be_left_out(service: Caller, version: str) -> None:
    service.stored(make_instance())
    assert "metadata" in service.at(version).get("/changefeed/latest").json()
    assert "metadata" not in service.at(version).get("/changefeed/latest", query="includeMetadata=false").json()


def test_v1_reads_a_window_of_sequence_numbers(service: Caller) -> None:
    before = latest(service)
    for _ in range(3):
        service.stored(make_instance())
    response = service.at("v1").get("/changefeed", query=f"offset={before}&limit=2")
    assert [entry["sequence"] for entry in response.json()] == [before + 1, before + 2]


def test_v2_reads_a_window_of_time(service: Caller) -> None:
    first, second = (_newest_time_after_a_store(service) for _ in range(2))
    window = [("startTime", first), ("endTime", second)]
    found = service.get("/changefeed", query=window).json()
    assert found
    assert all(first <= entry["timestamp"] < second for entry in found)
    skipped = service.get("/changefeed", query=[*window, ("offset", "1")]).json()
    assert skipped == found[1:]


def _newest_time_after_a_store(service: Caller) -> str:
    service.stored(make_instance())
    return str(service.get("/changefeed/latest").json()["timestamp"])


@pytest.mark.parametrize(
    ("version", "query"),
    [
        pytest.param("v1", "limit=101", id="reference 9.1 v1 limit"),
        pytest.param("v1", "limit=0", id="reference 9.1 limit below 1"),
        pytest.param("v1", "offset=-1", id="reference 9.1 negative offset"),
        pytest.param("v2", "limit=201", id="reference 9.1 v2 limit"),
        pytest.param("v2", "includeMetadata=1", id="reference 9.1 no boolean"),
        pytest.param("v2", "startTime=2024-01-01T00:00:00", id="reference 9.1 no zone"),
        pytest.param("v2", "startTime=yesterday", id="reference 9.1 no time"),
        pytest.param("v2", "startTime=2024-01-02T00:00:00Z&endTime=2024-01-01T00:00:00Z", id="reference 9.1 backwards"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(service: Caller, version: str, query: str) -> None:
    assert service.at(version).get("/changefeed", query=query).status_code == 400


def test_an_end_of_nothing_is_an_empty_array(service: Caller) -> None:
    response = service.get("/changefeed", query="startTime=9000-01-01T00:00:00Z")
    assert (response.status_code, response.json()) == (200, [])
