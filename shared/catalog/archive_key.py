"""The archive's own secret: made once, kept beside the data, read by every process before anything else.

``archive.json`` in container ``archive`` holds the key that all row keys are hashed with, its id and the schema
version. It is made on the first start only, and only where ``dicom`` and ``catalog`` are empty: a new key over
old data would lose every study at once. "Put if absent" is exclusive, and a process uses the key it reads back.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from shared.catalog.keys import ARCHIVE, CATALOG, DICOM, ArchiveKey
from shared.catalog.records import SCHEMA
from shared.errors import AlreadyPresent, NotConfigured, NotPresent

if TYPE_CHECKING:
    from shared.ports import BlobStore, Stores

_BLOB = "archive.json"


async def load_archive_key(stores: Stores) -> ArchiveKey:
    """Read the archive's key; make it where this is a new archive.

    Raises
    ------
    NotConfigured
        The key is missing although there is data, or it is of a newer schema than this version reads.
    StorageFailure
        Storage cannot be reached; ask again.
    """
    try:
        return await _read(stores.blobs)
    except NotPresent:
        if not await _is_new(stores):
            raise NotConfigured("archive/archive.json is missing although there is data: restore it from a backup.") from None
    fresh = {"schema": SCHEMA, "key_id": secrets.token_hex(4), "secret": secrets.token_hex(32)}
    with suppress(AlreadyPresent):  # another process was faster: its key counts
        await stores.blobs.put(ARCHIVE, _BLOB, orjson.dumps(fresh), exclusive=True)
    return await _read(stores.blobs)


async def _read(blobs: BlobStore) -> ArchiveKey:
    document: Any = orjson.loads(await blobs.read(ARCHIVE, _BLOB))
    if document["schema"] > SCHEMA:
        raise NotConfigured("The archive was written by a newer version; deploy that version or a later one.")
    return ArchiveKey(document["key_id"], bytes.fromhex(document["secret"]))


async def _is_new(stores: Stores) -> bool:
    if not await stores.tables.is_empty(CATALOG):
        return False
    async for _ in stores.blobs.list(DICOM):
        return False
    return True
