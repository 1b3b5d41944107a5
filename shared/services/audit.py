"""The audit trail: one record for each access, refusals included. Not: what a record says, and where it lies.

Records wait in memory and are written together, one block at a time. Who writes, deletes or is refused waits for its record's block; what
comes meanwhile shares the next. Records of reads wait for such company, and for ``GATHER_SECONDS`` at most: a crash loses those of the
last five seconds, and a reader costs no storage request. So do all records of the open local run, which knows nobody.

Where a block cannot be written, it is tried ``TRIES`` times; then the trail is *down* until it can be. Meanwhile nothing that was done is
forgotten: its records wait in memory, and the block is tried again and again. What is asked for while the trail is down is

refuse   refused: what cannot be recorded is not done
buffer   done, while there is room for its record; a crash loses what waits

A record that waits is never dropped, unless there is no room and what it tells of was refused anyway; the log says how many.

References
----------
PS3.15 A.5 "Audit Trail Message Format Profile".
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.access import ANYBODY, DataAction
from shared.catalog.feed import to_ms
from shared.errors import Busy, StorageFailure
from shared.services.audit_log import AuditLog
from shared.services.audit_messages import audit_event
from shared.services.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shared.audit import AccessRecord
    from shared.ports import BlobStore, Clock
    from shared.settings import AuditWhenDown

GATHER_SECONDS = 4.0
"""How long the record of a read waits at most; with the time that writing takes, five seconds."""
TRIES = 3
PAUSE_SECONDS, PAUSE_WHEN_DOWN_SECONDS = 0.3, 2.0
"""Between two tries."""
CLOSE_SECONDS = 10.0
MAX_BLOCK_BYTES = 3 * 1024 * 1024
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""Of records in memory, which are some 20,000."""

_REFUSALS = frozenset({401, 403, 429})
_DOWN = "The audit trail cannot be written now, and what cannot be recorded is not done."

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    """Records that are written together."""

    lines: list[bytes] = field(default_factory=list)
    bytes: int = 0
    urgent: bool = False
    written: bool = False


class AuditService:
    """Keeps the audit trail of this process.

    Parameters
    ----------
    source
        Name of this archive in its records.
    when_down
        What becomes of requests while the trail cannot be written.
    """

    def __init__(self, blobs: BlobStore, clock: Clock, source: str, when_down: AuditWhenDown = "refuse") -> None:
        self._blocks, self._clock, self._source = AuditLog(blobs, clock), clock, source
        self._refuses = when_down == "refuse"
        self._batch = _Batch()
        self._waiting_bytes = self._dropped = 0
        self._down = False
        self._progress = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.Task[None] | None = None

    def admit(self) -> None:
        """Let a request begin.

        Raises
        ------
        Busy
            What it does could not be recorded now.
        """
        if self._down and (self._refuses or self._is_full):
            raise Busy(_DOWN)

    async def record(self, access: AccessRecord) -> None:
        """Keep a record: of writes, deletes and refusals before this returns, of reads at most five seconds later.

        Raises
        ------
        Busy
            It cannot be written now, and such accesses are to be refused. It is written later.
        """
        if self._is_full and access.status >= 400:
            self._dropped += 1
        else:
            batch = self._keep(access)
            if not _may_wait(access):
                self._start_writing()
                await self._until_written(batch)
        if self._down and self._refuses:
            raise Busy(_DOWN)

    async def check(self) -> None:
        """Raise ``Busy`` while the trail is down."""
        if self._down:
            raise Busy("the audit trail cannot be written")

    async def close(self) -> None:
        """Write what waits; give up after ``CLOSE_SECONDS``."""
        self._start_writing()
        writer = self._writer
        if writer is not None:
            await asyncio.wait((writer,), timeout=CLOSE_SECONDS)
            if not writer.done():
                _log.error("the audit trail could not be written before the process ended")
                writer.cancel()

    @property
    def _is_full(self) -> bool:
        return self._waiting_bytes >= MAX_WAITING_BYTES

    def _keep(self, access: AccessRecord) -> _Batch:
        batch = self._batch
        line = audit_event(access, new_ulid(to_ms(self._clock.now())), self._source) + b"\n"
        batch.lines.append(line)
        batch.bytes += len(line)
        self._waiting_bytes += len(line)
        if batch.bytes >= MAX_BLOCK_BYTES:
            self._start_writing()
        self._gather()
        return batch

    async def _until_written(self, batch: _Batch) -> None:
        """Wait for a batch to be written, or the trail to be down."""
        while not (batch.written or self._down):
            await self._progress.wait()

    def _gather(self) -> None:
        """See to it that what waits is written in time."""
        if self._batch.lines and self._writer is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._start_writing)

    def _start_writing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._batch.urgent = bool(self._batch.lines)
        if self._writer is None and self._batch.urgent:
            self._writer = asyncio.create_task(self._write_all(), context=Context())  # no single request's work
            self._writer.add_done_callback(self._end_writing)

    async def _write_all(self) -> None:
        """Write what waits, and what urgent comes meanwhile."""
        while self._batch.urgent:
            batch, self._batch = self._batch, _Batch()
            for block in _blocks(batch.lines):
                await self._write(block)
                self._waiting_bytes -= len(block)
            batch.written = True
            self._tell()

    def _end_writing(self, task: asyncio.Task[None]) -> None:
        self._writer = None
        if task.cancelled():
            return
        if error := task.exception():  # a mistake of ours; nobody may wait for ever, and somebody has to see it
            self._go_down(error)
        if self._batch.urgent:  # came after the writer had looked
            self._start_writing()
        self._gather()

    async def _write(self, block: bytes) -> None:
        """Write a block, however long it takes."""
        failures = 0
        while True:
            try:
                await self._blocks.write(block)
            except StorageFailure as error:
                failures += 1
                if failures == TRIES:
                    self._go_down(error)
                await asyncio.sleep(PAUSE_SECONDS if failures < TRIES else PAUSE_WHEN_DOWN_SECONDS)
            else:
                self._come_up()
                return

    def _go_down(self, error: BaseException) -> None:
        _log.error("the audit trail cannot be written (%s)", type(error).__name__)
        self._down = True
        self._tell()

    def _come_up(self) -> None:
        if self._down:
            _log.warning("the audit trail is written again; %d refusals were not recorded", self._dropped)
            self._down, self._dropped = False, 0

    def _tell(self) -> None:
        """Wake those who wait."""
        self._progress.set()
        self._progress = asyncio.Event()


def _may_wait(access: AccessRecord) -> bool:
    """Tell whether a record may wait for others: that of a read, and where the service is open and knows nobody."""
    return access.status not in _REFUSALS and (access.action is DataAction.READ or access.caller is ANYBODY)


def _blocks(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Join lines to blocks; a line that is larger than a block should be is a block of its own."""
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) > MAX_BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
        held.append(line)
        size += len(line)
    yield b"".join(held)
