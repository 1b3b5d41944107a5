"""The data directory of the embedded set: its layout, and the lock that keeps it to one process.

``archive.sqlite3`` (with ``-wal`` and ``-shm``), ``blobs/<container>/<name>``, ``trash/``, ``lock``. An inbox folder may lie elsewhere.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from shared.adapters.names import CONTAINERS, INBOX
from shared.errors import NotConfigured

if TYPE_CHECKING:
    from pathlib import Path


class DataDirectory:
    """A data directory that is ours until ``close``.

    Raises
    ------
    NotConfigured
        Another process has it, or it cannot be made.
    """

    def __init__(self, folder: Path, inbox: Path | None = None) -> None:
        folder = folder.absolute()
        self.database = folder / "archive.sqlite3"
        self.trash = folder / "trash"
        self.roots = {container: folder / "blobs" / container for container in CONTAINERS}
        if inbox is not None:
            self.roots[INBOX] = inbox.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotConfigured("the data directory cannot be made or written; choose another or see to its permissions") from error
        self._take_lock()

    def close(self) -> None:
        """Let others have it."""
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise NotConfigured("another process uses the data directory; stop it, or choose another directory") from error
