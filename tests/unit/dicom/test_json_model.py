"""A dataset becomes one DICOM JSON object, whatever its encoding (PS3.18 annex F)."""

from __future__ import annotations

import json
import struct
import warnings
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO

from shared.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding
from shared.dicom.header import MAX_DEPTH, MAX_ELEMENTS
from shared.dicom.instance import Rules, parse_instance
from shared.dicom.json_model import DatasetReader
from shared.dicom.json_values import MAX_VALUE_BYTES
from shared.errors import InvalidDicom
from tests.support.dataset import ManifestRow, manifest
from tests.support.dicom_builders import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    make_dataset,
    raw_element,
    raw_item,
    write,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SEQUENCE, TEXT, CHARSET = 0x00081032, 0x00081030, 0x00080005


def read(dataset: bytes, encoding: Encoding = EXPLICIT_LITTLE, *, strict: bool = True) -> dict[str, Any]:
    return dict(orjson.loads(DatasetReader(dataset, encoding, complete=True, strict=strict).read(0)))


def text(value: str) -> dict[str, object]:
    return {"vr": "LO", "Value": [value]}


A = raw_element(TEXT, "LO", b"A ")
IN_A = {"00081030": text("A")}


@pytest.mark.parametrize(
    ("sequence", "items"),
    [
        (raw_element(SEQUENCE, "SQ", b""), None),
        (raw_element(SEQUENCE, "SQ", raw_item()), [{}]),
        (raw_element(SEQUENCE, "SQ", raw_item(A) + raw_item(A)), [IN_A, IN_A]),
        (raw_element(SEQUENCE, "SQ", raw_item(A) + SEQUENCE_END, length=UNDEFINED), [IN_A]),
        (raw_element(SEQUENCE, "SQ", raw_item(A + ITEM_END, length=UNDEFINED)), [IN_A]),
        (raw_element(SEQUENCE, "SQ", raw_item(A + ITEM_END, length=UNDEFINED) + SEQUENCE_END, length=UNDEFINED), [IN_A]),
        (raw_element(SEQUENCE, "SQ", SEQUENCE_END, length=UNDEFINED), None),
    ],
)
def test_sequences_of_any_kind_of_length_are_read(sequence: bytes, items: list[object] | None) -> None:
    expected = {"vr": "SQ"} if items is None else {"vr": "SQ", "Value": items}
    assert read(sequence + raw_element(0x00100020, "LO", b"P1")) == {"00081032": expected, "00100020": text("P1")}


IMPLICIT_ITEM = raw_item(raw_element(TEXT, "", b"A "))


@pytest.mark.parametrize(
    "unknown",
    [raw_element(SEQUENCE, "UN", IMPLICIT_ITEM), raw_element(SEQUENCE, "UN", IMPLICIT_ITEM + SEQUENCE_END, length=UNDEFINED)],
)
def test_a_sequence_sent_as_unknown_has_implicit_items(unknown: bytes) -> None:
    assert read(unknown + A) == {"00081030": text("A"), "00081032": {"vr": "SQ", "Value": [IN_A]}}


def test_a_private_sequence_of_undefined_length_is_one_even_where_its_vr_is_unknown() -> None:
    private = raw_element(0x00091001, "", IMPLICIT_ITEM + SEQUENCE_END, length=UNDEFINED)
    assert read(private, IMPLICIT_LITTLE) == {"00091001": {"vr": "SQ", "Value": [IN_A]}}


def test_private_elements_without_vr_are_unknown_but_for_their_creators() -> None:
    dataset = raw_element(0x00090010, "", b"ACME") + raw_element(0x00091001, "", b"\1\2")
    assert read(dataset, IMPLICIT_LITTLE) == {"00090010": text("ACME"), "00091001": {"vr": "UN", "InlineBinary": "AQI="}}


@pytest.mark.parametrize(("sign", "vr", "value"), [(b"\0\0", "US", 65535), (b"\1\0", "SS", -1)])
def test_pixel_representation_decides_the_sign_of_implicit_values(sign: bytes, vr: str, value: int) -> None:
    dataset = raw_element(0x00280103, "", sign) + raw_element(0x00280106, "", b"\xff\xff")
    assert read(dataset, IMPLICIT_LITTLE)["00280106"] == {"vr": vr, "Value": [value]}


def test_big_endian_headers_and_values_are_read() -> None:
    item = struct.pack(">HHI", 0xFFFE, 0xE000, 10) + raw_element(0x00280010, "US", b"\2\0", order=">")
    dataset = raw_element(SEQUENCE, "SQ", item, order=">")
    assert read(dataset, EXPLICIT_BIG) == {"00081032": {"vr": "SQ", "Value": [{"00280010": {"vr": "US", "Value": [512]}}]}}


