"""The multipart reader and writer: bytes in, events out, whatever the chunks."""

from __future__ import annotations

import contextlib
import itertools
from typing import TypeAlias

import pytest
from dicomweb_client.web import DICOMwebClient
from hypothesis import given
from hypothesis import strategies as st
from requests import Response

from shared.dicomweb.multipart import Limits, MultipartReader, MultipartWriter, PartData, PartEnded, PartStarted
from shared.errors import ArchiveError, InvalidRequest, TooLarge

BOUNDARY = "b0un"
DICOM = "application/dicom"

ReadPart: TypeAlias = tuple[dict[str, str], bytes, bool]
"""Headers, content, and whether the part is whole."""


def read(body: bytes, *, chunk: int | None = None, limits: Limits | None = None, boundary: str = BOUNDARY) -> tuple[list[ReadPart], bool]:
    """Give the parts and what ``finish`` says."""
    size = chunk or max(len(body), 1)
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    return read_chunks(chunks, limits=limits, boundary=boundary)


def read_chunks(chunks: list[bytes], *, limits: Limits | None = None, boundary: str = BOUNDARY) -> tuple[list[ReadPart], bool]:
    reader = MultipartReader(boundary, limits or Limits())
    parts: list[ReadPart] = []
    for chunk in chunks:
        for event in reader.feed(chunk):
            if isinstance(event, PartStarted):
                parts.append((dict(event.headers), b"", False))
            elif isinstance(event, PartData):
                headers, content, whole = parts[-1]
                assert event.data
                assert not whole
                parts[-1] = headers, content + bytes(event.data), False
            else:
                assert isinstance(event, PartEnded)
                headers, content, _ = parts[-1]
                parts[-1] = headers, content, True
    return parts, reader.finish()


def part(content: bytes, content_type: str = DICOM) -> bytes:
    return b"\r\n--" + BOUNDARY.encode() + b"\r\nContent-Type: " + content_type.encode() + b"\r\n\r\n" + content


END = b"\r\n--" + BOUNDARY.encode() + b"--\r\n"

NASTY = st.one_of(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b"-", b"--", b"\r\n--", BOUNDARY.encode(), b"\r\n--b0u", b"\r\n--" + BOUNDARY.encode(), b" ", b"x"]
    ),
    st.binary(max_size=5),
)
"""Pieces that come near a delimiter, or are one."""


