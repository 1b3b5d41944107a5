"""Which store a local run uses: the app settings that say so, and Azurite where it is asked for."""

from __future__ import annotations

import os
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from localhost.azurite import start_azurite
from shared.settings import STORAGE_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCAL_SETTLE_DELAY_SECONDS = "2"


class Store(StrEnum):
    """Where data is kept."""

    EMBEDDED = "embedded"
    AZURITE = "azurite"
    AZURE = "azure"


@contextmanager
def chosen_store(store: Store, data_folder: Path, inbox_folder: Path | None) -> Iterator[None]:
    """Set the app settings of a store while the host runs; start and stop Azurite."""
    os.environ.setdefault("SETTLE_DELAY", _LOCAL_SETTLE_DELAY_SECONDS)
    os.environ.pop("STORAGE_DATA_DIR", None)
    if store is Store.AZURITE:
        with _running_azurite(data_folder / "azurite"):
            yield
        return
    if store is Store.EMBEDDED:
        os.environ["STORAGE_DATA_DIR"] = str(data_folder)
        if inbox_folder is not None:
            os.environ["STORAGE_INBOX_DIR"] = str(inbox_folder)
    yield


@contextmanager
def _running_azurite(folder: Path) -> Iterator[None]:
    azurite = start_azurite(folder)
    try:
        os.environ[STORAGE_CONNECTION] = azurite.connection_string
        yield
    finally:
        azurite.stop()
