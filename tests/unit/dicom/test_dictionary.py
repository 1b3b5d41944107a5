"""The data dictionary file says what pydicom's dictionary says."""

from __future__ import annotations

from shared.dicom.dictionary import PATH, entry_of, tag_of_keyword
from tools.make_data_dictionary import lines


def test_the_file_is_what_its_script_would_write_today() -> None:
    assert PATH.read_text(encoding="ascii").splitlines()[1:] == list(lines())[1:]


def test_a_repeating_group_is_found_under_each_of_its_numbers() -> None:
    assert entry_of(0x60003000) == entry_of(0x601E3000) == ("OB|OW", "OverlayData")


def test_private_and_unknown_tags_have_no_entry() -> None:
    assert entry_of(0x00091001) is None
    assert entry_of(0x00080FFF) is None


def test_a_keyword_is_case_sensitive_and_names_one_tag() -> None:
    assert tag_of_keyword("StudyDate") == "00080020"
    assert tag_of_keyword("studydate") is None
    assert tag_of_keyword("OverlayData") is None
