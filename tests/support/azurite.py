"""Azurite for tests: started once per session, data in a temporary folder. It never skips: without Node the tests fail and say so."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from localhost.azurite import start_azurite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from localhost.azurite import Azurite


@contextmanager
def running_azurite(folder: Path) -> Iterator[Azurite]:
    """Run Azurite on free loopback ports; stop it and wait for it at the end."""
    azurite = start_azurite(folder)
    try:
        yield azurite
    finally:
        azurite.stop()
