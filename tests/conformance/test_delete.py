"""Delete: an extension that PS3.18 does not have; the contract of the predecessor, chapter 8."""

from __future__ import annotations

import pytest

from tests.support.dicom_builders import make_instance, new_uid
from tests.support.dicomweb import AS_STORED, Caller, SentInstance


@pytest.fixture
def study(service: Caller) -> list[SentInstance]:
    """Two series; the first of two instances."""
    study, series = new_uid(), new_uid()
    both = [service.stored(make_instance(StudyInstanceUID=study, SeriesInstanceUID=series)) for _ in range(2)]
    return [*both, service.stored(make_instance(StudyInstanceUID=study))]


@pytest.mark.parametrize(
    ("level", "left"),
    [
        pytest.param("path", 2, id="reference 8 instance"),
        pytest.param("series_path", 1, id="reference 8 series"),
        pytest.param("study_path", 0, id="reference 8 study"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_deleted_is_gone_and_the_rest_stays(
    service: Caller, study: list[SentInstance], version: str, level: str, left: int
) -> None:
    path = getattr(study[0], level)
    response = service.at(version).call("DELETE", path)
    assert (response.status_code, response.content) == (204, b"")
    assert service.get(path, AS_STORED).status_code == 404
    assert len(service.search(f"{study[0].study_path}/instances")) == left
    rows = service.search("/studies", ("StudyInstanceUID", study[0].study))
    assert [row["00201208"]["Value"] for row in rows] == ([[left]] if left else [])


@pytest.mark.parametrize("level", ["path", "series_path", "study_path"])
def test_a_second_delete_finds_nothing(service: Caller, study: list[SentInstance], level: str) -> None:
    path = getattr(study[0], level)
    assert [service.call("DELETE", path).status_code for _ in range(2)] == [204, 404]


def test_the_same_uids_may_be_stored_again_at_once(service: Caller) -> None:
    sent = service.stored(make_instance())
    service.call("DELETE", sent.study_path)
    assert service.store(sent.data).status_code == 200
    assert service.get(sent.path, AS_STORED).status_code == 200


def test_a_uid_that_is_none_is_refused(service: Caller) -> None:
    assert service.call("DELETE", "/studies/abc").status_code == 400


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/studies"), ("POST", "/changefeed"), ("PATCH", "/studies/1.2")])
def test_a_method_that_a_resource_has_not_is_405_with_allow(service: Caller, method: str, path: str) -> None:
    """RFC 9110 15.5.6 "405 Method Not Allowed"."""
    response = service.call(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"]