def test_a_character_set_holds_for_the_items_and_an_items_own_ends_with_it() -> None:
    latin, utf8 = raw_element(CHARSET, "CS", b"ISO_IR 100"), raw_element(CHARSET, "CS", b"ISO_IR 192")
    umlaut = raw_element(TEXT, "LO", b"\xfc ")
    own = raw_item(utf8 + raw_element(TEXT, "LO", "ü".encode()))
    dataset = latin + raw_element(0x00081032, "SQ", own + raw_item(umlaut)) + raw_element(0x00081040, "LO", b"\xfc ")
    parsed = read(dataset)
    assert [item["00081030"] for item in parsed["00081032"]["Value"]] == [text("ü"), text("ü")]
    assert parsed["00081040"] == text("ü")


def test_tags_ascend_and_the_last_of_two_elements_counts() -> None:
    dataset = raw_element(0x00100020, "LO", b"P1") + A + raw_element(0x00100020, "LO", b"P2")
    json_object = DatasetReader(dataset, EXPLICIT_LITTLE, complete=True, strict=True).read(0)
    assert json_object == b'{"00081030":{"vr":"LO","Value":["A"]},"00100020":{"vr":"LO","Value":["P2"]}}'


def test_group_lengths_file_meta_and_trailing_padding_are_left_out() -> None:
    dataset = raw_element(0x00020010, "UI", b"1.2\0") + raw_element(0x00080000, "UL", b"\0\0\0\0") + A
    assert read(dataset + raw_element(0xFFFCFFFC, "OB", bytes(8))) == IN_A


def test_what_fails_is_left_out_at_any_depth_and_noted_once() -> None:
    bad = raw_element(0x00080020, "DA", b"yesterday ")
    dataset = bad + raw_element(SEQUENCE, "SQ", raw_item(bad + A))
    reader = DatasetReader(dataset, EXPLICIT_LITTLE, complete=True, strict=True)
    assert orjson.loads(reader.read(0)) == {"00081032": {"vr": "SQ", "Value": [IN_A]}}
    assert list(reader.problems) == [0x00080020]


def test_an_icon_with_encapsulated_pixels_is_walked_over() -> None:
    pixels = raw_element(0x7FE00010, "OB", raw_item() + raw_item(b"\xff\xd8") + SEQUENCE_END, length=UNDEFINED)
    assert read(raw_element(0x00880200, "SQ", raw_item(A + pixels)) + A)["00880200"] == {"vr": "SQ", "Value": [IN_A]}


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_a_value_too_long_for_metadata_is_left_out_and_what_follows_is_not(encoding: Encoding) -> None:
    vr = ("UC", "LO") if encoding.explicit else ("", "")
    dataset = raw_element(0x00189908, vr[0], b"\\" * (MAX_VALUE_BYTES + 1)) + raw_element(0x00200010, vr[1], b"1 ")
    assert list(read(dataset, encoding)) == ["00200010"]


def nested(depth: int) -> bytes:
    dataset = A
    for _ in range(depth):
        dataset = raw_element(SEQUENCE, "SQ", raw_item(dataset))
    return dataset


def test_sequences_may_nest_to_the_limit() -> None:
    assert read(nested(MAX_DEPTH))["00081032"]["vr"] == "SQ"


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 2000])
def test_sequences_nested_deeper_are_refused(depth: int) -> None:
    with pytest.raises(InvalidDicom, match="deep"):
        read(nested(depth))


@pytest.mark.parametrize("many", [A * (MAX_ELEMENTS + 1), raw_element(SEQUENCE, "SQ", raw_item() * (MAX_ELEMENTS + 1))])
def test_too_many_elements_or_items_are_refused(many: bytes) -> None:
    with pytest.raises(InvalidDicom, match="more than"):
        read(many)


