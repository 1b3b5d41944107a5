"""Versions, resources, frame lists and the URLs that we send."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicomweb.resources import ApiVersion, Resource, parse_frame_numbers, parse_version, retrieve_url, service_url
from shared.errors import ArchiveError, InvalidRequest, NotFound


@pytest.mark.parametrize(
    ("segment", "version"),
    [("v1", ApiVersion.V1), ("v2", ApiVersion.V2), ("V2", ApiVersion.V2), ("v2.0", ApiVersion.V2), ("v1.0-Prerelease", ApiVersion.V1)],
)
def test_versions_are_read_in_any_case(segment: str, version: ApiVersion) -> None:
    assert parse_version(segment) is version


@pytest.mark.parametrize(
    ("segment", "error"), [("v3", InvalidRequest), ("v2.1", InvalidRequest), ("studies", NotFound), ("v", NotFound), ("", NotFound)]
)
def test_other_versions_are_told_from_what_is_none(segment: str, error: type[ArchiveError]) -> None:
    with pytest.raises(error):
        parse_version(segment)


@pytest.mark.parametrize(
    ("uids", "path"),
    [
        (("1.2",), "/studies/1.2"),
        (("1.2 ", "3"), "/studies/1.2/series/3"),
        (("1.2", "3", "4.5"), "/studies/1.2/series/3/instances/4.5"),
    ],
)
def test_a_resource_knows_its_path(uids: tuple[str, ...], path: str) -> None:
    assert Resource.parse(*uids).path == path


def test_a_retrieve_url_is_the_path_below_the_service() -> None:
    assert retrieve_url("https://host/v2", "1.2", "3") == "https://host/v2/studies/1.2/series/3"


@pytest.mark.parametrize("uid", ["", "..", "1.2a", "../1", "1.2\r\n", "1.2%00", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 65, "1'or'1"])
def test_a_segment_that_is_no_uid_is_refused_without_being_repeated(uid: str) -> None:
    for segments in ((uid,), ("1", uid), ("1", "2", uid)):
        with pytest.raises(InvalidRequest) as caught:
            Resource.parse(*segments)
        assert not uid or uid not in str(caught.value) or uid == ".."


@pytest.mark.parametrize(
    ("public_base_url", "headers", "expected"),
    [
        ("https://pacs.example/dicom/", {"host": "localhost"}, "https://pacs.example/dicom/v2"),
        (None, {"host": "localhost:7071"}, "http://localhost:7071/v2"),
        (None, {"host": "10.0.0.1", "x-forwarded-proto": "https", "x-forwarded-host": "pacs.example"}, "https://pacs.example/v2"),
        (None, {"host": "a", "x-forwarded-proto": "https, http", "x-forwarded-host": "b:444, c"}, "https://b:444/v2"),
        (None, {"host": "[::1]:7071"}, "http://[::1]:7071/v2"),
    ],
)
def test_the_service_url_is_what_the_operator_or_the_proxy_says(
    public_base_url: str | None, headers: dict[str, str], expected: str
) -> None:
    assert service_url(public_base_url, headers, "v2") == expected


@pytest.mark.parametrize("name", ["", "evil.example/path", "a@b", 'a"b', "a\r\nSet-Cookie: b", "a b", "a:port", "<script>"])
def test_a_host_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        service_url(None, {"host": name}, "v2")
    if name:
        with pytest.raises(InvalidRequest):
            service_url(None, {"host": "good", "x-forwarded-host": name}, "v2")


@pytest.mark.parametrize("scheme", ["javascript", "", "HTTP", "http\r\n"])
def test_a_scheme_is_http_or_https(scheme: str) -> None:
    assert service_url(None, {"host": "a", "x-forwarded-proto": scheme}, "v2") == "http://a/v2"


@pytest.mark.parametrize(("segment", "numbers"), [("1", (1,)), ("3,1, 2 ,1", (3, 1, 2, 1)), ("007", (7,))])
def test_frame_numbers_keep_their_order_and_repeats(segment: str, numbers: tuple[int, ...]) -> None:
    assert parse_frame_numbers(segment) == numbers


@pytest.mark.parametrize("segment", ["", "0", "1,0", "-1", "1,,2", "a", "1.5", "²", "\N{ARABIC-INDIC DIGIT ONE}", "9" * 5000])
def test_frame_numbers_that_are_none_are_refused(segment: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_frame_numbers(segment)


@given(st.text(max_size=30))
def test_no_segment_raises_anything_but_an_archive_error(text: str) -> None:
    for parse in (parse_version, parse_frame_numbers, Resource.parse):
        with contextlib.suppress(ArchiveError):
            parse(text)
