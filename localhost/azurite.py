"""Azurite, the storage emulator: a pinned one from npm, on free loopback ports, stopped so that it keeps its data.

It is stopped by SIGTERM and waited for: killed hard it loses its last five seconds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from localhost.problems import StartupProblem

PROJECT = Path(__file__).resolve().parent.parent
_SCRIPT = PROJECT / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_FLAGS = ("--silent", "--skipApiVersionCheck", "--disableTelemetry")
_ANY_PORT = ("--blobPort", "0", "--queuePort", "0", "--tablePort", "0")
_LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://127\.0\.0\.1:\d+)")
_STOP_SECONDS = 30

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
        self.process.terminate()
        self.process.wait(_STOP_SECONDS)
        if self.process.stdout:
            self.process.stdout.close()


def start_azurite(folder: Path) -> Azurite:
    """Start Azurite with its data in ``folder``; returns when all three services listen. Installs it first where it is missing.

    Raises
    ------
    StartupProblem
        Node or npm is missing, or Azurite ended while starting.
    """
    install_azurite()
    folder.mkdir(parents=True, exist_ok=True)
    command = [_tool("node"), str(_SCRIPT), *_FLAGS, *_ANY_PORT, "--location", str(folder)]
    process = subprocess.Popen(  # noqa: S603 -- our own command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
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


def _wait_for_endpoints(process: subprocess.Popen[str]) -> dict[str, str]:
    endpoints: dict[str, str] = {}
    for line in process.stdout or ():
        if match := _LISTENING.match(line):
            endpoints[match[1]] = match[2]
        if len(endpoints) == 3:
            return endpoints
    raise StartupProblem("Azurite ended while it started; is another one using the same folder?")


def _connection_string(endpoints: dict[str, str]) -> str:
    services = "".join(f"{service}Endpoint={url}/{ACCOUNT};" for service, url in endpoints.items())
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={_KEY};{services}"
