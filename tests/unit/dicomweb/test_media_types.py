"""Accept and Content-Type as clients in the field send them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicomweb.media_types import parse_accept, parse_store_content_type, require_json
from shared.errors import ArchiveError, InvalidRequest, NotAcceptable, UnsupportedMediaType

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"


def order(header: str | None, *query: str) -> list[str]:
    return [r.media_type for r in parse_accept(header, query)]


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_accept_header_means_anything(header: str | None) -> None:
    assert order(header) == ["*/*"]


def test_members_are_ordered_by_quality_and_then_as_written() -> None:
    assert order("a/1;q=0.5, a/2, a/3;q=0.9;x=y, a/4;q=1.0, a/5;q=0") == ["a/2", "a/4", "a/3", "a/1", "a/5"]


def test_among_equals_what_is_wanted_as_stored_comes_first() -> None:
    assert order('a/1;transfer-syntax=1.2, a/2;transfer-syntax="*", a/3;q=0.5;transfer-syntax=*') == ["a/2", "a/1", "a/3"]


def test_the_query_parameter_comes_before_the_header() -> None:
    assert order("a/1", "a/2;q=0.1", "a/3,a/4") == ["a/2", "a/3", "a/4", "a/1"]
    assert order(None, "a/2") == ["a/2"]


def test_parameters_may_be_quoted_and_hold_commas_and_escapes() -> None:
    (one, other) = parse_accept('multipart/related; TYPE="a,b;\\"c"; Q=0.3 ;x = y, */*')[::-1]
    assert one.parameters == {"type": 'a,b;"c', "x": "y"}
    assert one.quality == pytest.approx(0.3)
    assert other.media_type == "*/*"


@pytest.mark.parametrize("header", ["nonsense", "a/b c/d", "/", "a/", "a/b; c=d e", ","])
def test_a_member_that_cannot_be_read_is_skipped(header: str) -> None:
    assert order(header) == []
    assert order(header + ", x/y") == ["x/y"]


def test_a_quality_that_is_none_counts_as_one() -> None:
    assert [r.quality for r in parse_accept("a/b;q=high")] == [1.0]


@given(st.text(st.sampled_from('a/*;,q=0.5" \\\t\r\n<é+'), max_size=60))
def test_no_header_raises_anything_but_an_archive_error(header: str) -> None:
    parse_accept(header, [header])
    with contextlib.suppress(ArchiveError):
        parse_store_content_type(header)
    with contextlib.suppress(ArchiveError):
        parse_store_content_type("multipart/related;" + header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "application/dicom+json",
        "Application/DICOM+JSON; charset=utf-8",
        "application/json",
        "application/dicom+json, application/json",
        "application/*",
        "*/*",
        "text/html, application/json;q=0.1",
        BROWSER,
    ],
)
def test_json_is_sent_to_who_takes_it(header: str | None) -> None:
    require_json(parse_accept(header))


@pytest.mark.parametrize(
    "header",
    [
        "application/dicom",
        "application/dicom+json+x",
        "application/dicom+xml",
        'multipart/related; type="application/dicom+xml"',
        "text/*",
        "application/dicom+json;q=0",
        "what?",
    ],
)
def test_json_is_not_sent_to_who_does_not_take_it(header: str) -> None:
    with pytest.raises(NotAcceptable):
        require_json(parse_accept(header))


def test_the_query_parameter_may_have_lost_its_plus() -> None:
    require_json(parse_accept("text/html", ["application/dicom json"]))


@pytest.mark.parametrize(
    ("header", "boundary", "part_type"),
    [
        pytest.param(
            'multipart/related; type="application/dicom"; boundary="0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"',
            "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1",
            "application/dicom",
            id="dicomweb-client",
        ),
        pytest.param("Multipart/Related;boundary=Abc;Type=application/dicom", "Abc", "application/dicom", id="unquoted, other case"),
        pytest.param("multipart/related; boundary=abc", "abc", "", id="no type"),
        pytest.param('multipart/related; boundary="a b:c"', "a b:c", "", id="characters that need quotes"),
        pytest.param("multipart/related; boundary=abc; start=<root>", "abc", "", id="start is ignored"),
        pytest.param("application/dicom", None, "", id="single part"),
        pytest.param("APPLICATION/DICOM ", None, "", id="single part, other case"),
    ],
)
def test_content_types_that_a_store_takes(header: str, boundary: str | None, part_type: str) -> None:
    body = parse_store_content_type(header)
    assert (body.boundary, body.part_type) == (boundary, part_type)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "application/json",
        "application/dicom+json",
        "application/dicom; transfer-syntax=1.2.840.10008.1.2.1",
        "application/dicom, application/dicom",
        "multipart/form-data; boundary=abc",
        "multipart/related",
        'multipart/related; boundary=""',
        'multipart/related; type="application/dicom"',
    ],
)
def test_content_types_that_a_store_does_not_take(header: str | None) -> None:
    with pytest.raises(UnsupportedMediaType):
        parse_store_content_type(header)


@pytest.mark.parametrize("boundary", ["x" * 71, "a\r\nb", "a\tb", "ä"])
def test_boundaries_that_are_none(boundary: str) -> None:
    with pytest.raises((InvalidRequest, UnsupportedMediaType)):
        parse_store_content_type(f'multipart/related; boundary="{boundary}"')


@pytest.mark.parametrize(
    ("part_headers", "taken"),
    [
        ({"content-type": "application/dicom"}, True),
        ({"content-type": "Application/Dicom; transfer-syntax=1.2.840.10008.1.2.4.50"}, True),
        ({}, True),
        ({"content-type": "application/dicom+json"}, False),
        ({"content-type": "image/jpeg"}, False),
        ({"content-type": "application/dicom image/jpeg"}, False),
        ({"content-type": ""}, False),
    ],
)
def test_parts_are_taken_as_instances_by_their_type(part_headers: dict[str, str], taken: bool) -> None:
    body = parse_store_content_type('multipart/related; type="application/dicom"; boundary=abc')
    assert body.takes(part_headers) is taken


def test_a_part_without_a_type_is_not_taken_where_the_request_names_none_either() -> None:
    assert not parse_store_content_type("multipart/related; boundary=abc").takes({})
