"""The running host as a fixture, once for each store, and the option that picks one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast

import pytest

from tests.support.azurite import running_azurite
from tests.support.host import RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from localhost.azurite import Azurite

Store = Literal["embedded", "azurite", "azure"]
DEFAULT_STORES: Final[tuple[Store, ...]] = ("embedded", "azurite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--store", action="append", choices=["embedded", "azurite", "azure"], help="stores to run the host on; both by default"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames:
        stores = metafunc.config.getoption("--store") or DEFAULT_STORES
        metafunc.parametrize("host", stores, indirect=True, scope="session")


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Start the real host on an empty data folder; it is shared by all tests of a store."""
    store = cast("Store", request.param)
    with running_host(tmp_path_factory.mktemp(store), store=store) as running:
        yield running


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Start the storage emulator; it is shared by all tests, each of which keeps to names of its own."""
    with running_azurite(tmp_path_factory.mktemp("azurite")) as running:
        yield running
