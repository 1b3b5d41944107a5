"""Stores whose calls are observed: the ports' own methods, each under the name of its table, container or queue.

A page of a listing is a call of its own, since it is a request of its own. Of a stream only the wait for the first piece
is: later ones come as fast as whoever reads them asks.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

from shared.ports import BlobStore, MessageQueue, TableStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from shared.ports import Stores
    from shared.telemetry.recorder import Telemetry

_PAGED = frozenset({"pages", "list"})
_STREAMED = frozenset({"stream"})
_UNOBSERVED = frozenset({"durable"})
"""It has no name to go by, and costs nothing on Azure."""


def observed(stores: Stores, telemetry: Telemetry) -> Stores:
    """Give the same stores; their calls are observed."""
    return replace(
        stores,
        tables=cast("TableStore", _Observed(telemetry, "tables", TableStore, stores.tables)),
        blobs=cast("BlobStore", _Observed(telemetry, "blobs", BlobStore, stores.blobs)),
        queues=cast("MessageQueue", _Observed(telemetry, "queues", MessageQueue, stores.queues)),
    )


class _Observed:
    """Has the methods of a port; each is a store's, observed."""

    def __init__(self, telemetry: Telemetry, label: str, port: type, store: object) -> None:
        for verb, declared in vars(port).items():
            if not verb.startswith("_"):
                setattr(self, verb, _method(telemetry, label, verb, declared, getattr(store, verb)))


def _method(telemetry: Telemetry, label: str, verb: str, declared: object, method: Callable[..., Any]) -> Callable[..., Any]:
    if verb in _PAGED:
        return _paged(telemetry, label, verb, method)
    if verb in _STREAMED:
        return _streamed(telemetry, label, verb, method)
    if iscoroutinefunction(declared) and verb not in _UNOBSERVED:
        return _called(telemetry, label, verb, method)
    return method


def _called(
    telemetry: Telemetry, label: str, verb: str, method: Callable[..., Coroutine[Any, Any, Any]]
) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(name: str, *args: Any, **kwargs: Any) -> Any:
        with telemetry.call(label, verb, name):
            return await method(name, *args, **kwargs)

    return call


def _paged(telemetry: Telemetry, label: str, verb: str, method: Callable[..., AsyncGenerator[Any]]) -> Callable[..., AsyncGenerator[Any]]:
    async def call(name: str, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        async with aclosing(method(name, *args, **kwargs)) as pages:
            first = True
            while True:
                with telemetry.call(label, verb, name) as timed:
                    page = await anext(pages, None)
                    if page is None and not first:
                        timed.outcome = None  # the page before was known to be the last
                if page is None:
                    return
                first = False
                yield page

    return call


def _streamed(
    telemetry: Telemetry, label: str, verb: str, method: Callable[..., AsyncGenerator[Any]]
) -> Callable[..., AsyncGenerator[Any]]:
    async def call(name: str, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        async with aclosing(method(name, *args, **kwargs)) as pieces:
            with telemetry.call(label, verb, name):
                piece = await anext(pieces, None)
            if piece is not None:
                yield piece
            async for piece in pieces:
                yield piece

    return call
