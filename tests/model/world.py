"""The storage of the model: tables and a settle queue in memory, which misbehave on request, and remember.

Every verb of a process goes through ``Line``: it may be late, lose its request, lose its answer, take effect
after the caller was told that nobody knows, or be the last thing the process does. A crashed process is one whose
verbs never return: none of its clean-up can reach storage.

``World`` applies effects one at a time and checks, at the instant of each commit, what must always hold.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from shared.catalog import keys, terms
from shared.catalog.outbox import Commit
from shared.catalog.records import SeriesRecord, StudyRecord
from shared.errors import AlreadyPresent, NotPresent, OutcomeUnknown, PreconditionFailed, StorageFailure, StorageLimit
from shared.ports import Backlog, Create, Entity, Key, Message, Operation, Properties, Remove, Upsert

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

T = TypeVar("T")
SETTLE_DELAY = 60.0
KEY = keys.ArchiveKey("k", b"model")


@dataclass(frozen=True)
class Rates:
    """How often a verb misbehaves, and how."""

    lost_request: float = 0.03
    lost_answer: float = 0.04
    late_effect: float = 0.03
    crash: float = 0.0015
    pause: float = 0.01
    longest_pause: float = 25.0
    latest_effect: float = 35.0  # below two thirds of the settle delay: storage gives a request up by then
    repeated_message: float = 0.2
    lost_message: float = 0.0


@dataclass
class Applied:
    """One catalog transaction as it took effect."""

    commit: Commit
    operations: Sequence[Operation]
    time: float


@dataclass
class World:
    """What is stored, and what ever happened."""

    rng: random.Random
    rates: Rates
    tables: dict[str, dict[str, dict[str, tuple[Properties, str]]]] = field(default_factory=dict)
    messages: list[tuple[float, str]] = field(default_factory=list)
    history: list[Applied] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    etags: Any = field(default_factory=itertools.count)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    # -- what storage does ------------------------------------------------------------------------------------

    def rows(self, table: str, partition_key: str) -> dict[str, tuple[Properties, str]]:
        return self.tables.setdefault(table, {}).setdefault(partition_key, {})

    def get(self, table: str, key: Key) -> Entity | None:
        row = self.rows(table, key[0]).get(key[1])
        return Entity(*key, *row) if row else None

    def range(self, table: str, partition_key: str, start: str, stop: str | None) -> list[Entity]:
        rows = self.rows(table, partition_key)
        return [Entity(partition_key, rk, *rows[rk]) for rk in sorted(rows) if rk >= start and (stop is None or rk < stop)]

    def upsert(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        for pk, rk, properties in rows:
            self.rows(table, pk)[rk] = (properties, self._etag())

    def remove(self, table: str, rows: Sequence[Key]) -> None:
        for pk, rk in rows:
            self.rows(table, pk).pop(rk, None)

    def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        rows = self.rows(table, partition_key)
        if len(operations) > 100 or len({o.row_key for o in operations}) < len(operations):
            self.broken.append("a transaction holds over 100 operations, or a row twice")
            raise StorageLimit("refused")
        for index, operation in enumerate(operations):
            error = _refusal(rows.get(operation.row_key), operation)
            if error is not None:
                raise error("refused", index)
        etags = [self._apply(rows, operation) for operation in operations]
        if table == keys.CATALOG:
            self._committed(partition_key, operations)
        return etags

    def _apply(self, rows: dict[str, tuple[Properties, str]], operation: Operation) -> str:
        if isinstance(operation, Remove):
            del rows[operation.row_key]
            return ""
        etag = self._etag()
        rows[operation.row_key] = (operation.properties, etag)
        return etag

    def _etag(self) -> str:
        return f'"{next(self.etags)}"'

    def send(self, body: str, delay_seconds: float) -> None:
        self.messages.append((asyncio.get_running_loop().time() + delay_seconds, body))
        self.wake.set()

    # -- what must hold at the instant of every commit -----------------------------------------------------------

    def _committed(self, partition_key: str, operations: Sequence[Operation]) -> None:
        now = asyncio.get_running_loop().time()
        outbox = next(o for o in operations if o.row_key.startswith(keys.OUTBOX_PREFIX))
        row = self.get(keys.CATALOG, (partition_key, outbox.row_key))
        study_row = self.get(keys.CATALOG, (partition_key, keys.STUDY_ROW))
        if row is None or study_row is None:
            self.broken.append("a commit left no outbox row, or no study row")
            return
        self.history.append(Applied(Commit.from_entity(row), operations, now))
        study = StudyRecord.from_entity(study_row)
        self._check_counts(partition_key, study)
        self._check_hints(study, operations)
        if not any(visible > now and partition_key in body for visible, body in self.messages):
            self.broken.append("a commit is not covered by a settle message")

    def _check_counts(self, partition_key: str, study: StudyRecord) -> None:
        series = [SeriesRecord.from_entity(e) for e in self.range(keys.CATALOG, partition_key, "series~", "series~~")]
        instances = self.range(keys.CATALOG, partition_key, "instance~", "instance~~")
        modalities: dict[str, int] = {}
        for s in series:
            modalities[s.modality] = modalities.get(s.modality, 0) + 1
            of_series = [e for e in instances if e.properties["series_instance_uid"] == s.series_instance_uid]
            if len(of_series) != s.instance_count or not of_series:
                self.broken.append("a series' count is wrong")
        counts = (study.instance_count, study.series_count, study.series_per_modality)
        if counts != (len(instances), len(series), modalities):
            self.broken.append("a study's counts are wrong")

    def _check_hints(self, study: StudyRecord, operations: Sequence[Operation]) -> None:
        needed = terms.study_term_rows(KEY, keys.DEFAULT_PARTITION, study) if study.exists else []
        created = [o.properties for o in operations if isinstance(o, Create) and o.row_key.startswith(keys.INSTANCE_PREFIX)]
        uids: list[Any] = [(p["series_instance_uid"], p["sop_instance_uid"]) for p in created]
        needed += terms.uid_rows(KEY, keys.DEFAULT_PARTITION, study.study_instance_uid, {s for s, _ in uids}, uids)
        for pk, rk, properties in needed:
            there = self.get(keys.SEARCH, (pk, rk))
            if there is None or there.properties.get("covering") != properties.get("covering"):
                self.broken.append("something was committed that cannot be found")
                return


def _refusal(row: tuple[Properties, str] | None, operation: Operation) -> type[StorageFailure] | None:
    if isinstance(operation, Create):
        return AlreadyPresent if row else None
    if isinstance(operation, Upsert):
        return None
    if row is None:
        return NotPresent
    return PreconditionFailed if operation.etag not in ("*", row[1]) else None


class Line:
    """One process' way to storage."""

    def __init__(self, world: World) -> None:
        self.world, self.crashed = world, asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()

    async def verb(self, effect: Callable[[], T], *, writes: bool) -> T:
        rng, rates = self.world.rng, self.world.rates
        await asyncio.sleep(rng.expovariate(1 / 0.01))
        if rng.random() < rates.pause:
            await asyncio.sleep(rng.uniform(0, rates.longest_pause))
        if self.crashed.is_set() or (rng.random() < rates.crash / 2 and self._crash()):
            await self._hang()
        if rng.random() < rates.lost_request:
            raise OutcomeUnknown("model: the request was lost")
        if writes and rng.random() < rates.late_effect:
            self._start(self._take_effect_late(effect))
            raise OutcomeUnknown("model: the request is late")
        result = effect()
        if self.crashed.is_set() or (rng.random() < rates.crash / 2 and self._crash()):
            await self._hang()
        if writes and rng.random() < rates.lost_answer:
            raise OutcomeUnknown("model: the answer was lost")
        return result

    async def retried(self, effect: Callable[[], T], *, writes: bool) -> T:
        """Do a verb that may be repeated, as the SDK does: reads, and writes without a condition."""
        for _ in range(4):
            try:
                return await self.verb(effect, writes=writes)
            except OutcomeUnknown:
                await asyncio.sleep(self.world.rng.uniform(0, 1))
        return await self.verb(effect, writes=writes)

    async def _take_effect_late(self, effect: Callable[[], object]) -> None:
        await asyncio.sleep(self.world.rng.uniform(0, self.world.rates.latest_effect))
        try:
            effect()
        except StorageFailure:
            return

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _crash(self) -> bool:
        self.crashed.set()
        return True

    async def _hang(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError


class ModelTables:
    """Port ``TableStore`` over a line; many rows at once are as many verbs."""

    def __init__(self, line: Line) -> None:
        self._line, self._world = line, line.world

    async def get(self, table: str, partition_key: str, row_key: str, *, select: Sequence[str] | None = None) -> Entity | None:
        return await self._line.retried(lambda: self._world.get(table, (partition_key, row_key)), writes=False)

    async def get_many(self, table: str, keys: Sequence[Key], *, select: Sequence[str] | None = None) -> list[Entity | None]:
        return await _all([self.get(table, *key) for key in keys])

    async def pages(
        self,
        table: str,
        partition_key: str,
        *,
        start: str = "",
        stop: str | None = None,
        select: Sequence[str] | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[list[Entity]]:
        found = await self._line.retried(lambda: self._world.range(table, partition_key, start, stop), writes=False)
        if found:
            yield found

    async def upsert_many(self, table: str, rows: Sequence[tuple[str, str, Properties]]) -> None:
        await _all([self._line.retried(lambda row=row: self._world.upsert(table, [row]), writes=True) for row in rows])  # type: ignore[misc]

    async def transact(self, table: str, partition_key: str, operations: Sequence[Operation]) -> list[str]:
        return await self._line.verb(lambda: self._world.transact(table, partition_key, operations), writes=True)

    async def remove_many(self, table: str, keys: Sequence[Key]) -> None:
        await _all([self._line.retried(lambda key=key: self._world.remove(table, [key]), writes=True) for key in keys])  # type: ignore[misc]

    async def durable(self) -> None:
        pass

    async def is_empty(self, table: str) -> bool:
        return not self._world.tables.get(table)

    async def check(self, table: str) -> None:
        pass


class ModelQueue:
    """Port ``MessageQueue``, as far as the write path uses it: sending."""

    def __init__(self, line: Line) -> None:
        self._line, self._world = line, line.world

    async def send(self, queue: str, body: str, *, delay_seconds: float = 0) -> None:
        await self._line.verb(lambda: self._world.send(body, delay_seconds), writes=True)

    async def receive(self, queue: str, *, limit: int = 16, visibility_seconds: float = 300) -> list[Message]:
        raise NotImplementedError

    async def delete(self, queue: str, message: Message) -> None:
        raise NotImplementedError

    async def postpone(self, queue: str, message: Message, *, delay_seconds: float) -> Message:
        raise NotImplementedError

    async def backlog(self, queue: str) -> Backlog:
        raise NotImplementedError

    async def check(self, queue: str) -> None:
        pass


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    """Run verbs at once; all of them come to their end before the first error is raised."""
    results = await asyncio.gather(*work, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [r for r in results if not isinstance(r, BaseException)]
