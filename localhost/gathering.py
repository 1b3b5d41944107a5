"""Answers leave in one piece: what uvicorn writes in one go (head, body, its end) goes to the socket together.

Each write to a socket is a system call, and the first small one wakes the client up, which then takes the processor
from us and waits for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from localhost.limits import LimitedProtocol

if TYPE_CHECKING:
    import asyncio

ROOM_BYTES = 1024 * 1024
"""What is gathered goes out as soon as it is this large; so much may also wait in the transport before the sender has to."""


class GatheringTransport:
    """A transport whose writes of one moment go out together; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, at the latest when the caller next lets others run."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > ROOM_BYTES:
            self._flush()

    def close(self) -> None:
        """Send what is gathered, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)


class GatheringProtocol(LimitedProtocol):
    """The server's protocol on such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's is as narrow
        """Begin a connection."""
        transport.set_write_buffer_limits(high=ROOM_BYTES)
        super().connection_made(GatheringTransport(transport, self.loop))  # type: ignore[arg-type]  # it quacks like one
