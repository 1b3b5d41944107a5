"""The only code, with ``_reply``, that knows the HTTP trigger's request and response types.

A handler is ``async def name(call: Call) -> Answer``. ``Edge.route`` registers it under its name, template,
methods and right, as the ``async def f(req: Request) -> Response`` that the host wants. What happens to a request:

1. the right is checked, before anything else and before storage is touched; then that the audit trail can be written, and how much
   the caller asks at once;
2. the query string passes the guard;
3. the handler answers, or raises;
4. the first piece of a streamed body is pulled, so that what can fail early fails with a status;
5. an ArchiveError becomes its status, with a problem document; anything else becomes 500, and only its class,
   its place in the code and the operation id are logged;
6. the access goes into the audit trail, be it refused; a public route's does not, unless refused.

A HEAD request runs its GET handler; a streamed body is not begun.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from traceback import extract_tb
from typing import TYPE_CHECKING, TypeAlias

import azure.functions as func

from functions._answers import Answer, problem
from functions._call import Call
from functions._headers import Cors, Header, encode
from functions._reply import Reply
from functions._routes import Route, RouteTable
from shared.access import ANYBODY, Access, DataAction, NotPermitted
from shared.audit import AccessRecord, AuditTrail
from shared.dicomweb.resources import SUPPORTED_VERSIONS
from shared.dicomweb.search_query import check_query_string
from shared.errors import ArchiveError, Busy, Category, NotConfigured, TooManyRequests, Unauthorized
from shared.limits import CallerLimits
from shared.ports import Piece
from shared.settings import Settings
from shared.telemetry.recorder import Telemetry
from shared.telemetry.requests import ObservedRequest
from shared.telemetry.trace_context import operation_id

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
    Category.EXCESSIVE: 429,
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


@dataclass(frozen=True, slots=True)
class Guards:
    """What every request passes, beside the check of its right; None leaves a guard out.

    ``observe`` measures each request, and traces some.
    """

    limits: CallerLimits | None = None
    audit: AuditTrail | None = None
    observe: Telemetry | None = None


_NO_GUARDS = Guards()


class Edge:
    """Registers handlers, and does for each request what is alike for all."""

    def __init__(self, settings: Settings, access: Access, guards: Guards = _NO_GUARDS) -> None:
        self._settings, self._access, self._guards = settings, access, guards
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
            passage = _Passage(call, route, self._guards, self._access)
            answer = await passage.answer(handler)
            common = _VERSIONED if versioned or _VERSION_ROOT.match(call.path_parameters.get("path", "")) else _ALWAYS
            headers = [*common, *self.cors.answer(call.headers.get("origin")), *_headers(answer)]
            return Reply(answer.status, headers, passage.first if call.wants_body else b"", passage.rest, passage.leave)

        entry.__name__ = entry.__qualname__ = route.name
        entry.__doc__ = handler.__doc__
        entry.route = route  # type: ignore[attr-defined]  # for the test that every HTTP function names its right
        return entry


class _Passage:
    """One request's way through the guards to its handler and back.

    Attributes
    ----------
    first, rest
        The answer's body: its first piece, and what follows.
    leave
        To be called when the answer has been sent.
    """

    def __init__(self, call: Call, route: Route, guards: Guards, access: Access) -> None:
        self._call, self._route, self._guards, self._access = call, route, guards, access
        self._operation = operation_id(call.headers.get("traceparent"))
        self._caller = ANYBODY
        self.first: Piece = b""
        self.rest: AsyncIterator[Piece] | None = None
        self.leave: Callable[[], None] = _nothing

    async def answer(self, handler: Handler) -> Answer:
        """Answer the request, whatever happens."""
        if self._guards.observe is None:
            return await self._answer(handler)
        traceparent = self._call.headers.get("traceparent")
        request = ObservedRequest(self._guards.observe, self._call.method, self._route.readable, self._operation, traceparent)
        with request:
            answer = await self._answer(handler)
            request.answered(answer.status)
        self.rest, self.leave = request.sending(self.first, self.rest, self.leave)
        return answer

    async def _answer(self, handler: Handler) -> Answer:
        answer = await self._handle(handler)
        if self._guards.audit is not None:
            answer = await self._recorded(answer, self._guards.audit)
        return answer

    async def _handle(self, handler: Handler) -> Answer:
        call, route = self._call, self._route
        try:
            self._caller = await self._access.authorize(route.action, call.headers.get("authorization"))
            if self._guards.audit is not None and route.action is not DataAction.PUBLIC:
                self._guards.audit.admit()
            if self._guards.limits is not None:
                self.leave = self._guards.limits.admit(self._caller)
            check_query_string(call.query_string)
            return await self._begin(await handler(call))
        except ArchiveError as error:
            if isinstance(error, NotPermitted):
                self._caller = error.caller  # the audit trail says who was refused
            return await self._begin(_refusal(error, call, route, self._operation))
        except Exception as error:  # noqa: BLE001  # the edge: whatever was not foreseen becomes 500, and only its class is logged
            return await self._begin(_failure(error, call, route, self._operation))

    async def _begin(self, answer: Answer) -> Answer:
        self.first, self.rest = await _begin(answer, self._call)
        return answer

    async def _recorded(self, answer: Answer, audit: AuditTrail) -> Answer:
        """Give the answer on once the access is in the audit trail; a refusal instead where it must be and cannot."""
        call, route = self._call, self._route
        if route.action is DataAction.PUBLIC and answer.status not in {401, 403}:
            return answer
        studies = tuple(dict.fromkeys((*filter(None, (call.path_parameters.get("study"),)), *call.studies)))
        access = AccessRecord(
            datetime.now(UTC), self._caller, route.name, call.method, route.action, studies, answer.status, self._operation
        )
        try:
            await audit.record(access)
        except ArchiveError as error:
            if answer.status >= 500:  # gives nothing away
                return answer
            if isinstance(self.rest, AsyncGenerator):
                await self.rest.aclose()
            return await self._begin(_refusal(error, call, route, self._operation))
        return answer


def _nothing() -> None:
    """Do nothing."""


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


def _refusal(error: ArchiveError, call: Call, route: Route, operation: str) -> Answer:
    status = STATUS[error.category]
    level = logging.WARNING if status >= 500 else logging.INFO
    _log.log(level, "%s %s answered %d (%s), operation %s", call.method, route.readable, status, type(error).__name__, operation)
    answer = problem(status, str(error), operation)
    if status == 503 and not isinstance(error, NotConfigured):
        answer.headers["retry-after"] = str(error.retry_after_seconds if isinstance(error, Busy) else 5)
    if isinstance(error, TooManyRequests):
        answer.headers["retry-after"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthorized) and error.challenge:
        answer.headers["www-authenticate"] = error.challenge
    return answer


def _failure(error: Exception, call: Call, route: Route, operation: str) -> Answer:
    where = " < ".join(f"{PurePath(f.filename).name}:{f.lineno}" for f in reversed(extract_tb(error.__traceback__)[-4:]))
    _log.error("%s %s failed with %s at %s, operation %s", call.method, route.readable, type(error).__name__, where, operation)
    return problem(500, "The service failed in a way that was not foreseen; the operation id finds it in the log.", operation)
