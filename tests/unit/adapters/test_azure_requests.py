"""What the Azure adapters send when the service fails: verbs whose repetition would hide an outcome are sent once; nothing is logged."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from shared.adapters.azure_stores import open_azure
from shared.errors import OutcomeUnknown
from shared.ports import Create, Message
from shared.settings import StorageSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from shared.ports import Stores

MARKER = "marker1234"
ANSWER = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FailingService:
    """A storage service that answers 500 to everything, and counts."""

    def __init__(self) -> None:
        self.requests = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        await reader.readexactly(length)
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@pytest.fixture
def service() -> FailingService:
    return FailingService()


@pytest.fixture
async def stores(service: FailingService) -> AsyncIterator[Stores]:
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/account"
    endpoints = "".join(f"{kind}Endpoint={url};" for kind in ("Blob", "Table", "Queue"))
    opened = open_azure(StorageSettings("azure", connection_string=f"AccountName=account;AccountKey=a2V5;{endpoints}"))
    yield opened.stores
    await opened.close()
    server.close()
    await server.wait_closed()


SENT_ONCE: list[tuple[str, Callable[[Stores], Awaitable[object]]]] = [
    ("transaction", lambda stores: stores.tables.transact("catalog", MARKER, [Create(MARKER, {"a": MARKER})])),
    ("exclusive-put", lambda stores: stores.blobs.put("dicom", MARKER, b"content", metadata={"a": MARKER})),
    ("append", lambda stores: stores.blobs.append("audit", MARKER, b"content", offset=3)),
    ("first-append", lambda stores: stores.blobs.append("audit", MARKER, b"content", offset=0)),
    ("deletion-of-a-blob", lambda stores: stores.blobs.delete("dicom", MARKER)),
    ("deletion-of-a-message", lambda stores: stores.queues.delete("settle", Message(MARKER, MARKER, MARKER, 1))),
    ("postponement", lambda stores: stores.queues.postpone("settle", Message(MARKER, MARKER, MARKER, 1), delay_seconds=1)),
    ("probe-of-a-container", lambda stores: stores.blobs.check("dicom")),
    ("probe-of-a-table", lambda stores: stores.tables.check("catalog")),
    ("probe-of-a-queue", lambda stores: stores.queues.check("settle")),
]


@pytest.mark.parametrize("verb", [row[1] for row in SENT_ONCE], ids=[row[0] for row in SENT_ONCE])
async def test_verb_is_sent_once_and_its_outcome_unknown(
    stores: Stores, service: FailingService, verb: Callable[[Stores], Awaitable[object]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(OutcomeUnknown) as raised:
        await verb(stores)
    assert service.requests == 1
    assert MARKER not in str(raised.value)
    assert MARKER not in caplog.text


async def test_read_is_tried_again(stores: Stores, service: FailingService, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reading = asyncio.create_task(stores.tables.get("catalog", MARKER, MARKER))
    async with asyncio.timeout(30):
        while service.requests < 2:  # noqa: ASYNC110 -- counted by another connection
            await asyncio.sleep(0.05)
    reading.cancel()
    assert MARKER not in caplog.text
