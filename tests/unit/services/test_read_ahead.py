"""Reading ahead: order kept, bounds kept, nothing left running."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.services.read_ahead import MAX_BYTES_AHEAD, MAX_READS_AHEAD, read_ahead


class Reads:
    """Reads that take their time, and remember how many ran at once."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.running, self.most, self.most_bytes = sizes, set[int](), 0, 0

    async def read(self, index: int) -> int:
        self.running.add(index)
        self.most = max(self.most, len(self.running))
        self.most_bytes = max(self.most_bytes, sum(self.sizes[i] for i in self.running))
        try:
            await asyncio.sleep(0)
            if self.sizes[index] < 0:
                raise LookupError(index)
        finally:
            self.running.discard(index)
        return index

    def start(self) -> list[tuple[int, int]]:
        return [(index, abs(size)) for index, size in enumerate(self.sizes)]


@given(st.lists(st.integers(0, 3 * 1024 * 1024), max_size=30))
async def test_results_come_in_order_and_little_is_read_at_once(sizes: list[int]) -> None:
    reads = Reads(sizes)
    assert [result async for result in read_ahead(reads.start(), reads.read)] == list(range(len(sizes)))
    assert reads.most <= MAX_READS_AHEAD
    assert reads.most_bytes <= MAX_BYTES_AHEAD


async def test_several_reads_run_at_once() -> None:
    reads = Reads([1] * 20)
    assert len([result async for result in read_ahead(reads.start(), reads.read)]) == 20
    assert reads.most == MAX_READS_AHEAD


async def test_one_item_above_the_bound_is_read_alone() -> None:
    reads = Reads([1, 2 * MAX_BYTES_AHEAD, 1])
    assert len([result async for result in read_ahead(reads.start(), reads.read)]) == 3


async def test_a_failure_comes_in_its_turn() -> None:
    reads, seen = Reads([1, 1, -1, 1]), []
    with pytest.raises(LookupError):  # noqa: PT012  # what came before counts
        async for result in read_ahead(reads.start(), reads.read):
            seen.append(result)  # noqa: PERF401  # a comprehension would lose them
    assert seen == [0, 1]


async def test_nothing_runs_on_when_the_taker_stops() -> None:
    reads = Reads([1] * 20)
    async with aclosing(read_ahead(reads.start(), reads.read)) as results:
        await anext(results)
    await asyncio.sleep(0)
    assert reads.running == set()
