"""Small writes of one moment go to the socket together, in their order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from localhost.gathering import ROOM_BYTES, GatheringTransport


class Socket:
    """Keeps what is written at once."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.closed = False

    def writelines(self, pieces: list[bytes]) -> None:
        self.sent.append(pieces)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def both() -> tuple[Any, Socket]:
    socket: Any = Socket()
    return GatheringTransport(socket, asyncio.get_running_loop()), socket


async def test_what_is_written_at_once_is_sent_at_once(both: tuple[Any, Socket]) -> None:
    transport, socket = both
    for piece in (b"head", b"body", b"end"):
        transport.write(piece)
    await asyncio.sleep(0)
    assert socket.sent == [[b"head", b"body", b"end"]]


async def test_later_writes_are_sent_later(both: tuple[Any, Socket]) -> None:
    transport, socket = both
    for piece in (b"one", b"two"):
        transport.write(piece)
        await asyncio.sleep(0)
    assert socket.sent == [[b"one"], [b"two"]]


async def test_a_large_piece_does_not_wait(both: tuple[Any, Socket]) -> None:
    transport, socket = both
    transport.write(b"head")
    transport.write(bytes(ROOM_BYTES))
    transport.write(b"end")
    assert len(socket.sent) == 1
    await asyncio.sleep(0)
    assert socket.sent == [[b"head", bytes(ROOM_BYTES)], [b"end"]]


async def test_closing_sends_what_is_gathered(both: tuple[Any, Socket]) -> None:
    transport, socket = both
    transport.write(b"last")
    transport.close()
    assert (socket.sent, socket.closed) == ([[b"last"]], True)


async def test_nothing_is_written_to_a_socket_that_is_gone(both: tuple[Any, Socket]) -> None:
    transport, socket = both
    transport.write(b"late")
    socket.closed = True
    await asyncio.sleep(0)
    assert socket.sent == []
