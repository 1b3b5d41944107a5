"""The closed local run: an issuer of its own and tokens to try, or the operator's issuer; through both engines."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import jwt
import pytest
import requests

from tests.support.dicom_builders import make_instance, new_uid
from tests.support.host import PROJECT_FOLDER, host_command, read_tokens, running_host
from tests.support.issuer import AUDIENCE, ROLES, OpenIdIssuer, identities, running_issuer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.host import RunningHost
    from tests.support.issuer import Identity

Engine = Literal["direct", "runtime"]
PATIENCE_SECONDS = 30
DICOM_JSON = {"Accept": "application/dicom+json"}
DICOM = {"Content-Type": "application/dicom"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def call(host: RunningHost, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> requests.Response:
    return requests.request(method, host.url + path, headers=headers, data=body, timeout=PATIENCE_SECONDS)


@contextmanager
def closed_host(folder: Path, *more: str, engine: Engine = "direct", **settings: str) -> Iterator[RunningHost]:
    with running_host(folder, engine=engine, settings=settings, more=["--auth", *more]) as host:
        yield host


def test_its_tokens_allow_what_they_are_called(tmp_path: Path) -> None:
    study = new_uid()
    with closed_host(tmp_path) as host:
        tokens = read_tokens(host)
        requests_of = {
            "write": ("POST", "/v2/studies", {**DICOM, **DICOM_JSON}, make_instance(StudyInstanceUID=study)),
            "read": ("GET", f"/v2/studies/{study}/metadata", DICOM_JSON, b""),
            "delete": ("DELETE", f"/v2/studies/{study}", {}, b""),
        }
        allowed = {"read": {"read"}, "write": {"read", "write"}, "all": {"read", "write", "delete"}}
        for name in ("write", "read", "all"):
            for action, (method, path, headers, body) in requests_of.items():
                status = call(host, method, path, {**headers, **bearer(tokens[name])}, body).status_code
                assert (status == 403) == (action not in allowed[name]), (name, action, status)
        refused = call(host, "GET", "/v2/studies", DICOM_JSON)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith('Bearer authorization_uri="http://127.0.0.1:')
        assert "closed" in "".join(host.log)


def test_its_tokens_last_for_hours_and_nobody_else_takes_them(tmp_path: Path) -> None:
    with closed_host(tmp_path / "a") as first, closed_host(tmp_path / "b") as second:
        token = read_tokens(first)["all"]
        claims = jwt.decode(token, options={"verify_signature": False})
        assert 11 * 3600 < claims["exp"] - time.time() <= 12 * 3600
        assert call(first, "GET", "/v2/studies", bearer(token)).status_code == 204
        assert call(second, "GET", "/v2/studies", bearer(token)).status_code == 401


def test_the_sample_study_is_stored_all_the_same(tmp_path: Path) -> None:
    with closed_host(tmp_path, "--when-ready", "samples.welcome") as host:
        token = read_tokens(host)["read"]
        assert host.process.stdout is not None
        while "Ctrl-C" not in (line := host.process.stdout.readline()):
            assert "answered" not in line
            if line.split()[:1] == ["search"]:
                assert '-H "Authorization: Bearer $TOKEN"' in line
        assert len(json.loads(call(host, "GET", "/v2/studies", {**DICOM_JSON, **bearer(token)}).content)) == 1


def test_without_the_flag_it_is_open_to_this_machine_and_says_so(tmp_path: Path) -> None:
    with running_host(tmp_path) as host:
        assert call(host, "GET", "/v2/studies", DICOM_JSON).status_code == 204
        assert "open to everyone on this machine" in "".join(host.log)


def test_a_mark_of_azure_is_refused_closed_too(tmp_path: Path) -> None:
    """The embedded store and an issuer without TLS are for a laptop."""
    environment: dict[str, Any] = {**os.environ, "WEBSITE_INSTANCE_ID": "x"}
    ended = subprocess.run(  # noqa: S603 -- our own command
        host_command(tmp_path, more=["--auth"]),
        cwd=PROJECT_FOLDER,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "AUTHORITY must be https" in ended.stderr


# The operator's issuer: the matrix, over a socket


@pytest.fixture(scope="module")
def issuer() -> Iterator[OpenIdIssuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture(scope="module", params=["direct", "runtime"])
def their_host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, issuer: OpenIdIssuer) -> Iterator[RunningHost]:
    settings = {
        "AUTHORITY": issuer.url,
        "AUDIENCE": AUDIENCE,
        "ROLES": json.dumps({role: sorted(actions) for role, actions in ROLES.items()}),
    }
    engine = cast("Engine", request.param)
    with closed_host(tmp_path_factory.mktemp(engine), engine=engine, **settings) as running:
        yield running


@pytest.fixture(scope="module")
def callers(issuer: OpenIdIssuer) -> dict[str, Identity]:
    return identities(issuer.maker())


def knock(host: RunningHost, method: str, path: str, caller: Identity) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=PATIENCE_SECONDS)
    connection.putrequest(method, f"{path}?{caller.query}" if caller.query else path)
    for value in caller.authorizations:
        connection.putheader("Authorization", value)
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_everyone_gets_the_answer_that_its_rights_ask_for(their_host: RunningHost, callers: Mapping[str, Identity]) -> None:
    paths = {"GET": ("/v2/studies", "read"), "POST": ("/v2/studies", "write"), "DELETE": (f"/v2/studies/{new_uid()}", "delete")}
    wrong = []
    for name, caller in callers.items():
        assert knock(their_host, "GET", "/health/check", caller) == 200
        for method, (path, action) in paths.items():
            status = knock(their_host, method, path, caller)
            refused = status if status in {401, 403} else None
            expected = 401 if caller.may is None else None if action in caller.may else 403
            if refused != expected or status >= 500:
                wrong.append((name, method, status))
    assert wrong == []


def test_no_token_and_no_claim_is_in_the_log(their_host: RunningHost, callers: Mapping[str, Identity]) -> None:
    said = "".join(their_host.log)
    assert not [name for name, caller in callers.items() for text in caller.authorizations if text[-40:] in said and len(text) > 40]
    assert "somebody" not in said
