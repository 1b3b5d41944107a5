"""The edge: one request, one answer, whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import azure.functions as func
import pytest
from starlette.requests import Request

from functions import _call
from functions._answers import Answer
from functions._http import STATUS, Edge
from functions._routes import VERSION
from shared.access import ClosedAccess, DataAction, OpenAccess
from shared.errors import ArchiveError, Busy, Category, InvalidRequest, NotConfigured, NotFound, PreconditionFailed, UnsupportedMediaType
from shared.settings import Settings, StorageSettings
from tests.support.app_client import SETTINGS, Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from functions._call import Call

MARKER = "Secret^Patient"
TEMPLATE = VERSION + "/things/{thing}"


class Sender:
    """One handler behind an edge, and a way to call it."""

    def __init__(self, handler: Callable[[Call], Awaitable[Answer]], settings: Settings = SETTINGS, access: Any = None) -> None:
        edge = Edge(settings, access or OpenAccess())
        blueprint = func.Blueprint()
        edge.route(blueprint, TEMPLATE, methods=("GET", "POST"), action=DataAction.READ)(handler)
        app = func.FunctionApp()
        app.register_functions(blueprint)
        self.entry = app.get_functions()[0].get_user_function()
        self.received = 0

    async def send(self, method: str = "GET", query: bytes = b"", messages: list[dict[str, Any]] | None = None, **headers: str) -> Reply:
        scope = {
            "type": "http",
            "method": method,
            "query_string": query,
            "path_params": {"version": "v2", "thing": "1"},
            "headers": [(b"host", b"archive.test"), *((n.replace("_", "-").encode(), v.encode()) for n, v in headers.items())],
        }
        waiting = iter(messages or [])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            self.received += 1
            return next(waiting, {"type": "http.disconnect"})

        async def collect(message: dict[str, Any]) -> None:
            sent.append(message)

        response = await self.entry(req=Request(scope, receive))
        await response(scope, receive, collect)
        lines = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], lines, b"".join(bytes(m["body"]) for m in sent[1:]))


def raising(error: BaseException) -> Callable[[Call], Awaitable[Answer]]:
    async def handler(call: Call) -> Answer:
        raise error

    return handler


async def hello(call: Call) -> Answer:
    return Answer(body=b"hello", content_type="text/plain")


def test_every_category_has_a_status() -> None:
    assert set(STATUS) == set(Category)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("Say which."), 400),
        (NotFound("Nothing there."), 404),
        (UnsupportedMediaType("Send DICOM."), 415),
        (Busy("Later."), 503),
        (PreconditionFailed("tables: replace"), 503),
        (ArchiveError("Our fault."), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_an_error_becomes_its_status_and_a_problem_document(error: ArchiveError, status: int) -> None:
    reply = await Sender(raising(error)).send()
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    document = reply.json()
    assert (document["status"], document["detail"]) == (status, str(error))
    assert len(document["operationId"]) == 32


async def test_the_callers_trace_id_is_the_operation_id() -> None:
    reply = await Sender(raising(NotFound("No."))).send(traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01")
    assert reply.json()["operationId"] == "ab" * 16


async def test_busy_says_when_to_come_again_and_a_missing_setting_does_not() -> None:
    assert (await Sender(raising(Busy("Later.", 7))).send()).headers["retry-after"] == "7"
    assert "retry-after" not in (await Sender(raising(NotConfigured("Set X."))).send()).headers


async def test_what_was_not_foreseen_is_500_and_its_text_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        reply = await Sender(raising(ValueError(f"cannot read {MARKER}"))).send()
    assert reply.status == 500
    assert MARKER not in reply.body.decode() + caplog.text
    assert reply.json()["operationId"] in caplog.text
    assert "ValueError" in caplog.text
    assert "/{version}/things/{thing}" in caplog.text


async def test_a_cancelled_request_stays_cancelled() -> None:
    with pytest.raises(KeyboardInterrupt):
        await Sender(raising(KeyboardInterrupt())).send()


async def test_a_closed_service_answers_503_before_the_handler_is_asked() -> None:
    reply = await Sender(raising(AssertionError("was asked")), access=ClosedAccess("Set AUTHORITY.")).send()
    assert (reply.status, reply.json()["detail"]) == (503, "Set AUTHORITY.")


@pytest.mark.parametrize("query", [b"PatientName=%3Cscript", b"a=<", b"x=%3c"])
async def test_a_query_with_a_less_than_sign_is_refused(query: bytes) -> None:
    reply = await Sender(hello).send(query=query)
    assert reply.status == 400


async def test_every_versioned_answer_names_the_versions_and_forbids_sniffing() -> None:
    for handler in (hello, raising(NotFound("No."))):
        reply = await Sender(handler).send()
        assert reply.headers["api-supported-versions"] == "1.0-prerelease, 1, 2"
        assert reply.headers["x-content-type-options"] == "nosniff"


async def test_head_has_the_headers_and_not_the_body() -> None:
    reply = await Sender(hello).send("HEAD")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "5", b"")


async def test_head_does_not_begin_a_stream() -> None:
    begun = []

    async def stream() -> AsyncIterator[bytes]:
        begun.append(1)
        yield b"x" * 10

    async def handler(call: Call) -> Answer:
        return Answer(body=stream(), length=10)

    reply = await Sender(handler).send("HEAD")
    assert (reply.headers["content-length"], reply.body, begun) == ("10", b"", [])


async def test_a_stream_that_fails_at_once_still_has_a_status() -> None:
    async def stream() -> AsyncIterator[bytes]:
        raise NotFound("Gone.")
        yield b""

    async def handler(call: Call) -> Answer:
        return Answer(body=stream())

    assert (await Sender(handler).send()).status == 404


async def test_a_stream_is_sent_piece_by_piece() -> None:
    async def stream() -> AsyncIterator[bytes]:
        for piece in (b"one ", b"two ", b"three"):
            yield piece

    async def handler(call: Call) -> Answer:
        return Answer(body=stream())

    reply = await Sender(handler).send()
    assert reply.body == b"one two three"
    assert "content-length" not in reply.headers


async def test_a_stream_ends_when_the_caller_has_gone() -> None:
    given = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(10_000):
            given += 1
            await asyncio.sleep(0)
            yield b"x"

    async def handler(call: Call) -> Answer:
        return Answer(body=stream())

    await Sender(handler).send()
    assert given < 50


@pytest.mark.parametrize(
    ("settings", "headers", "url"),
    [
        (SETTINGS, {}, "http://archive.test/v2"),
        (SETTINGS, {"x-forwarded-proto": "https", "x-forwarded-host": "public.test:8443"}, "https://public.test:8443/v2"),
        (
            Settings(storage=StorageSettings(kind="embedded"), public_base_url="https://pacs.test/dicom"),
            {"x-forwarded-host": "evil.test"},
            "https://pacs.test/dicom/v2",
        ),
    ],
    ids=["host", "forwarded", "setting"],
)
async def test_urls_are_made_from_the_public_root(settings: Settings, headers: dict[str, str], url: str) -> None:
    async def handler(call: Call) -> Answer:
        return Answer(body=call.service_url.encode())

    assert (await Sender(handler, settings).send("GET", b"", None, **headers)).body.decode() == url


async def read_body(call: Call) -> Answer:
    return Answer(body=b"|".join([chunk async for chunk in call.body(interrupted=InvalidRequest)]))


async def test_a_body_is_read_as_it_arrives() -> None:
    messages = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"", "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
    ]
    assert (await Sender(read_body).send("POST", messages=messages)).body == b"a|b"


async def test_a_body_that_ends_early_is_told_from_a_whole_one() -> None:
    reply = await Sender(read_body).send("POST", messages=[{"type": "http.request", "body": b"a", "more_body": True}])
    assert reply.status == 400


async def test_a_body_that_stalls_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_call, "BODY_IDLE_SECONDS", 0.01)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    scope = {"type": "http", "method": "POST", "query_string": b"", "headers": [], "path_params": {"version": "v2"}}
    response = await Sender(read_body).entry(req=Request(scope, receive))
    assert response.status_code == 400


async def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_call, "BODY_IDLE_SECONDS", 0.05)
    received = 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    scope = {"type": "http", "method": "POST", "query_string": b"", "headers": [], "path_params": {"version": "v2"}}
    response = await Sender(read_body).entry(req=Request(scope, receive))
    assert response.status_code == 400
    assert 1 < received < 20


async def test_headers_sent_in_several_lines_count_together() -> None:
    async def handler(call: Call) -> Answer:
        return Answer(body=call.headers["accept"].encode())

    scope = {"type": "http", "method": "GET", "query_string": b"", "path_params": {"version": "v2"}}
    lines = [(b"accept", b"text/html"), (b"accept", b"application/dicom+json")]
    response = await Sender(handler).entry(req=Request(scope | {"headers": lines}))
    assert response.body == b"text/html, application/dicom+json"


async def test_a_compressed_body_is_refused_unread() -> None:
    sender = Sender(read_body)
    reply = await sender.send("POST", content_encoding="gzip", messages=[{"type": "http.request", "body": b"a"}])
    assert (reply.status, sender.received) == (415, 0)


@pytest.mark.parametrize("query", [b"a=%ff", b"&".join(b"a=1" for _ in range(300))], ids=["not-utf-8", "too-many"])
async def test_a_query_that_cannot_be_read_is_refused(query: bytes) -> None:
    async def handler(call: Call) -> Answer:
        return Answer(body=str(len(call.query)).encode())

    assert (await Sender(handler).send(query=query)).status == 400


async def test_an_allowed_origin_is_named_in_the_answer_even_of_an_error() -> None:
    settings = Settings(storage=StorageSettings(kind="embedded"), cors_allowed_origins=("https://viewer.test",))
    reply = await Sender(raising(NotFound("No.")), settings).send(origin="https://viewer.test")
    assert reply.headers["access-control-allow-origin"] == "https://viewer.test"
