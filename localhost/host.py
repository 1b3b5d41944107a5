"""The host's life: load the app, open its triggers, serve, and on a signal finish what is in work and go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from localhost.bindings import BlobTrigger, QueueTrigger, TimerTrigger
from localhost.engine import QueueEvent
from localhost.host_json import read_host_options
from localhost.http import HostApplication
from localhost.memory import forget_startup_objects
from localhost.routing import RouteTable
from localhost.server import WebServer, url_of
from localhost.storage import Store
from localhost.triggers import BlobPoller, QueueListener, Timer, read_blob_event
from shared.adapters.stores import close_stores, open_stores, prepare_stores, watch_inbox
from shared.settings import Settings

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from localhost.bindings import Function
    from localhost.engine import Engine
    from localhost.host_json import QueueOptions
    from shared.ports import Stores

_TRIGGER_GRACE_SECONDS = 10.0

Loop: TypeAlias = Callable[[], Awaitable[None]]

NOT_MIRRORED = """\
The local host differs from Azure Functions in these points:
  bodies with a Content-Length are streamed to the function, up to 4 GiB; Azure's host buffers them first, up to 100 MiB
  one process, never scaled; function keys (authLevel), host.json's functionTimeout, retries and HTTP throttling are not applied
  a wrong route or binding stops the start; Azure's host leaves the function out and goes on
  a function with an output binding other than HTTP is refused; local.settings.json is not read
  queues are looked into at least once a second; a failed message is hidden 30 s, not 10 min, should the host die
  blob events come from the embedded store, else from listing the container; their path pattern is not evaluated
  timers do not remember missed runs; Azure's homepage, /admin and /runtime endpoints are not there"""


class EngineName(StrEnum):
    """Who runs the functions."""

    DIRECT = "direct"
    RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class HostChoices:
    """What the command line chose.

    Attributes
    ----------
    when_ready
        A module to run with the service's URL once it serves.
    fhir_url
        Base URL of the FHIR server that the app is pointed at; said once it serves.
    tokens
        To try the service with, by name; said once it serves, and ``write`` handed to that module.
    """

    app_folder: Path
    store: Store
    engine: EngineName
    when_ready: str | None = None
    fhir_url: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)


async def run(choices: HostChoices, listener: socket.socket) -> None:
    """Run the host until SIGTERM or SIGINT.

    Raises
    ------
    StartupProblem
        The app or its settings keep it from starting.
    """
    stop = asyncio.Event()
    _stop_on_signals(stop)
    options = read_host_options(choices.app_folder / "host.json", os.environ)
    async with AsyncExitStack() as stack:
        storage = Settings.from_environment(os.environ).storage
        stack.push_async_callback(close_stores)
        stores = open_stores(storage)
        await prepare_stores(storage)
        engine = _make_engine(choices)
        functions = await engine.start()
        stack.push_async_callback(engine.stop)
        server = WebServer(HostApplication(RouteTable(functions, options.route_prefix), engine, options.body_limit_bytes), listener)
        loops = [_loop_of(function, engine, options.queues, stores, choices.store) for function in functions]
        await stack.enter_async_context(_running([partial(watch_inbox, storage), *filter(None, loops)], stop))
        await stack.enter_async_context(server.serving())
        _stop_on_signals(stop)  # again: the worker core's web server has taken them
        forget_startup_objects()
        url = url_of(listener)
        print(f"ready {url}", flush=True)  # noqa: T201 -- the line that callers wait for
        if choices.fhir_url is not None:
            print(f"fhir {choices.fhir_url}", flush=True)  # noqa: T201 -- for callers too
        for name, token in choices.tokens.items():
            print(f"token {name} {token}", flush=True)  # noqa: T201 -- for callers too
        if choices.when_ready is not None:
            await stack.enter_async_context(_running_module(choices.when_ready, url, choices.tokens.get("write")))
        await stop.wait()


def _make_engine(choices: HostChoices) -> Engine:
    if choices.engine is EngineName.DIRECT:
        from localhost.engine_direct import DirectEngine  # noqa: PLC0415 -- only one engine is loaded

        return DirectEngine(choices.app_folder, os.environ)
    from localhost.engine_runtime import RuntimeEngine  # noqa: PLC0415 -- needs a package that only tests install

    return RuntimeEngine(choices.app_folder, os.environ)


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def _loop_of(function: Function, engine: Engine, options: QueueOptions, stores: Stores, store: Store) -> Loop | None:
    """Give what fires a function until it is cancelled; None for HTTP functions, which requests fire."""
    match function.trigger:
        case QueueTrigger(queue=queue):
            return QueueListener(stores.queues, engine, function, options, queue, QueueEvent).run
        case BlobTrigger(container=container) if store is Store.EMBEDDED:
            return QueueListener(stores.queues, engine, function, options, f"{container}-events", read_blob_event).run
        case BlobTrigger(container=container):
            return BlobPoller(stores.blobs, engine, function, container, options.max_dequeue_count).run
        case TimerTrigger(schedule=schedule, run_on_startup=at_start):
            return Timer(stores.clock, engine, function, schedule, run_on_startup=at_start).run
    return None


@asynccontextmanager
async def _running(loops: list[Loop], stop: asyncio.Event) -> AsyncIterator[None]:
    """Run loops, and stop the host should one die; at the end cancel them, wait for what they have in work, and raise that."""

    def stop_on_death(task: asyncio.Future[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            stop.set()

    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    for task in tasks:
        task.add_done_callback(stop_on_death)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_TRIGGER_GRACE_SECONDS)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


@asynccontextmanager
async def _running_module(module: str, url: str, token: str | None) -> AsyncIterator[None]:
    """Run a module beside the host, to which it speaks as any client; Ctrl-C reaches the host alone."""
    environment = os.environ | ({"DICOMWEB_TOKEN": token} if token else {})
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", module, url, env=environment, start_new_session=True)
    try:
        yield
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()
