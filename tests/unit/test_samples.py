"""The committed sample study is what its script makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from samples.make_sample import STUDY_FOLDER, sample_files, write

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pydicom.uid import UID


@pytest.mark.parametrize(("name", "ds", "transfer_syntax_uid"), [pytest.param(*row, id=row[0]) for row in sample_files()])
def test_a_sample_file_is_what_the_script_makes(name: str, ds: Dataset, transfer_syntax_uid: UID, tmp_path: Path) -> None:
    write(ds, transfer_syntax_uid, tmp_path / name)
    assert (tmp_path / name).read_bytes() == (STUDY_FOLDER / name).read_bytes()


def test_the_sample_study_stays_small() -> None:
    assert sum(path.stat().st_size for path in STUDY_FOLDER.rglob("*.dcm")) < 1_500_000
