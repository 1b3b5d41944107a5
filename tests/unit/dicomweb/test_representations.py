"""Which stored bytes satisfy which Accept header."""

from __future__ import annotations

import pytest

from shared.dicomweb.media_types import parse_accept
from shared.dicomweb.representations import COMPRESSED_FRAMES, Representation, choose_for_frames, choose_for_instance, choose_for_instances
from shared.errors import InvalidRequest, NotAcceptable

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, JPEG_2000, JPEG_2000_LOSSY, JPEG_LS, RLE = (f"1.2.840.10008.1.2.{n}" for n in ("4.50", "4.90", "4.91", "4.80", "5"))
NATIVE = (IMPLICIT, EXPLICIT, BIG_ENDIAN)
COMPRESSED = (JPEG, JPEG_2000, JPEG_LS, RLE)

MULTIPART_DICOM = 'multipart/related; type="application/dicom"'
MULTIPART_OCTETS = 'multipart/related; type="application/octet-stream"'
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
OHIF_FRAMES = f"{MULTIPART_OCTETS}; transfer-syntax={EXPLICIT}, multipart/related; type=application/octet-stream; transfer-syntax=*"


def instance(header: str | None, stored: str) -> Representation | None:
    try:
        return choose_for_instance(parse_accept(header), stored)
    except NotAcceptable:
        return None


def frames(header: str | None, stored: str, count: int = 1) -> str | None:
    """Give the Content-Type of each frame, in brackets where it comes as a part; None for 406."""
    try:
        chosen = choose_for_frames(parse_accept(header), stored, count)
    except NotAcceptable:
        return None
    content_type = chosen.content_type(stored)
    return f"[{content_type}]" if chosen.multipart else content_type


@pytest.mark.parametrize("stored", [*NATIVE, *COMPRESSED, "1.2.3.999"])
@pytest.mark.parametrize(
    "header",
    [
        None,
        "*/*",
        "application/*",
        "multipart/*",
        "multipart/related",
        'multipart/related; type="*/*"',
        'multipart/related; type="application/dicom"; transfer-syntax=*',
        "multipart/related; type=application/dicom;transfer-syntax=*",
        'multipart/related; type="application/dicom"; transfer-syntax="*"',
        f"{MULTIPART_DICOM}; transfer-syntax={EXPLICIT};q=0.5, {MULTIPART_DICOM}; transfer-syntax=*",
        BROWSER,
    ],
)
def test_instances_are_sent_in_parts_as_they_are_stored(header: str | None, stored: str) -> None:
    one = choose_for_instance(parse_accept(header), stored)
    many = choose_for_instances(parse_accept(header), {stored})
    for chosen in (one, many):
        assert (chosen.media_type, chosen.multipart, chosen.serves(stored)) == ("application/dicom", True, True)
        assert chosen.content_type(stored) == f"application/dicom; transfer-syntax={stored}"


@pytest.mark.parametrize("stored", [*NATIVE, *COMPRESSED])
@pytest.mark.parametrize("header", ["application/dicom; transfer-syntax=*", "application/dicom;transfer-syntax=*, */*;q=0.1"])
def test_one_instance_is_sent_as_a_single_part_where_that_is_asked_for(header: str, stored: str) -> None:
    chosen = choose_for_instance(parse_accept(header), stored)
    assert not chosen.multipart
    assert chosen.serves(stored)


@pytest.mark.parametrize("header", ["application/dicom", MULTIPART_DICOM, f"{MULTIPART_DICOM}; transfer-syntax={EXPLICIT}"])
def test_without_a_transfer_syntax_application_dicom_means_explicit_vr_little_endian(header: str) -> None:
    assert instance(header, EXPLICIT)
    for stored in (IMPLICIT, BIG_ENDIAN, *COMPRESSED):
        assert instance(header, stored) is None


def test_any_stored_syntax_satisfies_a_request_that_names_it() -> None:
    for stored in (*NATIVE, *COMPRESSED):
        assert instance(f"{MULTIPART_DICOM}; transfer-syntax={stored}", stored)
        assert instance(f"{MULTIPART_DICOM}; transfer-syntax={stored}", "1.2.3") is None


def test_a_refusal_advises_to_ask_for_what_is_stored() -> None:
    with pytest.raises(NotAcceptable, match=r"transfer-syntax=\*"):
        choose_for_instance(parse_accept("application/dicom"), JPEG)


@pytest.mark.parametrize("header", ["image/jpeg", "application/dicom+json", "text/html", "x", 'multipart/related; type="image/jpeg"'])
def test_other_media_types_are_not_acceptable_for_instances(header: str) -> None:
    with pytest.raises(NotAcceptable, match="names no media type"):
        choose_for_instance(parse_accept(header), EXPLICIT)


@pytest.mark.parametrize("syntax", ["", "; transfer-syntax=*", f"; transfer-syntax={EXPLICIT}"])
def test_a_study_is_never_a_single_part(syntax: str) -> None:
    with pytest.raises(NotAcceptable):
        choose_for_instances(parse_accept("application/dicom" + syntax), {EXPLICIT})


def test_a_study_of_several_syntaxes_is_sent_as_far_as_it_satisfies() -> None:
    chosen = choose_for_instances(parse_accept(MULTIPART_DICOM), {EXPLICIT, JPEG})
    assert chosen.serves(EXPLICIT)
    assert not chosen.serves(JPEG)


def test_transfer_syntaxes_that_are_taken_count_together() -> None:
    accept = parse_accept(f"{MULTIPART_DICOM}; transfer-syntax={JPEG}, {MULTIPART_DICOM}; transfer-syntax={EXPLICIT}; q=0.5")
    chosen = choose_for_instances(accept, {EXPLICIT, JPEG})
    assert chosen.transfer_syntaxes == (JPEG, EXPLICIT)
    assert chosen.serves(EXPLICIT)
    assert chosen.serves(JPEG)


