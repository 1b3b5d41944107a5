"""HTTP to a server that is not trusted to be quick: an exchange ends in time, however the answer trickles in.

The time-outs of ``requests`` are for one receive each. A server that sends a byte now and then, in its headers or between
chunks too, holds a thread all the same. So the sockets themselves know until when the exchange of their thread may last.

Nothing is followed, kept or taken from the environment: no redirects, cookies, proxies, ``.netrc``.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer


@dataclass(frozen=True, slots=True)
class _TimeLimit:
    deadline: float
    receive_seconds: float


class _Current(threading.local):
    limit: _TimeLimit | None = None


_current = _Current()


@contextmanager
def time_limit(total_seconds: float, receive_seconds: float) -> Iterator[None]:
    """Limit what this thread sends and receives: all of it together, and each single time.

    Raises
    ------
    TimeoutError
        Out of a send or receive; the library may turn it into its own.
    """
    _current.limit = _TimeLimit(time.monotonic() + total_seconds, receive_seconds)
    try:
        yield
    finally:
        _current.limit = None


def _limit(sock: socket.socket) -> None:
    if _current.limit is None:
        return
    left = _current.limit.deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the exchange took too long")
    sock.settimeout(min(left, _current.limit.receive_seconds))


class _PlainSocket(socket.socket):
    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        _limit(self)
        return super().recv_into(buffer, nbytes, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        _limit(self)
        super().sendall(data, flags)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        _limit(self)
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:  # what ``sendall`` is made of
        _limit(self)
        return super().send(data, flags)


def _limited(connected: socket.socket) -> socket.socket:
    wait = connected.gettimeout()
    limited = _PlainSocket(fileno=connected.detach())
    limited.settimeout(wait)
    return limited


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _limited(super()._new_conn())


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _limited(super()._new_conn())


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        context = create_urllib3_context()
        context.sslsocket_class = _TlsSocket
        super().init_poolmanager(*args, **kwargs, ssl_context=context)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow none: the library would read and unpack a redirect's whole body first, however large."""


def open_session(connections: int) -> requests.Session:
    """Make a session whose sockets keep to ``time_limit``. Certificates are checked, against certifi's list."""
    session = _Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = _Adapter(pool_connections=2, pool_maxsize=connections, pool_block=True)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
