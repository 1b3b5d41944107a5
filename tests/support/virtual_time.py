"""An event loop whose time is its own: waiting takes no time, and everything happens in a repeatable order."""

from __future__ import annotations

import asyncio
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Deadlock(RuntimeError):
    """Nothing is ready and nothing is planned."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Instead of waiting for the next timer, its time jumps there."""

    def __init__(self) -> None:
        self.virtual_now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.virtual_now

    def run_in_executor(  # type: ignore[override]  # without the type variable tuple
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do at once what would go to a thread: time must not jump while that works."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 -- it is the caller's
            done.set_exception(error)
        return done


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock
        self._loop.virtual_now += max(timeout, 0)
        return super().select(0)


class VirtualClock:
    """Wall time of a process on a virtual loop; ``skew_seconds`` makes it differ from the others'."""

    def __init__(self, skew_seconds: float = 0) -> None:
        self._skew = skew_seconds

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time() + self._skew)


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new virtual loop; what it leaves running is cancelled."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
