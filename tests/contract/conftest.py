"""All sets of adapters, each of which must keep the same contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, cast
from uuid import uuid4

import pytest
from azure.storage.queue.aio import QueueServiceClient

from shared.adapters.azure_stores import open_azure
from shared.adapters.embedded_stores import open_embedded
from shared.adapters.names import QUEUES
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from pathlib import Path

    from localhost.azurite import Azurite
    from shared.ports import BlobStore, MessageQueue, Stores, TableStore

PassTime: TypeAlias = Callable[[float], Awaitable[None]]


class SettableClock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)

    def now(self) -> datetime:
        return self._now

    async def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture(params=["disk", "disk-unmerged", "memory", "azurite"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, clock: SettableClock) -> AsyncIterator[Stores]:
    if request.param == "azurite":
        azurite = cast("Azurite", request.getfixturevalue("azurite"))
        opened = open_azure(StorageSettings("azure", connection_string=azurite.connection_string))
        await _empty_queues(azurite.connection_string)
    else:
        folder = None if request.param == "memory" else tmp_path / "data"
        opened = open_embedded(StorageSettings("embedded", folder, merge_writes=request.param == "disk"), clock)
    await opened.prepare()
    yield opened.stores
    await opened.close()


@pytest.fixture
def pass_time(request: pytest.FixtureRequest, stores: Stores, clock: SettableClock) -> PassTime:
    """Let time pass: really where the emulator keeps the time."""
    return clock.pass_time if stores.clock is clock else asyncio.sleep


@pytest.fixture
def tables(stores: Stores) -> TableStore:
    return stores.tables


@pytest.fixture
def blobs(stores: Stores) -> BlobStore:
    return stores.blobs


@pytest.fixture
def queues(stores: Stores) -> MessageQueue:
    return stores.queues


@pytest.fixture
def partition() -> str:
    """Give a partition that no other test uses, for the emulator is shared."""
    return f"p~{uuid4().hex}"


@pytest.fixture
def folder() -> str:
    """Give a prefix of blob names that no other test uses."""
    return f"{uuid4().hex}/"


async def _empty_queues(connection_string: str) -> None:
    async with QueueServiceClient.from_connection_string(connection_string) as service:
        existing = {queue.name async for queue in service.list_queues()}
        for name in existing.intersection(QUEUES):
            await service.get_queue_client(name).clear_messages()
