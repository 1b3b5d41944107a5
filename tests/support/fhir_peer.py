"""A FHIR server that answers as it is told: well, badly, late, in drips or not at all. In this process, on a real socket."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

FHIR_JSON = "application/fhir+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True))


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer; a body that is no bytes is sent as JSON."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"Content-Type": FHIR_JSON, "Content-Length": str(len(body)), **self.headers}
        handler.send_response(self.status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


Behaviour: TypeAlias = Callable[[BaseHTTPRequestHandler], None]

CAPABILITIES = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [{"mode": "server", "interaction": [{"code": "transaction"}]}],
}


class FhirPeer:
    """What stands on the other side of the socket.

    ``seen`` are the requests in order, without those for ``/metadata``, which ``metadata`` answers; any other takes the
    next of ``script``. ``over`` is set at the end, for whoever makes the client wait.
    """

    def __init__(self) -> None:
        self.script: deque[Behaviour] = deque()
        self.metadata: Behaviour = Reply(body=CAPABILITIES)
        self.seen: list[Seen] = []
        self.metadata_asked = 0
        self.over = Event()
        self.url = ""

    def answers(self, *behaviours: Behaviour) -> None:
        self.script.extend(behaviours)

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def silence(self, _: BaseHTTPRequestHandler) -> None:
        """Say nothing until the test is over."""
        self.over.wait()

    def drip(self, start: bytes, piece: bytes) -> Behaviour:
        """Send a beginning, then a piece every now and then without end."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(start)
            while not self.over.wait(0.02):
                handler.wfile.write(piece)

        return behave

    def flood(self, start: bytes, piece: bytes) -> Behaviour:
        """Send a beginning, then pieces as fast as they are taken."""

        def behave(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(start)
            while not self.over.is_set():
                handler.wfile.write(piece)

        return behave

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        seen = received(handler)
        if seen.path == "metadata":
            self.metadata_asked += 1
            self.metadata(handler)
        else:
            self.seen.append(seen)
            self.script.popleft()(handler)


def received(handler: BaseHTTPRequestHandler) -> Seen:
    """Read a request, its path below the base URL."""
    length = int(handler.headers.get("Content-Length", "0"))
    headers = {name.lower(): value for name, value in handler.headers.items()}
    path = handler.path.removeprefix("/fhir").removeprefix("/")
    return Seen(handler.command, path, headers, handler.rfile.read(length))


def _served(request: Any, context: ssl.SSLContext | None) -> AbstractContextManager[Any]:
    return context.wrap_socket(request, server_side=True) if context else nullcontext(request)


def raw(content: bytes) -> Behaviour:
    """Send just these bytes, and close."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)
        handler.close_connection = True

    return behave


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer: what was asked may have been done."""
    handler.close_connection = True


Peer = TypeVar("Peer", bound=FhirPeer)


@contextmanager
def fhir_peer(context: ssl.SSLContext | None = None) -> Iterator[FhirPeer]:
    """Run a peer on a free port, with TLS where a context is given."""
    with serving(FhirPeer(), context) as peer:
        yield peer


@contextmanager
def serving(peer: Peer, context: ssl.SSLContext | None = None) -> Iterator[Peer]:
    """Run this peer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with suppress(OSError):  # the client had enough
                super().handle()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            peer.handle(self)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 -- the library looks for these names

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, address: Any) -> None:
            with suppress(OSError), _served(request, context) as served:  # OSError: a client that does not trust us
                super().finish_request(served, address)

    server = Server(("127.0.0.1", 0), Handler)
    peer.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}/fhir"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        peer.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
