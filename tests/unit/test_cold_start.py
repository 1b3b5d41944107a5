"""What importing the app brings in: a cold start waits for all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]

SLOW: Final = (
    "PIL",
    "azure.identity",
    "azure.monitor",
    "cryptography",
    "fhir",
    "functions._openapi",
    "jwt",
    "numpy",
    "openjpeg",
    "opentelemetry.sdk",
    "pydicom.pixels.decoders",
    "pylibjpeg",
    "requests",
    "rle",
    "shared.adapters.fhir_connection",
    "shared.adapters.openid_documents",
    "urllib3",
)
"""Codecs, rendering, FHIR models, the client of the FHIR server, what checks tokens, what sends telemetry,
the description of the service: imported where first needed."""

WITH_FHIR: Final = {
    "FHIR_BASE_URL": "http://127.0.0.1:9/fhir",
    "FHIR_CANONICAL": "https://archive.example/fhir",
    "FHIR_PATIENT_ID_SYSTEM": "https://archive.example/patient-id",
    "FHIR_ACCESSION_SYSTEM": "https://archive.example/accession",
    "PUBLIC_BASE_URL": "https://archive.example",
}
CLOSED: Final = {"AUTHORITY": "https://login.example", "AUDIENCE": "api://archive"}
OBSERVED: Final = {"APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=1;IngestionEndpoint=https://archive.example/"}
REPORT: Final = "import json, sys; import function_app; print(json.dumps(sorted(sys.modules)))"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of all modules after a fresh interpreter has imported the app."""
    environment = {"STORAGE_DATA_DIR": str(tmp_path_factory.mktemp("data")), **WITH_FHIR, **CLOSED, **OBSERVED}
    command = [sys.executable, "-c", REPORT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 -- our own
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("name", SLOW)
def test_importing_the_app_leaves_slow_libraries_alone(modules: set[str], name: str) -> None:
    assert not {module for module in modules if module == name or module.startswith(f"{name}.")}


def test_importing_the_app_imports_the_app(modules: set[str]) -> None:
    assert {"function_app", "azure.functions", "shared.settings"} <= modules
