"""Opening the Azure set: one client for each service, which connect when they are first used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceExistsError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_blobs import AzureBlobs
from shared.adapters.azure_errors import Translation
from shared.adapters.azure_queues import AzureQueues
from shared.adapters.azure_tables import AzureTables
from shared.adapters.credentials import make_credential, require_uri
from shared.adapters.names import CONTAINERS, QUEUES, TABLES
from shared.adapters.open_stores import OpenStores
from shared.adapters.system_clock import SystemClock
from shared.errors import NotConfigured
from shared.ports import Stores

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from shared.settings import StorageSettings

_TIMEOUTS: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}
_BLOB_SIZES: dict[str, Any] = {
    "max_single_put_size": 256 * 1024 * 1024,
    "max_single_get_size": 64 * 1024 * 1024,
    "max_chunk_get_size": 16 * 1024 * 1024,
}
"""One request for whatever is in memory anyway."""


def open_azure(settings: StorageSettings) -> OpenStores:
    """Make the clients; nothing is sent yet.

    Raises
    ------
    NotConfigured
        A service's URI is missing, or the connection string cannot be read.
    """
    _silence_sdk()
    blobs, tables, queues = _clients(settings)

    async def prepare() -> None:
        for container in CONTAINERS:
            await _make(blobs.create_container(container))
        for table in TABLES:
            await _make(tables.create_table(table))
        for queue in QUEUES:
            await _make(queues.create_queue(queue))

    async def close() -> None:
        await blobs.close()
        await tables.close()
        await queues.close()

    stores = Stores(blobs=AzureBlobs(blobs), tables=AzureTables(tables), queues=AzureQueues(queues), clock=SystemClock())
    return OpenStores(stores, prepare, None, close)


def _clients(settings: StorageSettings) -> tuple[BlobServiceClient, TableServiceClient, QueueServiceClient]:
    if settings.connection_string:
        try:
            return (
                BlobServiceClient.from_connection_string(settings.connection_string, **_TIMEOUTS, **_BLOB_SIZES),
                TableServiceClient.from_connection_string(settings.connection_string, **_TIMEOUTS),
                QueueServiceClient.from_connection_string(settings.connection_string, **_TIMEOUTS),
            )
        except ValueError as error:
            raise NotConfigured("STORAGE is not the connection string of a storage account.") from error
    credential = make_credential(settings)
    return (
        BlobServiceClient(require_uri(settings.blob_service_uri), credential, **_TIMEOUTS, **_BLOB_SIZES),
        TableServiceClient(require_uri(settings.table_service_uri), credential=credential, **_TIMEOUTS),
        QueueServiceClient(require_uri(settings.queue_service_uri), credential, **_TIMEOUTS),
    )


def _silence_sdk() -> None:
    """Keep URLs out of the log: the SDK writes them, with keys and blob names, at level INFO."""
    logging.getLogger("azure").setLevel(logging.WARNING)


async def _make(creation: Awaitable[object]) -> None:
    with Translation("creation of a container, table or queue"):
        try:
            await creation
        except ResourceExistsError:
            return
