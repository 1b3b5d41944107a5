"""When a look at a study drops itself, waits, or goes."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.schedule import LONGEST_DEBOUNCE_MS, Drop, Go, Look, Verdict, Wait, decide
from shared.fhir.state import SyncRow, SyncStatus

NOW, DEBOUNCE = 1_000_000_000, 20_000
QUIET = NOW - DEBOUNCE


def look(**changes: Any) -> Look:
    return Look(**{"version": 5, "changed_ms": QUIET, "carried_ms": None, "now_ms": NOW, "debounce_ms": DEBOUNCE, **changes})


def dirty(**changes: Any) -> SyncRow:
    return SyncRow(**{"synced": 4, "status": SyncStatus.DIRTY, **changes})


CASES: list[tuple[str, SyncRow, Look, Verdict]] = [
    ("a study never written goes", SyncRow(), look(), Go()),
    ("a study in step is dropped", SyncRow(synced=5), look(), Drop()),
    ("one to be rebuilt goes although in step", dirty(synced=5, rebuild=True), look(), Go()),
    ("one that changed a moment ago waits until it is quiet", dirty(), look(changed_ms=NOW - 5000), Wait(NOW + 15_000)),
    ("one that never is quiet goes after five minutes", dirty(first_dirty_ms=NOW - LONGEST_DEBOUNCE_MS), look(changed_ms=NOW), Go()),
    ("and waits no longer than that", dirty(first_dirty_ms=NOW - LONGEST_DEBOUNCE_MS + 7), look(changed_ms=NOW), Wait(NOW + 7)),
    ("a look drops itself where another will look", dirty(next_ms=NOW + 1), look(), Drop()),
    ("unless it is that one", dirty(next_ms=NOW + 1), look(carried_ms=NOW + 1), Go()),
    ("a look that is past is nobody's", dirty(next_ms=NOW - 1), look(carried_ms=NOW - 9), Go()),
    ("a lease is waited for", dirty(lease_owner="x", lease_until_ms=NOW + 9), look(), Wait(NOW + 9)),
    ("one that has run out is not", dirty(lease_owner="x", lease_until_ms=NOW - 1), look(), Go()),
    ("a pause is waited for", dirty(), look(paused_until_ms=NOW + 99), Wait(NOW + 99)),
    ("a blocked study waits for a change", dirty(status=SyncStatus.BLOCKED, attempted=5), look(), Drop()),
    ("and goes with it", dirty(status=SyncStatus.BLOCKED, attempted=4), look(), Go()),
    ("a dead one likewise", dirty(status=SyncStatus.DEAD, attempted=5), look(), Drop()),
    ("what was missing is looked for again when it is time", SyncRow(synced=5, recheck_ms=NOW), look(), Go()),
    ("and not before", SyncRow(synced=5, recheck_ms=NOW + 1), look(), Drop()),
    ("a blocked one too", dirty(status=SyncStatus.BLOCKED, attempted=5, recheck_ms=NOW), look(), Go()),
]


@pytest.mark.parametrize(("row", "seen", "verdict"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_look(row: SyncRow, seen: Look, verdict: Verdict) -> None:
    assert decide(row, seen) == verdict
