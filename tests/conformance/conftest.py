"""The service under test: the running host, once for each store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.dicomweb import Caller

if TYPE_CHECKING:
    from tests.support.host import RunningHost


@pytest.fixture(scope="session")
def service(host: RunningHost) -> Caller:
    """Speak v2 to the running host; ``service.at("v1")`` speaks another version."""
    return Caller(host.url)
