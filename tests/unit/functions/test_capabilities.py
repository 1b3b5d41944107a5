"""Health, OPTIONS, and what the fallback says of paths and methods that have no route."""

from __future__ import annotations

import pytest

from shared.access import ClosedAccess
from shared.errors import OutcomeUnknown
from shared.settings import Settings, StorageSettings
from tests.support.app_client import AppClient

STUDY = "/v2/studies/1.2.3"
VIEWER = "https://viewer.test"


@pytest.fixture
def client() -> AppClient:
    return AppClient(settings=Settings(storage=StorageSettings(kind="embedded"), cors_allowed_origins=(VIEWER,)))


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", STUDY, {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}),
        ("POST", STUDY + "/metadata", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/v1/studies", {"GET", "HEAD", "POST", "PUT", "OPTIONS"}),
        ("PUT", "/health/check", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_wrong_method_is_405_and_the_right_ones_are_named(client: AppClient, method: str, path: str, allowed: set[str]) -> None:
    reply = await client.send(method, path)
    assert reply.status == 405
    assert set(reply.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v3/studies", 400),
        ("/v1.5/studies", 400),
        ("/v2/patients", 404),
        ("/v2/studies/1/2/3", 404),
        ("/studies", 404),
        ("/", 404),
        ("/v2", 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unsupported_version_is_400_and_no_resource_404(client: AppClient, method: str, path: str, status: int) -> None:
    reply = await client.send(method, path)
    assert reply.status == status
    assert reply.json()["status"] == status
    assert ("api-supported-versions" in reply.headers) == path.startswith("/v")


async def test_options_of_a_resource_names_its_methods(client: AppClient) -> None:
    reply = await client.send("OPTIONS", STUDY)
    assert (reply.status, reply.headers["allow"]) == (204, "DELETE, GET, HEAD, POST, PUT, OPTIONS")


@pytest.mark.parametrize("path", ["/", "/v2"])
async def test_options_of_the_root_describes_the_service(client: AppClient, path: str) -> None:
    resources = {r["path"]: r["methods"] for r in (await client.send("OPTIONS", path)).json()["resources"]}
    assert resources["/{version}/studies/{study}/metadata"] == ["GET", "HEAD"]
    assert len(resources) == 24


async def test_a_preflight_from_an_allowed_origin_is_answered(client: AppClient) -> None:
    reply = await client.send("OPTIONS", STUDY, {"origin": VIEWER, "access-control-request-method": "DELETE"})
    assert reply.headers["access-control-allow-origin"] == VIEWER
    assert "DELETE" in reply.headers["access-control-allow-methods"]
    assert "If-None-Match" in reply.headers["access-control-allow-headers"]


async def test_a_preflight_from_another_origin_gets_no_permission(client: AppClient) -> None:
    reply = await client.send("OPTIONS", STUDY, {"origin": "https://evil.test", "access-control-request-method": "DELETE"})
    assert not {name for name in reply.headers if name.startswith("access-control")}


async def test_health_names_every_store(client: AppClient) -> None:
    reply = await client.get("/health/check")
    assert (reply.status, reply.json()["overallStatus"]) == (200, "Healthy")
    assert {d["name"]: d["status"] for d in reply.json()["details"]} == dict.fromkeys(("blobs", "tables", "queues", "archive"), "Healthy")


async def test_health_is_503_when_a_store_does_not_answer(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(queue: str) -> None:
        raise OutcomeUnknown("queues: check")

    monkeypatch.setattr(client.stores.queues, "check", unreachable)
    reply = await client.get("/health/check")
    assert (reply.status, reply.json()["overallStatus"]) == (503, "Unhealthy")
    assert {d["name"]: d["description"] for d in reply.json()["details"]}["queues"] == "queues: check"


@pytest.mark.parametrize("path", ["/v2/studies", "/health/check", "/v9", STUDY])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
async def test_a_closed_service_answers_503_everywhere_and_says_why(method: str, path: str) -> None:
    closed = AppClient(access=ClosedAccess("Set AUTHORITY and AUDIENCE."))
    reply = await closed.send(method, path)
    assert (reply.status, reply.json()["detail"]) == (503, "Set AUTHORITY and AUDIENCE.")
