"""Observed stores are the same stores, and every call of theirs is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.catalog.keys import CATALOG, DICOM, SETTLE_QUEUE
from shared.errors import NotPresent
from shared.ports import BlobStore, Create, MessageQueue, TableStore
from shared.telemetry.stores import observed
from tests.support.stores import memory_stores
from tests.support.telemetry import RecordedTelemetry

if TYPE_CHECKING:
    from shared.ports import Stores

PARTITION = "p~" + "a" * 26


@pytest.fixture
def recorded() -> RecordedTelemetry:
    return RecordedTelemetry()


@pytest.fixture
def stores(recorded: RecordedTelemetry) -> Stores:
    return observed(memory_stores(), recorded.telemetry)


def calls(recorded: RecordedTelemetry) -> dict[str, int]:
    points = recorded.points("archive.storage.duration")
    return {" ".join(map(str, point.dimensions.values())): point.count for point in points}


async def test_calls_have_their_store_verb_name_and_outcome(stores: Stores, recorded: RecordedTelemetry) -> None:
    await stores.tables.transact(CATALOG, PARTITION, [Create("study", {"a": 1})])
    assert await stores.tables.get(CATALOG, PARTITION, "study")
    await stores.queues.send(SETTLE_QUEUE, "body")
    await stores.blobs.put(DICOM, "aa/x.dcm", b"1234")
    with pytest.raises(NotPresent):
        await stores.blobs.read(DICOM, "aa/y.dcm")
    assert calls(recorded) == {
        "tables transact catalog ok": 1,
        "tables get catalog ok": 1,
        "queues send settle ok": 1,
        "blobs put dicom ok": 1,
        "blobs read dicom NotPresent": 1,
    }


async def test_every_page_is_a_call_and_so_is_finding_none(stores: Stores, recorded: RecordedTelemetry) -> None:
    await stores.tables.upsert_many(CATALOG, [(PARTITION, f"row{n}", {}) for n in range(5)])
    pages = [page async for page in stores.tables.pages(CATALOG, PARTITION, page_size=2)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [page async for page in stores.tables.pages(CATALOG, "p~nothing")] == []
    assert calls(recorded)["tables pages catalog ok"] == 4


async def test_a_stream_is_one_call_however_many_pieces_it_has(stores: Stores, recorded: RecordedTelemetry) -> None:
    content = bytes(9 * 1024 * 1024)
    await stores.blobs.put(DICOM, "aa/x.dcm", content)
    assert b"".join([piece async for piece in stores.blobs.stream(DICOM, "aa/x.dcm")]) == content
    with pytest.raises(NotPresent):
        _ = [piece async for piece in stores.blobs.stream(DICOM, "aa/y.dcm")]
    assert (calls(recorded)["blobs stream dicom ok"], calls(recorded).get("blobs stream dicom NotPresent")) == (1, 1)


async def test_a_listing_that_is_left_early_is_closed(stores: Stores) -> None:
    await stores.tables.upsert_many(CATALOG, [(PARTITION, f"row{n}", {}) for n in range(5)])
    pages: Any = stores.tables.pages(CATALOG, PARTITION, page_size=2)
    assert len(await anext(pages)) == 2
    await pages.aclose()
    assert await anext(pages, None) is None


@pytest.mark.parametrize(("store", "port"), [("tables", TableStore), ("blobs", BlobStore), ("queues", MessageQueue)])
def test_every_verb_of_a_port_is_observed(stores: Stores, store: str, port: type) -> None:
    seen = getattr(stores, store)
    verbs = [verb for verb in vars(port) if not verb.startswith("_") and verb != "durable"]
    assert len(verbs) >= 6
    for verb in verbs:
        assert getattr(seen, verb).__module__ == "shared.telemetry.stores", verb
