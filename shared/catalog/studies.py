"""The truth: committing changes of a study, in one transaction each, whatever storage answers.

Theory of operation
    All changes of one study that arrive while a commit is under way wait and are committed together (group
    commit), one change of an instance at a time. A commit

    1. reads the study's row, the rows of the series concerned and, where needed, of the instances;
    2. makes a plan (``commit_plan``), a pure function of what was read;
    3. writes the hints that the plan needs: nothing is committed that cannot be found;
    4. sees to it that a settle message covers the study;
    5. sends one transaction: instance rows, series rows, study row If-Match with version + 1, outbox row;
    6. hands the commit to the feed's publisher, and acknowledges when it is in the feed or, at the latest,
       two seconds later: the settle message does the rest.

Invariants
    * The study row is rewritten in every commit, If-Match. So two commits of a study never both stand on the
      same rows, and a late original of a lost request is fenced as soon as anybody commits after it.
    * ``outbox~{version}``, then the published marker, tell whose attempt made a version.

When two writers meet
    412, a 404 or a 409 on the study's, a series' or an outbox row: back to 1. A 409 on an instance row: the row
    is read and the instance answered as a duplicate, the others go on.

When an answer is lost
    The outcome is looked up, and so is every later refusal of that attempt. Neither row there: the same
    transaction is sent again under the same ETags, so that at most one of the two takes effect.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING

from shared.catalog import keys, terms
from shared.catalog.changes import Change, DeleteInstance, Result, StoreInstance
from shared.catalog.commit_plan import MAX_CHANGES, MAX_ENCODED_BYTES, MAX_OPERATIONS, Plan, Stamp, StudyState, encoded_bytes, make_plan
from shared.catalog.feed import FEED_PARTITION, marker_row, to_ms
from shared.catalog.records import LOCATION, InstanceRecord, SeriesRecord, StudyRecord
from shared.errors import AlreadyPresent, ArchiveError, Busy, NotPresent, OutcomeUnknown, PreconditionFailed, StorageFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from shared.catalog.cover import Cover
    from shared.catalog.publisher import FeedPublisher
    from shared.ports import Stores

MAX_ATTEMPTS = 8
MAX_SENDS = 8
MAX_HELD = 200
"""Changes that are looked past for a batch, since they wait for its outcome."""
ACKNOWLEDGE_SECONDS = 2.0
"""How long an answer waits for the change feed after its commit."""
MAX_BLOB_AGE_SECONDS = 12 * 3600
"""A commit names only blobs written in this time: the sweeper takes unnamed ones after twice that."""

_INSTANCE_COLUMNS = (*LOCATION, "sha256")


class _Verdict(Enum):
    COMMITTED = "committed"
    STALE = "stale"  # read again, plan again
    INSTANCE_EXISTS = "instance exists"  # the same, with the instances' rows


@dataclass(slots=True)
class _Pending:
    change: Change
    row_key: str
    done: asyncio.Future[Result]

    async def outcome(self) -> Result | ArchiveError:
        try:
            return await self.done
        except ArchiveError as error:
            return error


@dataclass(slots=True)
class _Line:
    """The changes of one study that wait for their commit."""

    study_instance_uid: str
    pending: deque[_Pending] = field(default_factory=deque)


def unique_ids() -> Callable[[], str]:
    """Make a source of ids that no other source gives: a random part, drawn once, and a number."""
    prefix, numbers = secrets.token_hex(8), count()
    return lambda: f"{prefix}{next(numbers):x}"


class Committer:
    """Commits changes of studies in one data partition, for one process."""

    def __init__(
        self,
        stores: Stores,
        key: keys.ArchiveKey,
        publisher: FeedPublisher,
        cover: Cover,
        *,
        data_partition: str = keys.DEFAULT_PARTITION,
        new_id: Callable[[], str] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._tables, self._clock = stores.tables, stores.clock
        self._key, self._publisher, self._cover = key, publisher, cover
        self._data_partition, self._new_id, self._jitter = data_partition, new_id or unique_ids(), jitter
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def submit(self, study_instance_uid: str, changes: Sequence[Change]) -> list[Result | ArchiveError]:
        """Commit changes of one study; give each one's result, or the error that kept it from being known.

        A returned result is committed, findable and, but for the last two seconds' trouble, in the feed. It is
        durable after ``TableStore.durable``.
        """
        loop = asyncio.get_running_loop()
        partition_key = self._key.study_partition(self._data_partition, study_instance_uid)
        pending = [_Pending(c, self._key.instance_row(c.series_instance_uid, c.sop_instance_uid), loop.create_future()) for c in changes]
        line = self._lines.get(partition_key)
        if line is None:
            line = self._lines[partition_key] = _Line(study_instance_uid)
            line.pending.extend(pending)
            self._start(self._drain(partition_key, line))
        else:
            line.pending.extend(pending)
        return [await p.outcome() for p in pending]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self, partition_key: str, line: _Line) -> None:
        try:
            while line.pending:
                await self._commit_batch(partition_key, line.study_instance_uid, _take_batch(line.pending))
        finally:
            del self._lines[partition_key]
            _fail(line.pending, ArchiveError("An earlier change of the study failed in a way that was not foreseen."))

    async def _commit_batch(self, partition_key: str, study_instance_uid: str, batch: Sequence[_Pending]) -> None:
        """Commit a batch; whatever happens, nobody is left waiting."""
        error = ArchiveError("Committing failed in a way that was not foreseen.")
        plan = None
        try:
            plan = await self._commit(partition_key, study_instance_uid, [p.change for p in batch])
        except ArchiveError as known:
            error = known
        finally:
            if plan is None:
                _fail(batch, error)
            else:
                self._acknowledge(plan, batch)

    def _acknowledge(self, plan: Plan, batch: Sequence[_Pending]) -> None:
        """Give the results as soon as the commit is in the feed, or after two seconds."""

        def answer(*_: object) -> None:
            timer.cancel()
            for p, result in zip(batch, plan.results, strict=True):
                if not p.done.done():
                    p.done.set_result(result)

        timer = asyncio.get_running_loop().call_later(ACKNOWLEDGE_SECONDS, answer)
        if plan.commit is None:
            answer()
        else:
            self._publisher.publish(plan.commit).add_done_callback(answer)

    async def _commit(self, partition_key: str, study_instance_uid: str, batch: Sequence[Change]) -> Plan:
        with_instances = any(isinstance(c, DeleteInstance) or c.replace for c in batch)
        now_ms = to_ms(self._clock.now())
        hinted: StudyRecord | None = None
        verdict: _Verdict | None = None
        for attempt in range(MAX_ATTEMPTS):
            if attempt and verdict is not _Verdict.INSTANCE_EXISTS:  # which is no contention
                await self._pause(attempt)
            try:
                state = await self._read(partition_key, batch, with_instances=with_instances)
                stamp = Stamp(now_ms, self._new_id(), self._key.key_id)
                plan = make_plan(self._key, study_instance_uid, state, batch, stamp, self._new_id())
                if plan.commit is None:
                    return plan
                if hinted is not None and _same_rows(hinted, plan):
                    stamp = Stamp(now_ms, keys.revision_of(hinted.sk), self._key.key_id)
                    plan = make_plan(self._key, study_instance_uid, state, batch, stamp, plan.commit.attempt_id)
                await self._write_hints(plan, hinted)
            except OutcomeUnknown:
                continue
            hinted = plan.study if plan.new_terms else hinted
            verdict = await self._send(partition_key, plan, _oldest_blob(batch))
            if verdict is _Verdict.COMMITTED:
                return plan
            with_instances = with_instances or verdict is _Verdict.INSTANCE_EXISTS
        raise Busy("Too many writers change this study at once, or storage does not answer; try again.")

    async def _read(self, partition_key: str, batch: Sequence[Change], *, with_instances: bool) -> StudyState:
        series = list(dict.fromkeys(c.series_instance_uid for c in batch))
        rows = [keys.STUDY_ROW, *map(self._key.series_row, series)]
        entities = await self._tables.get_many(keys.CATALOG, [(partition_key, row) for row in rows])
        study = StudyRecord.from_entity(entities[0]) if entities[0] else None
        records = [SeriesRecord.from_entity(e) if e else None for e in entities[1:]]
        state = StudyState(partition_key, study, dict(zip(series, records, strict=True)))
        if with_instances:
            instance_rows = list(dict.fromkeys(self._key.instance_row(c.series_instance_uid, c.sop_instance_uid) for c in batch))
            found = await self._tables.get_many(keys.CATALOG, [(partition_key, r) for r in instance_rows], select=_INSTANCE_COLUMNS)
            state.instances = {r: InstanceRecord.from_entity(e) if e else None for r, e in zip(instance_rows, found, strict=True)}
        return state

    async def _write_hints(self, plan: Plan, hinted: StudyRecord | None) -> None:
        """Write what makes the plan's instances and study findable; the terms of ``hinted`` are written already."""
        study = plan.study
        if study is None or not (plan.instances or plan.new_terms):
            return
        rows = terms.uid_rows(self._key, self._data_partition, study.study_instance_uid, plan.series, plan.instances)
        if plan.new_terms and not (hinted and hinted.sk == study.sk):
            rows += terms.study_term_rows(self._key, self._data_partition, study)
        await self._tables.upsert_many(keys.SEARCH, rows)

    async def _send(self, partition_key: str, plan: Plan, oldest_blob: float) -> _Verdict:
        """Send the plan's transaction until its outcome is known."""
        unknown = False
        for attempt in range(MAX_SENDS):
            if attempt:
                await self._pause(attempt)
            if self._clock.now().timestamp() - oldest_blob > MAX_BLOB_AGE_SECONDS:
                raise Busy("The request took over 12 hours; send it again.")
            try:
                await self._cover.ensure(partition_key)
            except OutcomeUnknown:
                continue
            try:
                await self._tables.transact(keys.CATALOG, partition_key, plan.operations)
            except OutcomeUnknown:
                unknown = True
            except (AlreadyPresent, PreconditionFailed, NotPresent) as error:
                if not unknown:
                    return _verdict(plan, error)
            else:
                return _Verdict.COMMITTED
            verdict = await self._look_up(plan)
            if verdict is not None:
                return verdict
        raise Busy("Storage does not answer; try again.")

    async def _look_up(self, plan: Plan) -> _Verdict | None:
        """Find whose attempt made the version: the outbox row, then the marker, in that order."""
        commit = plan.commit
        if commit is None:
            raise ValueError("a plan without a commit was sent")
        places = (
            (keys.CATALOG, commit.partition_key, keys.outbox_row(commit.version)),
            (keys.FEED, FEED_PARTITION, marker_row(commit.partition_key, commit.version)),
        )
        try:
            for place in places:
                entity = await self._tables.get(*place)
                if entity is not None:
                    return _Verdict.COMMITTED if entity.properties["attempt_id"] == commit.attempt_id else _Verdict.STALE
        except StorageFailure:
            return None
        return None

    async def _pause(self, attempt: int) -> None:
        await asyncio.sleep(self._jitter() * min(0.02 * 2**attempt, 2.0))


