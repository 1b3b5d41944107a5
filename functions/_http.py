"""The only code that knows the HTTP trigger's request and response types.

A handler is ``async def name(call: Call) -> Answer``. ``Edge.route`` registers it under its name, template,
methods and right, as the ``async def f(req: Request) -> Response`` that the host wants. What happens to a request:

1. the right is checked, before anything else and before storage is touched;
2. the query string passes the guard;
3. the handler answers, or raises;
4. the first piece of a streamed body is pulled, so that what can fail early fails with a status;
5. an ArchiveError becomes its status, with a problem document; anything else becomes 500, and only its class,
   its place in the code and the operation id are logged.

A HEAD request runs its GET handler; a streamed body is not begun.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import PurePath
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, TypeAlias

import azure.functions as func

from functions._answers import Answer, problem
from functions._call import Call
from functions._headers import Cors, Header, encode
from functions._routes import Route, RouteTable
from shared.access import Access, DataAction
from shared.dicomweb.resources import SUPPORTED_VERSIONS
from shared.dicomweb.search_query import check_query_string
from shared.errors import ArchiveError, Busy, Category, NotConfigured
from shared.ports import Piece
from shared.settings import Settings
from shared.telemetry import operation_id

if TYPE_CHECKING:
    from fastapi import Request, Response
else:  # the extension names the same two, without types; the host looks for it
    from azurefunctions.extensions.http.fastapi import Request, Response

_log = logging.getLogger(__name__)

STATUS = {
    Category.INCORRECT: 400,
    Category.UNAUTHORIZED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.NOT_ACCEPTABLE: 406,
    Category.CONFLICT: 409,
    Category.TOO_LARGE: 413,
    Category.UNSUPPORTED: 415,
    Category.BUSY: 503,
    Category.FAULT: 500,
}
"""The one table from the category of an error to the status of the answer."""

_ALWAYS: list[Header] = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"private, no-cache")]
_VERSIONED: list[Header] = [*_ALWAYS, (b"api-supported-versions", SUPPORTED_VERSIONS.encode())]


_VERSION_ROOT = re.compile(r"v[0-9]", re.IGNORECASE | re.ASCII)
"""How a path begins that asks for some version, be it one that is not offered."""


Handler: TypeAlias = Callable[[Call], Awaitable[Answer]]
Entry: TypeAlias = Callable[[Request], Awaitable[Response]]


class Edge:
    """Registers handlers, and does for each request what is alike for all."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._settings, self._access = settings, access
        self.cors = Cors(settings.cors_allowed_origins)
        self.routes = RouteTable()

    async def permits(self, call: Call, action: DataAction) -> bool:
        """Tell whether the caller has a right, for answers that say more to those who have."""
        try:
            await self._access.authorize(action, call.headers.get("authorization"))
        except ArchiveError:
            return False
        return True

    def route(
        self, blueprint: func.Blueprint, template: str, *, methods: Sequence[str], action: DataAction
    ) -> Callable[[Handler], Handler]:
        """Register a handler. GET brings HEAD along."""
        every = tuple(dict.fromkeys(m for method in methods for m in ((method, "HEAD") if method == "GET" else (method,))))

        def register(handler: Handler) -> Handler:
            route = Route(handler.__name__, template, every, action)
            entry = self._entry(handler, route)
            decorated = blueprint.route(route=template, methods=every, auth_level=func.AuthLevel.ANONYMOUS)(entry)
            blueprint.function_name(route.name)(decorated)
            self.routes.add(route)
            return handler

        return register

    def _entry(self, handler: Handler, route: Route) -> Entry:
        versioned = route.template.startswith("{version")

        async def entry(req: Request) -> Response:
            call = Call(req.scope, req.receive, self._settings.public_base_url)
            try:
                await self._access.authorize(route.action, call.headers.get("authorization"))
                check_query_string(call.query_string)
                answer = await handler(call)
                first, rest = await _begin(answer, call)
            except ArchiveError as error:
                answer = _refusal(error, call, route)
                first, rest = await _begin(answer, call)
            except Exception as error:  # noqa: BLE001  # the edge: whatever was not foreseen becomes 500, and only its class is logged
                answer = _failure(error, call, route)
                first, rest = await _begin(answer, call)
            common = _VERSIONED if versioned or _VERSION_ROOT.match(call.path_parameters.get("path", "")) else _ALWAYS
            headers = [*common, *self.cors.answer(call.headers.get("origin")), *_headers(answer)]
            return _Reply(answer.status, headers, first if call.wants_body else b"", rest)

        entry.__name__ = entry.__qualname__ = route.name
        entry.__doc__ = handler.__doc__
        entry.route = route  # type: ignore[attr-defined]  # for the test that every HTTP function names its right
        return entry


def _headers(answer: Answer) -> list[Header]:
    headers = encode(answer.headers)
    if answer.content_type:
        headers.append((b"content-type", answer.content_type.encode("latin-1")))
    length = len(answer.body) if isinstance(answer.body, bytes) else answer.length
    if length is not None and answer.status not in {204, 304}:
        headers.append((b"content-length", b"%d" % length))
    return headers


async def _begin(answer: Answer, call: Call) -> tuple[Piece, AsyncIterator[Piece] | None]:
    """Pull the first piece of the body, so that what fails at once still gets a status."""
    if isinstance(answer.body, bytes):
        return answer.body, None
    if not call.wants_body:
        return b"", None
    return await anext(answer.body, b""), answer.body


def _refusal(error: ArchiveError, call: Call, route: Route) -> Answer:
    status = STATUS[error.category]
    operation = operation_id(call.headers.get("traceparent"))
    level = logging.WARNING if status >= 500 else logging.INFO
    _log.log(level, "%s %s answered %d (%s), operation %s", call.method, route.readable, status, type(error).__name__, operation)
    answer = problem(status, str(error), operation)
    if status == 503 and not isinstance(error, NotConfigured):
        answer.headers["retry-after"] = str(error.retry_after_seconds if isinstance(error, Busy) else 5)
    return answer


def _failure(error: Exception, call: Call, route: Route) -> Answer:
    operation = operation_id(call.headers.get("traceparent"))
    where = " < ".join(f"{PurePath(f.filename).name}:{f.lineno}" for f in reversed(extract_tb(error.__traceback__)[-4:]))
    _log.error("%s %s failed with %s at %s, operation %s", call.method, route.readable, type(error).__name__, where, operation)
    return problem(500, "The service failed in a way that was not foreseen; the operation id finds it in the log.", operation)


_UNWATCHED_PIECES = 8
"""So many pieces of a body are sent before anybody looks whether the caller is still there."""


class _Reply(Response):
    """A response of one piece, or of a first piece and more to come.

    The pieces go to the server as they are: joining them would copy every byte once more.
    """

    def __init__(self, status: int, headers: list[Header], first: Piece, rest: AsyncIterator[Piece] | None) -> None:
        self.status_code = status
        self.raw_headers = headers
        self.background = None
        self.body = first
        self._rest = rest

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002  # an ASGI application's
        """Send it, as an ASGI application."""
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