def test_what_is_refused_by_quality_zero_is_not_sent() -> None:
    assert instance("application/dicom;transfer-syntax=*;q=0, */*;q=0", EXPLICIT) is None
    assert instance(f"{MULTIPART_DICOM};q=0, */*", EXPLICIT) is None
    chosen = instance(f"{MULTIPART_DICOM};q=0, application/dicom, */*;q=0.5", EXPLICIT)
    assert chosen
    assert not chosen.multipart


@pytest.mark.parametrize(
    ("header", "stored", "expected"),
    [
        pytest.param(MULTIPART_OCTETS, EXPLICIT, f"[application/octet-stream; transfer-syntax={EXPLICIT}]", id="uncompressed"),
        pytest.param(
            MULTIPART_OCTETS, IMPLICIT, f"[application/octet-stream; transfer-syntax={EXPLICIT}]", id="implicit has the same bytes"
        ),
        pytest.param(MULTIPART_OCTETS, f"{EXPLICIT}.98", f"[application/octet-stream; transfer-syntax={EXPLICIT}]", id="encapsulated too"),
        pytest.param(MULTIPART_OCTETS, BIG_ENDIAN, None, id="big endian has not"),
        pytest.param(MULTIPART_OCTETS, JPEG, None, id="compressed has not"),
        pytest.param(MULTIPART_OCTETS + "; transfer-syntax=*", JPEG, f"[application/octet-stream; transfer-syntax={JPEG}]", id="as stored"),
        pytest.param(
            MULTIPART_OCTETS + "; transfer-syntax=*", BIG_ENDIAN, f"[application/octet-stream; transfer-syntax={BIG_ENDIAN}]", id="big"
        ),
        pytest.param(OHIF_FRAMES, JPEG_LS, f"[application/octet-stream; transfer-syntax={JPEG_LS}]", id="OHIF"),
        pytest.param("application/octet-stream", EXPLICIT, f"application/octet-stream; transfer-syntax={EXPLICIT}", id="single part"),
        pytest.param("application/octet-stream", RLE, None, id="single part, compressed"),
        pytest.param("*/*", RLE, f"[application/octet-stream; transfer-syntax={RLE}]", id="anything"),
        pytest.param(None, EXPLICIT, f"[application/octet-stream; transfer-syntax={EXPLICIT}]", id="no Accept"),
        pytest.param('multipart/related; type="*/*"', JPEG, f"[application/octet-stream; transfer-syntax={JPEG}]", id="dicomweb-client"),
        pytest.param("application/*", JPEG, f"[application/octet-stream; transfer-syntax={JPEG}]", id="application/*"),
        pytest.param(BROWSER, JPEG, f"[application/octet-stream; transfer-syntax={JPEG}]", id="browser"),
        pytest.param(
            f'multipart/related; type="image/jpeg"; transfer-syntax={JPEG}',
            JPEG,
            f"[image/jpeg; transfer-syntax={JPEG}]",
            id="JPEG by syntax",
        ),
        pytest.param('multipart/related; type="image/jpeg"', JPEG, f"[image/jpeg; transfer-syntax={JPEG}]", id="JPEG"),
        pytest.param(
            'multipart/related; type="image/jp2"', JPEG_2000_LOSSY, f"[image/jp2; transfer-syntax={JPEG_2000_LOSSY}]", id="JPEG 2000"
        ),
        pytest.param(
            f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}', JPEG_2000_LOSSY, None, id="lossless, stored lossy"
        ),
        pytest.param(
            'multipart/related; type="image/x-jls"', JPEG_LS, f"[image/x-jls; transfer-syntax={JPEG_LS}]", id="old name of JPEG-LS"
        ),
        pytest.param('multipart/related; type="image/*"', RLE, f"[image/dicom-rle; transfer-syntax={RLE}]", id="any image"),
        pytest.param('multipart/related; type="image/*"', EXPLICIT, None, id="any image, uncompressed"),
        pytest.param('multipart/related; type="image/jpeg"', JPEG_2000, None, id="another compression"),
        pytest.param("image/jp2", JPEG_2000, None, id="a single image"),
        pytest.param("application/dicom", EXPLICIT, None, id="an instance"),
        pytest.param(
            'multipart/related; type="image/jpeg";q=0.5, multipart/related; type="application/octet-stream"',
            JPEG,
            f"[image/jpeg; transfer-syntax={JPEG}]",
            id="the second choice",
        ),
    ],
)
def test_frames(header: str | None, stored: str, expected: str | None) -> None:
    assert frames(header, stored) == expected


@pytest.mark.parametrize(("media_type", "stored"), [(name, uid) for name, uids in COMPRESSED_FRAMES.items() for uid in sorted(uids)])
def test_frames_of_each_compression_have_their_media_type(media_type: str, stored: str) -> None:
    assert frames(f'multipart/related; type="{media_type}"', stored) == f"[{media_type}; transfer-syntax={stored}]"


def test_a_single_part_holds_one_frame() -> None:
    with pytest.raises(InvalidRequest, match="one frame"):
        frames("application/octet-stream", EXPLICIT, count=2)
    assert frames(MULTIPART_OCTETS, EXPLICIT, count=2)


@pytest.mark.parametrize("stored", ["1.2\r\nSet-Cookie: a", "*", "", "1.2; x=y", "1" * 65])
def test_a_stored_syntax_that_is_no_uid_does_not_reach_a_header(stored: str) -> None:
    chosen = choose_for_instance(parse_accept("*/*"), stored)
    assert chosen.content_type(stored) == "application/dicom"
