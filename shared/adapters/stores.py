"""The stores that the settings name: opened once per process, shared by whoever asks (function app and local host)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from shared.adapters.open_stores import OpenStores
    from shared.ports import Stores
    from shared.settings import StorageSettings

_opened: dict[StorageSettings, OpenStores] = {}
_farewells: list[Callable[[], Awaitable[None]]] = []


def open_stores(settings: StorageSettings) -> Stores:
    """Give the stores; opens them on the first call. Nothing is sent over a network.

    Raises
    ------
    NotConfigured
        The data directory is in use by another process, or cannot be written.
    """
    return _open(settings).stores


async def prepare_stores(settings: StorageSettings) -> None:
    """Make containers, tables and queues that are missing. In production the deployment does, and this is not called."""
    await _open(settings).prepare()


async def watch_inbox(settings: StorageSettings) -> None:
    """Announce files that people drop into the inbox folder, until cancelled. Returns at once where the store tells by itself."""
    watch = _open(settings).watch_inbox
    if watch is not None:
        await watch()


def before_closing(farewell: Callable[[], Awaitable[None]]) -> None:
    """Have something done once, before the stores are closed: by who still has to write into them."""
    _farewells.append(farewell)


async def close_stores() -> None:
    """Flush and release all stores; the next ``open_stores`` opens them anew."""
    while _farewells:
        await _farewells.pop()()
    while _opened:
        _, opened = _opened.popitem()
        await opened.close()


def _open(settings: StorageSettings) -> OpenStores:
    if settings not in _opened:
        _opened[settings] = _open_anew(settings)
    return _opened[settings]


def _open_anew(settings: StorageSettings) -> OpenStores:
    if settings.kind == "embedded":
        from shared.adapters.embedded_stores import open_embedded  # noqa: PLC0415 -- SQLite is not needed on Azure

        return open_embedded(settings)
    from shared.adapters.azure_stores import open_azure  # noqa: PLC0415 -- the SDKs take half a second to import

    return open_azure(settings)
