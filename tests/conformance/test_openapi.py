"""The description of the service is true: every operation is called, as described and otherwise, and answers as described.

What is sent is generated from the description, the same each time. Half of the UIDs are the sample study's, so that there is something
to find. What a request may be refused for besides, such as a range whose end lies before its beginning, is not in its schema.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from functions._openapi import parameters
from functions._openapi.example import Example, example_of
from tests.support.app_client import AppClient
from tests.support.dicomweb import STORE_TYPE, TIMEOUT_SECONDS, Caller, related
from tests.support.host import running_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from schemathesis import BaseSchema, Case

STUDY_FOLDER: Final = Path(__file__).resolve().parents[2] / "samples/study"
SAMPLE: Final = [(STUDY_FOLDER / name).read_bytes() for name in ("ct/01.dcm", "us/01.dcm")]
"""One instance whose frames are octets, and a compressed one."""

CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]

DICTIONARIES: Final = {
    "study": [parameters.STUDY],
    "series": [parameters.SERIES],
    "instance": [parameters.INSTANCE],
    "accept": ["application/dicom", 'multipart/related; type="application/dicom"', "application/json", "text/plain"],
    "If-None-Match": ["*", '"1"', 'W/"2"', "3"],
    "StudyDate": ["20240229", "20240101-20241231", "-"],
    "PatientName": ["Sample*", '"'],
}
"""Values that parameters of these names have half of the time."""

CONFIG: Final = {
    "seed": 1,
    "generation": {"max-examples": 10, "deterministic": True, "database": "none"},
    "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
    "phases": {"coverage": {"unexpected-methods": ["get", "put", "post", "patch", "delete"]}},
    "dictionaries": {name: {"values": values} for name, values in DICTIONARIES.items()},
    "parameters": {name: {"dictionary": name, "probability": 0.5} for name in DICTIONARIES},
}

bodies = st.sampled_from([*SAMPLE, SAMPLE[0][:1000], b"", b"DICM"]) | st.binary(max_size=64)
schemathesis.openapi.media_type("application/dicom", bodies)
schemathesis.openapi.media_type("multipart/related", st.lists(bodies, max_size=3).map(related))


def api(version: str) -> dict[str, Any]:
    """Read the description out of an app like the one that is called."""
    document: dict[str, Any] = asyncio.run(AppClient().get(f"/{version}/api.json")).json()
    return document


def described(version: str) -> BaseSchema:
    return schemathesis.openapi.from_dict(api(version), config=schemathesis.Config.from_dict(CONFIG))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Serve the sample study, in step with a FHIR server."""
    with running_host(tmp_path_factory.mktemp("described"), fhir=True) as host:
        caller = Caller(host.url)
        assert caller.store(*SAMPLE).status_code == 200
        yield caller


@schemathesis.pytest.parametrize(v1=described("v1"), v2=described("v2"))
def test_an_operation_answers_as_described(archive: Caller, case: Case[Any]) -> None:
    stores = case.method == "POST" and "/studies" in case.path
    if stores:
        archive.call("DELETE", f"/studies/{parameters.STUDY}")
    multipart = {"Content-Type": STORE_TYPE} if case.media_type == "multipart/related" else {}
    # without a header of its own the client would accept anything, whatever the parameter says
    response = case.call(archive.root, headers={"Accept": "", **multipart}, timeout=TIMEOUT_SECONDS)
    if stores or case.method == "DELETE":
        archive.store(*SAMPLE)
    case.validate_response(response, checks=CHECKS)


def examples() -> list[Example]:
    """Give the examples of all operations, as the page shows them, those that delete last."""
    paths = api("v2")["paths"].items()
    found = [example_of(path, method, operation) for path, item in paths for method, operation in item.items()]
    return sorted(found, key=lambda example: example.method == "DELETE")


def name(example: Example) -> str:
    return f"{example.method} {example.path}"


@pytest.mark.parametrize("example", examples(), ids=name)
def test_the_example_of_an_operation_succeeds(archive: Caller, example: Example) -> None:
    if example.method == "POST":
        archive.call("DELETE", f"/studies/{parameters.STUDY}")
    else:
        archive.store(*SAMPLE)
    body = (example.body.encode() or SAMPLE[0]) if example.content_type else None
    response = archive.at("").call(example.method, example.path, data=body, Content_Type=example.content_type)
    assert response.ok, response.text


@pytest.mark.parametrize("version", ["v1", "v2", "v1.0-prerelease"])
@pytest.mark.parametrize(
    ("ending", "media_type"), [("json", "application/json"), ("yaml", "application/yaml"), ("html", "text/html; charset=utf-8")]
)
def test_the_description_is_given_in_three_forms(service: Caller, version: str, ending: str, media_type: str) -> None:
    response = service.at(version).get(f"/api.{ending}")
    assert (response.status_code, response.headers["Content-Type"]) == (200, media_type)
    assert f"/{version}/studies" in response.text
    head = service.at(version).call("HEAD", f"/api.{ending}")
    assert (head.content, head.headers["ETag"]) == (b"", response.headers["ETag"])
