"""The local host's life: it starts, says so, refuses what it must, and leaves nothing behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.host import FIXTURE_APP, PROJECT_FOLDER, host_command, running_host

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {"WORK_QUEUE": "settle"}
PATIENCE_SECONDS = 30


def start(
    tmp_path: Path, *, port: int = 0, more: tuple[str, ...] = (), app_folder: Path = FIXTURE_APP, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Start a host that is expected to end by itself."""
    command = host_command(tmp_path / "data", app_folder=app_folder, port=port, more=more)
    environment = {**os.environ, **SETTINGS, **settings}
    return subprocess.run(  # noqa: S603 -- our own command
        command, cwd=PROJECT_FOLDER, env=environment, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )


def get(port: int, path: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_and_ends_with_0_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS) as host:
        assert host.url == f"http://127.0.0.1:{host.port}"
        assert get(host.port, "/base/received") == 200
        host.process.send_signal(number)
        assert host.process.stdout is not None
        assert host.process.stdout.read() == ""
        assert host.process.wait(PATIENCE_SECONDS) == 0
    assert not any("Traceback" in line or "ERROR" in line for line in host.log)
    assert any("differs from Azure Functions" in line for line in host.log)


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    process = subprocess.Popen(  # noqa: S603 -- our own command
        host_command(tmp_path / "data", app_folder=FIXTURE_APP), cwd=PROJECT_FOLDER, env={**os.environ, **SETTINGS}, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    process.stderr.readline()
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0
    process.stderr.close()


def test_it_answers_only_for_loopback_names(tmp_path: Path) -> None:
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS) as host:
        assert get(host.port, "/base/received", Host=f"localhost:{host.port}") == 200
        assert get(host.port, "/base/received", Host="rebound.example") == 421


def test_an_answer_in_work_is_sent_before_it_ends(tmp_path: Path) -> None:
    with (
        running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS) as host,
        socket.create_connection(("127.0.0.1", host.port)) as client,
    ):
        client.sendall(b"POST /base/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8\r\n\r\nhalf")
        time.sleep(0.2)  # the signal is to come while the request is in work
        host.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        client.sendall(b"half")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert host.process.wait(PATIENCE_SECONDS) == 0


def test_an_occupied_port_is_said_clearly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = start(tmp_path, port=other.getsockname()[1])
    assert ended.returncode == 2
    assert "--port" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_a_wrong_argument(tmp_path: Path, port: int) -> None:
    ended = start(tmp_path, port=port)
    assert ended.returncode == 2
    assert "0 to 65535" in ended.stderr


def test_a_second_host_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running_host(tmp_path / "data", app_folder=FIXTURE_APP, settings=SETTINGS):
        ended = start(tmp_path, more=("--empty",))
    assert ended.returncode == 1
    assert "Another host" in ended.stderr


def test_a_mark_of_azure_is_refused(tmp_path: Path) -> None:
    ended = start(tmp_path, WEBSITE_INSTANCE_ID="x")
    assert ended.returncode == 1
    assert "WEBSITE_INSTANCE_ID" in ended.stderr


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").touch()
    ended = start(tmp_path, more=("--empty",))
    assert ended.returncode == 1
    assert (tmp_path / "data" / "thesis.txt").exists()


def test_an_app_that_cannot_be_loaded_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "function_app.py").write_text("import azure.functions\n")
    ended = start(tmp_path, app_folder=tmp_path / "app")
    assert ended.returncode == 1
    assert "0 function apps" in ended.stderr


def test_it_takes_the_flags_of_parts_to_come(tmp_path: Path) -> None:
    more = ["--no-fhir", "--no-viewer", "--empty"]
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, more=more) as host:
        assert get(host.port, "/base/received") == 200


def test_it_runs_a_module_when_it_is_ready_and_ends_it_too(tmp_path: Path) -> None:
    more = ["--when-ready", "tests.support.say_argument"]
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, more=more) as host:
        assert host.process.stdout is not None
        process_id, url = host.process.stdout.readline().split()
        assert url == host.url
        assert host.stop() == 0
    assert not _is_running(int(process_id))


def test_nothing_is_left_running_after_azurite(tmp_path: Path) -> None:
    with running_host(tmp_path, store="azurite", app_folder=FIXTURE_APP, settings=SETTINGS) as host:
        children = _children(host.process.pid)
        assert children
        assert host.stop() == 0
    assert not any(_is_running(child) for child in children)


def _children(process_id: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process_id)], check=False, capture_output=True, text=True)  # noqa: S603, S607
    return [int(line) for line in listed.stdout.split()]


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
