"""The embedded adapters in memory, for unit tests: they have passed the contract, so no mocks are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.adapters.embedded_stores import open_embedded
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from shared.ports import Clock, Stores


def memory_stores(clock: Clock | None = None) -> Stores:
    """Make empty stores of their own; every verb is its own transaction, no threads, no timers."""
    return open_embedded(StorageSettings("embedded", merge_writes=False), clock).stores
