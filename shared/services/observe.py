"""What is read from time to time for whoever watches the archive: queues, change feed, FHIR, health. Not: who is told."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from shared.catalog.cover import decode_settle_message
from shared.catalog.feed import from_ms
from shared.catalog.keys import INBOX_EVENTS_QUEUE, SETTLE_QUEUE
from shared.errors import ArchiveError, InvalidRequest, NotPresent
from shared.telemetry.metrics import FEED_LAG, FHIR_LAG, FHIR_PAUSED, FHIR_STUDIES, HEALTH, QUEUE_AGE, QUEUE_MESSAGES, Reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from shared.ports import Backlog, Stores
    from shared.services.fhir_operations import FhirOperations
    from shared.services.health import HealthService

BLOB_TRIGGER_POISON = "webjobs-blobtrigger-poison"
"""Where Azure's host puts the events of blobs that a function failed on; it makes the queue when there is one."""
QUEUES = (SETTLE_QUEUE, f"{SETTLE_QUEUE}-poison", INBOX_EVENTS_QUEUE, f"{INBOX_EVENTS_QUEUE}-poison", BLOB_TRIGGER_POISON)

_log = logging.getLogger(__name__)


class ObservationService:
    """Reads the gauges. What cannot be read is left out: that storage is away, the check of health says.

    Parameters
    ----------
    fhir
        Gives what knows how the synchronisation with FHIR stands; None where there is none.
    """

    def __init__(
        self, stores: Stores, settle_delay_seconds: float, health: HealthService, fhir: Callable[[], Awaitable[FhirOperations | None]]
    ) -> None:
        self._queues, self._clock, self._health, self._fhir = stores.queues, stores.clock, health, fhir
        self._settle_delay = timedelta(seconds=settle_delay_seconds)

    async def readings(self) -> list[Reading]:
        """Read all gauges."""
        parts = (self._read_health(), self._read_fhir(), *(self._read_queue(queue) for queue in QUEUES))
        return [reading for part in await asyncio.gather(*(_if_possible(part) for part in parts)) for reading in part]

    async def _read_health(self) -> list[Reading]:
        return [Reading(HEALTH, int(check.healthy), {"check": check.name}) for check in await self._health.report()]

    async def _read_queue(self, queue: str) -> list[Reading]:
        try:
            backlog = await self._queues.backlog(queue)
        except NotPresent:
            return []
        now, which = self._clock.now(), {"queue": queue}
        readings = [
            Reading(QUEUE_MESSAGES, backlog.messages, which),
            Reading(QUEUE_AGE, _seconds(now - backlog.since) if backlog.since else 0, which),
        ]
        return [*readings, Reading(FEED_LAG, self._overdue(backlog, now))] if queue == SETTLE_QUEUE else readings

    def _overdue(self, backlog: Backlog, now: datetime) -> float:
        """Tell how long the oldest settle message has been waiting since it was due."""
        if backlog.since is None or backlog.oldest is None:
            return 0
        try:
            put_off_to = decode_settle_message(backlog.oldest).next_ms
        except InvalidRequest:
            put_off_to = None
        return _seconds(now - (backlog.since + self._settle_delay if put_off_to is None else from_ms(put_off_to)))

    async def _read_fhir(self) -> list[Reading]:
        operations = await self._fhir()
        if operations is None:
            return []
        status: dict[str, Any] = await operations.status()
        return [
            Reading(FHIR_LAG, status["lagSeconds"]),
            Reading(FHIR_PAUSED, int(status["paused"])),
            *(Reading(FHIR_STUDIES, status[state], {"state": state}) for state in ("dirty", "blocked", "dead")),
        ]


async def _if_possible(part: Awaitable[list[Reading]]) -> list[Reading]:
    try:
        return await part
    except ArchiveError as error:
        _log.warning("a gauge cannot be read", extra={"error": type(error).__name__})
        return []


def _seconds(lasted: timedelta) -> float:
    return max(lasted.total_seconds(), 0)
