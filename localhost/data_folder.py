"""The data directory of a local run: ours, or refused. Not: what the stores keep in it."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MARK = ".localhost"
_MARK_TEXT = "This folder belongs to the local function host; --empty removes everything in it.\n"


@contextmanager
def own_data_folder(folder: Path, *, empty: bool) -> Iterator[None]:
    """Make the folder, mark it as ours and hold it while the host runs; with ``empty`` clear it first.

    Raises
    ------
    StartupProblem
        It cannot be made, there are files in it that are not ours, or another host runs on it.
    """
    if folder.exists() and not folder.is_dir():
        raise StartupProblem(f"{folder} is a file; --data needs a folder.")
    mark = folder / _MARK
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise StartupProblem(f"{folder} holds files that this host did not make; choose an empty or new folder with --data.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupProblem(f"{folder} cannot be made ({error.strerror}); choose another folder with --data.") from error
    with mark.open("a", encoding="utf-8") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartupProblem(f"Another host runs on {folder}; stop it, or choose another folder with --data.") from error
        held.truncate(0)
        held.write(_MARK_TEXT)
        held.flush()
        if empty:
            _clear(folder)
        yield


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _MARK:
            entry.unlink()