def _take_batch(pending: deque[_Pending]) -> list[_Pending]:
    """Take what one transaction holds, one change for each instance; the others keep their order.

    A further store of an instance that is being stored changes nothing: it joins, to be answered as a duplicate.
    """
    batch: list[_Pending] = []
    held: list[_Pending] = []
    rows: dict[str, bool] = {}  # whether a further store of the instance may join
    series: set[str] = set()
    size = 0
    while pending and len(rows) < MAX_CHANGES and len(held) < MAX_HELD:
        p = pending[0]
        if p.row_key in rows:
            rows[p.row_key] = rows[p.row_key] and _only_adds(p.change)
            (batch if rows[p.row_key] else held).append(pending.popleft())
            continue
        more_series = p.change.series_instance_uid not in series
        size += encoded_bytes(p.change) + 4_000 * more_series
        if batch and (size > MAX_ENCODED_BYTES or len(rows) + len(series) + more_series + 3 > MAX_OPERATIONS):
            break
        rows[p.row_key] = isinstance(p.change, StoreInstance)
        series.add(p.change.series_instance_uid)
        batch.append(pending.popleft())
    pending.extendleft(reversed(held))
    return batch


def _only_adds(change: Change) -> bool:
    return isinstance(change, StoreInstance) and not change.replace


def _same_rows(hinted: StudyRecord, plan: Plan) -> bool:
    """Tell whether the term rows written for an earlier plan serve this one: all is equal but the random part."""
    study = plan.study
    return (
        study is not None
        and plan.new_terms
        and keys.without_revision(hinted.sk) == keys.without_revision(study.sk)
        and terms.same_terms(hinted, study)
    )


def _verdict(plan: Plan, error: StorageFailure) -> _Verdict:
    if error.index < len(plan.changed):
        return _Verdict.INSTANCE_EXISTS
    return _Verdict.STALE


def _fail(batch: Iterable[_Pending], error: ArchiveError) -> None:
    for p in batch:
        if not p.done.done():  # its caller may have gone away
            p.done.set_exception(error)
            p.done.exception()


def _oldest_blob(batch: Sequence[Change]) -> float:
    return min((c.written_at for c in batch if isinstance(c, StoreInstance)), default=float("inf"))
