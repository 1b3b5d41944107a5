"""The local host brings a FHIR server, keeps its data, and leaves nothing running."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING

import requests

from samples.welcome import greeting
from tests.support.fhir import FhirClient, patient, reference
from tests.support.host import FIXTURE_APP, PROJECT_FOLDER, host_command, running_host

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from localhost.fhir_server import FhirServer

SETTINGS = {"WORK_QUEUE": "settle"}
PATIENCE_SECONDS = 30


def is_silent(url: str) -> bool:
    latest = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < latest:
        try:
            requests.get(f"{url}/metadata", timeout=PATIENCE_SECONDS)
        except requests.ConnectionError:
            return True
        time.sleep(0.05)
    return False


def test_it_says_where_the_fhir_server_is_and_ends_it_too(tmp_path: Path) -> None:
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, fhir=True) as host:
        assert requests.get(f"{host.fhir_url}/metadata", timeout=PATIENCE_SECONDS).json()["fhirVersion"] == "4.0.1"
        assert host.stop() == 0
        assert host.process.stdout is not None
        assert host.process.stdout.read() == ""
    assert is_silent(host.fhir_url)


def test_what_is_in_fhir_stays_until_the_data_is_emptied(tmp_path: Path) -> None:
    resource = patient()
    for more, status in (([], 404), ([], 200), (["--empty"], 404)):
        with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, fhir=True, more=more) as host:
            fhir = FhirClient(host.fhir_url)
            assert fhir.call("GET", reference(resource)).status_code == status
            fhir.put(resource)


def test_a_host_that_is_killed_takes_the_fhir_server_with_it(tmp_path: Path) -> None:
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, fhir=True) as host:
        host.kill()
        assert is_silent(host.fhir_url)
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, fhir=True) as host:
        assert host.fhir_url


def test_the_operators_server_is_used_instead(tmp_path: Path, fhir_server: FhirServer) -> None:
    settings = {**SETTINGS, "FHIR_BASE_URL": fhir_server.url}
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=settings, fhir=True) as host:
        assert host.fhir_url == fhir_server.url
    assert requests.get(f"{fhir_server.url}/metadata", timeout=PATIENCE_SECONDS).status_code == 200
    assert not (tmp_path / "fhir").exists()


def test_a_journal_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with running_host(tmp_path, app_folder=FIXTURE_APP, settings=SETTINGS, fhir=True):
        pass
    (tmp_path / "fhir" / "journal.ndjson").write_text("{\n")
    command = host_command(tmp_path, app_folder=FIXTURE_APP, fhir=True)
    ended = subprocess.run(  # noqa: S603 -- our own command
        command, cwd=PROJECT_FOLDER, env={**os.environ, **SETTINGS}, check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "--empty" in ended.stderr
    assert "--no-fhir" in ended.stderr


def test_the_greeting_shows_a_command_that_finds_the_study(fhir_server: FhirServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_BASE_URL", f"{fhir_server.url}/")
    identifier = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3.4"}
    resource = {
        "resourceType": "ImagingStudy",
        "id": "greeted",
        "status": "available",
        "subject": {"display": "A"},
        "identifier": [identifier],
    }
    assert FhirClient(fhir_server.url).put(resource).ok
    (line,) = [line for line in greeting("http://127.0.0.1:7071", "1.2.3.4", PROJECT_FOLDER / "x.dcm").splitlines() if "FHIR" in line]
    command = shlex.split(line[line.index("curl") :])
    assert command[0] == "curl"
    (entry,) = requests.get(command[1], timeout=PATIENCE_SECONDS).json()["entry"]
    assert entry["resource"]["id"] == "greeted"
    monkeypatch.delenv("FHIR_BASE_URL")
    assert "FHIR" not in greeting("http://127.0.0.1:7071", "1.2.3.4", PROJECT_FOLDER / "x.dcm")
