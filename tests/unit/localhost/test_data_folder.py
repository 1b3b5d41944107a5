"""Only a folder that the host made is used, and emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localhost.data_folder import own_data_folder
from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("empty", [False, True])
def test_a_new_folder_is_made(tmp_path: Path, empty: bool) -> None:
    with own_data_folder(tmp_path / "a" / "b", empty=empty):
        pass
    assert (tmp_path / "a" / "b").is_dir()


def test_what_is_there_stays(tmp_path: Path) -> None:
    with own_data_folder(tmp_path, empty=False):
        pass
    (tmp_path / "file").touch()
    with own_data_folder(tmp_path, empty=False):
        pass
    assert (tmp_path / "file").exists()


def test_emptying_removes_what_is_there_and_nothing_behind_links(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "data"
    outside.mkdir()
    (outside / "kept").touch()
    with own_data_folder(folder, empty=False):
        pass
    (folder / "blobs").mkdir()
    (folder / "blobs" / "x").touch()
    (folder / "link").symlink_to(outside)
    with own_data_folder(folder, empty=True):
        pass
    assert [path.name for path in folder.iterdir()] == [".localhost"]
    assert (outside / "kept").exists()


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_of_somebody_else_is_refused_untouched(tmp_path: Path, empty: bool) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StartupProblem, match="--data"), own_data_folder(tmp_path, empty=empty):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(StartupProblem, match="is a file"), own_data_folder(tmp_path / "x", empty=False):
        pass


def test_a_folder_that_cannot_be_made_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(StartupProblem, match="cannot be made"), own_data_folder(tmp_path / "x" / "y", empty=False):
        pass


def test_a_folder_that_a_host_runs_on_is_neither_used_nor_emptied(tmp_path: Path) -> None:
    with own_data_folder(tmp_path, empty=False):
        (tmp_path / "file").touch()
        with pytest.raises(StartupProblem, match="Another host"), own_data_folder(tmp_path, empty=True):
            pass
        assert (tmp_path / "file").exists()
