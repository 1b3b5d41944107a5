"""A run of the model: several processes store, replace and delete on a few studies, and die; then the reckoning."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from shared.catalog import keys
from shared.catalog.changes import Change, DeleteInstance, Outcome, Result, StoreInstance
from shared.catalog.cover import Cover, encode_settle_message
from shared.catalog.feed import FEED_PARTITION, HEAD_ROW, FeedEvent, marker_row
from shared.catalog.publisher import FeedPublisher
from shared.catalog.records import InstanceRecord
from shared.catalog.studies import Committer
from shared.ports import BlobStore, Create, Remove, Replace, Stores
from shared.services.settle import SettleService
from tests.model.world import KEY, SETTLE_DELAY, Line, ModelQueue, ModelTables, Rates, World
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.errors import ArchiveError

STUDIES, SERIES, INSTANCES = 2, 2, 4


class Process:
    """One instance of the function app."""

    def __init__(self, world: World, number: int) -> None:
        rng = world.rng
        self.line = Line(world)
        tables, queue = ModelTables(self.line), ModelQueue(self.line)
        clock = VirtualClock(rng.uniform(-2, 2))
        no_blobs: BlobStore = None  # type: ignore[assignment]  # the write path's model begins after the blob
        stores = Stores(no_blobs, tables, queue, clock)
        ids = itertools.count()
        cover = Cover(queue, SETTLE_DELAY, asyncio.get_running_loop().time)
        publisher = FeedPublisher(tables, clock, rng.random)
        self.committer = Committer(stores, KEY, publisher, cover, new_id=lambda: f"{number:03d}{next(ids):06d}", jitter=rng.random)
        self.settle = SettleService(tables, publisher, cover)


@dataclass
class Attempt:
    """One change that a client asked for, and what it was told."""

    study: str
    change: Change
    began: float
    result: Result | ArchiveError | None = None
    ended: float | None = None


@dataclass
class Run:
    """One random run."""

    seed: int
    rates: Rates = field(default_factory=Rates)
    requests: int = 40
    senders: int = 6

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.attempts: list[Attempt] = []
        self.blobs = itertools.count()
        self.numbers = itertools.count()

    def play(self) -> list[str]:
        """Run it; give what is broken."""
        return run_virtually(self._play())

    async def _play(self) -> list[str]:
        self.world = World(self.rng, self.rates)
        self.processes = [Process(self.world, next(self.numbers)) for _ in range(3)]
        host = asyncio.ensure_future(self._deliver())
        senders = [asyncio.ensure_future(self._send(self.requests // self.senders)) for _ in range(self.senders)]
        await asyncio.gather(*senders)
        while self.world.messages:  # noqa: ASYNC110 - time is virtual
            await asyncio.sleep(SETTLE_DELAY)
        await self._sweep()
        host.cancel()
        return [*self.world.broken, *self._reckon()]

    async def _send(self, count: int) -> None:
        """Be a client: one request after the other, to a process that is alive; a dead one's answer never comes."""
        for _ in range(count):
            process = self._alive()
            study, changes = self._request()
            attempts = [Attempt(study, c, self._now()) for c in changes]
            self.attempts += attempts
            answer = asyncio.ensure_future(process.committer.submit(study, changes))
            dead = asyncio.ensure_future(process.line.crashed.wait())
            await asyncio.wait([answer, dead], return_when=asyncio.FIRST_COMPLETED)
            dead.cancel()
            if answer.done():
                for attempt, result in zip(attempts, answer.result(), strict=True):
                    attempt.result, attempt.ended = result, self._now()
            await asyncio.sleep(self.rng.expovariate(1 / 0.2))

    async def _deliver(self) -> None:
        """Be the queue trigger: each message at least once, again after a minute where its process died."""
        while True:
            due = [m for m in self.world.messages if m[0] <= self._now()]
            for message in due:
                self.world.messages.remove(message)
                if self.rng.random() < self.rates.lost_message:
                    continue
                for _ in range(1 + (self.rng.random() < self.rates.repeated_message)):
                    handling = asyncio.ensure_future(self._handle(message[1]))
                    handling.add_done_callback(lambda t: t.cancelled() or t.exception())
            await asyncio.sleep(1)

    async def _sweep(self) -> None:
        """Be the sweeper, as far as it is about messages: where one was lost, what is left in an outbox is sent one."""
        while self.rates.lost_message and (left := self._studies_with_outbox()):
            for partition_key in left:
                self.world.send(encode_settle_message(partition_key), 0)
            while self.world.messages:  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(SETTLE_DELAY)

    def _studies_with_outbox(self) -> set[str]:
        partition_keys = {applied.commit.partition_key for applied in self.world.history}
        return {pk for pk in partition_keys if self.world.range(keys.CATALOG, pk, "outbox~", "outbox~~")}

    async def _handle(self, body: str) -> None:
        process = self._alive()
        work = asyncio.ensure_future(process.settle.settle(body))
        dead = asyncio.ensure_future(process.line.crashed.wait())
        placeholder = (float("inf"), body)
        self.world.messages.append(placeholder)  # invisible while it is handled
        await asyncio.wait([work, dead], return_when=asyncio.FIRST_COMPLETED)
        dead.cancel()
        self.world.messages.remove(placeholder)
        if not work.done() or work.exception() is not None:
            self.world.messages.append((self._now() + 60, body))

    def _alive(self) -> Process:
        """Pick a process; a dead one is replaced."""
        i = self.rng.randrange(len(self.processes))
        if self.processes[i].line.crashed.is_set():
            self.processes[i] = Process(self.world, next(self.numbers))
        return self.processes[i]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _request(self) -> tuple[str, list[Change]]:
        study = f"1.{self.rng.randrange(STUDIES)}"
        kind = self.rng.random()
        some = [(f"{study}.{self.rng.randrange(SERIES)}", self.rng.randrange(INSTANCES)) for _ in range(self.rng.choice([1, 1, 2, 5]))]
        if kind < 0.25:
            return study, [DeleteInstance(series, f"{series}.{i}") for series, i in some]
        return study, [self._store(study, series, i, replace=kind < 0.45) for series, i in some]

    def _store(self, study: str, series: str, instance: int, *, replace: bool) -> StoreInstance:
        number = next(self.blobs)
        record = InstanceRecord(study, series, f"{series}.{instance}", blob_name=f"blob{number}", sha256=b"%d" % number)
        name = self.rng.choice(["ADLER^EVA", "ADLER^EVA", "NOVAK^JAN"])
        study_attributes = {
            "00100010": _element("PN", {"Alphabetic": name}),
            "00100020": _element("LO", "P1"),
            "00080020": _element("DA", "20240102"),
        }
        return StoreInstance(
            record,
            study_attributes,
            {"00080060": _element("CS", "CT" if series.endswith("0") else "SR")},
            replace,
            EPOCH.timestamp() + self._now(),
        )

    # -- the reckoning ----------------------------------------------------------------------------------------

    def _reckon(self) -> list[str]:
        return [*self._check_answers(), *self._check_feed(), *self._check_versions()]

    def _check_answers(self) -> list[str]:
        """Hold every answer against what took effect."""
        effects = Counter(name for applied in self.world.history for name in _blobs_of(applied.operations))
        kinds = {name: type(o) for applied in self.world.history for o in applied.operations for name in _blobs_of([o])}
        times = {name: applied.time for applied in self.world.history for name in _blobs_of(applied.operations)}
        broken = []
        for attempt in self.attempts:
            change, result = attempt.change, attempt.result
            if isinstance(change, DeleteInstance):
                broken += self._check_delete(attempt, change)
                continue
            took = effects[change.record.blob_name]
            if took > 1:
                broken.append("one request took effect twice")
            if not isinstance(result, Result):
                continue
            if (result.outcome in (Outcome.STORED, Outcome.REPLACED)) != (took == 1):
                broken.append(f"answered {result.outcome}, took effect {took} times")
            elif took:
                expected = Outcome.STORED if kinds[change.record.blob_name] is Create else Outcome.REPLACED
                if result.outcome is not expected:
                    broken.append(f"answered {result.outcome}, was {expected}")
                if attempt.ended is not None and times[change.record.blob_name] > attempt.ended:
                    broken.append("acknowledged before it took effect")
        return broken

    def _check_delete(self, attempt: Attempt, change: DeleteInstance) -> list[str]:
        if not isinstance(attempt.result, Result) or attempt.ended is None or attempt.result.outcome is not Outcome.DELETED:
            return []
        row_key = KEY.instance_row(change.series_instance_uid, change.sop_instance_uid)
        removed = any(
            isinstance(o, Remove) and o.row_key == row_key and attempt.began <= applied.time <= attempt.ended
            for applied in self.world.history
            for o in applied.operations
        )
        return [] if removed else ["answered deleted, and nothing was"]

    def _check_feed(self) -> list[str]:
        """See that the feed is each study's commits, in their order, each exactly once, densely numbered."""
        broken = []
        events = [FeedEvent.from_entity(e) for e in self.world.range("feed", FEED_PARTITION, "event~", "event~~")]
        if [e.sequence for e in events] != list(range(1, len(events) + 1)):
            broken.append("the feed's sequence has holes")
        if any(a.timestamp > b.timestamp for a, b in itertools.pairwise(events)):
            broken.append("the feed's time runs backwards")
        head = self.world.get("feed", (FEED_PARTITION, HEAD_ROW))
        if events and (head is None or head.properties["sequence"] != len(events)):
            broken.append("the feed's head is not its last event")
        for study in {applied.commit.study_instance_uid for applied in self.world.history}:
            commits = [a.commit for a in self.world.history if a.commit.study_instance_uid == study]
            expected = [(c.version, x.action, x.series_instance_uid, x.sop_instance_uid) for c in commits for x in c.changes]
            got = [(e.version, e.action, e.series_instance_uid, e.sop_instance_uid) for e in events if e.study_instance_uid == study]
            if expected != got:
                broken.append(f"the feed does not tell a study's commits: {len(expected)} expected, {len(got)} found")
            if any(self.world.range(keys.CATALOG, c.partition_key, "outbox~", "outbox~~") for c in commits):
                broken.append("an outbox row is left")
            if not all(self.world.get("feed", (FEED_PARTITION, marker_row(c.partition_key, c.version))) for c in commits):
                broken.append("a published marker is missing")
        return broken

    def _check_versions(self) -> list[str]:
        broken = []
        for study in {a.commit.study_instance_uid for a in self.world.history}:
            versions = [a.commit.version for a in self.world.history if a.commit.study_instance_uid == study]
            if any(b != a + 1 for a, b in itertools.pairwise(versions)):
                broken.append("a study's versions are not one after the other")
        return broken


def _blobs_of(operations: object) -> list[str]:
    rows = [o.properties for o in operations if isinstance(o, Create | Replace) and o.row_key.startswith(keys.INSTANCE_PREFIX)]  # type: ignore[attr-defined]
    return [str(row["blob_name"]) for row in rows]


def _element(vr: str, value: object) -> bytes:
    return orjson.dumps({"vr": vr, "Value": [value]})


def first_broken(seeds: range, make: Callable[[int], Run] = Run) -> str | None:
    """Play runs until one shows something broken; say what."""
    for seed in seeds:
        broken = make(seed).play()
        if broken:
            return f"seed {seed}: {broken[0]}"
    return None
