"""The web server: uvicorn on a socket of our own, stopped by us instead of by its own signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import socket
from typing import TYPE_CHECKING

import uvicorn

from localhost.gathering import GatheringProtocol
from localhost.problems import PortOccupied, StartupProblem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from localhost.http import HostApplication

ADDRESS = "127.0.0.1"
_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 130
"""As the real host's web server."""
_GRACE_SECONDS = 10


def listen(port: int) -> socket.socket:
    """Take a port on loopback; 0 takes any free one.

    Raises
    ------
    PortOccupied
        Somebody else listens there.
    StartupProblem
        It cannot be taken for another reason, such as a lack of rights.
    """
    # IPPROTO_TCP makes asyncio switch Nagle's algorithm off on what it accepts.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise StartupProblem(f"Port {port} cannot be taken ({error.strerror}). Choose one with --port.") from error
        raise PortOccupied(
            f"Port {port} is occupied: another program, or another run of this host, listens there. Choose one with --port."
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Give the address at which a listening socket serves."""
    return f"http://{ADDRESS}:{listener.getsockname()[1]}"


def event_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Give uvloop's factory where it is installed, else asyncio's."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 -- optional

    return uvloop.new_event_loop


class WebServer(uvicorn.Server):
    """Serves an application on a socket."""

    def __init__(self, application: HostApplication, listener: socket.socket) -> None:
        config = uvicorn.Config(
            application,
            http=GatheringProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        super().__init__(config)
        self._listener = listener
        self._started = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve; at the end take no more requests and send the answers in work."""
        task = asyncio.create_task(self.serve(sockets=[self._listener]))
        started = asyncio.create_task(self._started.wait())
        await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
        finally:
            self.should_exit = True
            await task

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._started.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the host."""
        yield
