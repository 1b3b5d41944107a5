"""The runtime engine: the official worker core (PyPI ``azure-functions-runtime``) runs the functions, in this process.

Azure's host speaks gRPC to a small proxy, which hands each message to the core; this module is host and proxy in one. It asks the
core to start and index, to describe the functions, to load each, then to invoke. Requests do not travel in messages: as in Azure
they are forwarded to the web server that the streaming extension opens in the worker, with the invocation's id in a header, while
an invocation of that id names the function. The core brings the two together.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
import uuid
from typing import TYPE_CHECKING, Any

from localhost.bindings import BlobTrigger, read_functions
from localhost.engine import Event, InvocationFailed, Receive, Scope, Send
from localhost.forwarding import Forwarder, target
from localhost.problems import StartupProblem
from localhost.worker_messages import PROTOS, Message, StatusResult, event_data, http_data, invocation, request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from localhost.bindings import Function
    from localhost.routing import RouteValues

_CORE = "azure_functions_runtime"
_ADDRESS = "127.0.0.1"
_NOWHERE = "BlobEndpoint=http://127.0.0.1:1/none;AccountName=none;AccountKey=bm9uZQ=="
"""A blob trigger's client is made from a connection string; on the embedded store it leads nowhere: only its names may be used."""


class RuntimeEngine:
    """Drives the worker core.

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
        self._core: Any = _import_core()
        self._function_ids: dict[str, str] = {}
        self._forwarder: Forwarder | None = None

    async def start(self) -> list[Function]:
        """Let the core start, index the app and open its web server."""
        sys.path.insert(0, str(self._app_dir))
        os.environ.setdefault("PYTHON_ENABLE_INIT_INDEXING", "1")
        self._core.start_threadpool_executor()
        started = await self._ask("worker_init_request", capabilities={}, function_app_directory=str(self._app_dir))
        metadata = (await self._ask("functions_metadata_request")).function_metadata_results or ()
        functions = read_functions(((function.name, function.raw_bindings) for function in metadata), self._settings)
        self._function_ids = {function.name: function.function_id for function in metadata}
        for function in functions:
            await self._ask("function_load_request", function_id=self._function_ids[function.name])
            self._connect_nowhere(function)
        if "HttpUri" in started.capabilities:
            self._forwarder = Forwarder(started.capabilities["HttpUri"])
            await self._forwarder.wait_for_worker()
            _take_over_logging()
        return functions

    async def serve(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request to the worker's web server, and invoke the function beside it."""
        if self._forwarder is None:
            raise TypeError("The app does not use the streaming extension, which every HTTP function needs.")
        invocation_id = str(uuid.uuid4())
        data = http_data(scope["method"], f"http://{_ADDRESS}{target(scope)}", route_values)
        invoking = asyncio.create_task(self._invoke(function, invocation_id, data, {}))
        try:
            await self._forwarder.forward(invocation_id, scope, receive, send)
        finally:
            invoking.cancel()
            await asyncio.wait((invoking,))

    async def invoke(self, function: Function, event: Event) -> None:
        """Invoke with the event as the host would put it into a message."""
        result = (await self._invoke(function, str(uuid.uuid4()), *event_data(function, event))).result
        if result.status != StatusResult.Success:
            raise InvocationFailed(result.exception.message.partition(":")[0])

    async def stop(self) -> None:
        """Close what ``start`` opened; the worker's web server, which nobody can stop, ends with the event loop."""
        logging.getLogger("uvicorn.error").disabled = True  # it would complain of that
        if self._forwarder is not None:
            await self._forwarder.close()
        self._core.stop_threadpool_executor()

    def _connect_nowhere(self, function: Function) -> None:
        """Give a blob trigger's connection a value where the store has none."""
        if isinstance(function.trigger, BlobTrigger):
            connection = function.trigger.connection
            if not {connection, f"{connection}__blobServiceUri", f"{connection}__serviceUri"} & self._settings.keys():
                os.environ[connection] = _NOWHERE

    async def _invoke(self, function: Function, invocation_id: str, data: Message, metadata: Mapping[str, Message]) -> Any:
        content = invocation(self._function_ids[function.name], invocation_id, function.trigger.parameter, data, metadata)
        return await self._core.invocation_request(_request("invocation_request", **content))

    async def _ask(self, kind: str, **content: Any) -> Any:
        response = await getattr(self._core, kind)(_request(kind, **content))
        if response.result.status != StatusResult.Success:
            raise StartupProblem(f"The worker core refused {kind}: {response.result.exception.message}")
        return response


def _request(kind: str, **content: Any) -> object:
    return request(kind, {"host": _ADDRESS, "protos": PROTOS}, **content)


def _import_core() -> Any:
    """Import what is no dependency of the archive: tests alone install it."""
    logging.getLogger(_CORE).setLevel(logging.WARNING)
    try:
        return importlib.import_module(_CORE)
    except ImportError as error:
        raise StartupProblem("--engine runtime needs the package azure-functions-runtime: install requirements-worker.txt.") from error


def _take_over_logging() -> None:
    """Undo what the worker's web server did to its loggers: an access log, and exceptions with their texts."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)
