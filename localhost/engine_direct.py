"""The direct engine: handlers are called in this process, with what the official worker would hand them.

Not the worker's: a function's annotations are not checked when it is indexed, and an HTTP function must return a response
object (the worker also turns strings and dictionaries into JSON). ``--engine runtime`` shows what the worker makes of them.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import threading
import typing
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from localhost.bindings import read_functions
from localhost.engine import BlobEvent, Event, InvocationFailed, QueueEvent, Receive, Scope, Send, client_gone
from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from localhost.bindings import Function
    from localhost.routing import RouteValues

_PIECES_BEFORE_WATCHING = 4
"""Short answers are sent whole; only longer ones pay for a task that notices when the client goes."""


@dataclass(frozen=True, slots=True)
class _TraceContext:
    trace_parent: str = ""
    trace_state: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _RetryContext:
    retry_count: int = 0
    max_retry_count: int = 0
    exception: None = None


@dataclass(frozen=True, slots=True)
class InvocationContext:
    """What a ``context`` parameter is given: the invocation's id and function, as the worker's ``Context``."""

    function_name: str
    function_directory: str
    invocation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    trace_context: _TraceContext = _TraceContext()
    retry_context: _RetryContext = _RetryContext()
    thread_local_storage: threading.local = field(default_factory=threading.local)


@dataclass(frozen=True, slots=True)
class BlobNames:
    """Stands for the storage client that a blob trigger is given in Azure, of which only the names may be used."""

    container_name: str
    blob_name: str


@dataclass(frozen=True, slots=True)
class _Handler:
    call: Callable[..., Any]
    is_async: bool
    wants_context: bool
    wants_text: bool
    """Whether the trigger's parameter is annotated ``str``."""


class DirectEngine:
    """Calls the handlers of an app in this process.

    Parameters
    ----------
    app_dir
        Folder of ``function_app.py``.
    settings
        App settings, that is, environment variables.
    """

    def __init__(self, app_dir: Path, settings: Mapping[str, str]) -> None:
        self._app_dir = app_dir
        self._settings = settings
        self._handlers: dict[str, _Handler] = {}

    async def start(self) -> list[Function]:
        """Import ``function_app`` and index it."""
        indexed = {str(function.get_function_name()): function for function in _find_app(self._app_dir).get_functions()}
        functions = read_functions(((name, function.get_raw_bindings()) for name, function in indexed.items()), self._settings)
        for function in functions:
            self._handlers[function.name] = _inspect(indexed[function.name].get_user_function(), function.trigger.parameter)
        return functions

    async def serve(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the handler and send what it returns."""
        scope["path_params"] = route_values
        handler = self._handlers[function.name]
        response = await self._call(function, handler, Request(scope, receive, send))
        if not isinstance(response, Response):
            raise TypeError(f"Function {function.name} returned no response.")
        if isinstance(response, StreamingResponse):
            await _stream(response, receive, send)
        else:
            await response(scope, receive, send)

    async def invoke(self, function: Function, event: Event) -> None:
        """Call the handler with the event's counterpart of ``azure.functions``."""
        handler = self._handlers[function.name]
        argument = event.message.body if handler.wants_text and isinstance(event, QueueEvent) else _argument(event)
        call = asyncio.ensure_future(self._call(function, handler, argument))
        await asyncio.wait((call,))
        error = call.exception()
        if error is not None:
            raise InvocationFailed(type(error).__name__) from error

    async def stop(self) -> None:
        """Nothing was taken."""

    async def _call(self, function: Function, handler: _Handler, argument: object) -> Any:
        arguments = {function.trigger.parameter: argument}
        if handler.wants_context:
            arguments["context"] = InvocationContext(function.name, str(self._app_dir))
        if handler.is_async:
            return await handler.call(**arguments)
        return await asyncio.to_thread(handler.call, **arguments)


def _find_app(app_dir: Path) -> func.FunctionApp:
    sys.path.insert(0, str(app_dir))
    module = importlib.import_module("function_app")
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise StartupProblem(f"function_app.py holds {len(apps)} function apps instead of one.")
    return apps[0]


def _inspect(handler: Callable[..., Any], parameter: str) -> _Handler:
    parameters = inspect.signature(handler).parameters
    return _Handler(
        call=handler,
        is_async=inspect.iscoroutinefunction(handler),
        wants_context="context" in parameters and parameter != "context",
        wants_text=typing.get_type_hints(handler).get(parameter) is str,
    )


def _argument(event: Event) -> object:
    if isinstance(event, QueueEvent):
        message = event.message
        return QueueMessage(id=message.id, body=message.body, dequeue_count=message.dequeue_count, pop_receipt=message.receipt)
    if isinstance(event, BlobEvent):
        return BlobNames(event.container_name, event.blob_name)
    return TimerRequest(past_due=event.past_due)


async def _stream(response: StreamingResponse, receive: Receive, send: Send) -> None:
    """Send a streamed response piece by piece, uncopied; stop its source when the client goes."""
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    source = response.body_iterator
    watcher: asyncio.Task[None] | None = None
    sent = 0
    try:
        async for piece in source:
            body = piece.encode(response.charset) if isinstance(piece, str) else piece
            await send({"type": "http.response.body", "body": body, "more_body": True})
            sent += 1
            if watcher is not None and watcher.done():
                return
            if sent == _PIECES_BEFORE_WATCHING:
                watcher = asyncio.create_task(client_gone(receive))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        if watcher is not None:
            watcher.cancel()
        if inspect.isasyncgen(source):
            await source.aclose()
    if response.background is not None:
        await response.background()
