"""Retrieval through the composed app: bytes, forms, ETags, HEAD."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesParser

import pytest

from tests.support.app_client import AppClient, Reply
from tests.support.dicom_builders import IMPLICIT_LE, JPEG_BASELINE, make_encapsulated, make_instance, new_uid

AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@dataclass(frozen=True)
class Study:
    """A stored study: two instances in one series, one of them in implicit VR."""

    client: AppClient
    uid: str
    series_uid: str
    instance_uids: tuple[str, ...]
    files: tuple[bytes, ...]

    @property
    def url(self) -> str:
        return f"/v2/studies/{self.uid}"

    @property
    def series_url(self) -> str:
        return f"{self.url}/series/{self.series_uid}"

    def instance_url(self, index: int = 0) -> str:
        return f"{self.series_url}/instances/{self.instance_uids[index]}"


@pytest.fixture
async def study() -> Study:
    client, uid, series_uid = AppClient(), new_uid(), new_uid()
    instance_uids = (new_uid(), new_uid())
    uids = {"StudyInstanceUID": uid, "SeriesInstanceUID": series_uid}
    files = (
        make_instance(**uids, SOPInstanceUID=instance_uids[0]),
        make_instance(**uids, SOPInstanceUID=instance_uids[1], transfer_syntax_uid=IMPLICIT_LE),
    )
    assert (await client.store(*files)).status == 200
    return Study(client, uid, series_uid, instance_uids, files)


def parts(reply: Reply) -> list[tuple[str, bytes]]:
    """Split a multipart answer with a parser that is not ours."""
    message = BytesParser().parsebytes(b"Content-Type: " + reply.headers["content-type"].encode() + b"\r\n\r\n" + reply.body)
    found = []
    for part in message.get_payload():
        assert not isinstance(part, str)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        found.append((part["content-type"], content))
    return found


def zeroed(file: bytes) -> bytes:
    return bytes(128) + file[128:]


@pytest.mark.parametrize("url", ["url", "series_url"])
async def test_a_study_comes_back_byte_for_byte_with_its_length(study: Study, url: str) -> None:
    reply = await study.client.get(getattr(study, url), accept=AS_STORED)
    assert reply.status == 200
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert dict(parts(reply)) == {
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1": zeroed(study.files[0]),
        "application/dicom; transfer-syntax=1.2.840.10008.1.2": zeroed(study.files[1]),
    }


async def test_an_instance_comes_back_as_a_single_part_to_be_saved(study: Study) -> None:
    reply = await study.client.get(study.instance_url(1), accept="application/dicom; transfer-syntax=*")
    assert reply.body == zeroed(study.files[1])
    assert reply.headers["content-type"] == "application/dicom; transfer-syntax=1.2.840.10008.1.2"
    assert reply.headers["content-disposition"].startswith("attachment")


async def test_instances_in_another_syntax_are_left_out_with_206(study: Study) -> None:
    reply = await study.client.get(study.url, accept='multipart/related; type="application/dicom"')
    assert (reply.status, [c for _, c in parts(reply)]) == (206, [zeroed(study.files[0])])
    assert "left out" in reply.headers["warning"]


async def test_when_none_can_be_sent_as_asked_it_is_406(study: Study) -> None:
    reply = await study.client.get(study.instance_url(1), accept="application/dicom")
    assert reply.status == 406
    assert "transfer-syntax=*" in reply.json()["detail"]


@pytest.mark.parametrize("accept", ["image/png", "application/json", "application/dicom+json"])
async def test_a_form_that_is_not_offered_is_406(study: Study, accept: str) -> None:
    assert (await study.client.get(study.url, accept=accept)).status == 406


async def test_metadata_has_every_instance_of_the_level(study: Study) -> None:
    for url, count in ((study.url, 2), (study.series_url, 2), (study.instance_url(), 1)):
        reply = await study.client.get(url + "/metadata")
        assert (reply.status, len(reply.json()), reply.headers["content-type"]) == (200, count, "application/dicom+json")


@pytest.mark.parametrize("suffix", ["", "/metadata"])
@pytest.mark.parametrize("level", ["study", "series", "instance"])
async def test_a_caller_with_the_current_version_gets_304_until_something_changes(study: Study, level: str, suffix: str) -> None:
    url = {"study": study.url, "series": study.series_url, "instance": study.instance_url()}[level] + suffix
    etag = (await study.client.get(url)).headers["etag"]
    reply = await study.client.get(url, if_none_match=etag)
    assert (reply.status, reply.headers["etag"], reply.body) == (304, etag, b"")
    changed = make_instance(
        StudyInstanceUID=study.uid, SeriesInstanceUID=study.series_uid, SOPInstanceUID=study.instance_uids[0], InstanceNumber=9
    )
    assert (await study.client.store(changed, method="PUT")).status == 200
    assert (await study.client.get(url, if_none_match=etag)).status == 200


@pytest.mark.parametrize("suffix", ["", "/metadata", "/frames/1"])
async def test_head_describes_and_sends_nothing(study: Study, suffix: str) -> None:
    reply = await study.client.send("HEAD", study.instance_url() + suffix)
    assert (reply.status, reply.body) == (200, b"")
    assert "etag" in reply.headers


async def test_frames_come_in_the_order_asked_for() -> None:
    client, uids = AppClient(), {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    frames = [bytes([n]) * 100 for n in range(5)]
    await client.store(make_encapsulated(frames, transfer_syntax_uid=JPEG_BASELINE, fragments_per_frame=1, has_bot=True, **uids))
    url = "/v2/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}/frames/".format(**uids)
    reply = await client.get(url + "4,1,2,%202,5")
    assert [c for _, c in parts(reply)] == [frames[n - 1] for n in (4, 1, 2, 2, 5)]


async def test_one_frame_comes_as_a_single_part(study: Study) -> None:
    reply = await study.client.get(study.instance_url() + "/frames/1", accept="application/octet-stream; transfer-syntax=*")
    assert (reply.body, reply.headers["content-length"]) == (bytes(range(32)), "32")
    assert "content-disposition" not in reply.headers


@pytest.mark.parametrize(("frames", "status"), [("2", 404), ("0", 400), ("x", 400), ("1,,1", 400), ("-1", 400), ("1,2", 404)])
async def test_a_frame_that_is_not_there_is_404_and_no_number_400(study: Study, frames: str, status: int) -> None:
    assert (await study.client.get(f"{study.instance_url()}/frames/{frames}")).status == status


async def test_rendering_is_refused_clearly(study: Study) -> None:
    for url in (study.url, study.series_url, study.instance_url(), study.instance_url() + "/frames/1"):
        reply = await study.client.get(url + "/rendered")
        assert reply.status == 406
        assert b"Rendering" in reply.body
    assert (await study.client.get("/v2/changes/rendered")).status == 404


@pytest.mark.parametrize("suffix", ["", "/metadata"])
async def test_what_is_not_stored_is_404_at_every_level(study: Study, suffix: str) -> None:
    for url in (f"/v2/studies/{new_uid()}", f"{study.url}/series/{new_uid()}", f"{study.series_url}/instances/{new_uid()}"):
        assert (await study.client.get(url + suffix)).status == 404


HOSTILE = ["%2e%2e%2f", "1.2%00", "1'%20or%20'1'='1", "1" * 1000, "%D9%A1.2", "1.2;drop", "-1", "1.2%0d%0ax:y", "$x"]


@pytest.mark.parametrize("uid", HOSTILE)
async def test_a_hostile_uid_never_reaches_storage(study: Study, uid: str) -> None:
    for url in (f"{study.url}/series/{uid}", f"{study.series_url}/instances/{uid}", f"{study.series_url}/instances/{uid}/metadata"):
        reply = await study.client.get(url)
        assert reply.status in {400, 404}
        assert uid.encode() not in reply.body or len(uid) < 3
