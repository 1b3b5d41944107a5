"""Composition: importing never fails, never talks, and a bad configuration explains itself on every route."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance, new_uid

ROOT = Path(__file__).resolve().parents[2]

SCRIPT = """
import asyncio, json, socket
def refuse(*a, **k): raise AssertionError("network at import")
socket.socket.connect = socket.create_connection = refuse
import function_app
from starlette.requests import Request
functions = {f.get_function_name(): f.get_user_function() for f in function_app.app.get_functions()}
async def ask():
    scope = {"type": "http", "method": "GET", "query_string": b"", "headers": [], "path_params": {"path": "v2/studies"}}
    response = await functions["zz_fallback"](req=Request(scope))
    return response.status_code, json.loads(bytes(response.body)).get("detail")
print(json.dumps([len(functions), *asyncio.run(ask())]))
"""


def compose(**environment: str) -> tuple[int, int, str]:
    """Import the app in a fresh interpreter; give its number of functions, and status and detail of one answer."""
    import json  # noqa: PLC0415

    command = [sys.executable, "-c", SCRIPT]
    path = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=path | environment, capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    functions, status, detail = json.loads(done.stdout.splitlines()[-1])
    return functions, status, detail


def test_without_settings_every_route_answers_503_and_names_them() -> None:
    functions, status, detail = compose()
    assert (functions, status) == (1, 503)
    assert "STORAGE__blobServiceUri" in detail


def test_with_storage_alone_the_service_is_closed_until_it_knows_whom_to_trust(tmp_path: Path) -> None:
    functions, status, detail = compose(STORAGE_DATA_DIR=str(tmp_path))
    assert functions > 20
    assert status == 503
    assert "AUTHORITY and AUDIENCE" in detail


@pytest.mark.parametrize("connection", ["UseDevelopmentStorage=true", "nonsense"])
def test_on_azure_it_composes_without_talking_to_storage(connection: str) -> None:
    _, status, _ = compose(STORAGE=connection)
    assert status == 503


async def test_two_apps_on_the_same_stores_are_one_archive() -> None:
    first, study = AppClient(), new_uid()
    await first.store(make_instance(StudyInstanceUID=study))
    second = AppClient(first.stores)
    assert (await second.get(f"/v2/studies/{study}")).status == 200
