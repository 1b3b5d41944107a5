"""The real local host as a child process, for end-to-end tests: ``with running_host(tmp_path) as host: ...``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
FIXTURE_APP = Path(__file__).resolve().parent / "fixture_app"
_READY_SECONDS = 60
_STOP_SECONDS = 30


@dataclass
class RunningHost:
    """A host that serves; ``log`` grows with what it writes to its error stream."""

    process: subprocess.Popen[str]
    url: str
    data_folder: Path
    log: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """Send SIGTERM, wait, give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()


def host_command(
    data_folder: Path,
    *,
    engine: Literal["direct", "runtime"] = "direct",
    store: Literal["embedded", "azurite", "azure"] = "embedded",
    app_folder: Path = PROJECT_FOLDER,
    port: int = 0,
    more: Sequence[str] = (),
) -> list[str]:
    """Give the command line of a host, with the interpreter that the engine needs."""
    interpreter = sys.executable
    if engine == "runtime":
        from tests.support.worker_core import worker_core_python  # noqa: PLC0415 -- builds a virtual environment the first time

        interpreter = str(worker_core_python())
    choices = {"--port": port, "--data": data_folder, "--engine": engine, "--store": store, "--app": app_folder}
    return [interpreter, "-m", "localhost", *(str(word) for pair in choices.items() for word in pair), *more]


@contextmanager
def running_host(
    data_folder: Path,
    *,
    engine: Literal["direct", "runtime"] = "direct",
    store: Literal["embedded", "azurite", "azure"] = "embedded",
    app_folder: Path = PROJECT_FOLDER,
    port: int = 0,
    settings: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
) -> Iterator[RunningHost]:
    """Start a host on a free port, wait until it serves, and stop it at the end.

    Parameters
    ----------
    data_folder
        Where it keeps its data; the same folder again finds what is there.
    settings
        App settings on top of the environment.
    more
        Further arguments of the command line.
    """
    command = host_command(data_folder, engine=engine, store=store, app_folder=app_folder, port=port, more=more)
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen(  # noqa: S603 -- our own command
        command, cwd=PROJECT_FOLDER, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, log), daemon=True)
    reader.start()
    try:
        host = RunningHost(process, _ready_url(process, log), data_folder, log)
        yield host
        host.stop()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _collect(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        log.extend(process.stderr)


def _ready_url(process: subprocess.Popen[str], log: list[str]) -> str:
    assert process.stdout is not None
    deadline = threading.Timer(_READY_SECONDS, process.kill)
    deadline.start()
    line = process.stdout.readline()
    deadline.cancel()
    if not line.startswith("ready "):
        process.kill()
        process.wait()
        raise AssertionError("The host did not get ready:\n" + "".join(log))
    return line.split()[1]
