"""The service under test: the running host, once for each store; and archives in this process that keep a real FHIR server in step."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from shared.services import fhir_sync
from tests.support.dicomweb import Caller
from tests.support.fhir_acceptance import LinkedArchive, Relay, relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from localhost.fhir_server import FhirServer
    from tests.support.host import RunningHost


@pytest.fixture(scope="session")
def service(host: RunningHost) -> Caller:
    """Speak v2 to the running host; ``service.at("v1")`` speaks another version."""
    return Caller(host.url)


@pytest.fixture
def link(fhir_server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LinkedArchive]]:
    """Make archives that are linked to the FHIR server; in the end all that they wrote is checked by the second validator."""
    monkeypatch.setattr(
        fhir_sync, "random", SimpleNamespace(uniform=lambda low, high: random.uniform(low, high) / 20)
    )  # pauses after conflicts
    made: list[LinkedArchive] = []

    def make(url: str = "", **choices: Any) -> LinkedArchive:
        made.append(LinkedArchive(url or fhir_server.url, written_at=fhir_server.url, **choices))
        return made[-1]

    yield make
    for archive in made:
        archive.close()
        archive.written.check()


@pytest.fixture
def between(fhir_server: FhirServer) -> Iterator[Relay]:
    """Stand before the FHIR server."""
    with relay(fhir_server.url) as running:
        yield running
