"""Blob-created events of the embedded store: what Event Grid does for the container ``inbox`` on Azure.

Files also come by hand: people drop them into the folder. ``watch`` notices those once they have stopped growing. An event is sent
once for each (name, ETag), as long as the process lives; after a restart what still lies there is announced again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from shared.adapters.names import INBOX, INBOX_EVENTS
from shared.errors import StorageFailure

if TYPE_CHECKING:
    from datetime import datetime

    from shared.ports import BlobInfo, BlobStore, Clock, MessageQueue

SUBJECT = f"/blobServices/default/containers/{INBOX}/blobs/"
LOOK_SECONDS = 1.0
"""Between two looks into the folder, and how long a file must not have changed."""
_REST_PER_LOOK = 4.0
"""A look that takes long (many files) is followed by a rest this many times as long."""


class InboxEvents:
    """Sends events in the shape of Event Grid's to the queue ``inbox-events``."""

    def __init__(self, queues: MessageQueue) -> None:
        self._queues = queues
        self._announced: dict[str, str] = {}

    async def announce(self, blob_name: str, etag: str) -> None:
        """Tell that a blob was written, unless that was told already."""
        if self._announced.get(blob_name) == etag:
            return
        self._announced[blob_name] = etag
        event = {"eventType": "Microsoft.Storage.BlobCreated", "subject": SUBJECT + blob_name}
        await self._queues.send(INBOX_EVENTS, orjson.dumps(event).decode())

    def forget(self, blob_name: str) -> None:
        """Note that a blob is gone."""
        self._announced.pop(blob_name, None)


async def watch(events: InboxEvents, blobs: BlobStore, clock: Clock) -> None:
    """Announce files that people drop into the inbox, until cancelled."""
    loop = asyncio.get_running_loop()
    seen: dict[str, str] = {}
    while True:
        started = loop.time()
        try:
            seen = await look(events, blobs, clock, seen)
        except StorageFailure:
            seen = {}  # the folder is away; the health probe tells
        await asyncio.sleep(max(LOOK_SECONDS, (loop.time() - started) * _REST_PER_LOOK))


async def look(events: InboxEvents, blobs: BlobStore, clock: Clock, seen: dict[str, str]) -> dict[str, str]:
    """Announce what has not changed since ``seen``; give the ETag of each file that lies there now."""
    now_seen: dict[str, str] = {}
    before = clock.now() - timedelta(seconds=LOOK_SECONDS)
    async for page in blobs.list(INBOX):
        for blob in page:
            now_seen[blob.name] = blob.etag
            if seen.get(blob.name) == blob.etag and _is_at_rest(blob, before):
                await events.announce(blob.name, blob.etag)
    for name in seen.keys() - now_seen.keys():
        events.forget(name)
    return now_seen


def _is_at_rest(blob: BlobInfo, before: datetime) -> bool:
    return blob.modified <= before
