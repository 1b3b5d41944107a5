"""Health: whether the stores can be reached, and whether what stands on them works."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.catalog.keys import CATALOG, DICOM, SETTLE_QUEUE
from shared.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from shared.ports import Stores

CACHE_FOR = timedelta(seconds=5)
"""A report is given again for so long, so that no flood of probes reaches storage."""
PROBE_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One probe: of what, and what went wrong, if anything."""

    name: str
    problem: str | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing went wrong."""
        return self.problem is None


class HealthService:
    """Probes blob, table and queue stores, and what stands on them.

    ``checks`` are probes by name; each raises where something keeps its part from working.
    """

    def __init__(self, stores: Stores, checks: Mapping[str, Callable[[], Awaitable[None]]]) -> None:
        self._stores, self._checks = stores, checks
        self._report: tuple[datetime, tuple[Check, ...]] | None = None

    async def report(self) -> tuple[Check, ...]:
        """Probe all stores at once, or give the report of a moment ago."""
        now = self._stores.clock.now()
        if self._report is None or now - self._report[0] >= CACHE_FOR:
            self._report = now, await self._probe()
        return self._report[1]

    async def _probe(self) -> tuple[Check, ...]:
        s = self._stores
        probes: dict[str, Awaitable[None]] = {
            "blobs": s.blobs.check(DICOM),
            "tables": s.tables.check(CATALOG),
            "queues": s.queues.check(SETTLE_QUEUE),
            **{name: check() for name, check in self._checks.items()},
        }
        return tuple(await asyncio.gather(*[_check(name, probe) for name, probe in probes.items()]))


async def _check(name: str, probe: Awaitable[None]) -> Check:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
            await probe
    except TimeoutError:
        return Check(name, f"no answer within {PROBE_TIMEOUT_SECONDS:.0f} s")
    except ArchiveError as error:
        return Check(name, str(error))
    return Check(name)
