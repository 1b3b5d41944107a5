"""Store requests as the service takes them: parts from bytes, and bodies that break off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.catalog.archive_key import load_archive_key
from shared.catalog.cover import Cover
from shared.catalog.publisher import FeedPublisher
from shared.catalog.reading import CatalogReader
from shared.catalog.studies import Committer
from shared.services.stow import BodyCutOff, Part, RefusedPart, StowService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from shared.catalog.keys import ArchiveKey
    from shared.ports import Stores

MAX_BYTES = 50_000_000


async def parts(
    files: Iterable[bytes | RefusedPart], *, cut_off_in: int | None = None, piece_bytes: int = 65_536
) -> AsyncIterator[Part | RefusedPart]:
    """Give each file as a part, in pieces; break off half-way in the part of index ``cut_off_in``."""
    for index, file in enumerate(files):
        yield file if isinstance(file, RefusedPart) else Part(_pieces(file, piece_bytes, cut_off=index == cut_off_in))


async def _pieces(file: bytes, piece_bytes: int, *, cut_off: bool) -> AsyncIterator[bytes]:
    end = len(file) // 2 if cut_off else len(file)
    for start in range(0, end, piece_bytes):
        yield file[start : min(start + piece_bytes, end)]
    if cut_off:
        raise BodyCutOff("the body ended early")


class SmallArchive:
    """The write path on given stores, as one process has it."""

    def __init__(self, stores: Stores, key: ArchiveKey) -> None:
        self.stores, self.key = stores, key
        self.cover = Cover(stores.queues, 60)
        self.publisher = FeedPublisher(stores.tables, stores.clock)
        self.committer = Committer(stores, key, self.publisher, self.cover)
        self.reader = CatalogReader(stores.tables, key)
        self.stow = StowService(stores, key, self.committer, MAX_BYTES)


async def small_archive(stores: Stores) -> SmallArchive:
    """Open an archive on stores."""
    return SmallArchive(stores, await load_archive_key(stores))
