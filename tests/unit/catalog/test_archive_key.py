"""The archive's key is made once, on empty stores only."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from shared.catalog.archive_key import load_archive_key
from shared.catalog.keys import ARCHIVE, CATALOG, DICOM
from shared.errors import NotConfigured
from shared.ports import Create
from tests.support.stores import memory_stores


async def test_all_processes_use_the_key_that_the_first_made() -> None:
    stores = memory_stores()
    found = await asyncio.gather(*[load_archive_key(stores) for _ in range(8)])
    assert len(set(found)) == 1


async def test_two_archives_have_different_keys() -> None:
    one, other = await load_archive_key(memory_stores()), await load_archive_key(memory_stores())
    assert one.h("x") != other.h("x")


async def test_a_key_that_is_missing_beside_rows_is_not_made_anew() -> None:
    stores = memory_stores()
    await stores.tables.transact(CATALOG, "p", [Create("r", {"schema": 1})])
    with pytest.raises(NotConfigured, match="missing"):
        await load_archive_key(stores)


async def test_a_key_that_is_missing_beside_blobs_is_not_made_anew() -> None:
    stores = memory_stores()
    await stores.blobs.put(DICOM, "00/x.dcm", b"x")
    with pytest.raises(NotConfigured, match="missing"):
        await load_archive_key(stores)


async def test_an_archive_of_a_newer_schema_is_not_opened() -> None:
    stores = memory_stores()
    await stores.blobs.put(ARCHIVE, "archive.json", orjson.dumps({"schema": 99, "key_id": "k", "secret": "00"}))
    with pytest.raises(NotConfigured, match="newer"):
        await load_archive_key(stores)
