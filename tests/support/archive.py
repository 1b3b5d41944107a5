"""An archive on counted in-memory stores, with its services, for tests of single services."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.dicom.instance import Rules
from shared.services.archive import Archive, Services
from shared.services.stow import Part
from shared.settings import Settings, StorageSettings
from tests.support.counting import counting
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import AsyncIterator

    from shared.ports import Stores
    from shared.services.stow import StoreResult

SETTINGS = Settings(storage=StorageSettings(kind="embedded"))


@dataclass(frozen=True)
class TestArchive:
    """Services, the stores below them, and the requests that reach those."""

    __test__ = False

    stores: Stores
    services: Services
    counts: Counter[str]

    async def store(self, *files: bytes, replace: bool = False) -> StoreResult:
        """Store instances in one request, then forget what it cost."""
        result = await self.services.stow.store(_parts(files), study_instance_uid=None, rules=Rules.V2, replace=replace)
        self.counts.clear()
        return result


async def open_archive(stores: Stores | None = None) -> TestArchive:
    """Open a new archive, or the one on these stores."""
    counted, counts = counting(stores or memory_stores())
    services = await Archive(counted, SETTINGS).open()
    counts.clear()
    return TestArchive(counted, services, counts)


async def _parts(files: tuple[bytes, ...]) -> AsyncIterator[Part]:
    for file in files:
        yield Part(_pieces(file))


async def _pieces(file: bytes) -> AsyncIterator[bytes]:
    yield file
