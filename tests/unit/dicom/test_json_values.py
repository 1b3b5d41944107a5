"""A raw value becomes its DICOM JSON element, VR by VR (PS3.18 F.2)."""

from __future__ import annotations

import json
import struct
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataelem import DataElement

from shared.dicom.charsets import CharacterSet
from shared.dicom.json_values import BINARY_WORD_BYTES, MAX_INLINE_BYTES, NUMBER_FORMATS, BadValue, Scope, writer_for
from shared.dicom.validation import NUMBER_RULES, TEXT_RULES

UTF8 = CharacterSet("utf_8")
VRS = sorted({"AT", *TEXT_RULES, *NUMBER_RULES, *NUMBER_FORMATS, *BINARY_WORD_BYTES})


def element(vr: str, raw: bytes, *, strict: bool = True, order: str = "<") -> dict[str, Any]:
    written = writer_for(vr, f'"00091001":{{"vr":"{vr}"'.encode(), order)(raw, Scope(strict, UTF8))
    return dict(orjson.loads(b"{" + written + b"}")["00091001"])


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("AE", b"STORE_SCP ", ["STORE_SCP"]),
        ("AS", b"018M", ["018M"]),
        ("AT", b"\x28\x00\x10\x00\xe0\x7f\x10\x00", ["00280010", "7FE00010"]),
        ("CS", rb"ORIGINAL\PRIMARY\\AXIAL", ["ORIGINAL", "PRIMARY", None, "AXIAL"]),
        ("CS", b"A \\B ", ["A", "B"]),
        ("DA", b"20240102", ["20240102"]),
        ("DA", rb"20240102\20240103", ["20240102", "20240103"]),
        ("DS", rb"1.50\-0\ 7 \1e3", [1.5, 0, 7, 1000]),
        ("DS", rb"+1.5\.5\5.\007", [1.5, 0.5, 5, 7]),
        ("DS", b"1\\\\2 ", [1, None, 2]),
        ("DS", b"1E400 ", ["1E400"]),
        ("FD", struct.pack("<3d", 1.5, float("inf"), float("-inf")), [1.5, "Infinity", "-Infinity"]),
        ("FL", struct.pack("<2f", 0.5, float("nan")), [0.5, "NaN"]),
        ("IS", rb"12\-3\+4\007", [12, -3, 4, 7]),
        ("LO", b'a "b" / <c>', ['a "b" / <c>']),
        ("LO", "Zoë\\😀 ".encode(), ["Zoë", "😀"]),
        ("LO", b"padded\0\0", ["padded"]),
        ("LT", b"one\r\ntwo\\three ", ["one\r\ntwo\\three"]),
        ("PN", b"Doe^Jane^^^ ", [{"Alphabetic": "Doe^Jane^^^"}]),
        ("PN", "A^B=山^太=や^た".encode(), [{"Alphabetic": "A^B", "Ideographic": "山^太", "Phonetic": "や^た"}]),
        ("PN", rb"=X\\C=", [{"Ideographic": "X"}, None, {"Alphabetic": "C"}]),
        ("SL", struct.pack("<2i", -1, 2**31 - 1), [-1, 2**31 - 1]),
        ("SS", struct.pack("<h", -5), [-5]),
        ("SV", struct.pack("<q", -(2**63)), [-(2**63)]),
        ("TM", b"101112.5", ["101112.5"]),
        ("UI", b"1.2.3\0", ["1.2.3"]),
        ("UL", struct.pack("<I", 2**32 - 1), [2**32 - 1]),
        ("UR", b"http://x/?a=1 ", ["http://x/?a=1"]),
        ("US", struct.pack("<3H", 1, 2, 65535), [1, 2, 65535]),
        ("UT", b"a\\b\tc", ["a\\b\tc"]),
        ("UV", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
    ],
)
def test_a_value_becomes_its_json_values(vr: str, raw: bytes, values: list[object]) -> None:
    assert element(vr, raw) == {"vr": vr, "Value": values}


