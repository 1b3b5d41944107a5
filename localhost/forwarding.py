"""Forward requests to the web server in the worker, as Azure's host does: streamed both ways, cut off both ways."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import aiohttp
from starlette.requests import ClientDisconnect
from yarl import URL

from localhost.engine import client_gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from localhost.engine import Receive, Scope, Send

_INVOCATION_HEADER = "x-ms-invocation-id"
_OF_ONE_CONNECTION = {b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"expect", b"host", b"date", b"server"}
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_START_SECONDS = 30.0
_PAUSE_SECONDS = 0.01


class Forwarder:
    """Speaks to the worker's web server.

    Parameters
    ----------
    worker_url
        Its root, without a slash at the end.
    """

    def __init__(self, worker_url: str) -> None:
        self._worker_url = worker_url
        connector = aiohttp.TCPConnector(limit=0)
        self._client = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False)

    async def wait_for_worker(self) -> None:
        """Return when the web server listens; the core opens it in a task of its own."""
        address = URL(self._worker_url)
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(str(address.host), int(address.port or 0)):  # noqa: ASYNC110 -- nobody sets an event
                await asyncio.sleep(_PAUSE_SECONDS)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def forward(self, invocation_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a request to the worker and its answer to the client.

        Raises
        ------
        ClientDisconnect
            The client went before its request was through.
        aiohttp.ClientError
            The worker broke off.
        """
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name not in _OF_ONE_CONNECTION]
        headers.append((_INVOCATION_HEADER, invocation_id))
        body = _Body(receive)
        request = self._client.request(
            scope["method"],
            URL(self._worker_url + target(scope), encoded=True),
            headers=headers,
            data=body.pieces() if _has_body(scope) else None,
            allow_redirects=False,
            skip_auto_headers=_NOT_ADDED,
        )
        try:
            async with request as response:
                await _pass_on(response, body, send)
        except aiohttp.ClientError as error:
            if body.cut_off:
                raise ClientDisconnect from error
            raise


def target(scope: Scope) -> str:
    """Give a request's path and query as they were sent."""
    path: str = scope["raw_path"].decode("latin-1")
    query: str = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


class _Body:
    """A request's body on its way to the worker, and the word that the client is gone once it is through."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._sending = False
        self.cut_off = False

    async def pieces(self) -> AsyncIterator[bytes]:
        self._sending = True
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.cut_off = True
                raise ConnectionResetError
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]
        self._sending = False

    def watch(self) -> asyncio.Task[None] | None:
        """Begin to wait for the client to go; None while its body comes, which shows it as well."""
        return None if self._sending else asyncio.create_task(client_gone(self._receive))


async def _pass_on(response: aiohttp.ClientResponse, body: _Body, send: Send) -> None:
    headers = [(name.lower(), value) for name, value in response.raw_headers if name.lower() not in _OF_ONE_CONNECTION]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    watcher = body.watch()
    try:
        async for piece in response.content.iter_any():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if watcher is not None and watcher.done():
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if watcher is not None:
            watcher.cancel()


def _has_body(scope: Scope) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
