"""Store: PS3.18 10.5 "Store Transaction", and the contract of both API versions. Ids begin with the section."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.support.dicom_builders import CT_IMAGE_STORAGE, IMPLICIT_LE, make_dataset, make_instance, new_uid, write
from tests.support.dicomweb import AS_STORED, BOUNDARY, DICOM_JSON, STORE_TYPE, Caller, SentInstance, received_parts, related

REFERENCED, FAILED = "00081199", "00081198"
REASON, WARNING, RETRIEVE_URL = "00081197", "00081196", "00081190"
SOP_INSTANCE, FAILED_ATTRIBUTES, ERROR_COMMENT = "00081155", "00741048", "00000902"


def items(answer: dict[str, Any], sequence: str) -> list[dict[str, Any]]:
    return list(answer.get(sequence, {}).get("Value", []))


def value(item: dict[str, Any], tag: str) -> Any:
    return item[tag]["Value"][0]


@pytest.mark.parametrize("version", ["v1", "v2", "v1.0-prerelease"], ids=lambda v: f"10.5.3.3 {v}")
@pytest.mark.parametrize("method", ["POST", "PUT"], ids=lambda m: f"10.5.1 {m}")
def test_a_stored_instance_is_named_with_its_url(service: Caller, version: str, method: str) -> None:
    sent = SentInstance.of(make_instance())
    response = service.at(version).store(sent.data, study=sent.study, method=method)
    assert (response.status_code, response.headers["Content-Type"]) == (200, DICOM_JSON)
    (item,) = items(response.json(), REFERENCED)
    assert value(item, SOP_INSTANCE) == sent.instance
    assert value(item, "00081150") == CT_IMAGE_STORAGE
    assert value(item, RETRIEVE_URL) == f"{service.root}/{version}{sent.path}"
    assert value(response.json(), RETRIEVE_URL) == f"{service.root}/{version}{sent.study_path}"
    assert FAILED not in response.json()
    assert (FAILED_ATTRIBUTES in item) == (version == "v2")


def test_a_single_part_body_is_one_instance(service: Caller) -> None:
    """PS3.18 10.5.1.4 "Request Payload"."""
    sent = SentInstance.of(make_instance())
    response = service.call("POST", "/studies", data=sent.data, Content_Type="application/dicom", Accept=DICOM_JSON)
    assert response.status_code == 200
    assert service.get(sent.path, AS_STORED).status_code == 200


def test_a_chunked_body_is_stored_as_it_streams(service: Caller) -> None:
    sent = SentInstance.of(make_instance())
    body = related([sent.data])
    pieces = (body[start : start + 100] for start in range(0, len(body), 100))
    response = service.call("POST", "/studies", data=pieces, Content_Type=STORE_TYPE, Accept=DICOM_JSON)
    assert response.status_code == 200


BAD_REQUESTS: Final = [
    pytest.param("text/plain", b"x", 415, id="8.6.1 another media type"),
    pytest.param("application/dicom; transfer-syntax=1.2", b"x", 415, id="10.5.1.4 a parameter on application/dicom"),
    pytest.param('multipart/related; type="application/dicom"', b"x", 415, id="8.6.1.2 no boundary"),
    pytest.param(STORE_TYPE, related([b"x"], content_type="text/plain"), 415, id="8.6.1.2 parts of another type alone"),
    pytest.param(f"multipart/related; boundary={'b' * 71}", b"x", 400, id="8.6.1.2 a boundary that is too long"),
    pytest.param(STORE_TYPE, related([]), 204, id="10.5.3.1 no parts"),
    pytest.param(STORE_TYPE, related([b"not DICOM"]), 409, id="10.5.3.1 nothing stored"),
    pytest.param(STORE_TYPE, related([b""]), 409, id="10.5.3.1 an empty part"),
    pytest.param("application/dicom", b"not DICOM", 409, id="10.5.3.1 a single part that is not DICOM"),
]


@pytest.mark.parametrize(("content_type", "body", "status"), BAD_REQUESTS)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_body_that_cannot_be_stored_gets_its_status(service: Caller, version: str, content_type: str, body: bytes, status: int) -> None:
    response = service.at(version).call("POST", "/studies", data=body, Content_Type=content_type, Accept=DICOM_JSON)
    assert response.status_code == status
    assert "api-supported-versions" in response.headers


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        pytest.param(None, 200, id="8.7.5 none"),
        pytest.param("*/*", 200, id="8.7.5 anything"),
        pytest.param("application/json", 200, id="8.7.5 application/json"),
        pytest.param("text/html, application/*;q=0.5", 200, id="8.7.5 a list"),
        pytest.param("text/html", 406, id="8.7.5 nothing we have"),
    ],
)
def test_accept_is_negotiated(service: Caller, accept: str | None, status: int) -> None:
    headers = {"Accept": accept} if accept else {}
    response = service.call("POST", "/studies", data=related([make_instance()]), Content_Type=STORE_TYPE, **headers)
    assert response.status_code == status


def test_a_part_of_another_type_fails_alone(service: Caller) -> None:
    sent = SentInstance.of(make_instance())
    body = related([sent.data], close=False) + related([b"x"], content_type="text/plain")
    response = service.call("POST", "/studies", data=body, Content_Type=STORE_TYPE)
    assert response.status_code == 202
    assert value(items(response.json(), REFERENCED)[0], SOP_INSTANCE) == sent.instance
    assert value(items(response.json(), FAILED)[0], REASON) == 0xA900


def test_a_start_parameter_is_without_effect(service: Caller) -> None:
    """RFC 2387 3.2 "The Start Parameter": every part is an instance, none is the root."""
    response = service.call("POST", "/studies", data=related([make_instance()]), Content_Type=f"{STORE_TYPE}; start=a")
    assert response.status_code == 200


@pytest.mark.parametrize("version", ["v1", "v2"], ids=lambda v: f"10.5.3.1 {v}")
def test_good_parts_beside_a_bad_one_are_stored(service: Caller, version: str) -> None:
    good, other = SentInstance.of(make_instance()), SentInstance.of(make_instance())
    response = service.at(version).store(good.data, b"not DICOM", other.data)
    assert response.status_code == 202
    assert {value(item, SOP_INSTANCE) for item in items(response.json(), REFERENCED)} == {good.instance, other.instance}
    (failed,) = items(response.json(), FAILED)
    assert value(failed, REASON) == 0xA900
    assert SOP_INSTANCE not in failed


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_duplicate_is_refused_and_the_first_stays(service: Caller, version: str) -> None:
    first = service.stored(make_instance(PatientName="First^One"))
    again = make_instance(
        StudyInstanceUID=first.study, SeriesInstanceUID=first.series, SOPInstanceUID=first.instance, PatientName="Second^Two"
    )
    response = service.at(version).store(again)
    assert response.status_code == 409
    assert value(items(response.json(), FAILED)[0], REASON) == 45070
    assert received_parts(service.get(first.path, AS_STORED))[0].content[128:] == first.without_preamble


def test_put_replaces(service: Caller) -> None:
    """PS3.18 has no such form: our extension, request and answers as POST."""
    first = service.stored(make_instance(PatientName="First^One"))
    again = make_instance(
        StudyInstanceUID=first.study, SeriesInstanceUID=first.series, SOPInstanceUID=first.instance, PatientName="Second^Two"
    )
    assert service.store(again, method="PUT").status_code == 200
    assert received_parts(service.get(first.path, AS_STORED))[0].content[128:] == again[128:]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_an_instance_of_another_study_is_refused(service: Caller, version: str) -> None:
    sent = SentInstance.of(make_instance())
    response = service.at(version).store(sent.data, study=new_uid())
    assert response.status_code == 409
    assert value(items(response.json(), FAILED)[0], REASON) == 43265
    assert service.get(sent.path, AS_STORED).status_code == 404


INVALID: Final = [
    # attributes, status and reason v1, status and reason v2
    pytest.param({"PatientID": None}, (409, 43264), (202, 1), id="PatientID missing"),
    pytest.param({"PatientID": ""}, (409, 43264), (202, 1), id="PatientID empty"),
    pytest.param({"PatientID": "P" * 65}, (409, 43264), (202, 1), id="PatientID too long"),
    pytest.param({"SOPClassUID": None}, (409, 43264), (409, 43264), id="SOPClassUID missing"),
    pytest.param({"StudyInstanceUID": "1.2.x"}, (409, 43264), (409, 43264), id="StudyInstanceUID malformed"),
    pytest.param({"SeriesInstanceUID": None}, (409, 43264), (409, 43264), id="SeriesInstanceUID missing"),
    pytest.param({"SOPInstanceUID": "1." + "1" * 64}, (409, 43264), (409, 43264), id="SOPInstanceUID too long"),
    pytest.param({"StudyDate": "NotADate"}, (409, 43264), (202, 1), id="StudyDate invalid, indexed"),
    pytest.param({"AccessionNumber": "A" * 17}, (409, 43264), (202, 1), id="AccessionNumber too long, indexed"),
    pytest.param({"PatientAge": "old"}, (200, None), (202, 1), id="PatientAge invalid, not indexed"),
]


@pytest.mark.parametrize(("attributes", "v1", "v2"), INVALID)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_validation_follows_the_version(
    service: Caller, version: str, attributes: dict[str, str | None], v1: tuple[int, int | None], v2: tuple[int, int | None]
) -> None:
    status, reason = v1 if version == "v1" else v2
    response = service.at(version).store(write(make_dataset(**attributes)))
    assert response.status_code == status
    if status == 409:
        (item,) = items(response.json(), FAILED)
        assert value(item, REASON) == reason
        assert value(value(item, FAILED_ATTRIBUTES), ERROR_COMMENT).startswith("DICOM100: (")
    elif reason:
        (item,) = items(response.json(), REFERENCED)
        assert value(item, WARNING) == reason
        assert value(value(item, FAILED_ATTRIBUTES), ERROR_COMMENT).startswith("DICOM100: (")


def test_an_invalid_attribute_stays_in_the_file_and_leaves_the_metadata(service: Caller) -> None:
    sent = service.stored(make_instance(StudyDate="NotADate"))
    (metadata,) = service.get(f"{sent.path}/metadata", DICOM_JSON).json()
    assert "00080020" not in metadata
    assert received_parts(service.get(sent.path, AS_STORED))[0].content[128:] == sent.without_preamble


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_implicit_vr_is_legal(service: Caller, version: str) -> None:
    response = service.at(version).store(make_instance(transfer_syntax_uid=IMPLICIT_LE))
    assert response.status_code == 200
    assert WARNING not in items(response.json(), REFERENCED)[0]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_several_values_where_one_belongs_get_a_warning_header(service: Caller, version: str) -> None:
    response = service.at(version).store(make_instance(PatientID=["A", "B"]) if version == "v2" else make_instance(Modality=["CT", "MR"]))
    assert response.status_code in {200, 202}
    assert response.headers["Warning"].startswith("299 ")


def test_the_preamble_is_zeroed_and_nothing_else_changes(service: Caller) -> None:
    """PS3.10 7.1 "DICOM File Meta Information": an executable or a web page may hide in the preamble."""
    sent = SentInstance.of(make_instance())
    assert service.store(b"MZ" + b"\x90" * 126 + sent.data[128:]).status_code == 200
    (part,) = received_parts(service.get(sent.path, AS_STORED))
    assert part.content == bytes(128) + sent.without_preamble


def test_a_body_cut_off_keeps_its_whole_parts(service: Caller) -> None:
    whole, half = SentInstance.of(make_instance()), SentInstance.of(make_instance())
    body = related([whole.data, half.data], close=False)[:-200]
    response = service.call("POST", "/studies", data=body, Content_Type=STORE_TYPE, Accept=DICOM_JSON)
    assert response.status_code == 202
    assert response.headers["Warning"].startswith("299 ")
    assert service.get(whole.path, AS_STORED).status_code == 200
    assert service.get(half.path, AS_STORED).status_code == 404


def test_many_parts_are_counted_one_by_one(service: Caller) -> None:
    study, series = new_uid(), new_uid()
    files = [make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, InstanceNumber=n) for n in range(1, 121)]
    response = service.store(*files)
    assert response.status_code == 200
    assert len(items(response.json(), REFERENCED)) == 120
    (row,) = service.search("/studies", ("StudyInstanceUID", study))
    assert row["00201208"]["Value"] == [120]


@pytest.mark.parametrize("study", ["abc", "1.2.3.", "1" * 65, "1.2%00", "1.2%2F3", "%D9%A1.2"], ids=lambda s: f"10.1.2 {s[:8]}")
def test_a_study_that_is_no_uid_is_refused(service: Caller, study: str) -> None:
    response = service.call("POST", f"/studies/{study}", data=related([make_instance()]), Content_Type=STORE_TYPE)
    assert response.status_code == 400


def test_a_query_with_markup_is_refused(service: Caller) -> None:
    response = service.call("POST", "/studies", data=related([make_instance()]), query="x=%3Cscript", Content_Type=STORE_TYPE)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_boundary_may_stand_inside_the_pixel_data(service: Caller) -> None:
    """A boundary counts only at the start of a line, with its dashes (RFC 2046 5.1.1)."""
    pixels = f"--{BOUNDARY}".encode()[:31].ljust(32, b"-")
    assert service.store(make_instance(PixelData=pixels)).status_code == 200
