"""Which FHIR server a local run uses, and what it tells the app; without Node."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from localhost.fhir_server import chosen_fhir
from localhost.node import NodeMissing, find_tool, install_packages

if TYPE_CHECKING:
    from pathlib import Path

SERVICE_URL = "http://127.0.0.1:7071"
THEIRS = "https://fhir.example/r4"
NAMES = (
    "FHIR_BASE_URL",
    "FHIR_CANONICAL",
    "FHIR_PATIENT_ID_SYSTEM",
    "FHIR_ACCESSION_SYSTEM",
    "FHIR_SYNC_DEBOUNCE",
    "PUBLIC_BASE_URL",
)
DEFAULTS = {
    "FHIR_CANONICAL": "http://dicomweb.localhost/fhir",
    "FHIR_PATIENT_ID_SYSTEM": "http://dicomweb.localhost/fhir/patient-id",
    "FHIR_ACCESSION_SYSTEM": "http://dicomweb.localhost/fhir/accession",
    "FHIR_SYNC_DEBOUNCE": "1",
    "PUBLIC_BASE_URL": SERVICE_URL,
}


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back at the end
        monkeypatch.delenv(name)


@pytest.fixture
def without_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def settings() -> dict[str, str]:
    return {name: os.environ[name] for name in NAMES if name in os.environ}


def test_the_operators_server_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_BASE_URL", THEIRS)
    with chosen_fhir(tmp_path / "fhir", SERVICE_URL, wanted=True) as url:
        assert url == THEIRS
        assert settings() == {"FHIR_BASE_URL": THEIRS, **DEFAULTS}
    assert not (tmp_path / "fhir").exists()


def test_what_the_operator_sets_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"FHIR_BASE_URL": THEIRS, **{name: f"{value}9" for name, value in DEFAULTS.items()}}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with chosen_fhir(tmp_path, SERVICE_URL, wanted=True):
        assert settings() == own


def test_without_fhir_the_app_is_told_of_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIR_BASE_URL", THEIRS)
    with chosen_fhir(tmp_path, SERVICE_URL, wanted=False) as url:
        assert url is None
        assert settings() == {}


@pytest.mark.usefixtures("without_node")
def test_without_node_the_host_goes_on_without_fhir_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chosen_fhir(tmp_path, SERVICE_URL, wanted=True) as url:
        assert url is None
        assert settings() == {}
    printed = capsys.readouterr()
    assert "FHIR server is left out" in printed.err
    assert "Node 20" in printed.err
    assert printed.out == ""


@pytest.mark.usefixtures("without_node")
def test_a_tool_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NodeMissing, match="npm is not installed"):
        find_tool("npm")


def npm(folder: Path, script: str) -> None:
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)


@pytest.mark.usefixtures("without_node")
def test_packages_are_installed_where_they_are_missing_or_old(tmp_path: Path) -> None:
    lock, installed = tmp_path / "package-lock.json", tmp_path / "node_modules" / ".package-lock.json"
    lock.touch()
    installed.parent.mkdir()
    npm(tmp_path, f'echo "$@" >> runs; : > {installed}')
    for _ in range(2):
        install_packages(tmp_path)
    assert (tmp_path / "runs").read_text().split("\n")[0].startswith("ci ")
    os.utime(installed, (0, 0))
    install_packages(tmp_path)
    assert len((tmp_path / "runs").read_text().splitlines()) == 2


@pytest.mark.usefixtures("without_node")
def test_an_install_that_fails_is_said(tmp_path: Path) -> None:
    (tmp_path / "package-lock.json").touch()
    npm(tmp_path, "exit 1")
    with pytest.raises(NodeMissing, match="registry"):
        install_packages(tmp_path)
