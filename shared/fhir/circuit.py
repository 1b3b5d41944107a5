"""The pause of all writing to FHIR while nothing can work: a wrong token, a wrong server. Rows of table ``jobs``.

Nothing is given up meanwhile: studies stay dirty, and are looked at again when the pause ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.catalog.keys import JOBS

if TYPE_CHECKING:
    from shared.ports import TableStore

PAUSE_MS = 5 * 60_000
_PARTITION, _CIRCUIT, _LAST = "fhir", "circuit", "last-sync"


@dataclass(frozen=True, slots=True)
class CircuitState:
    """Until when nothing is sent, and why; zero and empty where nothing is wrong."""

    paused_until_ms: int = 0
    reason: str = ""


class Circuit:
    """Opens and closes the connection to FHIR for all processes."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables

    async def state(self) -> CircuitState:
        """Read it; one request."""
        entity = await self._tables.get(JOBS, _PARTITION, _CIRCUIT)
        if entity is None:
            return CircuitState()
        p: Any = entity.properties
        return CircuitState(p["paused_until_ms"], p["reason"])

    async def pause(self, now_ms: int, reason: str) -> int:
        """Pause; give until when. ``reason`` is shown to operators and holds no patient's value."""
        until = now_ms + PAUSE_MS
        await self._tables.upsert_many(JOBS, [(_PARTITION, _CIRCUIT, {"schema": 1, "paused_until_ms": until, "reason": reason})])
        return until

    async def resume(self) -> None:
        """Go on: something was written, or an operator says so."""
        await self._tables.remove_many(JOBS, [(_PARTITION, _CIRCUIT)])

    async def note_success(self, now_ms: int) -> None:
        """Remember when a study was last brought in step."""
        await self._tables.upsert_many(JOBS, [(_PARTITION, _LAST, {"schema": 1, "at_ms": now_ms})])

    async def last_success_ms(self) -> int:
        """Give when a study was last brought in step; 0: never."""
        entity = await self._tables.get(JOBS, _PARTITION, _LAST)
        return int(entity.properties["at_ms"]) if entity else 0
