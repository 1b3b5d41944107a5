"""Opening the Azure set: one client for each service, which connect when they are first used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from azure.core.exceptions import ResourceExistsError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_blobs import AzureBlobs
from shared.adapters.azure_errors import Translation
from shared.adapters.azure_queues import AzureQueues
from shared.adapters.azure_tables import AzureTables
from shared.adapters.credentials import make_credential, service_uris
from shared.adapters.names import CONTAINERS, QUEUES, TABLES
from shared.adapters.open_stores import OpenStores
from shared.adapters.system_clock import SystemClock
from shared.errors import NotConfigured
from shared.ports import Stores

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from azure.core.credentials_async import AsyncTokenCredential

    from shared.settings import StorageSettings

_Clients: TypeAlias = tuple[BlobServiceClient, TableServiceClient, QueueServiceClient]

_CONNECT_SECONDS, _ANSWER_SECONDS = 10, 60
_READ_BYTES = 256 * 1024
_RETRIES: dict[str, Any] = {"retry_total": 3, "initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1}
_TABLE_RETRIES: dict[str, Any] = {"retry_total": 3}
"""Somebody waits for the answer: a few tries within some seconds. (The blob and queue SDKs would wait 15 s before their second.)"""
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
    credential = None if settings.connection_string else make_credential(settings)
    blobs, tables, queues = _clients_by_identity(settings, credential) if credential else _clients_by_key(settings.connection_string or "")

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
        if credential:
            await credential.close()

    stores = Stores(blobs=AzureBlobs(blobs), tables=AzureTables(tables), queues=AzureQueues(queues), clock=SystemClock())
    return OpenStores(stores, prepare, None, close)


def _clients_by_key(connection_string: str) -> _Clients:
    try:
        return (
            BlobServiceClient.from_connection_string(connection_string, transport=_transport(), **_RETRIES, **_BLOB_SIZES),
            TableServiceClient.from_connection_string(connection_string, transport=_transport(), **_TABLE_RETRIES),
            QueueServiceClient.from_connection_string(connection_string, transport=_transport(), **_RETRIES),
        )
    except ValueError as error:
        raise NotConfigured("STORAGE is not the connection string of a storage account.") from error


def _clients_by_identity(settings: StorageSettings, credential: AsyncTokenCredential) -> _Clients:
    blob_uri, table_uri, queue_uri = service_uris(settings)
    return (
        BlobServiceClient(blob_uri, credential, transport=_transport(), **_RETRIES, **_BLOB_SIZES),
        TableServiceClient(table_uri, credential=credential, transport=_transport(), **_TABLE_RETRIES),
        QueueServiceClient(queue_uri, credential, transport=_transport(), **_RETRIES),
    )


def _transport() -> AioHttpTransport:
    """Make a pool of connections.

    It does not look for proxies in the environment, which takes two hand-overs to threads for each request, and reads bodies in
    larger pieces than the SDK's 4 KiB: together they halve the CPU time of a request.
    """
    return AioHttpTransport(
        connection_timeout=_CONNECT_SECONDS,
        read_timeout=_ANSWER_SECONDS,
        connection_data_block_size=_READ_BYTES,
        use_env_settings=False,
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
