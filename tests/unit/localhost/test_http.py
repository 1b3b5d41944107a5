"""What happens to a request before and after a function sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from localhost.bindings import Function, HttpTrigger
from localhost.http import MAX_HEADERS_BYTES, HostApplication
from localhost.routing import RouteTable

if TYPE_CHECKING:
    from localhost.engine import AsgiMessage, Event, Receive, Scope, Send
    from localhost.routing import RouteValues

HOST = (b"host", b"127.0.0.1:7071")


class RecordingEngine:
    """Reads the body and answers 200, remembering what it saw."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""

    async def start(self) -> list[Function]:
        return []

    async def serve(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.headers = dict(request.headers)
        async for piece in request.stream():
            self.body += piece
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def invoke(self, function: Function, event: Event) -> None: ...

    async def stop(self) -> None: ...


async def ask(engine: RecordingEngine, path: bytes, headers: list[tuple[bytes, bytes]], body: list[bytes] | None = None) -> int:
    """Send a request to a host with a body limit of 10 bytes; give the status, 0 where nothing was answered."""
    everything = Function("everything", HttpTrigger("req", "{*path}", None))
    application = HostApplication(RouteTable([everything], ""), engine, body_limit_bytes=10)
    scope: dict[str, Any] = {"type": "http", "method": "POST", "scheme": "http", "raw_path": path, "query_string": b"", "headers": headers}
    pieces = list(body or [b""])
    sent: list[AsgiMessage] = []

    async def receive() -> AsgiMessage:
        piece = pieces.pop(0)
        return {"type": "http.disconnect"} if piece is GONE else {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: AsgiMessage) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return int(sent[0]["status"]) if sent else 0


GONE = b"the client is gone"


@pytest.mark.parametrize("name", [b"127.0.0.1", b"127.0.0.1:7071", b"localhost:80", b"LocalHost", b"[::1]:7071", b"[::1]"])
async def test_loopback_names_are_answered(name: bytes) -> None:
    assert await ask(RecordingEngine(), b"/x", [(b"host", name)]) == 200


@pytest.mark.parametrize(
    "name",
    [b"evil.example", b"evil.example:7071", b"127.0.0.1.evil.example", b"localhost.", b"127.0.0.1:x", b"[::1", b"", b":80", b"0.0.0.0"],
)
async def test_other_names_are_refused_before_a_function_sees_them(name: bytes) -> None:
    engine = RecordingEngine()
    assert await ask(engine, b"/x", [(b"host", name)]) == 421
    assert not engine.headers


async def test_a_request_without_a_host_is_refused() -> None:
    assert await ask(RecordingEngine(), b"/x", []) == 421


@pytest.mark.parametrize("names", [(b"evil.example", b"127.0.0.1"), (b"127.0.0.1", b"evil.example")])
async def test_a_request_with_two_hosts_is_refused(names: tuple[bytes, bytes]) -> None:
    assert await ask(RecordingEngine(), b"/x", [(b"host", name) for name in names]) == 421


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"x", b"")] * 99, 200),
        ([(b"x", b"")] * 100, 431),
        ([(b"x", b"y" * (MAX_HEADERS_BYTES - 27))], 200),
        ([(b"x", b"y" * (MAX_HEADERS_BYTES - 26))], 431),
    ],
    ids=["as many", "too many", "as long", "too long"],
)
async def test_headers_over_the_limits_are_refused(headers: list[tuple[bytes, bytes]], status: int) -> None:
    assert await ask(RecordingEngine(), b"/x", [(b"host", b"localhost:7071"), *headers]) == status


async def test_a_target_that_is_no_path_is_not_found() -> None:
    assert await ask(RecordingEngine(), b"*", [HOST]) == 404


@pytest.mark.parametrize("path", [b"/admin/host/status", b"/runtime/webhooks", b"/Admin", b"/x/../admin"])
async def test_paths_of_the_hosts_own_never_reach_a_function(path: bytes) -> None:
    assert await ask(RecordingEngine(), path, [HOST]) == 404


@pytest.mark.parametrize(("length", "status"), [(8176, 200), (8177, 414)])
async def test_a_request_line_over_the_limit_is_refused(length: int, status: int) -> None:
    assert await ask(RecordingEngine(), b"/" + b"x" * (length - 1), [HOST]) == status


async def test_a_function_sees_a_loopback_host_and_the_public_one_as_forwarded() -> None:
    engine = RecordingEngine()
    await ask(engine, b"/x", [(b"x-forwarded-host", b"evil.example"), (b"x-forwarded-proto", b"https"), HOST, (b"accept", b"*/*")])
    assert engine.headers == {
        "accept": "*/*",
        "host": "127.0.0.1:5555",
        "x-forwarded-host": "127.0.0.1:7071",
        "x-forwarded-proto": "http",
        "x-forwarded-for": "127.0.0.1",
    }


@pytest.mark.parametrize(("length", "status"), [(b"10", 200), (b"11", 413)])
async def test_an_announced_body_over_the_limit_is_refused_at_once(length: bytes, status: int) -> None:
    assert await ask(RecordingEngine(), b"/x", [HOST, (b"content-length", length)]) == status


@pytest.mark.parametrize(("body", "status"), [([b"12345", b"67890"], 200), ([b"12345", b"678901", b"2"], 413)])
async def test_a_chunked_body_is_refused_when_it_passes_the_limit(body: list[bytes], status: int) -> None:
    assert await ask(RecordingEngine(), b"/x", [HOST, (b"transfer-encoding", b"chunked")], body) == status


@pytest.mark.parametrize("header", [(b"content-length", b"9"), (b"transfer-encoding", b"chunked")])
async def test_a_client_that_goes_is_not_answered(header: tuple[bytes, bytes]) -> None:
    engine = RecordingEngine()
    assert await ask(engine, b"/x", [HOST, header], [b"1234", GONE]) == 0
    assert engine.body == b"1234"
