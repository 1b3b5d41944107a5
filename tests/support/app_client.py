"""The composed app in this process: requests go through the local host's routing into the real handlers, no socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.requests import Request

from function_app import create_app
from localhost.bindings import read_functions
from localhost.routing import RouteTable, decode_path
from shared.access import Access, OpenAccess
from shared.settings import Settings, StorageSettings
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from functions._http import Guards
    from shared.fhir.server import FhirServer
    from shared.ports import Stores

SETTINGS = Settings(storage=StorageSettings(kind="embedded"))
HOST = "archive.test"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; ``complete`` is False where the connection would have been cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True

    def json(self) -> Any:
        return json.loads(self.body)


class AppClient:
    """Sends requests to an app made on stores."""

    def __init__(
        self,
        stores: Stores | None = None,
        settings: Settings = SETTINGS,
        access: Access | None = None,
        fhir: FhirServer | None = None,
        guards: Guards | None = None,
    ) -> None:
        self.stores = stores or memory_stores()
        self.app = create_app(settings, self.stores, access or OpenAccess(), fhir, guards)
        self.functions = {str(f.get_function_name()): f for f in self.app.get_functions()}
        functions = read_functions(((name, f.get_raw_bindings()) for name, f in self.functions.items()), {})
        self.routes = RouteTable(functions, "")
        self._handlers = {name: f.get_user_function() for name, f in self.functions.items()}

    def handler(self, name: str) -> Any:
        """Give a function by its name, as the host calls it."""
        return self._handlers[name]

    async def send(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | Iterable[bytes] = b"") -> Reply:
        """Send a request; chunks of ``body`` arrive one by one."""
        path, _, query = url.partition("?")
        chunks = [body] if isinstance(body, bytes) else list(body)
        return await self._serve(_scope(method, path, query, headers or {}), _messages(chunks))

    async def send_cut_off(self, method: str, url: str, headers: Mapping[str, str], chunks: Iterable[bytes]) -> Reply:
        """Send a request whose connection ends before its body does."""
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        return await self._serve(_scope(method, url, "", headers), [*messages, {"type": "http.disconnect"}])

    async def get(self, url: str, **headers: str) -> Reply:
        """Send a GET; underscores in the names of headers stand for hyphens."""
        return await self.send("GET", url, {name.replace("_", "-"): value for name, value in headers.items()})

    async def post(self, url: str, content_type: str, body: bytes | Iterable[bytes]) -> Reply:
        """Send a POST."""
        return await self.send("POST", url, {"content-type": content_type}, body)

    async def store(self, *instances: bytes, url: str = "/v2/studies", method: str = "POST") -> Reply:
        """Store instances in one multipart request."""
        content_type = 'multipart/related; type="application/dicom"; boundary=B'
        body = b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % i for i in instances) + b"--B--\r\n"
        return await self.send(method, url, {"content-type": content_type}, body)

    async def _serve(self, scope: dict[str, Any], messages: list[dict[str, Any]]) -> Reply:
        found = self.routes.find(decode_path(scope["raw_path"]), scope["method"])
        if found is None:
            return Reply(404, {}, b"")
        function, scope["path_params"] = found
        waiting = iter(messages)

        async def receive() -> dict[str, Any]:
            message = next(waiting, None)
            if message is None:
                await asyncio.Event().wait()  # the client stays and says nothing more
            return message or {}

        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(message)

        request = Request(scope, receive)
        response = await self._handlers[function.name](req=request)
        complete = True
        try:
            await response(scope, receive, send)
        except Exception:  # noqa: BLE001  # the server would cut the connection
            complete = False
        return _reply(sent, complete=complete)


def _scope(method: str, path: str, query: str, headers: Mapping[str, str]) -> dict[str, Any]:
    every = {"host": HOST, **headers}
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in every.items()],
    }


def _messages(chunks: list[bytes]) -> list[dict[str, Any]]:
    return [{"type": "http.request", "body": c, "more_body": i < len(chunks) - 1} for i, c in enumerate(chunks)] or [
        {"type": "http.request", "body": b"", "more_body": False}
    ]


def _reply(sent: list[dict[str, Any]], *, complete: bool) -> Reply:
    headers: dict[str, str] = {}
    for name, value in sent[0]["headers"]:
        key = name.decode()
        headers[key] = f"{headers[key]}, {value.decode()}" if key in headers else value.decode()
    body = b"".join(bytes(m["body"]) for m in sent[1:])
    return Reply(sent[0]["status"], headers, body, complete)
