"""What runs the functions: two engines, one interface.

``direct`` calls the handlers in this process, fast; ``runtime`` hands everything to the official worker core.
Both load the same ``function_app.py``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from localhost.bindings import Function
    from localhost.routing import RouteValues
    from shared.ports import Message

Scope: TypeAlias = MutableMapping[str, Any]
AsgiMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """A message that was taken from a queue."""

    message: Message


@dataclass(frozen=True, slots=True)
class BlobEvent:
    """A blob that was created or overwritten."""

    container_name: str
    blob_name: str


@dataclass(frozen=True, slots=True)
class TimerEvent:
    """A moment of a schedule."""

    past_due: bool = False


Event: TypeAlias = QueueEvent | BlobEvent | TimerEvent


class InvocationFailed(Exception):
    """A function raised; the message names the class of its error, never its text."""


class Engine(Protocol):
    """Loads a function app and runs its functions."""

    async def start(self) -> list[Function]:
        """Load the app; give its enabled functions in the order of their names."""
        ...

    async def serve(self, function: Function, route_values: RouteValues, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an HTTP function answer a request. What it raises is raised on."""
        ...

    async def invoke(self, function: Function, event: Event) -> None:
        """Run a function that is no HTTP function; raise ``InvocationFailed`` where it fails."""
        ...

    async def stop(self) -> None:
        """Let go of what ``start`` took."""
        ...


async def client_gone(receive: Receive) -> None:
    """Return when the client is gone, or has its whole answer; what is left of its body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
