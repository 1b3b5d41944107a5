"""What the archive keeps of an instance, and what it holds against it."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from shared.dicom.attributes import LEVEL_ATTRIBUTES, Level, tag_of
from shared.dicom.instance import MAX_ATTRIBUTE_BYTES, NeedMoreBytes, Problem, Rules, parse_instance
from shared.errors import InvalidDicom
from tests.support.dataset import ManifestRow, manifest
from tests.support.dicom_builders import (
    DEFLATED_LE,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    JPEG_BASELINE,
    make_encapsulated,
    make_instance,
    raw_element,
    raw_file,
)

if TYPE_CHECKING:
    from shared.dicom.instance import ParsedInstance


def parse(rules: Rules = Rules.V2, **attributes: object) -> ParsedInstance:
    return parse_instance(make_instance(**attributes), rules=rules)


def failures(parsed: ParsedInstance) -> list[str]:
    return [problem.keyword for problem in parsed.problems if problem.required]


def warned(parsed: ParsedInstance) -> list[str]:
    return [problem.keyword for problem in parsed.problems if not problem.required]


def test_identifiers_are_given_without_padding() -> None:
    parsed = parse(StudyInstanceUID="1.2", SeriesInstanceUID="1.2.3", SOPInstanceUID="1.2.3.4", SOPClassUID="1.5.6")
    assert (parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid) == ("1.2", "1.2.3", "1.2.3.4")
    assert (parsed.sop_class_uid, parsed.transfer_syntax_uid) == ("1.5.6", EXPLICIT_LE)


def test_attributes_are_sorted_by_level_as_elements_ready_to_be_sent() -> None:
    parsed = parse(StudyDate="20240102", Modality="CT", InstanceNumber=7, Manufacturer="ACME", AccessionNumber="")
    assert parsed.study_attributes["00080020"] == b'{"vr":"DA","Value":["20240102"]}'
    assert parsed.study_attributes["00080050"] == b'{"vr":"SH"}'
    assert parsed.series_attributes["00080060"] == b'{"vr":"CS","Value":["CT"]}'
    assert parsed.instance_attributes["00200013"] == b'{"vr":"IS","Value":[7]}'
    kept = {**parsed.study_attributes, **parsed.series_attributes, **parsed.instance_attributes}
    assert set(kept) <= {tag for level in Level for tag in LEVEL_ATTRIBUTES[level]}


def test_what_is_kept_by_level_is_what_metadata_says() -> None:
    parsed = parse()
    metadata = orjson.loads(parsed.metadata)
    assert {tag: orjson.loads(element) for tag, element in parsed.study_attributes.items()}.items() <= metadata.items()


def test_a_long_attribute_is_in_metadata_and_not_in_rows() -> None:
    parsed = parse(AdditionalPatientHistory="x" * (MAX_ATTRIBUTE_BYTES + 1))
    tag = tag_of("AdditionalPatientHistory")
    assert tag in orjson.loads(parsed.metadata)
    assert tag not in parsed.study_attributes


@pytest.mark.parametrize("rules", Rules)
def test_a_sound_instance_has_no_problem(rules: Rules) -> None:
    parsed = parse(rules)
    assert (parsed.problems, parsed.multivalued) == ((), False)


UIDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]


@pytest.mark.parametrize("rules", Rules)
@pytest.mark.parametrize("keyword", UIDS)
@pytest.mark.parametrize("value", [None, "", ["1.2", "1.3"]], ids=["missing", "empty", "two"])
def test_an_instance_without_one_of_its_uids_fails(rules: Rules, keyword: str, value: object) -> None:
    assert failures(parse(rules, **{keyword: value})) == [keyword]


@pytest.mark.parametrize("rules", Rules)
@pytest.mark.parametrize("keyword", UIDS[:3])
@pytest.mark.parametrize("value", ["1.2.x", "1" * 65, "1.2."])
def test_an_instance_with_an_invalid_uid_fails(rules: Rules, keyword: str, value: str) -> None:
    assert failures(parse(rules, **{keyword: value})) == [keyword]


def test_the_form_of_the_sop_class_counts_in_version_2_only() -> None:
    assert failures(parse(Rules.V2, SOPClassUID="1.2.x")) == ["SOPClassUID"]
    assert failures(parse(Rules.V1, SOPClassUID="1.2.x")) == []


def test_a_uid_of_another_vr_fails() -> None:
    file = make_instance(StudyInstanceUID="1.2.3.4").replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0d\x00LO")
    assert parse_instance(file, rules=Rules.V2).problems == (Problem("0020000D", "StudyInstanceUID", "has another VR than UI", True),)


@pytest.mark.parametrize("value", [None, "", "x" * 65], ids=["missing", "empty", "long"])
def test_a_faulty_patient_id_is_a_warning_in_version_2_and_a_failure_in_version_1(value: str | None) -> None:
    assert warned(parse(Rules.V2, PatientID=value)) == ["PatientID"]
    assert failures(parse(Rules.V1, PatientID=value)) == ["PatientID"]


def test_version_2_leaves_an_invalid_attribute_out_and_keeps_the_rest() -> None:
    parsed = parse(Rules.V2, StudyDate="2024", Rows=4)
    assert parsed.problems == (Problem("00080020", "StudyDate", "is not a date (yyyyMMdd)", False),)
    assert "00080020" not in parsed.study_attributes
    assert "00080020" not in orjson.loads(parsed.metadata)
    assert "00280010" in parsed.instance_attributes


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDate", "20240230"), ("PatientName", "x" * 65), ("AccessionNumber", "x" * 17), ("Modality", "X" * 17)],
)
def test_version_1_fails_an_instance_for_an_indexed_attribute(keyword: str, value: str) -> None:
    assert failures(parse(Rules.V1, **{keyword: value})) == [keyword]


@pytest.mark.parametrize(("keyword", "value"), [("SeriesDate", "never"), ("StudyTime", "99"), ("StudyID", "x" * 17)])
def test_version_1_does_not_look_at_others(keyword: str, value: str) -> None:
    parsed = parse(Rules.V1, **{keyword: value})
    assert parsed.problems == ()
    assert orjson.loads(parsed.metadata)[tag_of(keyword)]["Value"] == [value]


def test_version_1_looks_at_the_first_value_only() -> None:
    parsed = parse(Rules.V1, ManufacturerModelName=["ok", "x" * 65])
    assert (parsed.problems, parsed.multivalued) == ((), True)


@pytest.mark.parametrize("rules", Rules)
def test_several_values_of_an_indexed_attribute_are_noticed(rules: Rules) -> None:
    assert parse(rules, StudyDescription=["a", "b"]).multivalued
    assert not parse(rules, ImageType=["a", "b"]).multivalued


def test_a_backslash_within_a_character_is_no_second_value() -> None:
    description = raw_element(0x00081030, "LO", "昞".encode("gb18030"))
    file = make_instance(SpecificCharacterSet="GB18030", StudyDescription=None)
    at = file.index(b"\x08\x00\x3e\x10")
    parsed = parse_instance(file[:at] + description + file[at:], rules=Rules.V2)
    assert not parsed.multivalued
    assert orjson.loads(parsed.study_attributes["00081030"])["Value"] == ["昞"]


def test_one_tag_has_one_problem_and_problems_follow_the_order_of_tags() -> None:
    bad = raw_element(0x0020000D, "UI", b"x ")
    dataset = raw_element(0x00080020, "DA", b"x ") + raw_element(0x00081110, "SQ", raw_element(0xFFFEE000, "", bad)) + bad
    tags = [problem.tag for problem in parse_instance(raw_file(dataset), rules=Rules.V2).problems]
    assert tags == sorted(set(tags))


def test_pixel_data_is_described_and_not_copied() -> None:
    file = make_instance(NumberOfFrames=2, PixelData=bytes(64))
    pixel_data = parse_instance(file, rules=Rules.V2).pixel_data
    assert pixel_data is not None
    assert (pixel_data.tag, pixel_data.vr, pixel_data.offset, pixel_data.length) == ("7FE00010", "OW", len(file) - 64, 64)
    assert (pixel_data.rows, pixel_data.columns, pixel_data.bits_allocated) == (4, 4, 16)
    assert (pixel_data.samples_per_pixel, pixel_data.number_of_frames) == (1, 2)


def test_encapsulated_pixel_data_has_no_length() -> None:
    pixel_data = parse_instance(make_encapsulated([b"ab"]), rules=Rules.V2).pixel_data
    assert pixel_data is not None
    assert (pixel_data.length, pixel_data.transfer_syntax_uid) == (None, JPEG_BASELINE)


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT_LE, DEFLATED_LE])
def test_an_instance_without_pixel_data_in_reach_has_none(transfer_syntax_uid: str) -> None:
    pixels = b"" if transfer_syntax_uid == DEFLATED_LE else None
    assert parse_instance(make_instance(transfer_syntax_uid=transfer_syntax_uid, PixelData=pixels), rules=Rules.V2).pixel_data is None


@pytest.mark.parametrize(("used", "named"), [(IMPLICIT_LE, EXPLICIT_LE), (EXPLICIT_LE, IMPLICIT_LE), (IMPLICIT_LE, "1.2.3")])
def test_whether_there_are_vrs_is_seen_in_the_dataset(used: str, named: str) -> None:
    file = make_instance(transfer_syntax_uid=used, StudyInstanceUID="1.2.3.4")
    parsed = parse_instance(raw_file(file[file.index(b"\x08\x00\x16\x00") :], named), rules=Rules.V2)
    assert (parsed.transfer_syntax_uid, parsed.study_instance_uid, parsed.problems) == (named, "1.2.3.4", ())


SYNTAXES = [EXPLICIT_LE, IMPLICIT_LE, EXPLICIT_BE]


@pytest.mark.parametrize("transfer_syntax_uid", SYNTAXES)
def test_every_beginning_asks_for_more_until_the_pixel_data_begins(transfer_syntax_uid: str) -> None:
    sequence = [{"CodeValue": "1"}, {"CodeValue": "2"}]
    file = make_instance(transfer_syntax_uid=transfer_syntax_uid, ProcedureCodeSequence=[_item(**item) for item in sequence])
    whole = parse_instance(file, rules=Rules.V2)
    assert whole.pixel_data is not None
    for length in range(len(file) + 1):
        try:
            parsed = parse_instance(file[:length], rules=Rules.V2, complete=False)
        except NeedMoreBytes as more:
            assert length < more.at_least <= len(file)  # noqa: PT017 - or not raised at all
            assert length < whole.pixel_data.offset
        else:
            assert parsed == whole
            assert length >= whole.pixel_data.offset


def _item(**attributes: object) -> object:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def test_a_file_without_pixel_data_is_needed_whole() -> None:
    file = make_instance(PixelData=None)
    with pytest.raises(NeedMoreBytes):
        parse_instance(file, rules=Rules.V2, complete=False)


@pytest.mark.parametrize("length", [0, 40_000])
@pytest.mark.parametrize("pixels", [None, bytes(100_000)])
def test_a_memoryview_gives_the_same_as_bytes(length: int, pixels: bytes | None) -> None:
    file = make_instance(ImageComments="x" * min(length, 10_000), AdditionalPatientHistory="x" * min(length, 10_000), PixelData=pixels)
    assert parse_instance(memoryview(file), rules=Rules.V2) == parse_instance(file, rules=Rules.V2)


@pytest.mark.parametrize("tail", [b"", b"\xff" * 100, raw_element(0xFFFCFFFC, "OB", bytes(8))])
def test_what_follows_the_pixel_data_changes_nothing(tail: bytes) -> None:
    file = make_instance()
    assert parse_instance(file + tail, rules=Rules.V2) == parse_instance(file, rules=Rules.V2)


SEEDS = [
    make_instance(),
    make_instance(transfer_syntax_uid=IMPLICIT_LE),
    make_instance(transfer_syntax_uid=EXPLICIT_BE),
    make_encapsulated([b"a"]),
]
PIECES = st.sampled_from(
    [b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"SQ", b"UN", b"\\", b"\x1b$B", b"\0", b"\xff", b"9e9"]
)


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(128, 900), st.integers(0, 4), PIECES | st.binary(max_size=8)), max_size=6),
    st.sampled_from(Rules),
    st.booleans(),
)
def test_no_input_raises_anything_but_a_refusal(
    seed: bytes,
    edits: list[tuple[int, int, bytes]],
    rules: Rules,
    complete: bool,
) -> None:
    file = seed
    for at, cut, piece in edits:
        file = file[:at] + piece + file[at + cut :]
    try:
        parsed = parse_instance(file, rules=rules, complete=complete)
    except InvalidDicom:
        return
    except NeedMoreBytes:
        assert not complete
        return
    metadata = orjson.loads(parsed.metadata)
    assert list(metadata) == sorted(metadata)
    assert all(len(problem.explanation) <= 40 for problem in parsed.problems)


MARKER = "MARKER7"


@pytest.mark.parametrize("rules", Rules)
def test_no_message_holds_a_value(rules: Rules, caplog: pytest.LogCaptureFixture) -> None:
    texts = dict.fromkeys(
        ["StudyDate", "StudyTime", "Modality", "StudyInstanceUID", "PatientID", "PatientAge", "SpecificCharacterSet"], MARKER
    )
    file = make_instance(**texts, InstanceNumber=None).replace(b"MARKER7 ", b"MARKER7\n")
    caplog.clear()  # of what the builder's library said
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(action="error"):
        said = [str(parse_instance(file, rules=rules).problems)]
        for length in range(200, len(file), 7):
            try:
                said.append(str(parse_instance(file[:length], rules=rules).problems))
            except InvalidDicom as refused:
                said.append(f"{refused} {refused.__cause__}")
    assert MARKER not in caplog.text + " ".join(said)


OUTCOMES = {"": {"store", "warn"}, "either": {"store", "warn", "reject"}}
NOT_OURS = "the same study with PatientID B"
"""A conflict between instances: only whoever knows the stored study can tell."""


def outcome(row: ManifestRow) -> str:
    try:
        parsed = parse_instance(row.path.read_bytes(), rules=Rules.V2)
    except InvalidDicom:
        return "reject"
    if failures(parsed):
        return "reject"
    return "warn" if parsed.problems or parsed.multivalued else "store"


@pytest.mark.parametrize("row", [row for row in manifest() if row.expect], ids=lambda row: row.file)
def test_the_files_of_the_data_set_fare_as_the_manifest_expects(row: ManifestRow) -> None:
    expected = {"store"} if row.notes.startswith(NOT_OURS) else OUTCOMES.get(row.expect, {row.expect})
    assert outcome(row) in expected


REFUSED = {
    "fo-dicom/GH179B.dcm": "an element without VR and length",
    "fo-dicom/FreezePattern.dcm": "an item after an empty sequence",
    "pydicom/meta_missing_tsyntax.dcm": "no transfer syntax",
}


@pytest.mark.parametrize("row", [row for row in manifest() if not row.expect and row.file not in REFUSED], ids=lambda row: row.file)
def test_real_files_are_stored_if_they_are_part_10_files_and_have_their_uids(row: ManifestRow) -> None:
    file = row.path.read_bytes()
    if file[128:132] != b"DICM":
        with pytest.raises(InvalidDicom, match="prefix DICM"):
            parse_instance(file, rules=Rules.V2)
        return
    assert all(
        problem.explanation in {"is missing", "is empty"} for problem in parse_instance(file, rules=Rules.V2).problems if problem.required
    )
