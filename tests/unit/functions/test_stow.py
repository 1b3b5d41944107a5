"""POST and PUT of studies, through the composed app."""

from __future__ import annotations

import pytest

from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance, new_uid

MULTIPART = 'multipart/related; type="application/dicom"; boundary=B'
HEAD, TAIL = b"--B\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--B--\r\n"


@pytest.fixture
def client() -> AppClient:
    return AppClient()


async def test_a_stored_instance_is_reported_with_its_url(client: AppClient) -> None:
    study, series, instance = new_uid(), new_uid(), new_uid()
    reply = await client.store(make_instance(StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance))
    assert (reply.status, reply.headers["content-type"]) == (200, "application/dicom+json")
    stored = reply.json()["00081199"]["Value"][0]
    assert stored["00081190"]["Value"] == [f"http://archive.test/v2/studies/{study}/series/{series}/instances/{instance}"]


async def test_a_single_part_is_stored(client: AppClient) -> None:
    assert (await client.post("/v2/studies", "application/dicom", make_instance())).status == 200


async def test_the_body_may_arrive_in_any_pieces(client: AppClient) -> None:
    body = HEAD + make_instance() + TAIL
    assert (await client.post("/v2/studies", MULTIPART, [body[i : i + 7] for i in range(0, len(body), 7)])).status == 200


async def test_a_second_post_conflicts_and_a_put_replaces(client: AppClient) -> None:
    uids = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    assert (await client.store(make_instance(**uids))).status == 200
    assert (await client.store(make_instance(**uids, PatientID="P2"))).status == 409
    assert (await client.store(make_instance(**uids, StudyDescription="NEW"), method="PUT")).status in {200, 202}


async def test_an_instance_of_another_study_fails(client: AppClient) -> None:
    reply = await client.store(make_instance(), url=f"/v2/studies/{new_uid()}")
    assert reply.json()["00081198"]["Value"][0]["00081197"]["Value"] == [0xA901]


async def test_whole_parts_of_a_cut_off_body_are_stored_and_a_warning_says_so(client: AppClient) -> None:
    instance = make_instance()
    body = HEAD + instance + b"\r\n" + HEAD + instance[:200]
    reply = await client.send_cut_off("POST", "/v2/studies", {"content-type": MULTIPART}, [body])
    assert reply.status == 202
    assert reply.headers["warning"].startswith('299 archive.test: "The body ended')


async def test_the_same_file_can_be_stored_after_a_cut_off_body(client: AppClient) -> None:
    instance = make_instance()
    await client.send_cut_off("POST", "/v2/studies", {"content-type": MULTIPART}, [HEAD + instance[:300]])
    assert (await client.store(instance)).status == 200


async def test_a_part_of_another_type_fails_and_the_others_are_stored(client: AppClient) -> None:
    body = b"--B\r\nContent-Type: text/plain\r\n\r\nhello\r\n" + HEAD + make_instance() + TAIL
    reply = await client.post("/v2/studies", MULTIPART, body)
    assert reply.status == 202
    assert len(reply.json()["00081198"]["Value"]) == len(reply.json()["00081199"]["Value"]) == 1


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.1", b"", 415),
        ("multipart/related", b"--B--", 415),
        (MULTIPART, b"--B--\r\n", 204),
        (MULTIPART, b"", 204),
        (MULTIPART, b"no boundary at all", 400),
        (MULTIPART, HEAD + b"not DICOM" + TAIL, 409),
        ("application/dicom", b"", 409),
    ],
)
async def test_a_body_that_holds_nothing_to_store_is_answered_by_its_kind(
    client: AppClient, content_type: str, body: bytes, status: int
) -> None:
    assert (await client.post("/v2/studies", content_type, body)).status == status


async def test_an_answer_that_the_caller_does_not_take_is_406_and_nothing_is_stored(client: AppClient) -> None:
    headers = {"content-type": "application/dicom", "accept": "text/html"}
    assert (await client.send("POST", "/v2/studies", headers, make_instance())).status == 406
    assert (await client.get("/v2/studies")).status == 204


@pytest.mark.parametrize("study", ["abc", "1.2.", "1" * 65, "1.2/3".replace("/", "%2F"), "%D9%A1"])
async def test_a_bad_study_uid_in_the_path_is_400(client: AppClient, study: str) -> None:
    assert (await client.post(f"/v2/studies/{study}", "application/dicom", make_instance())).status == 400
