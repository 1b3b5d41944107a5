"""The MessageQueue port on Azure Queue Storage.

Messages are base64, as the Functions host and Event Grid write and expect them.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.adapters.azure_errors import Translation
from shared.adapters.queue_limits import check_body, check_limit
from shared.errors import NotPresent
from shared.ports import Backlog, Message

if TYPE_CHECKING:
    from azure.storage.queue import QueueMessage
    from azure.storage.queue.aio import QueueClient, QueueServiceClient

_NEVER = -1
_USING = Translation("use of a queue")


class AzureQueues:
    """Queues of a storage account."""

    def __init__(self, service: QueueServiceClient) -> None:
        self._service = service
        self._clients: dict[str, QueueClient] = {}

    async def send(self, queue: str, body: str, *, delay_seconds: float = 0) -> None:
        """Send a message that nobody sees for ``delay_seconds``, rounded up to a second."""
        check_body(body)
        encoded = base64.b64encode(body.encode()).decode()
        with _USING:
            await self._queue(queue).send_message(encoded, visibility_timeout=math.ceil(delay_seconds), time_to_live=_NEVER)

    async def receive(self, queue: str, *, limit: int = 16, visibility_seconds: float = 300) -> list[Message]:
        """Take up to ``limit`` messages; unless deleted they come back after ``visibility_seconds``."""
        check_limit(limit)
        found = self._queue(queue).receive_messages(messages_per_page=limit, visibility_timeout=math.ceil(visibility_seconds))
        with _USING:
            async for page in found.by_page():
                return [_message(message) async for message in page]
        return []

    async def delete(self, queue: str, message: Message) -> None:
        """Finish a message. ``NotPresent`` where it was taken by somebody else meanwhile."""
        with _USING:
            await self._queue(queue).delete_message(message.id, pop_receipt=message.receipt, retry_total=0)

    async def postpone(self, queue: str, message: Message, *, delay_seconds: float) -> Message:
        """Keep a taken message out of sight for ``delay_seconds`` from now; give it with its new receipt."""
        with _USING:
            updated = await self._queue(queue).update_message(
                message.id, pop_receipt=message.receipt, visibility_timeout=math.ceil(delay_seconds), retry_total=0
            )
        if updated.pop_receipt is None:
            raise NotPresent("the message has no receipt any more")
        return replace(message, receipt=updated.pop_receipt)

    async def backlog(self, queue: str) -> Backlog:
        """Tell what waits, without taking it."""
        with _USING:
            properties = await self._queue(queue).get_queue_properties()
            peeked = await self._queue(queue).peek_messages(max_messages=1) if properties.approximate_message_count else []
        count = properties.approximate_message_count or 0
        return Backlog(count, _decoded(peeked[0].content), peeked[0].inserted_on) if peeked else Backlog(count)

    async def check(self, queue: str) -> None:
        """Raise a ``StorageFailure`` where the queue cannot be reached."""
        with _USING:
            await self._queue(queue).get_queue_properties(retry_total=0)

    def _queue(self, queue: str) -> QueueClient:
        client = self._clients.get(queue)
        if client is None:
            client = self._clients[queue] = self._service.get_queue_client(queue)
        return client


def _message(received: QueueMessage) -> Message:
    return Message(received.id, received.pop_receipt or "", _decoded(received.content), received.dequeue_count or 1)


def _decoded(content: str) -> str:
    """Undo base64; a message that somebody sent as plain text stays as it is."""
    try:
        return base64.b64decode(content, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return content
