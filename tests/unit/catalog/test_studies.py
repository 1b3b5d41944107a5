"""Committing on real tables in memory: requests counted, batches cut, contention settled."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.catalog import keys, terms
from shared.catalog.changes import DeleteInstance, Outcome, Result
from shared.catalog.commit_plan import MAX_CHANGES
from shared.catalog.cover import Cover
from shared.catalog.feed import FeedReader
from shared.catalog.publisher import FeedPublisher
from shared.catalog.reading import CatalogReader
from shared.catalog.records import StudyRecord
from shared.catalog.studies import ACKNOWLEDGE_SECONDS, Committer, _Pending, _take_batch
from shared.errors import AlreadyPresent, ArchiveError, Busy, OutcomeUnknown, StorageFailure
from tests.support.changes import element, store_change
from tests.support.counting import counting
from tests.support.stores import memory_stores
from tests.support.virtual_time import VirtualClock, run_virtually

if TYPE_CHECKING:
    from shared.ports import Stores

KEY = keys.ArchiveKey("k", b"secret")


def make_committer(stores: Stores) -> Committer:
    return Committer(stores, KEY, FeedPublisher(stores.tables, stores.clock), Cover(stores.queues, 60))


def count(counts: Counter[str], *labels: str) -> int:
    return sum(n for label, n in counts.items() if label.split()[0] in labels)


@pytest.mark.parametrize(("k", "s"), [(1, 1), (10, 1), (10, 3), (90, 2)])
async def test_a_commit_costs_at_most_k_plus_2s_plus_6_table_requests_and_a_message(k: int, s: int) -> None:
    stores, counts = counting(memory_stores())
    committer = make_committer(stores)
    await committer.submit("1.2", [store_change("1.2", f"1.2.{i}", f"1.2.{i}.0", clock=stores.clock) for i in range(s)])
    counts.clear()
    changes = [store_change("1.2", f"1.2.{i % s}", f"1.2.{i % s}.9{i}", clock=stores.clock) for i in range(k)]
    results = await make_committer(stores).submit("1.2", changes)
    await asyncio.sleep(0)
    assert [r.outcome for r in results if isinstance(r, Result)] == [Outcome.STORED] * k
    assert count(counts, "get", "page", "upsert", "transact", "remove") <= k + 2 * s + 6
    assert count(counts, "send") == 1


async def test_first_contact_costs_the_term_rows_besides() -> None:
    stores, counts = counting(memory_stores())
    await make_committer(stores).submit("1.2", [store_change("1.2", "1.2.0", "1.2.0.0", clock=stores.clock)])
    await asyncio.sleep(0)
    study = await CatalogReader(stores.tables, KEY).study("1.2")
    assert study is not None
    rows = len(terms.study_term_rows(KEY, keys.DEFAULT_PARTITION, study))
    assert count(counts, "get", "page", "upsert", "transact", "remove") <= 1 + 2 + 6 + rows + 1


async def test_many_instances_make_several_commits_and_exact_counts() -> None:
    stores = memory_stores()
    changes = [store_change("1.2", f"1.2.{i % 7}", f"1.2.{i}", clock=stores.clock) for i in range(250)]
    results = await make_committer(stores).submit("1.2", changes)
    study = await CatalogReader(stores.tables, KEY).study("1.2")
    assert study is not None
    assert (study.instance_count, study.series_count, len(results)) == (250, 7, 250)
    assert len(await FeedReader(stores.tables).read(0, 1000)) == 250


async def test_a_duplicate_among_many_is_found_and_the_others_stored() -> None:
    stores = memory_stores()
    committer = make_committer(stores)
    await committer.submit("1.2", [store_change("1.2", "1.2.0", "1.2.0.5", clock=stores.clock)])
    results = await committer.submit("1.2", [store_change("1.2", "1.2.0", f"1.2.0.{i}", clock=stores.clock) for i in range(10)])
    assert [r.outcome for r in results if isinstance(r, Result)].count(Outcome.DUPLICATE) == 1
    assert len([r for r in results if isinstance(r, Result) and r.outcome is Outcome.STORED]) == 9


async def test_one_instance_twice_in_a_request_is_stored_once() -> None:
    stores = memory_stores()
    results = await make_committer(stores).submit("1.2", [store_change("1.2", "1.2.0", "1.2.0.0", clock=stores.clock) for _ in range(2)])
    assert [r.outcome for r in results if isinstance(r, Result)] == [Outcome.STORED, Outcome.DUPLICATE]


async def test_eight_processes_with_sixteen_senders_each_all_store_into_one_study() -> None:
    stores = memory_stores()
    processes = [make_committer(_yielding(stores)) for _ in range(8)]

    async def send(process: Committer, sender: int) -> list[Result | Exception]:
        changes = [store_change("1.2", f"1.2.{sender % 3}", f"1.2.{sender}.{i}", clock=stores.clock) for i in range(3)]
        return list(await process.submit("1.2", changes))

    answers = await asyncio.gather(*[send(p, 100 * n + s) for n, p in enumerate(processes) for s in range(16)])
    assert Counter(r.outcome if isinstance(r, Result) else type(r) for a in answers for r in a) == {Outcome.STORED: 8 * 16 * 3}
    study = await CatalogReader(stores.tables, KEY).study("1.2")
    assert study is not None
    assert study.instance_count == 8 * 16 * 3
    events = await FeedReader(stores.tables).read(0, 1000)
    assert [e.sequence for e in events] == list(range(1, 8 * 16 * 3 + 1))


def _yielding(stores: Stores) -> Stores:
    """Let others run at every verb, as real storage does."""

    class Tables:
        def __getattr__(self, name: str) -> object:
            verb = getattr(stores.tables, name)
            if name == "pages":
                return verb

            async def later(*args: object, **options: object) -> object:
                await asyncio.sleep(0.001)
                return await verb(*args, **options)

            return later

    return replace(stores, tables=Tables())  # type: ignore[arg-type]


async def test_a_changed_patient_moves_the_study_to_a_new_sort_key() -> None:
    stores = memory_stores()
    committer, reader = make_committer(stores), CatalogReader(stores.tables, KEY)
    await committer.submit("1.2", [store_change("1.2", "1.2.0", "1", clock=stores.clock)])
    before = await reader.study("1.2")
    await committer.submit("1.2", [store_change("1.2", "1.2.0", "2", clock=stores.clock, T00100020=element("LO", "P2"))])
    after = await reader.study("1.2")
    assert isinstance(before, StudyRecord)
    assert isinstance(after, StudyRecord)
    assert before.sk != after.sk
    rows = terms.study_term_rows(KEY, keys.DEFAULT_PARTITION, after)
    assert None not in await stores.tables.get_many(keys.SEARCH, [(pk, rk) for pk, rk, _ in rows])


async def test_a_definite_storage_error_is_each_changes_outcome() -> None:
    stores = memory_stores()

    class Refusing:
        def __getattr__(self, name: str) -> object:
            return getattr(stores.tables, name)

        async def upsert_many(self, *_: object) -> None:
            raise StorageFailure("the table is not there")

    committer = make_committer(replace(stores, tables=Refusing()))  # type: ignore[arg-type]
    results = await committer.submit("1.2", [store_change("1.2", "1.2.0", "1", clock=stores.clock)])
    assert [type(r) for r in results] == [StorageFailure]
    assert not isinstance(results[0], AlreadyPresent)


async def test_what_nobody_foresaw_leaves_nobody_waiting() -> None:
    stores = memory_stores()

    class Broken:
        def __getattr__(self, name: str) -> object:
            return getattr(stores.tables, name)

        async def upsert_many(self, *_: object) -> None:
            raise ZeroDivisionError

    committer = make_committer(replace(stores, tables=Broken()))  # type: ignore[arg-type]
    changes = [store_change("1.2", "1.2.0", f"1.2.0.{i}", clock=stores.clock) for i in range(120)]
    async with asyncio.timeout(5):
        results = await committer.submit("1.2", changes)
    assert [type(r) for r in results] == [ArchiveError] * 120


async def test_a_blob_of_more_than_twelve_hours_is_not_committed() -> None:
    stores = memory_stores()
    change = store_change("1.2", "1.2.0", "1", clock=stores.clock)
    old = replace(change, written_at=change.written_at - 13 * 3600)
    results = await make_committer(stores).submit("1.2", [old])
    assert [type(r) for r in results] == [Busy]
    assert await CatalogReader(stores.tables, KEY).study("1.2") is None


def test_a_commit_is_acknowledged_after_two_seconds_when_the_feed_cannot_be_written() -> None:
    async def scenario() -> tuple[float, object]:
        loop = asyncio.get_running_loop()
        stores = memory_stores(VirtualClock())

        class FeedIsDown:
            def __getattr__(self, name: str) -> object:
                return getattr(stores.tables, name)

            async def transact(self, table: str, *args: object) -> list[str]:
                if table == keys.FEED:
                    await asyncio.sleep(30)
                    raise OutcomeUnknown("the feed is down")
                return await stores.tables.transact(table, *args)  # type: ignore[arg-type]

        committer = make_committer(replace(stores, tables=FeedIsDown()))  # type: ignore[arg-type]
        began = loop.time()
        (result,) = await committer.submit("1.2", [store_change("1.2", "1.2.0", "1", clock=stores.clock)])
        return loop.time() - began, result

    seconds, result = run_virtually(scenario())
    assert isinstance(result, Result)
    assert (result.outcome, round(seconds, 1)) == (Outcome.STORED, ACKNOWLEDGE_SECONDS)


def _pending(change: object, row_key: str) -> _Pending:
    return _Pending(change, row_key, asyncio.get_running_loop().create_future())  # type: ignore[arg-type]


async def test_a_batch_holds_at_most_95_changes_and_100_operations() -> None:
    clock = memory_stores().clock
    many = deque(_pending(store_change("1", f"1.{i % 10}", str(i), clock=clock), str(i)) for i in range(200))
    batch = _take_batch(many)
    assert len(batch) + 10 + 2 <= 100
    few_series = deque(_pending(store_change("1", "1.1", str(i), clock=clock), str(i)) for i in range(200))
    assert len(_take_batch(few_series)) == MAX_CHANGES


async def test_a_batch_holds_at_most_what_a_transaction_carries() -> None:
    clock = memory_stores().clock
    large = deque(_pending(store_change("1", "1.1", str(i), clock=clock, metadata=bytes(47_000)), str(i)) for i in range(95))
    assert 40 <= len(_take_batch(large)) <= 55


async def test_a_second_change_of_an_instance_waits_in_its_place() -> None:
    clock = memory_stores().clock
    changes = [store_change("1", "1.1", name, clock=clock, replace=True) for name in ["a", "b", "a", "c", "a"]]
    line = deque(_pending(c, c.sop_instance_uid) for c in changes)
    assert [p.row_key for p in _take_batch(line)] == ["a", "b", "c"]
    assert [p.row_key for p in line] == ["a", "a"]


async def test_a_further_store_of_an_instance_joins_unless_something_else_came_between() -> None:
    clock = memory_stores().clock
    store = store_change("1", "1.1", "a", clock=clock)
    delete = DeleteInstance("1.1", "a")
    line = deque(_pending(c, "a") for c in [store, store, delete, store])
    assert [p.change for p in _take_batch(line)] == [store, store]
    assert [p.change for p in line] == [delete, store]


async def test_ten_thousand_stores_of_one_instance_cost_a_few_requests() -> None:
    stores, counts = counting(memory_stores())
    changes = [store_change("1.2", "1.2.0", "1.2.0.0", clock=stores.clock)] * 10_000
    results = await make_committer(stores).submit("1.2", changes)
    outcomes = Counter((r.outcome, r.identical) for r in results if isinstance(r, Result))
    assert outcomes == {(Outcome.STORED, False): 1, (Outcome.DUPLICATE, True): 9_999}
    assert counts.total() < 60
