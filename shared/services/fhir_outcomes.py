"""What became of one attempt to bring a study in step: written down so that the right thing happens next.

written          clean; looked at again where an order is still missing
refused          blocked, until the study changes or an operator acts
not now          dirty; looked at again after a while, longer each time, for as long as the retry window
nothing works    all writing is paused; nothing is given up
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from shared.catalog.feed import to_ms
from shared.fhir.circuit import Circuit
from shared.fhir.issue_log import IssueLog
from shared.fhir.issues import Issue, IssueClass, IssueCode
from shared.fhir.state import LeaseLost, SyncRow, SyncState, SyncStatus, deflate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.catalog.cover import Cover
    from shared.catalog.keys import ArchiveKey
    from shared.catalog.records import StudyRecord
    from shared.fhir.server import FhirConfiguration, FhirError
    from shared.fhir_settings import FhirSettings
    from shared.ports import Clock, TableStore
    from shared.services.fhir_plan import Known, SyncPlan

_LONGEST_RETRY_SECONDS = 60.0
_LONGEST_HINT_SECONDS = 3600.0
_BELIEVED_500S = 3
"""So often a 500 counts as passing."""
_RECHECK_MS = 3_600_000
_RECHECK_FOR_MS = 7 * 24 * _RECHECK_MS
_OUTCOMES = tuple(each for each in IssueClass if each is not IssueClass.VALUE_WARNING)
"""Classes of which one attempt has at most one: what became of the study as a whole."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FhirRecords:
    """What is remembered of the synchronisation: of studies, of their issues, of the connection."""

    state: SyncState
    issues: IssueLog
    circuit: Circuit

    @classmethod
    def on(cls, tables: TableStore, key: ArchiveKey) -> FhirRecords:
        """Open them on the tables."""
        return cls(SyncState(tables, key), IssueLog(tables, key), Circuit(tables))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one study: whose rows it writes, under which lease."""

    partition_key: str
    owner: str


class Outcomes:
    """Writes down what became of attempts."""

    def __init__(self, records: FhirRecords, cover: Cover, clock: Clock, settings: FhirSettings) -> None:
        self._state, self._issues, self._circuit = records.state, records.issues, records.circuit
        self._cover, self._clock, self._settings = cover, clock, settings

    async def written(self, attempt: Attempt, study: StudyRecord, known: Known, plan: SyncPlan | None, refused: Sequence[Issue]) -> None:
        """Record that a study is in step; ``plan`` is None where it was already, ``refused`` names documents that the server did not take.

        Raises
        ------
        LeaseLost
            Somebody else is at the study, as in all that follow.
        """
        now, partition_key = self._now_ms(), attempt.partition_key
        if plan is not None:
            row = await self._state.read(partition_key)
            if row.lease_owner != attempt.owner:  # another worker may be describing another patient by now
                raise LeaseLost
            for left in set(row.described) - {plan.patient_key}:
                await self._state.withdraw(left, partition_key)
        written = await self._state.change_held(
            partition_key, attempt.owner, partial(_done, study=study, known=known, plan=plan, refused=bool(refused), now_ms=now)
        )
        if plan is not None:
            await self._state.forget_documents(partition_key, plan.gone_documents)
            await self._issues.record(partition_key, study.study_instance_uid, [*plan.issues, *refused], now)
        elif known.row.attempts:
            await self._issues.record(partition_key, study.study_instance_uid, (), now, _OUTCOMES)
        if written.status is SyncStatus.CLEAN:
            await self._circuit.note_success(now)
        await self._state.durable()

    async def blocked(self, attempt: Attempt, issue: Issue, *, recheck: bool = False) -> None:
        """Leave a study until it changes, an operator sends it again, or what was missing may be there."""
        now = self._now_ms()

        def block(row: SyncRow) -> SyncRow:
            return replace(_released(row), status=SyncStatus.BLOCKED, recheck_ms=now + _RECHECK_MS if recheck else 0, next_ms=0)

        await self._fail(attempt, issue, block)

    async def paused(self, attempt: Attempt, error: FhirConfiguration) -> None:
        """Stop all writing for a while; nothing is given up."""
        now = self._now_ms()
        code = pause_code(error)
        _log.error("writing to FHIR is paused: %s, status %d", code, error.status)
        until = await self._circuit.pause(now, str(code)) + random.randint(0, 10_000)  # noqa: S311 -- so that not all wake at once
        issue = Issue(IssueClass.CONFIGURATION, code, http_status=error.status)
        await self._fail(attempt, issue, lambda row: replace(_released(row), next_ms=until))
        await self._cover.send_at(attempt.partition_key, now, until)

    async def failed(self, attempt: Attempt, issue: Issue, hint_seconds: float | None = None) -> None:
        """Try again after a while, longer each time; give up when it has failed for the whole retry window."""
        now = self._now_ms()
        row = await self._state.read(attempt.partition_key)
        attempts, first_failed = row.attempts + 1, row.first_failed_ms or now
        if issue.http_status == 500 and attempts > _BELIEVED_500S:
            await self.blocked(attempt, replace(issue, issue_class=IssueClass.FHIR, code=IssueCode.REFUSED))
            return
        if now - first_failed > self._settings.retry_window_seconds * 1000:
            await self._give_up(attempt, issue)
            return
        delay = min(hint_seconds, _LONGEST_HINT_SECONDS) if hint_seconds else min(2.0**attempts, _LONGEST_RETRY_SECONDS)
        until = now + int(1000 * (delay + random.uniform(0, delay / 4)))  # noqa: S311 -- so that not all come at once

        def retry(row: SyncRow) -> SyncRow:
            return replace(_released(row), next_ms=until, attempts=attempts, first_failed_ms=first_failed)

        await self._fail(attempt, issue, retry)
        await self._cover.send_at(attempt.partition_key, now, until)

    async def _give_up(self, attempt: Attempt, issue: Issue) -> None:
        given_up = replace(issue, issue_class=IssueClass.DEAD, code=IssueCode.GIVEN_UP)
        await self._fail(attempt, given_up, lambda row: replace(_released(row), status=SyncStatus.DEAD, next_ms=0))

    async def _fail(self, attempt: Attempt, issue: Issue, change: Callable[[SyncRow], SyncRow]) -> None:
        row = await self._state.change_held(attempt.partition_key, attempt.owner, change)
        await self._issues.record(attempt.partition_key, row.study_instance_uid, [issue], self._now_ms(), _OUTCOMES)
        await self._state.durable()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _released(row: SyncRow) -> SyncRow:
    return replace(row, lease_owner="", lease_until_ms=0, recheck_ms=0)


def _done(row: SyncRow, *, study: StudyRecord, known: Known, plan: SyncPlan | None, refused: bool, now_ms: int) -> SyncRow:
    """Give the row of a study that was written; with a document refused it waits for a change or an operator."""
    row = replace(
        _released(row),
        status=SyncStatus.BLOCKED if refused else SyncStatus.CLEAN,
        synced=row.synced if refused else study.version,
        next_ms=0,
        first_dirty_ms=row.first_dirty_ms if refused else 0,
        attempts=0,
        first_failed_ms=0,
        rebuild=row.rebuild and not known.afresh,  # one that was asked for meanwhile is still to come
    )
    if plan is None:
        return row
    row = replace(row, hash="" if refused else plan.hash, patient_key=plan.patient_key, bases=deflate([plan.base]) if plan.base else b"")
    row = replace(row, patient_ref=plan.patient.resource.reference if plan.patient else "", contributed=plan.patient_key)
    row = _with_study(row, plan)
    if not plan.pending:
        return replace(row, recheck_until_ms=0)
    until = row.recheck_until_ms or now_ms + _RECHECK_FOR_MS
    return replace(row, recheck_until_ms=until, recheck_ms=now_ms + _RECHECK_MS if now_ms < until else 0)


def _with_study(row: SyncRow, plan: SyncPlan) -> SyncRow:
    if plan.study is None:
        return replace(row, study_ref="", study_version="", written="", adopted=False, foreign=False)
    at, adopted, foreign = plan.study.planned.resource, plan.study.adopted, plan.study.foreign
    return replace(row, study_ref=at.reference, study_version=at.version, written=at.digest, adopted=adopted, foreign=foreign)


def pause_code(error: FhirConfiguration) -> IssueCode:
    """Say why nothing can work."""
    return IssueCode.UNAUTHORIZED if error.status in {401, 403} else IssueCode.WRONG_SERVER


def refusal(error: FhirError, sop_instance_uid: str = "") -> Issue:
    """Make the issue of a request that the server refuses, for one document where it names one."""
    return Issue(
        IssueClass.FHIR,
        IssueCode.REFUSED,
        sop_instance_uid=sop_instance_uid,
        http_status=error.status,
        outcome_code=error.outcome_code,
        diagnostics=error.diagnostics,
    )
