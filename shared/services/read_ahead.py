"""Reading ahead: the next pieces are fetched while earlier ones are being sent."""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

T = TypeVar("T")
R = TypeVar("R")

MAX_READS_AHEAD = 8
MAX_BYTES_AHEAD = 8 * 1024 * 1024
"""Of one answer: what is being read, or was and waits to be sent."""


async def read_ahead(sized: Iterable[tuple[T, int]], read: Callable[[T], Awaitable[R]]) -> AsyncGenerator[R]:
    """Read items several at a time and give the results in their order.

    Parameters
    ----------
    sized
        For each item, its size in bytes; it bounds what is held.
    read
        Reads one item. Where it raises, so does this, in the item's turn; reads still running are cancelled.
    """
    items = iter(sized)
    first, following = next(items, None), next(items, None)
    if first is not None:
        if following is None:  # a single read needs no task
            yield await read(first[0])
            return
        items, following = chain((following,), items), first
    running: deque[tuple[asyncio.Future[R], int]] = deque()
    size_ahead = 0
    try:
        while running or following is not None:
            while following is not None and _has_room(len(running), size_ahead + following[1]):
                running.append((asyncio.ensure_future(read(following[0])), following[1]))
                size_ahead += following[1]
                following = next(items, None)
            result = await running[0][0]
            size_ahead -= running.popleft()[1]
            yield result
    finally:
        for future, _ in running:
            future.cancel()


def _has_room(count: int, size: int) -> bool:
    return count == 0 or (count < MAX_READS_AHEAD and size <= MAX_BYTES_AHEAD)