def cuts(body: bytes, positions: list[int]) -> list[bytes]:
    edges = [0, *sorted(p % (len(body) + 1) for p in positions), len(body)]
    return [body[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(NASTY, max_size=30).map(b"".join), st.lists(st.integers(min_value=0, max_value=10_000), max_size=12))
def test_the_events_of_any_body_are_the_same_for_any_split_into_chunks(body: bytes, positions: list[int]) -> None:
    body = part(body) + END + body

    def attempt(chunks: list[bytes]) -> object:
        try:
            return read_chunks(chunks)
        except ArchiveError as error:
            return type(error), str(error)

    whole = attempt([body])
    assert attempt(cuts(body, positions)) == whole
    assert attempt([body[i : i + 1] for i in range(len(body))]) == whole


@given(st.lists(NASTY, max_size=30).map(b"".join))
def test_no_body_raises_anything_but_an_archive_error(body: bytes) -> None:
    with contextlib.suppress(ArchiveError):
        read(body, chunk=3)


@given(st.lists(st.lists(NASTY, max_size=8).map(b"".join), max_size=6), st.integers(min_value=1, max_value=40))
def test_what_the_writer_writes_the_reader_reads(contents: list[bytes], chunk: int) -> None:
    boundary = "f" * 32
    writer = MultipartWriter(DICOM, boundary)
    pieces = [piece for content in contents for piece in (writer.part(f"{DICOM}; transfer-syntax=1.2"), content)]
    body = b"".join([*pieces, writer.close()])
    parts, complete = read(body, chunk=chunk, boundary=boundary)
    assert complete
    assert parts == [({"content-type": f"{DICOM}; transfer-syntax=1.2"}, content, True) for content in contents]


@given(st.lists(NASTY, min_size=1, max_size=30).map(b"".join), st.lists(st.integers(min_value=0, max_value=100_000), max_size=6))
def test_content_of_many_long_chunks_comes_back_whole(content: bytes, positions: list[int]) -> None:
    content = content.replace(BOUNDARY.encode(), b"") * 200
    body = part(content) + part(content) + END
    limits = Limits(header_bytes=64)  # so that chunks are longer than what is joined to a carried tail
    parts, complete = read_chunks(cuts(body, positions), limits=limits)
    assert (parts, complete) == ([({"content-type": DICOM}, content, True)] * 2, True)


def test_a_chunk_of_pure_content_is_handed_on_without_a_copy() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(part(b""))
    chunk = b"x" * 100_000
    reader.feed(b"head")
    (event,) = reader.feed(chunk)
    assert isinstance(event, PartData)
    assert event.data is chunk


@pytest.mark.parametrize(
    ("body", "contents"),
    [
        pytest.param(b"--b0un\r\n\r\nabc\r\n--b0un--", [b"abc"], id="no line end before the first or after the last delimiter"),
        pytest.param(
            b"preamble\r\n--b0un\r\n\r\nabc\r\n--b0un--\r\nepilogue\r\n--b0un\r\n", [b"abc"], id="preamble and epilogue are ignored"
        ),
        pytest.param(b"--b0un \t \r\n\r\nabc\r\n--b0un  \r\n\r\nd\r\n--b0un--", [b"abc", b"d"], id="blanks after a boundary"),
        pytest.param(b"--b0un\r\n\r\nabc\r\n--b0unX\r\nd\r\n--b0un--", [b"abc\r\n--b0unX\r\nd"], id="a longer boundary is content"),
        pytest.param(
            b"--b0un\r\n\r\nabc\n--b0un\r\nd\r\n--b0un--", [b"abc\n--b0un\r\nd"], id="a boundary after a bare line feed is content"
        ),
        pytest.param(b"--b0un\r\n\r\nabc\r\n--b0un-\r\n--b0un--", [b"abc\r\n--b0un-"], id="a boundary and a single hyphen is content"),
        pytest.param(b"--b0un\r\n\r\n\r\r\r\n\r\n--b0un--", [b"\r\r\r\n"], id="carriage returns are content"),
        pytest.param(b"--b0un\r\n\r\n\r\n--b0un--", [b""], id="an empty part"),
        pytest.param(b"--b0un\r\nA: b\r\n\r\n--b0un--", [b""], id="a part of headers alone"),
        pytest.param(b"--b0un--\r\n", [], id="no part"),
        pytest.param(b"", [], id="an empty body"),
    ],
)
@pytest.mark.parametrize("chunk", [None, 1, 2, 5])
def test_bodies_as_rfc_2046_has_them(body: bytes, contents: list[bytes], chunk: int | None) -> None:
    parts, complete = read(body, chunk=chunk)
    assert [content for _, content, whole in parts if whole] == contents
    assert complete


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(part(b"abc") + part(b"de"), id="within content"),
        pytest.param(part(b"abc") + b"\r\n--b0un", id="within a delimiter"),
        pytest.param(part(b"abc") + b"\r\n--b0un-", id="within the closing delimiter"),
        pytest.param(part(b"abc") + b"\r\n--b0un\r\nContent-Ty", id="within headers"),
        pytest.param(part(b"abc") + b"\r\n--b0un\r\n", id="after a delimiter"),
    ],
)
def test_a_body_that_is_cut_off_says_so_and_keeps_its_whole_parts(body: bytes) -> None:
    parts, complete = read(body, chunk=4)
    assert not complete
    whole = [content for _, content, whole in parts if whole]
    assert whole == ([b"abc"] if not body.endswith((b"b0un", b"b0un-")) else [])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"DICM", id="short"),
        pytest.param(b"\r\n--other\r\n\r\nabc\r\n--other--", id="another boundary"),
        pytest.param(b"--b0un\nContent-Type: x\n\nabc\n--b0un--\n", id="bare line feeds"),
        pytest.param(b"x" * 70_000, id="long"),
    ],
)
def test_a_body_without_the_boundary_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="boundary"):
        read(body, chunk=1000)


