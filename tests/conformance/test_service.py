"""What holds for every resource: PS3.18 chapter 8 "Common Aspects of DICOM Web Services", versions, errors, CORS, health."""

from __future__ import annotations

import pytest

from tests.support.dicomweb import DICOM_JSON, Caller


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("v1", 204),
        ("v2", 204),
        ("v1.0-prerelease", 204),
        ("V2", 204),
        ("v1.0", 204),
        ("v2.0", 204),
        ("v2.1", 400),
        ("v3", 400),
        ("v0", 400),
        ("", 404),
        ("x", 404),
    ],
)
def test_the_version_stands_in_the_path(service: Caller, version: str, status: int) -> None:
    response = service.at(version).get("/studies", DICOM_JSON, [("PatientID", "nobody")])
    assert response.status_code == status


@pytest.mark.parametrize("version", ["v1", "v2", "v1.0-prerelease"])
def test_every_answer_says_which_versions_there_are(service: Caller, version: str) -> None:
    response = service.at(version).get("/studies/1.2.3", DICOM_JSON)
    assert response.headers["api-supported-versions"] == "1.0-prerelease, 1, 2"


def test_an_error_is_a_problem_document(service: Caller) -> None:
    """RFC 9457 "Problem Details for HTTP APIs"."""
    response = service.get("/studies/1.2.3/metadata", DICOM_JSON)
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == 404
    assert problem["title"]
    assert problem["detail"]


def test_an_unknown_path_is_not_found(service: Caller) -> None:
    assert service.get("/nothing/here").status_code == 404


def test_options_names_the_methods(service: Caller) -> None:
    response = service.call("OPTIONS", "/studies")
    assert response.status_code in {200, 204}
    assert {"GET", "POST"} <= {method.strip() for method in response.headers["Allow"].split(",")}


def test_a_page_of_an_origin_that_is_not_allowed_gets_no_cors_headers(service: Caller) -> None:
    response = service.call("OPTIONS", "/studies", Origin="https://elsewhere.example", Access_Control_Request_Method="GET")
    assert "Access-Control-Allow-Origin" not in response.headers


def test_a_foreign_host_name_is_not_answered(service: Caller) -> None:
    """A web page elsewhere must not reach the local host by rebinding its name."""
    response = service.call("GET", "/studies", Host="elsewhere.example", Accept=DICOM_JSON)
    assert response.status_code in {400, 403, 421}


def test_health_says_which_stores_answer(service: Caller) -> None:
    response = service.at("").get("/health/check")
    assert response.status_code == 200
    report = response.json()
    assert report["overallStatus"] == "Healthy"
    assert len(report["details"]) >= 3
    assert {detail["status"] for detail in report["details"]} == {"Healthy"}
