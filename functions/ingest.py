"""The inbox door: the blob trigger, and the queue trigger that stands in for it. Not: indexing rules."""

from __future__ import annotations

from typing import Any

import azure.functions as func
import orjson

from functions._blob_name import BlobName
from shared.catalog.keys import INBOX, INBOX_EVENTS_QUEUE
from shared.errors import InvalidRequest
from shared.services.archive import Archive
from shared.settings import STORAGE_CONNECTION, InboxTrigger
from shared.telemetry.recorder import Telemetry
from shared.telemetry.runs import REJECTED, guarded_run

_EVERY_TEN_MINUTES = "0 */10 * * * *"


def blueprint(archive: Archive, trigger: InboxTrigger, telemetry: Telemetry | None = None) -> func.Blueprint:
    """Register one of the two triggers, and the sweep for what no event announced."""
    bp = func.Blueprint()
    if trigger == "event-grid":
        _register_blob_trigger(bp, archive, telemetry)
    else:
        _register_queue_trigger(bp, archive, telemetry)

    @bp.timer_trigger(arg_name="timer", schedule=_EVERY_TEN_MINUTES)
    async def sweep_inbox(timer: func.TimerRequest) -> None:
        del timer
        with guarded_run(telemetry, "sweep_inbox"):
            await (await archive.open()).ingest.sweep_inbox()

    return bp


def _register_blob_trigger(bp: func.Blueprint, archive: Archive, telemetry: Telemetry | None) -> None:
    @bp.blob_trigger(arg_name="blob", path=INBOX + "/{name}", connection=STORAGE_CONNECTION, source=func.BlobSource.EVENT_GRID)
    async def ingest_blob(blob: BlobName) -> None:
        if blob.container_name == INBOX:  # with Event Grid the path is no filter: events of any container may come
            with guarded_run(telemetry, "ingest_blob") as run:
                if not await (await archive.open()).ingest.ingest(blob.blob_name):
                    run.outcome = REJECTED


def _register_queue_trigger(bp: func.Blueprint, archive: Archive, telemetry: Telemetry | None) -> None:
    @bp.queue_trigger(arg_name="message", queue_name=INBOX_EVENTS_QUEUE, connection=STORAGE_CONNECTION)
    async def ingest_blob_event(message: func.QueueMessage) -> None:
        with guarded_run(telemetry, "ingest_blob_event") as run:
            for blob_name in blob_names(message.get_body()):
                if not await (await archive.open()).ingest.ingest(blob_name):
                    run.outcome = REJECTED


def blob_names(body: bytes) -> list[str]:
    """Give the inbox blobs that a message from Event Grid names; it holds one event, or a list of them.

    Raises
    ------
    InvalidRequest
        It is no such message.
    """
    try:
        document: Any = orjson.loads(body)
        events: list[Any] = document if isinstance(document, list) else [document]
        names = [_inbox_blob(event["subject"]) for event in events if event.get("eventType", event.get("type")) == _CREATED]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest("The message is no event of Event Grid.") from error
    return [name for name in names if name]


_CREATED = "Microsoft.Storage.BlobCreated"
_INBOX_SUBJECT = f"/blobServices/default/containers/{INBOX}/blobs/"


def _inbox_blob(subject: str) -> str:
    """Give the name in an event's subject, which is not percent-encoded; "" where the blob is of another container."""
    return subject.removeprefix(_INBOX_SUBJECT) if subject.startswith(_INBOX_SUBJECT) else ""
