"""Opening the embedded set: files and SQLite in a data directory, or everything in memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shared.adapters.data_directory import DataDirectory
from shared.adapters.embedded_blobs import EmbeddedBlobs
from shared.adapters.embedded_database import Database
from shared.adapters.embedded_queues import EmbeddedQueues
from shared.adapters.embedded_tables import EmbeddedTables
from shared.adapters.inbox_events import InboxEvents, watch
from shared.adapters.memory_blobs import MemoryBlobs
from shared.adapters.names import CONTAINERS, QUEUES, TABLES
from shared.adapters.open_stores import OpenStores
from shared.adapters.system_clock import SystemClock
from shared.ports import Stores

if TYPE_CHECKING:
    from shared.ports import Clock
    from shared.settings import StorageSettings


def open_embedded(settings: StorageSettings, clock: Clock | None = None) -> OpenStores:
    """Open the stores of ``settings.data_dir``, in memory where that is None.

    Raises
    ------
    NotConfigured
        Another process uses the data directory, or it cannot be written.
    """
    clock = clock or SystemClock()
    directory = DataDirectory(settings.data_dir, settings.inbox_dir) if settings.data_dir else None
    database = Database(directory.database if directory else None, merge_writes=settings.merge_writes)
    queues = EmbeddedQueues(database, QUEUES, clock)
    events = InboxEvents(queues)
    blobs = EmbeddedBlobs(directory.roots, directory.trash, database, events) if directory else MemoryBlobs(CONTAINERS, events, clock)

    async def prepare() -> None:
        """Do nothing: opening made what was missing."""

    async def close() -> None:
        blobs.close()
        database.close()
        if directory:
            directory.close()

    return OpenStores(
        stores=Stores(blobs=blobs, tables=EmbeddedTables(database, TABLES), queues=queues, clock=clock),
        prepare=prepare,
        watch_inbox=partial(watch, events, blobs, clock) if directory else None,
        close=close,
    )
