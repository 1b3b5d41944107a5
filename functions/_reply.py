"""Sending an answer: one piece, or a first piece and more to come. Not: what is in it.

The pieces go to the server as they are: joining them would copy every byte once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from functions._headers import Header
from shared.ports import Piece

if TYPE_CHECKING:
    from fastapi import Response
else:  # the extension names the same, without types
    from azurefunctions.extensions.http.fastapi import Response

_UNWATCHED_PIECES = 8
"""So many pieces of a body are sent before anybody looks whether the caller is still there."""


class Reply(Response):
    """A response of one piece, or of a first piece and more to come; ``leave`` is called when it has been sent."""

    def __init__(
        self, status: int, headers: list[Header], first: Piece, rest: AsyncIterator[Piece] | None, leave: Callable[[], None]
    ) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.background = None
        self.body = first
        self._rest = rest
        self._leave = leave

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002  # an ASGI application's
        """Send it, as an ASGI application."""
        try:
            await self._send(receive, send)
        finally:
            self._leave()

    async def _send(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._rest is None:
            await send({"type": "http.response.body", "body": self.body})
            return
        async with aclosing(_watched(self._rest, receive)) as pieces:
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def _watched(pieces: AsyncIterator[Piece], receive: Callable[[], Awaitable[Any]]) -> AsyncGenerator[Piece]:
    """Give the pieces on, until they end or the caller goes away."""
    gone: asyncio.Task[None] | None = None
    sent = 0
    try:
        async for piece in pieces:
            yield piece
            sent += 1
            if sent == _UNWATCHED_PIECES:
                gone = asyncio.ensure_future(_disconnect(receive))
            if gone is not None and gone.done():
                return
    finally:
        if gone is not None:
            gone.cancel()
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


async def _disconnect(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
