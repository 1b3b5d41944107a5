"""Keeping FHIR in step: a look at a study that may have changed, and the synchronisation that it may lead to.

    settle message → look → (put off | lease → read → plan → write → record)

A study is always written whole, from what the catalog says now; so messages may come twice, late, or in any order.
What was prepared under a lease that is lost, or beside a version that somebody else wrote, is thrown away, never sent.
FHIR is not waited for by anybody who stores.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.catalog.feed import to_ms
from shared.catalog.keys import CATALOG, STUDY_ROW
from shared.catalog.records import StudyRecord
from shared.errors import Busy, PreconditionFailed
from shared.fhir.issues import Issue, IssueClass, IssueCode, StudyRejected
from shared.fhir.plan import Change, SharedResources
from shared.fhir.schedule import LEASE_MS, Go, Look, Wait, decide, is_dirty
from shared.fhir.sending import batches, send
from shared.fhir.server import FhirConfiguration, FhirConflict, FhirRefused, FhirTransient
from shared.fhir.state import Contribution, DocumentRow, LeaseLost, SyncRow, SyncStatus
from shared.services.fhir_outcomes import Attempt, Outcomes, refusal
from shared.services.fhir_plan import Known, Planner, SyncPlan
from shared.services.fhir_study_reader import StudyChanged
from shared.services.ulid import new_ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.catalog.cover import Cover
    from shared.fhir.plan import Unit
    from shared.fhir.server import FhirServer
    from shared.fhir_settings import FhirSettings
    from shared.ports import Stores
    from shared.services.fhir_outcomes import FhirRecords
    from shared.services.fhir_study_reader import StudyReader

MAX_CONFLICTS = 5
"""So often a study is read and planned anew before it is put off."""
_LOOK_TRIES = 8
_OVERDUE_MS = 5 * 60_000

_log = logging.getLogger(__name__)


class FhirSyncService:
    """Looks at studies, and brings FHIR in step."""

    def __init__(
        self, stores: Stores, cover: Cover, server: FhirServer, settings: FhirSettings, records: FhirRecords, studies: StudyReader
    ) -> None:
        self._tables, self._clock, self._cover = stores.tables, stores.clock, cover
        self._server, self._settings, self._studies = server, settings, studies
        self._state, self._circuit = records.state, records.circuit
        self._outcomes = Outcomes(records, cover, stores.clock, settings)
        self._shared = SharedResources()
        self.planner = Planner(server, records.state, settings, stores.clock, self._shared)

    async def look(self, partition_key: str, carried_ms: int | None = None) -> None:
        """Look at a study, and bring FHIR in step with it if it is time.

        Parameters
        ----------
        carried_ms
            The time that a look was put off to, where the message carries one.

        Raises
        ------
        Busy
            Too many look at the same study at once: the queue brings the message again.
        StorageFailure
            Likewise.
        """
        for _ in range(_LOOK_TRIES):
            try:
                await self._look(partition_key, carried_ms)
            except PreconditionFailed:
                await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 -- to come apart, not to keep secrets
            else:
                return
        raise Busy("Too many look at one study at the same time.")

    async def is_behind(self, partition_key: str) -> bool:
        """Tell whether a study has changed since it was written, and nobody works on it or waits for somebody."""
        study, row = await self._study(partition_key), await self._state.read(partition_key)
        return study is not None and is_dirty(row, study.version) and row.status is SyncStatus.CLEAN

    async def sweep(self) -> int:
        """Send messages for studies that somebody should have looked at by now; give how many."""
        now, sent = self._now_ms(), 0
        async for each in self._state.open_rows():
            grace = _OVERDUE_MS if each.status is SyncStatus.DIRTY else 0
            if not each.due_ms or each.due_ms + grace > now:
                continue
            with suppress(PreconditionFailed):  # one that is clean is taken off the list by being written
                await self._state.change(each.partition_key, lambda row: row)
            await self._cover.send(each.partition_key)
            sent += 1
        return sent

    # looking

    async def _look(self, partition_key: str, carried_ms: int | None) -> None:
        study = await self._study(partition_key)
        if study is None:
            return
        row, circuit, now = await self._state.read(partition_key), await self._circuit.state(), self._now_ms()
        debounce_ms = int(self._settings.debounce_seconds * 1000)
        look = Look(study.version, study.changed_ms, carried_ms, now, debounce_ms, circuit.paused_until_ms)
        verdict = decide(row, look)
        row = replace(row, study_instance_uid=study.study_instance_uid, first_dirty_ms=row.first_dirty_ms or now)
        if isinstance(verdict, Wait):
            await self._put_off(replace(row, status=SyncStatus.DIRTY, next_ms=verdict.until_ms), now)
        elif isinstance(verdict, Go):
            attempt = Attempt(partition_key, owner=new_ulid(now))
            await self._state.write(replace(row, status=SyncStatus.DIRTY, lease_owner=attempt.owner, lease_until_ms=now + LEASE_MS))
            await self._work(attempt)

    async def _put_off(self, row: SyncRow, now_ms: int) -> None:
        await self._state.write(row)
        await self._cover.send_at(row.partition_key, now_ms, row.next_ms)

    async def _study(self, partition_key: str) -> StudyRecord | None:
        """Read a study's row, be it an emptied one."""
        entity = await self._tables.get(CATALOG, partition_key, STUDY_ROW)
        return StudyRecord.from_entity(entity) if entity else None

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    # synchronising

    async def _work(self, attempt: Attempt) -> None:
        try:
            await self._synchronise(attempt)
        except LeaseLost:
            _log.info("a lease was lost; somebody else synchronises the study")
            await self._state.change(attempt.partition_key, lambda row: replace(row, hash=""))
            await self._cover.send(attempt.partition_key)
        else:
            await self.look(attempt.partition_key)  # it may have changed while it was written

    async def _synchronise(self, attempt: Attempt) -> None:
        try:
            await self._until_no_conflict(attempt)
        except StudyRejected as rejected:
            await self._outcomes.blocked(attempt, rejected.issue, recheck=rejected.recheck)
        except FhirConfiguration as error:
            await self._outcomes.paused(attempt, error)
        except FhirRefused as error:
            await self._outcomes.blocked(attempt, refusal(error))
        except (FhirConflict, StudyChanged):
            await self._outcomes.failed(attempt, Issue(IssueClass.TRANSIENT, IssueCode.CONFLICT))
        except FhirTransient as error:
            issue = Issue(IssueClass.TRANSIENT, IssueCode.UNREACHABLE, http_status=error.status)
            await self._outcomes.failed(attempt, issue, error.retry_after_seconds)

    async def _until_no_conflict(self, attempt: Attempt) -> None:
        """Read, plan and write; start again from the study's row where somebody else wrote meanwhile."""
        for tried in range(MAX_CONFLICTS):
            try:
                await self._try(attempt, tried)
            except (FhirConflict, StudyChanged):
                if tried + 1 == MAX_CONFLICTS:
                    raise
                await asyncio.sleep(random.uniform(0.2, 2))  # noqa: S311 -- to come apart, not to keep secrets
            else:
                return

    async def _try(self, attempt: Attempt, tried: int) -> None:
        study = await self._study(attempt.partition_key)
        if study is None:
            raise StudyChanged
        row = await self._hold(attempt, lambda row: replace(row, attempted=study.version))
        known = Known(row, await self._state.documents(attempt.partition_key), afresh=row.rebuild or tried > 0)
        plan = await self._plan(study, known, attempt, tried)
        refused = await self._send(plan, known, attempt) if plan else ()
        await self._outcomes.written(attempt, study, known, plan, refused)

    async def _plan(self, study: StudyRecord, known: Known, attempt: Attempt, tried: int) -> SyncPlan | None:
        if not study.exists:
            # a server that twice refuses to delete what others refer to gets an empty, cancelled study
            cancel = self._settings.delete == "cancel" or tried > 1
            return await self.planner.plan_removal(known, study.study_instance_uid, cancel=cancel)
        evidence = await self._studies.read(study.study_instance_uid)
        if not evidence.series:
            raise StudyChanged

        async def keep(patient_key: str, contribution: Contribution) -> None:
            await self._hold(attempt, lambda row: row.describing(patient_key))
            await self._state.contribute(patient_key, contribution)

        return await self.planner.plan(evidence, known, keep)

    async def _hold(self, attempt: Attempt, change: Callable[[SyncRow], SyncRow] = lambda row: row) -> SyncRow:
        """Renew the lease, and change the row; what is sent right after this is still ours to send."""
        until = self._now_ms() + LEASE_MS

        def renew(row: SyncRow) -> SyncRow:
            return replace(change(row), lease_until_ms=until)

        return await self._state.change_held(attempt.partition_key, attempt.owner, renew)

    async def _send(self, plan: SyncPlan, known: Known, attempt: Attempt) -> Sequence[Issue]:
        """Write a plan; give the issues of documents that the server refuses, which do not keep the study from being written."""
        renamed: dict[str, str] = {}
        await send(self._server, [plan.shared], renamed)
        self._shared.remember(plan.shared)
        refused: list[Issue] = []
        for batch in batches(plan.units):
            await self._hold(attempt, lambda row: row.meaning(plan.base))
            await self._keep_documents([unit for unit in batch if unit.writes], known, _intended, set())
            refused += await self._send_batch(batch, renamed)
            await self._keep_documents(batch, known, _written, {issue.sop_instance_uid for issue in refused})
        return refused

    async def _send_batch(self, batch: Sequence[Unit], renamed: dict[str, str]) -> list[Issue]:
        try:
            await send(self._server, batch, renamed)
        except FhirRefused as error:
            if len(batch) > 1:
                return [issue for unit in batch for issue in await self._send_batch([unit], renamed)]
            if not batch[0].sop_instance_uid:
                raise
            return [refusal(error, batch[0].sop_instance_uid)]
        return []

    async def _keep_documents(self, batch: Sequence[Unit], known: Known, row_of: Callable[[Unit], DocumentRow], but: set[str]) -> None:
        """Remember what stands, or may soon stand, on the server for each document of a batch."""
        rows = [row_of(unit) for unit in batch if unit.sop_instance_uid and unit.sop_instance_uid not in but]
        changed = [row for row in rows if row != known.documents.get(row.sop_instance_uid)]
        await self._state.keep_documents(known.partition_key, changed)


def _intended(unit: Unit) -> DocumentRow:
    """Give the row of a document that is about to be written: of what is written nobody knows yet whether it arrives."""
    resources = (replace(each.resource, digest="" if each.write else each.resource.digest) for each in unit.planned)
    return DocumentRow(unit.sop_instance_uid, tuple(resources))


def _written(unit: Unit) -> DocumentRow:
    left = (each.resource for each in unit.planned if each.change is not Change.DELETE)
    return DocumentRow(unit.sop_instance_uid, tuple(left))
