"""The sections of the bench. Each measures every server in turn, A B then B A, so that drift hits all alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tests.bench.caller import Server, WrongAnswer, in_parallel, multipart
from tests.bench.instances import Factory, Instance, Kind
from tests.bench.queries import INSTANCE, STUDY, Query, query_classes
from tests.bench.results import Cell, Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    repeats: int
    store_instances: int
    retrievals: int
    searches: int
    archive_instances: int
    mixed_seconds: float


FULL: Final = Extent(repeats=5, store_instances=200, retrievals=100, searches=50, archive_instances=10_000, mixed_seconds=15)
QUICK: Final = Extent(repeats=2, store_instances=40, retrievals=20, searches=10, archive_instances=1_000, mixed_seconds=4)


@dataclass(frozen=True, slots=True)
class Bench:
    """What every section needs."""

    servers: Sequence[Server]
    results: Results
    extent: Extent
    seed: str
    progress: Callable[[str], None]

    def in_turn(self, repeats: int) -> Iterator[tuple[int, Server]]:
        """Give every server in every repeat, in alternating order."""
        for repeat in range(repeats):
            yield from ((repeat, server) for server in (self.servers if repeat % 2 == 0 else self.servers[::-1]))

    def store_everywhere(self, instances: Sequence[Instance], per_request: int = 50) -> None:
        for start in range(0, len(instances), per_request):
            for server in self.servers:
                server.store(instances[start : start + per_request])


def store(bench: Bench) -> None:
    """Store CT instances: 1, 10 and 100 a request, with 1 and 8 clients."""
    for per_request in (1, 10, 100):
        for clients in (1, 8):
            _store_cell(bench, per_request, clients)


def _store_cell(bench: Bench, per_request: int, clients: int) -> None:
    name = f"CT, {per_request} a request, {clients} client{'s' * (clients > 1)}"
    rate = Cell("store", name, "instances/s", more_is_better=True)
    cpu = Cell("store", name, "server CPU ms/instance")
    count = max(bench.extent.store_instances, 2 * per_request * clients)
    for repeat, server in bench.in_turn(bench.extent.repeats):
        made = Factory(Kind.CT, f"{bench.seed}{name}{repeat}").make(count)
        jobs = [made[start : start + per_request] for start in range(0, count, per_request)]
        bodies = [(multipart(job), job) for job in jobs]
        before = sum(server.cpu_seconds().values())
        try:
            timing = in_parallel(clients, bodies, partial(_send, server))
            used = sum(server.cpu_seconds().values()) - before
            _check_stored(server, made)
        except WrongAnswer as error:
            bench.results.reject(rate, server.name, str(error))
            continue
        bench.results.add(rate, server.name, count / timing.total)
        bench.results.add(cpu, server.name, used / count * 1000)
    bench.progress(name)


def _send(server: Server, job: tuple[bytes, Sequence[Instance]]) -> None:
    server.send(*job)


def _check_stored(server: Server, made: Sequence[Instance]) -> None:
    for study in {instance.study for instance in made}:
        expected = {instance.instance for instance in made if instance.study == study}
        _expect(server.search(f"/studies/{study}/instances?limit=200"), INSTANCE, expected)
    sample = made[len(made) // 2]
    _expect_pixels(server.instances(sample.path)(), [sample])


def retrieve(bench: Bench) -> None:
    """Retrieve a study, series, instances and frames of 100 CT instances, and their metadata."""
    made = Factory(Kind.CT, f"{bench.seed}retrieve").make(100)
    bench.store_everywhere(made, 20)
    study, series = f"/studies/{made[0].study}", f"/studies/{made[0].study}/series/{made[0].series}"
    few, many = bench.extent.repeats * 2, bench.extent.retrievals
    names = {instance.instance for instance in made}
    pick = random.Random(bench.seed).choice
    cells: list[tuple[str, int, Callable[[Server], Callable[[], None]]]] = [
        ("study of 100 CT instances", few, lambda server: _pixels(server.instances(study), made)),
        ("series of 100 CT instances", few, lambda server: _pixels(server.instances(series), made)),
        ("instance, CT", many, lambda server: _one(server, pick(made))),
        ("frame, CT", many, lambda server: _frame(server, pick(made))),
        ("metadata, series of 100", few * 3, lambda server: _rows(server.metadata(series), names)),
        ("metadata, instance", many, lambda server: _metadata_of_one(server, pick(made))),
    ]
    for name, repeats, call in cells:
        _latency_cell(bench, Cell("retrieve", name, "ms"), repeats, call)


def _pixels(parts: Callable[[], list[bytes]], expected: Sequence[Instance]) -> Callable[[], None]:
    return lambda: _expect_pixels(parts(), expected)


def _rows(rows: Callable[[], list[dict[str, Any]]], expected: set[str]) -> Callable[[], None]:
    return lambda: _expect(rows(), INSTANCE, expected)


def _one(server: Server, instance: Instance) -> Callable[[], None]:
    return _pixels(server.instances(instance.path), [instance])


def _metadata_of_one(server: Server, instance: Instance) -> Callable[[], None]:
    return _rows(server.metadata(instance.path), {instance.instance})


def _frame(server: Server, instance: Instance) -> Callable[[], None]:
    parts = server.frame(instance)

    def check() -> None:
        if parts() != [instance.pixel_data]:
            raise WrongAnswer("frame: other bytes")

    return check


def _latency_cell(bench: Bench, cell: Cell, repeats: int, call: Callable[[Server], Callable[[], None]]) -> None:
    """Measure a call, its answer checked outside the time; the first of each server warms up."""
    for repeat, server in bench.in_turn(repeats + 1):
        if (cell, server.name) in bench.results.wrong:
            continue
        try:
            begin = time.perf_counter()
            check = call(server)
            seconds = time.perf_counter() - begin
            check()
        except WrongAnswer as error:
            bench.results.reject(cell, server.name, str(error))
            continue
        if repeat:
            bench.results.add(cell, server.name, seconds * 1000)
    bench.progress(cell.name)


def search(bench: Bench) -> None:
    """Search an archive of headers, ten instances a study, by the classes of query that viewers send."""
    count = bench.extent.archive_instances
    made = Factory(Kind.HEADERS, f"{bench.seed}search").make(count, per_study=10)
    bench.progress(f"storing {count} headers")
    bench.store_everywhere(made, 100)
    for name, query in query_classes(made, random.Random(bench.seed)).items():
        cell = Cell("search", f"{name}, {count:,} instances", "ms")
        _latency_cell(bench, cell, bench.extent.searches, partial(_search, query))


def _search(query: Callable[[], Query], server: Server) -> Callable[[], None]:
    path, tag, expected = query()
    rows = server.search(path)
    return lambda: _expect(rows, tag, expected)


def mixed(bench: Bench) -> None:
    """Let 8 clients do what comes: half searches, a quarter instances, the rest stores and series metadata."""
    made = Factory(Kind.CT, f"{bench.seed}mixed").make(60)
    bench.store_everywhere(made, 20)
    cell = Cell("mixed", "8 clients: 50 % search, 25 % instance, 15 % store, 10 % metadata", "requests/s", more_is_better=True)
    for repeat, server in bench.in_turn(bench.extent.repeats):
        factory = Factory(Kind.CT, f"{bench.seed}mixed{repeat}")
        stores = iter(factory.make(int(bench.extent.mixed_seconds * 60), per_study=10))
        try:
            timing = in_parallel(8, _jobs(bench, made, stores), partial(_do, server))
        except WrongAnswer as error:
            bench.results.reject(cell, server.name, str(error))
            continue
        bench.results.add(cell, server.name, len(timing.each) / timing.total)
    bench.progress("mixed")


Job = Callable[[Server], object]


def _do(server: Server, job: Job) -> None:
    job(server)


def _jobs(bench: Bench, made: Sequence[Instance], stores: Iterator[Instance]) -> Iterator[Job]:
    """Give jobs until the time is up, or all that was made for storing is stored."""
    rng = random.Random(bench.seed)
    deadline = time.monotonic() + bench.extent.mixed_seconds
    while time.monotonic() < deadline:
        (kind,) = rng.choices((_search_job, _instance_job, _store_job, _metadata_job), (50, 25, 15, 10))
        instance = next(stores, None) if kind is _store_job else rng.choice(made)
        if instance is None:
            return
        yield partial(kind, instance)


def _search_job(instance: Instance, server: Server) -> None:
    _expect(server.search(f"/studies?PatientID={instance.patient_id}"), STUDY, {instance.study})


def _instance_job(instance: Instance, server: Server) -> None:
    _one(server, instance)()


def _store_job(instance: Instance, server: Server) -> None:
    server.store([instance])


def _metadata_job(instance: Instance, server: Server) -> None:
    server.metadata(f"/studies/{instance.study}/series/{instance.series}")()


def _expect(rows: list[dict[str, Any]], tag: str, expected: set[str] | int) -> None:
    found = [row[tag]["Value"][0] for row in rows]
    right = len(found) == expected if isinstance(expected, int) else set(found) == expected
    if not right or len(set(found)) != len(found):
        raise WrongAnswer(f"{len(found)} rows, {expected if isinstance(expected, int) else len(expected)} expected")


def _expect_pixels(parts: list[bytes], expected: Sequence[Instance]) -> None:
    """Hold the parts against the instances; their order is free."""
    remaining = {instance.instance.encode(): instance.pixel_data for instance in expected}
    for part in parts:
        uid = next((uid for uid in remaining if uid in part[:1000]), None)
        if uid is None or not part.endswith(remaining.pop(uid)):
            raise WrongAnswer("instances: a part with other pixels, or not asked for")
    if remaining:
        raise WrongAnswer(f"instances: {len(remaining)} missing")


SECTIONS: Final[dict[str, Callable[[Bench], None]]] = {"store": store, "retrieve": retrieve, "search": search, "mixed": mixed}
