"""Azurite, the storage emulator: a pinned one from npm, on free loopback ports, stopped so that it keeps its data.

It stops, and saves, when its input ends, so also when the host is killed: killed itself it loses its last five seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from localhost.node import NodeChild, NodeMissing, install_packages, start_node
from localhost.problems import StartupProblem

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
_SERVICES = 3

ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's account and key are the same everywhere and published; they open nothing else."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite."""

    connection_string: str
    child: NodeChild

    def stop(self) -> None:
        """End it and wait until its data is on disk."""
        self.child.stop()


def start_azurite(folder: Path) -> Azurite:
    """Start Azurite with its data in ``folder``; returns when all three services listen. Installs it first where it is missing.

    Raises
    ------
    StartupProblem
        Node or npm is missing, Azurite ended while starting, or another one uses the folder.
    """
    try:
        install_packages(PROJECT)
        arguments = ["--import", _STOP_WITH_INPUT, str(_SCRIPT), *_FLAGS, *_ANY_PORT, "--location", str(folder)]
        child = start_node(arguments, folder, quiet=True)
    except NodeMissing as missing:
        raise StartupProblem(f"The storage emulator cannot run: {missing} The embedded store needs neither.") from missing
    try:
        return Azurite(_connection_string(_wait_for_endpoints(child)), child)
    except BaseException:
        child.kill()
        raise


def _wait_for_endpoints(child: NodeChild) -> dict[str, str]:
    endpoints: dict[str, str] = {}
    for match in child.matches(_LISTENING):
        endpoints[match[1]] = match[2]
        if len(endpoints) == _SERVICES:
            return endpoints
    raise StartupProblem("Azurite ended while it started.")


def _connection_string(endpoints: dict[str, str]) -> str:
    services = "".join(f"{service}Endpoint={url}/{ACCOUNT};" for service, url in endpoints.items())
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={_KEY};{services}"