BROKEN = {
    "a length beyond the end": raw_element(TEXT, "LO", b"A", length=60000),
    "a length of 4 GB": raw_element(0x00091001, "OB", b"A", length=0xFFFFFFFE),
    "an undefined length of text": raw_element(0x00091001, "UT", b"A", length=UNDEFINED),
    "an element longer than its item": raw_element(SEQUENCE, "SQ", raw_item(raw_element(TEXT, "LO", b"A ", length=4)) + A) + A,
    "an item longer than its sequence": raw_element(SEQUENCE, "SQ", raw_item(A, length=100)) + A * 20,
    "no item in a sequence": raw_element(SEQUENCE, "SQ", A),
    "no end of a sequence": raw_element(SEQUENCE, "SQ", raw_item(A), length=UNDEFINED),
    "no end of an item": raw_element(SEQUENCE, "SQ", raw_item(A, length=UNDEFINED)),
    "an item outside sequences": raw_item(A),
    "an unknown VR": A[:4] + b"ZZ" + A[6:],
    "half a header": A + A[:5],
    "half a long header": raw_element(0x00091001, "OB", b"")[:10],
    "broken fragments": raw_element(SEQUENCE, "SQ", raw_item(raw_element(0x7FE00010, "OB", A, length=UNDEFINED))),
}


@pytest.mark.parametrize("dataset", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_dataset_is_refused(dataset: bytes) -> None:
    with pytest.raises(InvalidDicom):
        read(dataset)


@pytest.mark.parametrize("blank", [b"  ", b"\0\0"])
def test_an_element_whose_vr_was_left_blank_has_that_of_the_dictionary(blank: bytes) -> None:
    assert read(A[:4] + blank + A[6:]) == IN_A


def test_a_large_header_takes_time_in_proportion_to_its_length() -> None:
    unsorted = b"".join(raw_element(0x00090000 | n, "LO", b"A ") for n in range(0xFFFF, 0x1000, -1))
    assert len(read(unsorted)) == 0xFFFF - 0x1000


def expected(dataset: Dataset) -> dict[str, Any]:
    """Give pydicom's JSON without what ends the header."""
    model = {key: value for key, value in dataset.to_json_dict(bulk_data_threshold=10**6).items() if key < "7FE00008"}
    return dict(json.loads(json.dumps(model)))


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE, DEFLATED_LE])
def test_every_native_encoding_gives_what_pydicom_gives(transfer_syntax_uid: str) -> None:
    item = make_dataset(PixelData=None, PatientName="Ümläut^Ü", ImageType=["A", "B"], SpecificCharacterSet="ISO_IR 100")
    dataset = make_dataset(SpecificCharacterSet="ISO_IR 192", ReferencedStudySequence=[item, item], ImagePositionPatient=[1.5, -2, 0])
    parsed = parse_instance(write(dataset, transfer_syntax_uid), rules=Rules.V2)
    assert orjson.loads(parsed.metadata) == expected(dcmread(DicomBytesIO(write(dataset, transfer_syntax_uid))))


BINARY = ("UN", "OB", "OW", "OF", "OD", "OL", "OV")

MISREAD = {
    "fo-dicom/GH179A.dcm": "a blank VR: pydicom reads a length of four bytes and loses what follows",
    "fo-dicom/chrGB2312.dcm": "pydicom leaves the escape sequences of ISO 2022 IR 58 in the text",
    "edge/cs-gb2312.dcm": "pydicom does not try the declared set where the escape sequence is missing",
}


def comparable(mine: Any, theirs: Any) -> bool:
    """Tell whether two elements mean the same.

    Known differences: pydicom knows private dictionaries (UN there has a VR), writes "" for null within several values,
    keeps blanks before a backslash, and leaves out nothing that is long or invalid.
    """
    if mine["vr"] == "SQ" == theirs["vr"]:
        pairs = zip(mine.get("Value", []), theirs.get("Value", []), strict=True)
        return all(comparable(a[tag], b[tag]) for a, b in pairs for tag in a.keys() & b.keys())
    return mine["vr"] in BINARY or values_of(mine) == values_of(theirs)


def values_of(element: Any) -> list[object]:
    values = ["" if value is None else value for value in element.get("Value", [])]
    return [value.rstrip(" ") if isinstance(value, str) else value for value in values]


def their_reading(row: ManifestRow) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            return expected(dcmread(row.path))
    except (
        InvalidDicomError,
        ArithmeticError,
        AttributeError,
        LookupError,
        NotImplementedError,
        OSError,
        RecursionError,
        TypeError,
        ValueError,
    ):
        return None


@pytest.mark.parametrize("row", [row for row in manifest() if row.file not in MISREAD], ids=lambda row: row.file)
def test_the_files_of_the_data_set_give_what_pydicom_gives(row: ManifestRow) -> None:
    theirs = their_reading(row) or {}
    try:
        mine = orjson.loads(parse_instance(row.path.read_bytes(), rules=Rules.V2).metadata)
    except InvalidDicom:
        return
    assert [tag for tag in mine if tag in theirs and not comparable(mine[tag], theirs[tag])] == []
