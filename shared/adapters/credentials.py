"""How the Azure adapters prove who they are: a connection string (Azurite), or an identity without any key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.errors import NotConfigured

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from shared.settings import StorageSettings


def make_credential(settings: StorageSettings) -> AsyncTokenCredential:
    """Make the credential for the service URIs: the managed identity that is named, else whatever this machine offers."""
    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- 0.3 s that Azurite does not need

    if settings.client_id:
        return ManagedIdentityCredential(client_id=settings.client_id)
    return DefaultAzureCredential()


def service_uris(settings: StorageSettings) -> tuple[str, str, str]:
    """Give the URIs of the blob, table and queue services."""
    if not (settings.blob_service_uri and settings.table_service_uri and settings.queue_service_uri):
        raise NotConfigured("set the URIs of the blob, table and queue services, or a connection string")
    return settings.blob_service_uri, settings.table_service_uri, settings.queue_service_uri