@pytest.mark.parametrize("vr", VRS)
def test_an_empty_value_has_neither_value_nor_inline_binary(vr: str) -> None:
    assert element(vr, b"") == {"vr": vr}


@pytest.mark.parametrize("vr", ["CS", "LO", "UI", "DS", "PN", "UT"])
def test_a_value_of_padding_only_is_empty(vr: str) -> None:
    assert element(vr, b"  \0\0") == {"vr": vr}


@pytest.mark.parametrize("vr", sorted(NUMBER_FORMATS))
def test_big_endian_numbers_are_read_as_such(vr: str) -> None:
    assert element(vr, struct.pack(">" + NUMBER_FORMATS[vr], 3), order=">") == {"vr": vr, "Value": [3]}


def test_small_binary_values_stand_inline() -> None:
    assert element("OB", b"\1\2\3") == {"vr": "OB", "InlineBinary": "AQID"}


def test_inline_binary_is_little_endian_whatever_the_file_is() -> None:
    assert element("OW", b"\1\2\3\4", order=">") == element("OW", b"\2\1\4\3")


def test_large_binary_values_are_left_out() -> None:
    written = writer_for("OB", b'"00091001":{"vr":"OB"', "<")(bytes(MAX_INLINE_BYTES + 1), Scope(strict=True))
    assert written == b""


@pytest.mark.parametrize(
    ("vr", "raw"),
    [("DA", b"20241399"), ("IS", b"many"), ("LO", b"M\xfcller"), ("LO", b"a\0b"), ("US", b"\1\2\3"), ("AT", b"\1\2"), ("CS", b"OK\\bad")],
)
def test_what_breaks_a_rule_is_refused_where_strict_and_never_quoted(vr: str, raw: bytes) -> None:
    with pytest.raises(BadValue) as bad:
        element(vr, raw)
    assert 0 < len(bad.value.explanation) <= 40


@pytest.mark.parametrize(
    ("vr", "raw", "values"),
    [
        ("DA", b"yesterday ", ["yesterday"]),
        ("IS", rb"many\7", ["many", 7]),
        ("IS", b"123456789012345678901234567890", ["123456789012345678901234567890"]),
        ("DS", b"NaN ", ["NaN"]),
        ("LO", b"M\xfcller", ["M\ufffdller"]),
        ("LO", b"a\0\x01\x7fb", ["a\0\x01\x7fb"]),
        ("US", b"\1\0\2", [1]),
        ("PN", b"A=B=C=D", [{"Alphabetic": "A", "Ideographic": "B", "Phonetic": "C"}]),
    ],
)
def test_what_breaks_a_rule_is_written_as_it_can_where_lenient(vr: str, raw: bytes, values: list[object]) -> None:
    assert element(vr, raw, strict=False)["Value"] == values


@given(st.sampled_from(VRS), st.binary(max_size=80), st.booleans(), st.sampled_from("<>"))
def test_any_bytes_make_valid_json_or_are_refused(vr: str, raw: bytes, strict: bool, order: str) -> None:
    try:
        assert element(vr, raw, strict=strict, order=order)["vr"] == vr
    except BadValue:
        assert strict


DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-99999, max_value=99999).map(str)
INTEGERS = st.integers(-(2**31), 2**31 - 1).map(str)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="\\^="), min_size=1, max_size=12)


@pytest.mark.parametrize(("vr", "values"), [("DS", DECIMALS), ("IS", INTEGERS), ("LO", WORDS), ("PN", WORDS), ("SH", WORDS)])
def test_json_agrees_with_pydicom(vr: str, values: st.SearchStrategy[str]) -> None:
    @given(st.lists(values, min_size=1, max_size=4))
    def agree(texts: list[str]) -> None:
        theirs = json.loads(json.dumps(DataElement(0x00091001, vr, texts).to_json_dict(None, 1024)))
        assert element(vr, "\\".join(texts).encode()) == theirs

    agree()
