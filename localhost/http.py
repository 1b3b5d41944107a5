"""The host's HTTP side: one bare ASGI application between the web server and an engine.

For each request, in this order: the headers must be within their limits, the one ``Host`` must name this machine (a web page
elsewhere could otherwise reach the service by DNS rebinding), the request line must be within its limit, paths of the host's
own are 404, a route must fit path and method, the body must be within its limit. Then the function sees the request as it
would in Azure: from a loopback address, with the public one in ``X-Forwarded-Host`` and ``X-Forwarded-Proto``.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from localhost.routing import decode_path, is_reserved

if TYPE_CHECKING:
    from localhost.bindings import Function
    from localhost.engine import AsgiMessage, Engine, Receive, Scope, Send
    from localhost.routing import RouteTable, RouteValues

MAX_REQUEST_LINE_BYTES = 8192
MAX_HEADERS, MAX_HEADERS_BYTES = 100, 32768
"""Of the real host's web server."""

_REQUEST_LINE_FRAME_BYTES = len(b"  HTTP/1.1\r\n")
_LOOPBACK_NAMES = {b"127.0.0.1", b"localhost", b"[::1]"}
_REWRITTEN = {b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-for"}
_WORKER_SEES = (b"host", b"127.0.0.1:5555")
"""In Azure the worker is spoken to on a loopback port; whoever builds links from it is to be found out here."""


class HostApplication:
    """Serves the HTTP functions of an app.

    Parameters
    ----------
    routes
        Who answers what.
    engine
        Runs the functions.
    body_limit_bytes
        A longer body is refused with 413: at once where its length is announced, else when it gets there.
    """

    def __init__(self, routes: RouteTable, engine: Engine, body_limit_bytes: int) -> None:
        self._routes = routes
        self._engine = engine
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        lines: list[tuple[bytes, bytes]] = scope["headers"]
        if len(lines) > MAX_HEADERS or sum(len(name) + len(value) + 4 for name, value in lines) > MAX_HEADERS_BYTES:
            await _answer(send, 431)
            return
        hosts = [value for name, value in lines if name == b"host"]
        if len(hosts) != 1 or not _is_loopback(hosts[0]):
            await _answer(send, 421, b"This host answers only for 127.0.0.1 and localhost.")
            return
        if len(scope["method"]) + len(scope["raw_path"]) + len(scope["query_string"]) + _REQUEST_LINE_FRAME_BYTES > MAX_REQUEST_LINE_BYTES:
            await _answer(send, 414)
            return
        path = decode_path(scope["raw_path"])
        found = None if is_reserved(path) or not scope["raw_path"].startswith(b"/") else self._routes.find(path, scope["method"])
        if found is None:
            await _answer(send, 404)
            return
        function, route_values = found
        headers = dict(lines)
        scope["headers"] = _as_forwarded(scope, hosts[0])
        if b"transfer-encoding" in headers:
            await self._serve_chunked(function, route_values, scope, receive, send)
        elif int(headers.get(b"content-length", 0)) > self._body_limit_bytes:
            await _answer(send, 413)
        else:
            await _serve(self._engine, function, route_values, scope, receive, send)

    async def _serve_chunked(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request whose length shows only as it comes; over the limit the function sees the client go."""
        body = _LimitedBody(receive, send, self._body_limit_bytes)
        serving = asyncio.ensure_future(_serve(self._engine, function, route_values, scope, body.receive, body.send))
        await asyncio.wait((serving,))
        if body.is_over and not body.answered:
            await _answer(send, 413)
        else:
            serving.result()


class _LimitedBody:
    """Counts a chunked body; once it is over the limit, the function's answer is held back."""

    def __init__(self, receive: Receive, send: Send, limit_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._left_bytes = limit_bytes
        self.answered = False

    @property
    def is_over(self) -> bool:
        return self._left_bytes < 0

    async def receive(self) -> AsgiMessage:
        if self.is_over:
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._left_bytes -= len(message.get("body", b""))
        return {"type": "http.disconnect"} if self.is_over else message

    async def send(self, message: AsgiMessage) -> None:
        if self.answered or not self.is_over:
            self.answered = True
            await self._send(message)


async def _serve(engine: Engine, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await engine.serve(function, route_values, scope, receive, send)
    except ClientDisconnect:  # nobody is left to answer, and it is no fault of the function's
        return


@lru_cache(maxsize=64)
def _is_loopback(host: bytes) -> bool:
    name, colon, port = host.rpartition(b":")
    if not colon or not port.isdigit():
        name = host
    return name.lower() in _LOOPBACK_NAMES


def _as_forwarded(scope: Scope, host: bytes) -> list[tuple[bytes, bytes]]:
    """Set the headers as the real host's proxy does: what a client sent under these names is dropped."""
    client = scope.get("client") or ("127.0.0.1", 0)
    kept = [header for header in scope["headers"] if header[0] not in _REWRITTEN]
    kept += (
        _WORKER_SEES,
        (b"x-forwarded-host", host),
        (b"x-forwarded-proto", scope["scheme"].encode()),
        (b"x-forwarded-for", client[0].encode()),
    )
    return kept


async def _answer(send: Send, status: int, text: bytes = b"") -> None:
    headers = [(b"content-length", str(len(text)).encode())]
    if text:
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text, "more_body": False})
