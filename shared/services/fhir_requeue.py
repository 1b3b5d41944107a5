"""Sending studies to FHIR again because an operator says so: retries and rebuilds. Not: what a look at a study then does.

A study is queued by making its row due now and sending a message that says so. Where that takes longer than a request
may, the five-minute timer goes on: how far it is stands in table ``jobs``, in the row ``fhir`` | ``rebuild`` or
``fhir`` | ``retry~{class}``. It adds only as many studies as have been written meanwhile, so that what is stored today
does not stand in line behind the whole archive, and nothing piles up while the FHIR server is away.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from shared.catalog.feed import to_ms
from shared.catalog.keys import CATALOG, DEFAULT_PARTITION, JOBS, SEARCH, STUDY_ROW
from shared.catalog.terms import ALL_STUDIES
from shared.errors import InvalidRequest, NotPresent, PreconditionFailed
from shared.fhir.issues import IssueClass
from shared.fhir.state import OPEN_PARTITIONS, SyncRow, SyncStatus
from shared.ports import Remove, Replace
from shared.services.fhir_operations import IssueFilter, tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.catalog.cover import Cover
    from shared.catalog.keys import ArchiveKey
    from shared.ports import Entity, Operation, Scalar, Stores
    from shared.services.fhir_outcomes import FhirRecords

SLICE_STUDIES, SLICE_SECONDS = 5000, 20.0
"""One request, or one run of the timer, ends with the page of studies that brings it to the one or the other."""
PAGE_STUDIES = 500
_AT_ONCE = 16

RETRIED = {
    IssueClass.DICOM: SyncStatus.BLOCKED,
    IssueClass.FHIR: SyncStatus.BLOCKED,
    IssueClass.TRANSIENT: SyncStatus.DIRTY,
    IssueClass.DEAD: SyncStatus.DEAD,
    IssueClass.CONFIGURATION: SyncStatus.DIRTY,
}
"""How a study stands whose outcome was of a class. A value warning is none: the study has been written."""

_PARTITION, _REBUILD, _RETRY_PREFIX = "fhir", "rebuild", "retry~"
_JOBS = (_REBUILD, *(_RETRY_PREFIX + issue_class for issue_class in RETRIED))


@dataclass(frozen=True, slots=True)
class Queued:
    """How many studies were queued, or would be; ``continues`` says that these are not all."""

    studies: int
    continues: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """Work on more studies than one request can do, and the place where it goes on."""

    name: str
    started_ms: int
    cursor: str = ""
    etag: str = ""

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        return {"schema": 1, "started_ms": self.started_ms, "cursor": self.cursor}

    @classmethod
    def from_entity(cls, entity: Entity) -> Job:
        """Read the row."""
        p: Any = entity.properties
        return cls(entity.row_key, p["started_ms"], p["cursor"], entity.etag)


@dataclass(frozen=True, slots=True)
class _Page:
    """Partitions of studies to queue, and the cursor behind them."""

    studies: Sequence[str]
    cursor: str


class FhirRequeue:
    """Queues studies for another attempt, or to be written anew."""

    def __init__(self, stores: Stores, key: ArchiveKey, cover: Cover, records: FhirRecords) -> None:
        self._tables, self._clock, self._key, self._cover = stores.tables, stores.clock, key, cover
        self._state, self._issues, self._circuit = records.state, records.issues, records.circuit

    async def retry_studies(self, study_instance_uids: Sequence[str]) -> Queued:
        """Try studies again now, whatever became of them before. What was never stored is passed over."""
        await self._circuit.resume()
        return await self._queue_named(study_instance_uids, rebuild=False)

    async def retry_class(self, name: str) -> Queued:
        """Try all studies again whose last attempt ended with an issue of a class.

        Raises
        ------
        InvalidRequest
            There is no such class, or it keeps no study from being written.
        """
        if name not in RETRIED:
            raise InvalidRequest(f"class must be one of {', '.join(RETRIED)}; a value warning keeps no study from being written.")
        await self._circuit.resume()
        return await self._start(_RETRY_PREFIX + name)

    async def rebuild_studies(self, study_instance_uids: Sequence[str], *, dry_run: bool) -> Queued:
        """Write studies anew, trusting nothing that is remembered. What was never stored is passed over."""
        return await self._queue_named(study_instance_uids, rebuild=True, dry_run=dry_run)

    async def rebuild_all(self, *, dry_run: bool) -> Queued:
        """Write all studies anew; a dry run counts them."""
        return await self._start(_REBUILD, dry_run=dry_run)

    async def go_on(self) -> None:
        """Go on with what an operator's request could not finish."""
        entities = await self._tables.get_many(JOBS, [(_PARTITION, name) for name in _JOBS])
        for job in [Job.from_entity(entity) for entity in entities if entity]:
            room = SLICE_STUDIES - (await tally(self._state)).dirty
            if room > 0:
                await self._keep(job, (await self._do_slice(job, room))[1])

    # named studies

    async def _queue_named(self, study_instance_uids: Sequence[str], *, rebuild: bool, dry_run: bool = False) -> Queued:
        partition_keys = [self._key.study_partition(DEFAULT_PARTITION, uid) for uid in dict.fromkeys(study_instance_uids)]
        queued = 0
        for first in range(0, len(partition_keys), PAGE_STUDIES):
            keys = [(partition_key, STUDY_ROW) for partition_key in partition_keys[first : first + PAGE_STUDIES]]
            there = [row.partition_key for row in await self._tables.get_many(CATALOG, keys, select=("sk",)) if row]
            queued += len(there)
            if not dry_run:
                await self._queue(there, rebuild=rebuild)
        await self._tables.durable()
        return Queued(queued)

    # as many as there are

    async def _start(self, name: str, *, dry_run: bool = False) -> Queued:
        job = Job(name, self._now_ms())
        queued, rest = await self._do_slice(job, math.inf if dry_run else SLICE_STUDIES, dry_run=dry_run)
        if not dry_run:
            if rest:
                await self._tables.upsert_many(JOBS, [(_PARTITION, name, rest.properties())])
            else:
                await self._tables.remove_many(JOBS, [(_PARTITION, name)])
            await self._tables.durable()
        return Queued(queued, continues=rest is not None)

    async def _do_slice(self, job: Job, room: float, *, dry_run: bool = False) -> tuple[int, Job | None]:
        """Queue studies until there is no room or time left; give how many, and what is left of the job."""
        clock, queued = asyncio.get_running_loop().time, 0
        until = clock() + SLICE_SECONDS
        async for page in self._pages(job):
            if not dry_run:
                await self._queue(page.studies, rebuild=job.name == _REBUILD)
            queued += len(page.studies)
            if queued >= room or clock() >= until:
                return queued, replace(job, cursor=page.cursor)
        return queued, None

    async def _keep(self, job: Job, rest: Job | None) -> None:
        """Remember what is left of a job, unless an operator has begun it anew meanwhile."""
        operation: Operation = Replace(job.name, rest.properties(), job.etag) if rest else Remove(job.name, job.etag)
        with suppress(PreconditionFailed, NotPresent):
            await self._tables.transact(JOBS, _PARTITION, [operation])
        await self._tables.durable()

    def _pages(self, job: Job) -> AsyncIterator[_Page]:
        if job.name == _REBUILD:
            return self._all_studies(job)
        return self._failed_studies(IssueClass(job.name.removeprefix(_RETRY_PREFIX)), job.cursor)

    async def _all_studies(self, job: Job) -> AsyncIterator[_Page]:
        everything = self._key.term_partition(DEFAULT_PARTITION, ALL_STUDIES, "")
        pages = self._tables.pages(SEARCH, everything, start=job.cursor, select=("study_partition",), page_size=PAGE_STUDIES)
        async for page in pages:
            keys = [(str(entry.properties["study_partition"]), STUDY_ROW) for entry in page]
            rows = await self._tables.get_many(CATALOG, keys, select=("sk", "instance_count", "changed_ms"))
            there = {row.partition_key: None for entry, row in zip(page, rows, strict=True) if row and _counts(entry, row, job)}
            yield _Page(list(there), page[-1].row_key + "!")  # no RowKey goes on after its revision

    async def _failed_studies(self, issue_class: IssueClass, cursor: str) -> AsyncIterator[_Page]:
        first, after = int(cursor[:2] or 0), cursor[2:]
        for number in range(first, len(OPEN_PARTITIONS)):
            async for page in self._state.open_pages(number, after if number == first else ""):
                candidates = [row.partition_key for row in page if row.status is RETRIED[issue_class]]
                chosen = candidates if issue_class is IssueClass.DEAD else await self._with_issue(candidates, issue_class)
                yield _Page(chosen, f"{number:02d}{page[-1].partition_key}")

    async def _with_issue(self, partition_keys: Sequence[str], issue_class: IssueClass) -> list[str]:
        """Give those of the studies that have an open issue of a class."""
        wanted, found = IssueFilter(issue_class), list[str]()
        for some in _some_at_once(partition_keys):
            logged = await asyncio.gather(*map(self._issues.of_study, some))
            found += [key for key, issues in zip(some, logged, strict=True) if any(map(wanted.takes, issues))]
        return found

    # one study

    async def _queue(self, partition_keys: Sequence[str], *, rebuild: bool) -> None:
        for some in _some_at_once(partition_keys):
            await asyncio.gather(*(self._queue_one(partition_key, rebuild=rebuild) for partition_key in some))

    async def _queue_one(self, partition_key: str, *, rebuild: bool) -> None:
        now = self._now_ms()

        def due(row: SyncRow) -> SyncRow:
            again = replace(row, status=SyncStatus.DIRTY, attempted=0, attempts=0, first_failed_ms=0, next_ms=now)
            again = replace(again, first_dirty_ms=row.first_dirty_ms or now)
            # a recheck is an attempt at a study that has not changed; a rebuild is one that trusts nothing
            return replace(again, rebuild=True) if rebuild else replace(again, recheck_ms=now)

        await self._state.change(partition_key, due)
        await self._cover.send_at(partition_key, now, now)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _counts(entry: Entity, study: Entity, job: Job) -> bool:
    """Tell whether an entry of the list of all studies leads to its study.

    One does where the study row names it. A study that changed since the job began may have moved to a place of the
    list that lies behind us, so that any entry of it does.
    """
    p: Any = study.properties
    return bool(p["instance_count"]) and (p["sk"] == entry.row_key or p["changed_ms"] >= job.started_ms)


def _some_at_once(partition_keys: Sequence[str]) -> list[Sequence[str]]:
    return [partition_keys[first : first + _AT_ONCE] for first in range(0, len(partition_keys), _AT_ONCE)]
