"""Opening stores by the settings."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shared.adapters.stores import before_closing, close_stores, open_stores, prepare_stores, watch_inbox
from shared.errors import NotConfigured
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from pathlib import Path


async def test_same_settings_give_the_same_stores_until_closed(tmp_path: Path) -> None:
    settings = StorageSettings("embedded", tmp_path)
    first = open_stores(settings)
    assert open_stores(StorageSettings("embedded", tmp_path)) is first
    await prepare_stores(settings)
    await close_stores()
    assert open_stores(settings) is not first
    await close_stores()


async def test_who_has_to_write_before_the_stores_are_closed_does_so_once(tmp_path: Path) -> None:
    settings = StorageSettings("embedded", tmp_path)
    blobs = open_stores(settings).blobs

    async def farewell() -> None:
        await blobs.append("audit", "log", b"the end", offset=0)

    before_closing(farewell)
    await close_stores()
    await close_stores()
    assert await open_stores(settings).blobs.read("audit", "log") == b"the end"
    await close_stores()


async def test_stores_in_memory_have_no_inbox_to_watch() -> None:
    settings = StorageSettings("embedded")
    await watch_inbox(settings)
    await close_stores()


async def test_azure_needs_its_service_uris() -> None:
    with pytest.raises(NotConfigured):
        open_stores(StorageSettings("azure", blob_service_uri="https://account.blob.example"))


async def test_opening_azure_sends_nothing() -> None:
    uris = {f"{service}_service_uri": f"https://account.{service}.invalid" for service in ("blob", "table", "queue")}
    stores = open_stores(StorageSettings("azure", **uris, client_id="00000000-0000-0000-0000-000000000000"))  # type: ignore[arg-type]  # three strings
    assert stores is not None
    await close_stores()


def test_embedded_stores_load_no_azure_package() -> None:
    code = (
        "import sys; from shared.adapters.stores import open_stores; from shared.settings import StorageSettings; "
        "open_stores(StorageSettings('embedded')); sys.exit(any(name.startswith('azure') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 -- our own interpreter