def test_a_body_without_the_boundary_is_refused_before_all_of_it_is_read() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(b"x" * 60_000)
    with pytest.raises(InvalidRequest, match="65536"):
        reader.feed(b"x" * 60_000)


def test_headers_are_given_in_lower_case_unfolded_and_stripped() -> None:
    (parsed, *_), _ = read(b"--b0un\r\nCONTENT-Type:\t application/dicom;\r\n a=b \r\nX-1:\r\n\r\nabc\r\n--b0un--", chunk=1)
    assert parsed[0] == {"content-type": "application/dicom; a=b", "x-1": ""}


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"no colon", id="no colon"),
        pytest.param(b": nameless", id="no name"),
        pytest.param(b"spaced name: x", id="blank in a name"),
        pytest.param(b"A: 1\r\na: 2", id="twice"),
        pytest.param(b"--b0un", id="a delimiter"),
        pytest.param(b"A: 1\nB: 2\r\n\x00: 3", id="a control character"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    with pytest.raises(InvalidRequest, match="header"):
        read(b"--b0un\r\n" + headers + b"\r\n\r\nabc" + END)


@pytest.mark.parametrize("chunk", [None, 7, 1000])
def test_giant_headers_are_refused_at_the_limit(chunk: int | None) -> None:
    limits = Limits(header_bytes=200)
    fits = b"--b0un\r\nA: " + b"x" * 190 + b"\r\n\r\nabc" + END
    parts, _ = read(fits, chunk=chunk, limits=limits)
    assert parts[0][1] == b"abc"
    with pytest.raises(TooLarge, match="200 bytes"):
        read(b"--b0un\r\nA: " + b"x" * 200 + b"\r\n\r\nabc" + END, chunk=chunk, limits=limits)
    with pytest.raises(TooLarge, match="200 bytes"):
        read(b"--b0un\r\n" + b"x" * 5000, chunk=chunk, limits=limits)


def test_more_parts_than_the_limit_are_refused() -> None:
    parts, _ = read(part(b"x") * 10 + END, limits=Limits(parts=10))
    assert len(parts) == 10
    with pytest.raises(TooLarge, match="more than 10 parts"):
        read(part(b"x") * 11 + END, limits=Limits(parts=10))


def test_what_is_carried_between_chunks_stays_small() -> None:
    reader = MultipartReader(BOUNDARY)
    reader.feed(part(b""))
    for piece in (b"\r\n--b0un" + b" " * 1000 + b"\r", b"x" * 100_000 + b"\r\n--b0", b"un" + b" " * 60):
        reader.feed(piece)
        assert len(reader._carried) < 100


def test_the_content_type_of_an_answer_names_type_and_boundary() -> None:
    one, other = MultipartWriter(DICOM), MultipartWriter(DICOM)
    assert one.content_type.startswith('multipart/related; type="application/dicom"; boundary=')
    assert one.content_type != other.content_type


def test_an_answer_without_parts_is_a_closing_delimiter() -> None:
    assert read(MultipartWriter(DICOM, BOUNDARY).close()) == ([], True)


def test_another_implementation_reads_what_the_writer_writes() -> None:
    contents = [b"DICM\r\n--\r\n", b"\x00" * 1000, b"\r\n"]
    writer = MultipartWriter(DICOM)
    body = b"".join([*(piece for content in contents for piece in (writer.part(DICOM), content)), writer.close()])
    response = Response()
    response.headers["content-type"] = writer.content_type
    response._content = body
    client = DICOMwebClient("http://localhost")
    assert [bytes(part) for part in client._decode_multipart_message(response, stream=False)] == contents


def test_the_reader_reads_what_another_implementation_writes() -> None:
    contents = [b"DICM\r\n--\r\n", b"\x00" * 1000, b""]
    body = DICOMwebClient._encode_multipart_message(contents, f'multipart/related; type="{DICOM}"; boundary="{BOUNDARY}"')
    assert read(body, chunk=100) == ([({"content-type": DICOM}, content, True) for content in contents], True)
