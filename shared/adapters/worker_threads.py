"""A few threads for file work, with one wake-up of the event loop for all that finished meanwhile.

A hand-over to a thread and back costs as much as the work itself, most of it for waking the loop up. So results are put on a list,
and the loop is woken only if the list was empty.
"""

from __future__ import annotations

import asyncio
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from shared.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_Job: TypeAlias = "tuple[asyncio.Future[Any], Callable[[], Any], Callable[[Any], None] | None]"
_Finished: TypeAlias = "tuple[asyncio.Future[Any], Callable[[Any], None] | None, Any, BaseException | None]"


class WorkerThreads:
    """Runs work in threads that are started when first needed.

    Parameters
    ----------
    count
        How many threads.
    name
        What they are called.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._threads: list[Thread] = []
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._finished: list[_Finished] = []
        self._lock = Lock()

    async def run(self, work: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        """Run ``work`` in a thread; then ``then`` with its result on the loop, even if the caller was cancelled meanwhile."""
        if len(self._threads) < self._count:
            self._start_thread()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put((future, work, then))
        return await future

    def close(self) -> None:
        """Wait for the work in hand and end the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start_thread(self) -> None:
        thread = Thread(target=self._serve, name=f"{self._name}-{len(self._threads)}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while job := self._jobs.get():
            future, work, then = job
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 -- it is the caller's, who awaits the future
                error = raised
            self._finish(future.get_loop(), (future, then, result, error))
            del job, future, work, then, result, error  # buffers must not live until the next job

    def _finish(self, loop: asyncio.AbstractEventLoop, finished: _Finished) -> None:
        with self._lock:
            self._finished.append(finished)
            if len(self._finished) > 1:
                return
        try:
            loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed: nobody waits any more
            self._take_finished()

    def _take_finished(self) -> list[_Finished]:
        with self._lock:
            finished, self._finished = self._finished, []
        return finished

    def _deliver(self) -> None:
        for finished in self._take_finished():
            _settle(*finished)


def _settle(future: asyncio.Future[Any], then: Callable[[Any], None] | None, result: Any, error: BaseException | None) -> None:
    if error is None and then is not None:
        try:
            then(result)
        except ArchiveError as raised:
            error = raised
    if future.done():  # the caller was cancelled
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
