"""A few threads, their results, and callers that go away."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from shared.adapters.worker_threads import WorkerThreads
from shared.errors import NotPresent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def threads() -> Iterator[WorkerThreads]:
    threads = WorkerThreads(4, "test")
    yield threads
    threads.close()


async def test_every_caller_gets_its_own_result(threads: WorkerThreads) -> None:
    results = await asyncio.gather(*(threads.run(lambda n=n: n * n) for n in range(500)))  # type: ignore[misc]  # a default, not an argument
    assert results == [n * n for n in range(500)]


async def test_error_is_the_callers_and_the_thread_goes_on(threads: WorkerThreads) -> None:
    def fail() -> None:
        raise NotPresent("gone")

    for _ in range(10):
        with pytest.raises(NotPresent):
            await threads.run(fail)
    assert await threads.run(threading.get_ident) != threading.get_ident()


async def test_follow_up_runs_on_the_loop_before_the_caller_goes_on(threads: WorkerThreads) -> None:
    seen: list[tuple[int, int]] = []
    assert await threads.run(lambda: 7, lambda result: seen.append((result, threading.get_ident()))) == 7
    assert seen == [(7, threading.get_ident())]


async def test_error_of_a_follow_up_is_the_callers(threads: WorkerThreads) -> None:
    def fail(_: int) -> None:
        raise NotPresent("gone")

    with pytest.raises(NotPresent):
        await threads.run(lambda: 7, fail)


async def test_follow_up_runs_even_if_the_caller_was_cancelled(threads: WorkerThreads) -> None:
    go_on, followed = threading.Event(), asyncio.Event()
    running = asyncio.create_task(threads.run(lambda: go_on.wait(10), lambda _: followed.set()))
    await asyncio.sleep(0)
    running.cancel()
    go_on.set()
    await asyncio.wait_for(followed.wait(), 10)
    assert running.cancelled()


async def test_closing_waits_for_the_work_in_hand() -> None:
    threads = WorkerThreads(2, "test")
    done: list[int] = []
    for n in range(10):
        task = asyncio.create_task(threads.run(lambda n=n: done.append(n)))  # type: ignore[misc]  # a default, not an argument
        await asyncio.sleep(0)
        task.cancel()
    threads.close()
    assert sorted(done) == list(range(10))
