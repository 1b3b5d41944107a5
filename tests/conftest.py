"""The running host as a fixture, once for each kind of host, and the option that picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import pytest

from tests.support.azurite import running_azurite
from tests.support.fhir import running_fhir_server
from tests.support.host import RunningHost, running_host
from tests.support.phi_watch import watching

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localhost.azurite import Azurite
    from localhost.fhir_server import FhirServer


class HostKind(NamedTuple):
    """What a running host stands on."""

    store: Literal["embedded", "azurite", "azure"]
    engine: Literal["direct", "runtime"] = "direct"


HOSTS: Final = {
    "embedded": HostKind("embedded"),
    "azurite": HostKind("azurite"),
    "worker-core": HostKind("embedded", "runtime"),  # the official worker core: what holds here holds in Azure's own worker
    "azure": HostKind("azure"),
}
DEFAULT_HOSTS: Final = ("embedded", "azurite", "worker-core")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--host", action="append", choices=list(HOSTS), help=f"kinds of host to run against; by default {DEFAULT_HOSTS}")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--host") or DEFAULT_HOSTS
        metafunc.parametrize("host", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session", autouse=True)
def _canary() -> Iterator[None]:
    """No test makes the archive tell of a patient where it must not: logs, names, keys, messages, error bodies (threat T13)."""
    with watching() as watch:
        yield
    assert watch.found == []


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Start the real host on an empty data folder; it is shared by all tests of its kind."""
    kind = HOSTS[request.param]
    with running_host(tmp_path_factory.mktemp(request.param), store=kind.store, engine=kind.engine) as running:
        yield running


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Start the storage emulator; it is shared by all tests, each of which keeps to names of its own."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running


@pytest.fixture(scope="session")
def fhir_server() -> Iterator[FhirServer]:
    """Start the local FHIR server, empty; it is shared by all tests, each of which keeps to identifiers and ids of its own."""
    with running_fhir_server() as running:
        yield running
