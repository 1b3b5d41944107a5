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

from tests.support.phi_watch import watch_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROJECT_FOLDER = Path(__file__).resolve().parents[2]
FIXTURE_APP = Path(__file__).resolve().parent / "fixture_app"
_READY_SECONDS = 60
_STOP_SECONDS = 30


@dataclass
class RunningHost:
    """A host that serves; ``log`` grows with what it writes to its error stream.

    Attributes
    ----------
    fhir_url
        Base URL of the FHIR server it writes to; empty without.
    """

    process: subprocess.Popen[str]
    url: str
    data_folder: Path
    log: list[str] = field(default_factory=list)
    fhir_url: str = ""

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
    fhir: bool = False,
    more: Sequence[str] = (),
) -> list[str]:
    """Give the command line of a host, with the interpreter that the engine needs."""
    interpreter = sys.executable
    if engine == "runtime":
        from tests.support.worker_core import worker_core_python  # noqa: PLC0415 -- builds a virtual environment the first time

        interpreter = str(worker_core_python())
    choices = {"--port": port, "--data": data_folder, "--engine": engine, "--store": store, "--app": app_folder}
    flags = () if fhir else ("--no-fhir",)
    return [interpreter, "-m", "localhost", *(str(word) for pair in choices.items() for word in pair), *flags, *more]


@contextmanager
def running_host(
    data_folder: Path,
    *,
    engine: Literal["direct", "runtime"] = "direct",
    store: Literal["embedded", "azurite", "azure"] = "embedded",
    app_folder: Path = PROJECT_FOLDER,
    port: int = 0,
    fhir: bool = False,
    settings: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
) -> Iterator[RunningHost]:
    """Start a host on a free port, wait until it serves, and stop it at the end; nothing it leaves may tell of a patient.

    Parameters
    ----------
    data_folder
        Where it keeps its data; the same folder again finds what is there.
    fhir
        With a FHIR server: one of its own, or that of ``FHIR_BASE_URL`` in ``settings``.
    settings
        App settings on top of the environment.
    more
        Further arguments of the command line.
    """
    command = host_command(data_folder, engine=engine, store=store, app_folder=app_folder, port=port, fhir=fhir, more=more)
    environment = {**os.environ, **(settings or {})}
    process = subprocess.Popen(  # noqa: S603 -- our own command
        command, cwd=PROJECT_FOLDER, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, log), daemon=True)
    reader.start()
    try:
        host = RunningHost(process, _address(process, log, "ready"), data_folder, log)
        if fhir:
            host.fhir_url = _address(process, log, "fhir")
        yield host
        host.stop()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()
    found = watch_host(log, data_folder).found
    assert not found, found


def read_tokens(host: RunningHost) -> dict[str, str]:
    """Read the lines that name tokens; the host is known to have said ``ready``."""
    assert host.process.stdout is not None
    lines = [host.process.stdout.readline().split() for _ in range(3)]
    assert [words[:2] for words in lines] == [["token", "read"], ["token", "write"], ["token", "all"]]
    return {name: token for _, name, token in lines}


def _collect(process: subprocess.Popen[str], log: list[str]) -> None:
    assert process.stderr is not None
    with process.stderr:
        log.extend(process.stderr)


def _address(process: subprocess.Popen[str], log: list[str], what: str) -> str:
    """Read the line that names an address; the host is ended where it does not come."""
    assert process.stdout is not None
    deadline = threading.Timer(_READY_SECONDS, process.kill)
    deadline.start()
    line = process.stdout.readline()
    deadline.cancel()
    if not line.startswith(f"{what} "):
        process.kill()
        process.wait()
        raise AssertionError(f"The host did not say '{what}':\n" + "".join(log))
    return line.split()[1]
