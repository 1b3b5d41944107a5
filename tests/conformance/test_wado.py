"""Retrieve: PS3.18 10.4 "Retrieve Transaction", in the stored transfer syntax. Ids begin with the section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.support.dicom_builders import EXPLICIT_LE, IMPLICIT_LE, JPEG_BASELINE, make_encapsulated, make_instance, new_uid
from tests.support.dicomweb import AS_STORED, DICOM_JSON, Caller, SentInstance, received_parts

if TYPE_CHECKING:
    from collections.abc import Callable

JPEG_2000: Final = "1.2.840.10008.1.2.4.90"
OCTETS: Final = 'multipart/related; type="application/octet-stream"'
FRAMES: Final = [bytes([number]) * (10 + 2 * number) for number in range(1, 5)]
"""Payloads that stand for compressed frames; of even length, as PS3.5 A.4 wants fragments."""


@pytest.fixture(scope="module")
def explicit(service: Caller) -> SentInstance:
    return service.stored(make_instance(NumberOfFrames=2, Rows=4, Columns=2, PixelData=bytes(range(32))))


@pytest.fixture(scope="module")
def implicit(service: Caller) -> SentInstance:
    return service.stored(make_instance(transfer_syntax_uid=IMPLICIT_LE))


@pytest.fixture(scope="module")
def compressed(service: Caller) -> SentInstance:
    return service.stored(make_encapsulated(FRAMES))


@pytest.fixture(scope="module")
def series(service: Caller) -> list[SentInstance]:
    study, uid = new_uid(), new_uid()
    return [service.stored(make_instance(StudyInstanceUID=study, SeriesInstanceUID=uid, InstanceNumber=n)) for n in (1, 2, 3)]


def multipart(transfer_syntax: str | None = None, media_type: str = "application/dicom") -> str:
    suffix = f"; transfer-syntax={transfer_syntax}" if transfer_syntax else ""
    return f'multipart/related; type="{media_type}"{suffix}'


@pytest.mark.parametrize("path", [pytest.param("study_path", id="10.4.1.1.1 study"), pytest.param("series_path", id="10.4.1.1.1 series")])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_all_instances_come_back_as_they_went(service: Caller, series: list[SentInstance], path: str, version: str) -> None:
    response = service.at(version).get(getattr(series[0], path), AS_STORED)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    parts = received_parts(response)
    assert {part.content[128:] for part in parts} == {sent.without_preamble for sent in series}
    assert {part.headers["content-type"] for part in parts} == {f"application/dicom; transfer-syntax={EXPLICIT_LE}"}


INSTANCE_ROWS: Final = [
    # stored as, Accept, status, whether multipart
    pytest.param("explicit", AS_STORED, 200, True, id="8.7.3 multipart, as stored"),
    pytest.param("explicit", "application/dicom; transfer-syntax=*", 200, False, id="8.7.3 single part, as stored"),
    pytest.param("explicit", f"application/dicom; transfer-syntax={EXPLICIT_LE}", 200, False, id="8.7.3 its own syntax"),
    pytest.param("explicit", f'application/dicom; transfer-syntax="{EXPLICIT_LE}"', 200, False, id="8.7.3 quoted"),
    pytest.param("explicit", "application/dicom", 200, False, id="8.7.3.1 default syntax, single part"),
    pytest.param("explicit", multipart(), 200, True, id="8.7.3.1 default syntax, multipart"),
    pytest.param("explicit", "*/*", 200, True, id="8.7.5 anything"),
    pytest.param("explicit", None, 200, True, id="8.7.5 no Accept"),
    pytest.param("explicit", "text/html;q=0.9, application/dicom; transfer-syntax=*;q=0.5", 200, False, id="8.7.5 a list"),
    pytest.param("explicit", multipart(JPEG_2000), 406, False, id="8.7.3 another syntax"),
    pytest.param("explicit", "text/html", 406, False, id="8.7.5 nothing we have"),
    pytest.param("explicit", f"{multipart(JPEG_2000)}, {multipart('*')};q=0.1", 200, True, id="8.7.5 the second choice"),
    pytest.param("compressed", AS_STORED, 200, True, id="8.7.3 compressed, as stored"),
    pytest.param("compressed", "*/*", 200, True, id="8.7.5 compressed, anything"),
    pytest.param("compressed", f"application/dicom; transfer-syntax={JPEG_BASELINE}", 200, False, id="8.7.3 compressed, its own syntax"),
    pytest.param("compressed", "application/dicom", 406, False, id="8.7.3.1 compressed, default syntax"),
    pytest.param("implicit", AS_STORED, 200, True, id="8.7.3 implicit, as stored"),
]


@pytest.mark.parametrize(("name", "accept", "status", "is_multipart"), INSTANCE_ROWS)
def test_an_instance_comes_in_what_is_accepted(
    service: Caller, request: pytest.FixtureRequest, name: str, accept: str | None, status: int, is_multipart: bool
) -> None:
    sent: SentInstance = request.getfixturevalue(name)
    response = service.get(sent.path, accept)
    assert response.status_code == status
    if status == 200:
        content = received_parts(response)[0].content if is_multipart else response.content
        assert content == bytes(128) + sent.without_preamble
        assert response.headers["Content-Type"].startswith("multipart/related" if is_multipart else "application/dicom; transfer-syntax=")
    else:
        assert response.json()["status"] == 406


def test_the_accept_query_parameter_stands_in_for_the_header(service: Caller, explicit: SentInstance) -> None:
    """PS3.18 8.3.3.1 "Accept Query Parameter"."""
    response = service.get(explicit.path, query=[("accept", f"application/dicom; transfer-syntax={EXPLICIT_LE}")])
    assert (response.status_code, response.headers["Content-Type"]) == (200, f"application/dicom; transfer-syntax={EXPLICIT_LE}")


FRAME_ROWS: Final = [
    # stored as, frame list, Accept, status, expected frames
    pytest.param("explicit", "1", OCTETS, 200, [bytes(range(16))], id="10.4.1.1.6 native, first"),
    pytest.param(
        "explicit",
        "2,1",
        f"{OCTETS}; transfer-syntax=*",
        200,
        [bytes(range(16, 32)), bytes(range(16))],
        id="10.4.1.1.6 order of the request",
    ),
    pytest.param("explicit", "2,2", OCTETS, 200, [bytes(range(16, 32))] * 2, id="10.4.1.1.6 repeats are kept"),
    pytest.param("explicit", "1%2C2", "*/*", 200, [bytes(range(16)), bytes(range(16, 32))], id="10.4.1.1.6 an encoded comma"),
    pytest.param("explicit", "2", "application/octet-stream", 200, [bytes(range(16, 32))], id="8.7.3.3 single part"),
    pytest.param("explicit", "1,2", "application/octet-stream", 400, [], id="8.7.3.3 single part, two frames"),
    pytest.param("explicit", "3", OCTETS, 404, [], id="10.4.3.1 beyond the last"),
    pytest.param("explicit", "0", OCTETS, 400, [], id="10.4.3.1 below the first"),
    pytest.param("explicit", "one", OCTETS, 400, [], id="10.4.3.1 no number"),
    pytest.param("explicit", "1", "text/html", 406, [], id="10.4.3.1 nothing we have"),
    pytest.param("compressed", "2", f"{OCTETS}; transfer-syntax=*", 200, FRAMES[1:2], id="10.4.1.1.6 encapsulated"),
    pytest.param("compressed", "4,1", f"{multipart('*', 'image/jpeg')}", 200, [FRAMES[3], FRAMES[0]], id="8.7.3.3 image/jpeg, as stored"),
    pytest.param("compressed", "1", multipart(None, "image/jp2"), 406, [], id="8.7.3.3 another image type"),
]


@pytest.mark.parametrize(("name", "numbers", "accept", "status", "expected"), FRAME_ROWS)
def test_frames_come_from_their_place(
    service: Caller, request: pytest.FixtureRequest, name: str, numbers: str, accept: str, status: int, expected: list[bytes]
) -> None:
    sent: SentInstance = request.getfixturevalue(name)
    response = service.get(f"{sent.path}/frames/{numbers}", accept)
    assert response.status_code == status
    if status == 200:
        is_multipart = response.headers["Content-Type"].startswith("multipart/")
        assert ([part.content for part in received_parts(response)] if is_multipart else [response.content]) == expected


FRAGMENTED: Final = [
    pytest.param(1, True, id="PS3.5 A.4 one fragment a frame, basic offset table"),
    pytest.param(1, False, id="PS3.5 A.4 one fragment a frame, no table"),
    pytest.param(2, True, id="PS3.5 A.4 two fragments a frame, basic offset table"),
]


@pytest.mark.parametrize(("fragments", "has_table"), FRAGMENTED)
def test_a_frame_is_put_together_from_its_fragments(service: Caller, fragments: int, has_table: bool) -> None:
    sent = service.stored(make_encapsulated(FRAMES, fragments_per_frame=fragments, has_bot=has_table))
    response = service.get(f"{sent.path}/frames/1,2,3,4", f"{OCTETS}; transfer-syntax=*")
    assert [part.content for part in received_parts(response)] == FRAMES


def test_an_instance_without_pixel_data_has_no_frames(service: Caller) -> None:
    sent = service.stored(make_instance(Rows=None, Columns=None, PixelData=None))
    assert service.get(f"{sent.path}/frames/1", OCTETS).status_code == 404


LEVELS: Final[list[Any]] = [
    pytest.param("study_path", 3, id="10.4.1.1.2 study"),
    pytest.param("series_path", 3, id="10.4.1.1.2 series"),
    pytest.param("path", 1, id="10.4.1.1.2 instance"),
]


@pytest.mark.parametrize(("level", "count"), LEVELS)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_metadata_names_every_instance(service: Caller, series: list[SentInstance], level: str, count: int, version: str) -> None:
    response = service.at(version).get(f"{getattr(series[0], level)}/metadata", DICOM_JSON)
    assert (response.status_code, response.headers["Content-Type"]) == (200, DICOM_JSON)
    found = response.json()
    assert {ds["00080018"]["Value"][0] for ds in found} == {sent.instance for sent in series[:count]}
    assert not any(tag.startswith("0002") or (tag == "7FE00010" and "InlineBinary" in ds[tag]) for ds in found for tag in ds)


ETAG_ROWS: Final[list[Any]] = [
    pytest.param(lambda etag: etag, 304, id="RFC 9110 13.1.2 quoted"),
    pytest.param(lambda etag: f"W/{etag}", 304, id="RFC 9110 13.1.2 weak"),
    pytest.param(lambda etag: f'"other", {etag}', 304, id="RFC 9110 13.1.2 a list"),
    pytest.param(lambda _: "*", 304, id="RFC 9110 13.1.2 any"),
    pytest.param(lambda etag: etag.strip('"'), 304, id="RFC 9110 13.1.2 bare token, as older clients send"),
    pytest.param(lambda _: '"other"', 200, id="RFC 9110 13.1.2 another"),
]


@pytest.mark.parametrize(("condition", "status"), ETAG_ROWS)
@pytest.mark.parametrize(("level", "count"), LEVELS)
def test_metadata_answers_304_while_nothing_changed(
    service: Caller, series: list[SentInstance], level: str, count: int, condition: Callable[[str], str], status: int
) -> None:
    path = f"{getattr(series[0], level)}/metadata"
    etag = service.get(path, DICOM_JSON).headers["ETag"]
    assert etag.startswith('"')
    response = service.get(path, DICOM_JSON, If_None_Match=condition(etag))
    assert (response.status_code, bool(response.content)) == (status, status == 200)


def test_an_etag_changes_with_every_instance(service: Caller) -> None:
    first = service.stored(make_instance())
    before = service.get(f"{first.study_path}/metadata", DICOM_JSON).headers["ETag"]
    service.stored(make_instance(StudyInstanceUID=first.study))
    assert service.get(f"{first.study_path}/metadata", DICOM_JSON).headers["ETag"] != before


@pytest.mark.parametrize("suffix", ["", "/metadata"])
@pytest.mark.parametrize("level", ["study_path", "series_path", "path"], ids=lambda name: f"10.4.3.1 {name}")
def test_what_is_not_stored_is_not_found(service: Caller, level: str, suffix: str) -> None:
    response = service.get(getattr(SentInstance(b"", "1.2.3", "1.2.3.4", "1.2.3.4.5"), level) + suffix)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "path", ["/studies/abc", "/studies/1.2/series/x", "/studies/1.2/series/1.3/instances/1-4", "/studies/1.2./metadata"]
)
def test_a_uid_that_is_none_is_refused_without_being_repeated(service: Caller, path: str) -> None:
    response = service.get(path, "*/*")
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")
    assert path not in response.text


def test_head_answers_like_get_without_a_body(service: Caller, explicit: SentInstance) -> None:
    """RFC 9110 9.3.2 "HEAD"."""
    response = service.call("HEAD", f"{explicit.path}/metadata", Accept=DICOM_JSON)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["ETag"] == service.get(f"{explicit.path}/metadata", DICOM_JSON).headers["ETag"]
