"""When a changed study is written to FHIR: what a look at it should do. Pure; the rows are in ``state``.

A settle message leads to a *look*. A study is dirty when its version in the catalog is above the one last written.
A series arrives as hundreds of commits, so a look at a study that changed a moment ago sets ``next`` and sends one
delayed message that carries it; all other looks drop themselves until then. A study that keeps changing is written
every five minutes all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from shared.fhir.state import SyncRow

LONGEST_DEBOUNCE_MS = 5 * 60_000
LEASE_MS = 2 * 60_000


@dataclass(frozen=True, slots=True)
class Drop:
    """Nothing to do: the study is in step, waits for an operator, or another message will look."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at ``until_ms``, by a message that carries it."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class Go:
    """Synchronise now."""


Verdict: TypeAlias = Drop | Wait | Go


@dataclass(frozen=True, slots=True)
class Look:
    """What a look sees.

    Attributes
    ----------
    version, changed_ms
        Of the study's row in the catalog.
    carried_ms
        ``next`` that the message carries; None in a commit's own message.
    now_ms, debounce_ms, paused_until_ms
        The time, how quiet a study must be, and until when nothing is sent to the server.
    """

    version: int
    changed_ms: int
    carried_ms: int | None
    now_ms: int
    debounce_ms: int
    paused_until_ms: int = 0


def decide(row: SyncRow, look: Look) -> Verdict:
    """Say what to do."""
    if not _wants_work(row, look) or _another_will_look(row, look):
        return Drop()
    until = max(look.paused_until_ms, row.lease_until_ms, _quiet_at(row, look))
    return Wait(until) if until > look.now_ms else Go()


def is_dirty(row: SyncRow, version: int) -> bool:
    """Tell whether the study has changed since it was last written."""
    return version > row.synced


def _wants_work(row: SyncRow, look: Look) -> bool:
    if row.recheck_ms and row.recheck_ms <= look.now_ms:
        return True
    if row.stuck and row.attempted >= look.version:
        return False
    return is_dirty(row, look.version) or row.rebuild


def _another_will_look(row: SyncRow, look: Look) -> bool:
    return row.next_ms > look.now_ms and look.carried_ms != row.next_ms


def _quiet_at(row: SyncRow, look: Look) -> int:
    """When the study will have been quiet for long enough, or dirty for too long."""
    if not is_dirty(row, look.version):
        return 0
    first_dirty = row.first_dirty_ms or look.now_ms
    return min(look.changed_ms + look.debounce_ms, first_dirty + LONGEST_DEBOUNCE_MS)
