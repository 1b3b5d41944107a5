"""The FHIR server of a local run, ``localhost/fhir``, and the app settings that point the app at it, or at the operator's own."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localhost.node import NodeChild, NodeMissing, install_packages, start_node
from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = Path(__file__).resolve().parent / "fhir"
_LISTENING = re.compile(r"listening (http://127\.0\.0\.1:\d+/fhir)$")

_BASE_URL = "FHIR_BASE_URL"
_CANONICAL = "http://dicomweb.localhost/fhir"
_DEFAULTS = {
    "FHIR_CANONICAL": _CANONICAL,
    "FHIR_PATIENT_ID_SYSTEM": f"{_CANONICAL}/patient-id",
    "FHIR_ACCESSION_SYSTEM": f"{_CANONICAL}/accession",
    "FHIR_SYNC_DEBOUNCE": "1",
}


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A running FHIR server; ``url`` is its base URL."""

    url: str
    child: NodeChild

    def stop(self) -> None:
        """End it."""
        self.child.stop()


def start_fhir_server(folder: Path | None) -> FhirServer:
    """Start the server on a free port, with its data in ``folder`` or nowhere; install it first where it is missing.

    Returns when it serves.

    Raises
    ------
    NodeMissing
        Node, npm or the packages cannot be had.
    StartupProblem
        It ended while starting, or another one uses the folder.
    """
    install_packages(_FOLDER)
    arguments = [str(_FOLDER / "server.mjs"), *(() if folder is None else ("--data", str(folder)))]
    child = start_node(arguments, folder, quiet=False)
    try:
        listening = next(child.matches(_LISTENING), None)
    except BaseException:
        child.kill()
        raise
    if listening is None:
        child.kill()
        raise StartupProblem("The FHIR server ended while it started; --no-fhir runs the host without it.")
    return FhirServer(listening[1], child)


@contextmanager
def chosen_fhir(folder: Path, service_url: str, *, wanted: bool) -> Iterator[str | None]:
    """Set the app settings of the FHIR server while the host runs: the operator's, else our own, which is started and stopped.

    Gives its base URL; None where none is wanted, or where Node is missing.

    Parameters
    ----------
    folder
        Where our own keeps its data.
    service_url
        What FHIR resources call this service, unless ``PUBLIC_BASE_URL`` says otherwise.
    """
    theirs = os.environ.pop(_BASE_URL, "")
    if not wanted:
        yield None
    elif theirs:
        yield _point_app_at(theirs, service_url)
    else:
        server = _own_server(folder)
        try:
            yield None if server is None else _point_app_at(server.url, service_url)
        finally:
            if server:
                server.stop()


def _own_server(folder: Path) -> FhirServer | None:
    try:
        return start_fhir_server(folder)
    except NodeMissing as missing:
        print(f"The FHIR server is left out, and nothing is written to FHIR. {missing}", file=sys.stderr, flush=True)  # noqa: T201 -- a command line's way to speak
        return None


def _point_app_at(url: str, service_url: str) -> str:
    for name, value in {**_DEFAULTS, "PUBLIC_BASE_URL": service_url}.items():
        os.environ.setdefault(name, value)
    os.environ[_BASE_URL] = url
    return url
