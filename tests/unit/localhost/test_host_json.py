"""``host.json`` and the app settings say how the host behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from localhost.host_json import DEFAULT_BODY_LIMIT_BYTES, HostOptions, QueueOptions, read_host_options
from localhost.problems import StartupProblem

if TYPE_CHECKING:
    from pathlib import Path


def test_without_a_file_the_real_hosts_defaults_hold(tmp_path: Path) -> None:
    assert read_host_options(tmp_path / "host.json", {}) == HostOptions("api", DEFAULT_BODY_LIMIT_BYTES, QueueOptions(16, 8, 5, 0.0, 60.0))


def test_the_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    path.write_text("""{"version": "2.0", "extensions": {"http": {"routePrefix": "/x/"},
        "queues": {"batchSize": 4, "maxDequeueCount": 2, "visibilityTimeout": "1.00:01:30", "maxPollingInterval": "00:00:02.5"}}}""")
    assert read_host_options(path, {}) == HostOptions("x", DEFAULT_BODY_LIMIT_BYTES, QueueOptions(4, 2, 2, 86490.0, 2.5))


def test_an_app_setting_limits_bodies(tmp_path: Path) -> None:
    assert read_host_options(tmp_path / "host.json", {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "5"}).body_limit_bytes == 5


@pytest.mark.parametrize("content", ["{", '{"extensions": {"queues": {"visibilityTimeout": "soon"}}}'])
def test_a_file_that_is_not_understood_stops_the_start(tmp_path: Path, content: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(content)
    with pytest.raises(StartupProblem, match=r"host\.json"):
        read_host_options(path, {})


def test_a_limit_that_is_no_number_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupProblem, match="number of bytes"):
        read_host_options(tmp_path / "host.json", {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "1 MB"})
