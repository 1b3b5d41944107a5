"""Where audit records lie: append blobs of this process, each block exactly once. Not: what a record holds, and when it is written.

A blob is this process's alone, since its name is new: ``yyyy/mm/dd/hh/<ulid>.ndjson``. Every block is appended at a stated offset. So a
block whose fate is unknown is written again at the same place: either it takes it, or the blob is longer already, which only the lost try
can have done. Until that is settled no other block may follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.catalog.feed import to_ms
from shared.catalog.keys import AUDIT
from shared.errors import OutcomeUnknown, PreconditionFailed, StorageFailure
from shared.services.ulid import new_ulid

if TYPE_CHECKING:
    from shared.ports import BlobStore, Clock

MAX_BLOCKS = 40_000
"""Of a blob: an append blob takes 50,000."""


class AuditLog:
    """Appends blocks; a new blob for each hour."""

    def __init__(self, blobs: BlobStore, clock: Clock) -> None:
        self._blobs, self._clock = blobs, clock
        self._folder = self._name = ""
        self._size = self._blocks = 0
        self._in_doubt = False

    async def write(self, block: bytes) -> None:
        """Append a block. After a failure the same one has to be written again, before any other.

        Raises
        ------
        StorageFailure
            It could not be written now, or perhaps was.
        """
        if not self._in_doubt:
            self._turn_page()
        try:
            await self._blobs.append(AUDIT, self._name, block, offset=self._size)
        except OutcomeUnknown:
            self._in_doubt = True
            raise
        except StorageFailure as error:
            if not (self._in_doubt and isinstance(error, PreconditionFailed)):
                self._folder, self._in_doubt = "", False  # whatever that blob is, we go on in another
                raise
        self._in_doubt = False
        self._size += len(block)
        self._blocks += 1

    def _turn_page(self) -> None:
        """Begin a blob where there is none, the hour is over, or it has enough blocks."""
        now = self._clock.now()
        folder = f"{now:%Y/%m/%d/%H}"
        if folder != self._folder or self._blocks >= MAX_BLOCKS:
            self._folder, self._name = folder, f"{folder}/{new_ulid(to_ms(now))}.ndjson"
            self._size = self._blocks = 0
