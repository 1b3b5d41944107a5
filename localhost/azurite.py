"""Azurite, the storage emulator: a pinned one from npm, on free loopback ports, stopped so that it keeps its data.

It stops, and saves, when its input ends, so also when the host is killed: killed itself it loses its last five seconds. A lock that
it inherits keeps the next one from the folder until it has saved.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from typing import TextIO

PROJECT = Path(__file__).resolve().parent.parent
_SCRIPT = PROJECT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_STOP_WITH_INPUT = (  # and do not mind that nobody reads the output any more
    "data:text/javascript,"
    "for (const output of [process.stdout, process.stderr]) output.on('error', () => {});"
    "process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume()"
)
_FLAGS = ("--silent", "--skipApiVersionCheck", "--disableTelemetry")
_ANY_PORT = ("--blobPort", "0", "--queuePort", "0", "--tablePort", "0")
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://127\.0\.0\.1:\d+)")
_STOP_SECONDS = 30
_PAUSE_SECONDS = 0.05

ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's account and key are the same everywhere and published; they open nothing else."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite."""

    connection_string: str
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End it and wait until its data is on disk."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait(_STOP_SECONDS)
        if self.process.stdout:
            self.process.stdout.close()


def start_azurite(folder: Path) -> Azurite:
    """Start Azurite with its data in ``folder``; returns when all three services listen. Installs it first where it is missing.

    Raises
    ------
    StartupProblem
        Node or npm is missing, Azurite ended while starting, or another one uses the folder.
    """
    install_azurite()
    folder.mkdir(parents=True, exist_ok=True)
    command = [_tool("node"), "--import", _STOP_WITH_INPUT, str(_SCRIPT), *_FLAGS, *_ANY_PORT, "--location", str(folder)]
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        _hold(lock)
        process = subprocess.Popen(  # noqa: S603 -- our own command
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
    try:
        return Azurite(_connection_string(_wait_for_endpoints(process)), process)
    except BaseException:
        process.kill()
        process.wait()
        raise


def install_azurite() -> None:
    """Install the locked Node packages, unless they are there."""
    if not _SCRIPT.exists():
        subprocess.run([_tool("npm"), "ci", "--no-progress"], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 -- our own command


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StartupProblem(f"{name} is not installed: the storage emulator needs Node 20 with npm. The embedded store needs neither.")
    return path


def _hold(lock: TextIO) -> None:
    """Take the folder as soon as an Azurite whose host was killed has saved its data there."""
    latest = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < latest:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE_SECONDS)
    raise StartupProblem("Another Azurite uses the same folder; stop it, or choose another folder with --data.")


def _wait_for_endpoints(process: subprocess.Popen[str]) -> dict[str, str]:
    endpoints: dict[str, str] = {}
    for line in process.stdout or ():
        if match := _LISTENING.match(line):
            endpoints[match[1]] = match[2]
        if len(endpoints) == 3:
            return endpoints
    raise StartupProblem("Azurite ended while it started.")


def _connection_string(endpoints: dict[str, str]) -> str:
    services = "".join(f"{service}Endpoint={url}/{ACCOUNT};" for service, url in endpoints.items())
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={_KEY};{services}"
