"""The file of SOP classes says what pydicom's dictionary says."""

from __future__ import annotations

from shared.dicom.sop_classes import PATH, name_of
from tools.make_sop_classes import lines


def test_the_file_is_what_its_script_would_write_today() -> None:
    assert PATH.read_text(encoding="ascii").splitlines()[1:] == list(lines())[1:]


def test_a_name_is_the_registrys() -> None:
    assert name_of("1.2.840.10008.5.1.4.1.1.2") == "CT Image Storage"


def test_an_unknown_sop_class_has_no_name() -> None:
    assert name_of("1.2.3") is None
