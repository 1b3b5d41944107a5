"""The inbox triggers: what the host hands over becomes a name, and only names of the inbox count."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azurefunctions.extensions.base import get_binding_registry

from functions._blob_name import BlobName
from functions.ingest import blob_names
from shared.errors import InvalidRequest
from shared.settings import Settings, StorageSettings
from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance

CREATED = "Microsoft.Storage.BlobCreated"
CONTAINERS = "/blobServices/default/containers"


def event(blob: str, kind: str = CREATED) -> dict[str, Any]:
    container, _, name = blob.partition("/")
    return {"id": "1", "eventType": kind, "subject": f"{CONTAINERS}/{container}/blobs/{name}"}


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (event("inbox/a.dcm"), ["a.dcm"]),
        (event("inbox/folder one/a#.dcm"), ["folder one/a#.dcm"]),
        (event("inbox/inbox/a.dcm"), ["inbox/a.dcm"]),
        ([event("inbox/a"), event("inbox/b")], ["a", "b"]),
        ({"type": CREATED, "subject": f"{CONTAINERS}/inbox/blobs/a.dcm"}, ["a.dcm"]),
        (event("dicom/00/a.dcm"), []),
        (event("inbox-rejected/a.dcm"), []),
        (event("inbox/a.dcm", "Microsoft.Storage.BlobDeleted"), []),
    ],
    ids=["plain", "odd characters", "same-named folder", "batch", "cloud event", "other container", "similar container", "other event"],
)
def test_an_event_grid_message_names_inbox_blobs(message: object, names: list[str]) -> None:
    assert blob_names(json.dumps(message).encode()) == names


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b'{"eventType":"Microsoft.Storage.BlobCreated"}', b"\xff"])
def test_a_foreign_message_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        blob_names(body)


def test_the_host_sends_a_reference_and_the_function_gets_names() -> None:
    registry: Any = get_binding_registry()
    assert registry.check_supported_type(BlobName)
    content = json.dumps({"Connection": "STORAGE", "ContainerName": "inbox", "BlobName": "a/b.dcm"}).encode()
    datum = SimpleNamespace(type="model_binding_data", value=SimpleNamespace(content=content))
    blob = registry.get("blobTrigger").decode(datum, trigger_metadata={}, pytype=BlobName)
    assert (blob.container_name, blob.blob_name) == ("inbox", "a/b.dcm")


def test_the_host_is_told_that_a_reference_is_enough() -> None:
    registry: Any = get_binding_registry()
    function = AppClient().functions["ingest_blob"]
    raw, _ = registry.get_raw_bindings(function, {"blob": SimpleNamespace(pytype=BlobName)})
    assert json.loads(raw[0])["properties"] == {"SupportsDeferredBinding": True}


async def test_a_blob_event_stores_the_file() -> None:
    client = AppClient()
    await client.stores.blobs.put("inbox", "a.dcm", make_instance(PatientID="DROPPED"))
    await client.handler("ingest_blob")(blob=BlobName(container_name="inbox", blob_name="a.dcm"))
    assert await client.stores.blobs.head("inbox", "a.dcm") is None
    assert (await client.get("/v2/studies?PatientID=DROPPED")).status == 200


async def test_a_blob_event_of_another_container_does_nothing() -> None:
    client = AppClient()
    await client.stores.blobs.put("inbox", "a.dcm", make_instance())
    await client.handler("ingest_blob")(blob=BlobName(container_name="dicom", blob_name="a.dcm"))
    assert await client.stores.blobs.head("inbox", "a.dcm") is not None


async def test_with_a_queue_the_same_service_answers() -> None:
    client = AppClient(settings=Settings(storage=StorageSettings(kind="embedded"), inbox_trigger="queue"))
    assert "ingest_blob" not in client.functions
    await client.stores.blobs.put("inbox", "a.dcm", make_instance())
    message = func.QueueMessage(body=json.dumps(event("inbox/a.dcm")))
    await client.handler("ingest_blob_event")(message=message)
    assert await client.stores.blobs.head("inbox", "a.dcm") is None
