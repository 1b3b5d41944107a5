"""The operators' endpoints of the synchronisation with FHIR: shapes, bodies and parameters, health, and a server that is not configured."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.catalog.keys import SETTLE_QUEUE
from shared.errors import Unauthorized
from shared.fhir.server import FhirConfiguration, FhirTransient
from tests.support.app_client import SETTINGS, AppClient
from tests.support.dicom_builders import make_instance
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_studies import failing
from tests.support.fhir_world import FHIR

if TYPE_CHECKING:
    from shared.access import Caller
    from tests.support.app_client import Reply

STUDY = "1.2.840.5"
ON = replace(SETTINGS, fhir=replace(FHIR, debounce_seconds=0.001), settle_delay_seconds=0)


class Timer:
    """What the timer triggers are given."""

    past_due = False


class FhirClient(AppClient):
    """An app with a FHIR server in memory."""

    def __init__(self) -> None:
        self.server = FakeFhirServer()
        super().__init__(settings=ON, fhir=self.server)

    async def settle(self) -> None:
        """Do what the settle messages that are visible now ask for."""
        for message in await self.stores.queues.receive(SETTLE_QUEUE):

            class Received:
                def get_body(self, body: str = message.body) -> bytes:
                    return body.encode()

            await self.handler("settle_study")(Received())
            await self.stores.queues.delete(SETTLE_QUEUE, message)

    async def ask(self, name: str, document: Any) -> Reply:
        return await self.post(f"/fhir-sync/{name}", "application/json", json.dumps(document).encode())


@pytest.fixture
def client() -> FhirClient:
    return FhirClient()


async def store_and_write(client: FhirClient, **attributes: Any) -> None:
    await client.store(make_instance(**{"StudyInstanceUID": STUDY, **attributes}))
    while (await client.get("/fhir-sync/status")).json()["lastSync"] is None:
        await client.settle()


async def test_without_a_fhir_server_the_status_says_so() -> None:
    reply = await AppClient().get("/fhir-sync/status")
    nothing = {"dirty": 0, "blocked": 0, "dead": 0, "lagSeconds": 0, "lastSync": None}
    assert (reply.status, reply.json()) == (200, {"enabled": False, "paused": False, **nothing})


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "issues"), ("GET", f"preview/{STUDY}"), ("POST", "retry"), ("POST", "rebuild")],
)
async def test_without_a_fhir_server_there_is_nothing_else_and_the_setting_is_named(method: str, path: str) -> None:
    reply = await AppClient().send(method, f"/fhir-sync/{path}", {"content-type": "application/json"}, b"{}")
    assert (reply.status, reply.json()["detail"]) == (404, "FHIR is not configured: set FHIR_BASE_URL.")


async def test_status_has_its_members(client: FhirClient) -> None:
    await store_and_write(client)
    status = (await client.get("/fhir-sync/status")).json()
    assert list(status) == ["enabled", "paused", "dirty", "blocked", "dead", "lagSeconds", "lastSync"]
    assert (status["enabled"], status["paused"]) == (True, False)


async def test_issues_are_listed(client: FhirClient) -> None:
    await client.store(make_instance(StudyInstanceUID=STUDY, PatientID=None))
    while not (await client.get("/fhir-sync/status")).json()["blocked"]:
        await client.settle()
    page = (await client.get(f"/fhir-sync/issues?class=dicom&code=missing-patient-id&study={STUDY}&resolved=false")).json()
    assert [(issue["study"], issue["tag"]) for issue in page["issues"]] == [(STUDY, "00100020")]
    assert page["next"] is None
    assert (await client.get("/fhir-sync/issues?class=dead")).json() == {"issues": [], "next": None}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("class=SECRET", "class"),
        ("code=SECRET", "code"),
        ("study=SECRET", "study"),
        ("study=1.2.", "study"),
        ("study=", "study"),
        ("resolved=SECRET", "resolved"),
        ("next=SECRET", "next"),
        ("SECRET=1", "parameters"),
        ("class=fhir&class=fhir", "parameters"),
    ],
)
async def test_a_wrong_parameter_is_named_and_its_value_not_repeated(client: FhirClient, query: str, names: str) -> None:
    reply = await client.get(f"/fhir-sync/issues?{query}")
    assert reply.status == 400
    assert names in reply.json()["detail"]
    assert "SECRET" not in reply.json()["detail"]


async def test_a_preview_is_the_bundle_and_the_changes(client: FhirClient) -> None:
    await client.store(make_instance(StudyInstanceUID=STUDY))
    reply = await client.get(f"/fhir-sync/preview/{STUDY}")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert sorted(reply.json()) == ["bundle", "changes"]
    assert not client.server.requests["write"]


@pytest.mark.parametrize(("study", "status"), [("1.2.3", 404), ("x", 400), ("1.2.", 400), ("1" * 65, 400)])
async def test_a_preview_of_what_is_not_stored_is_404_and_of_no_uid_400(client: FhirClient, study: str, status: int) -> None:
    assert (await client.get(f"/fhir-sync/preview/{study}")).status == status


async def test_a_preview_is_503_while_fhir_does_not_answer(client: FhirClient) -> None:
    await client.store(make_instance(StudyInstanceUID=STUDY))
    client.server.before = failing(FhirTransient("down", 503, retry_after_seconds=33), verbs="search")
    reply = await client.get(f"/fhir-sync/preview/{STUDY}")
    assert (reply.status, reply.headers["retry-after"]) == (503, "33")


@pytest.mark.parametrize(
    ("name", "document", "queued"),
    [
        ("retry", {"studies": [STUDY, "1.2.3"]}, 1),
        ("retry", {"studies": []}, 0),
        ("retry", {"class": "dead"}, 0),
        ("rebuild", {"scope": "all"}, 1),
        ("rebuild", {"scope": "all", "dryRun": True}, 1),
        ("rebuild", {"scope": [STUDY, "1.2.3"], "dryRun": False}, 1),
        ("rebuild", {"scope": []}, 0),
    ],
)
async def test_what_was_queued_is_counted(client: FhirClient, name: str, document: Any, queued: int) -> None:
    await store_and_write(client)
    reply = await client.ask(name, document)
    assert (reply.status, reply.json()) == (202, {"queued": queued})


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_rebuild_brings_back_what_is_missing_unless_it_only_counts(client: FhirClient, *, dry_run: bool) -> None:
    await store_and_write(client)
    client.server.history.clear()
    await client.ask("rebuild", {"scope": "all", "dryRun": dry_run})
    await client.settle()
    assert bool(client.server.all("ImagingStudy")) is not dry_run


@pytest.mark.parametrize(
    ("name", "document", "status", "names"),
    [
        ("retry", {}, 400, "studies or class"),
        ("retry", {"studies": [], "class": "dead"}, 400, "studies or class"),
        ("retry", {"SECRET": 1}, 400, "studies and class"),
        ("retry", [], 400, "object"),
        ("retry", None, 400, "object"),
        ("retry", {"studies": "1.2"}, 400, "studies"),
        ("retry", {"studies": ["SECRET"]}, 400, "studies"),
        ("retry", {"studies": [1.2]}, 400, "studies"),
        ("retry", {"studies": ["1.2"] * 10_001}, 413, "studies"),
        ("retry", {"class": "SECRET"}, 400, "class"),
        ("retry", {"class": "value-warning"}, 400, "class"),
        ("retry", {"class": None}, 400, "class"),
        ("rebuild", {}, 400, "scope"),
        ("rebuild", {"scope": "SECRET"}, 400, "scope"),
        ("rebuild", {"scope": [None]}, 400, "scope"),
        ("rebuild", {"scope": "all", "dryRun": "true"}, 400, "dryRun"),
        ("rebuild", {"scope": ["1.2"] * 10_001}, 413, "scope"),
        ("rebuild", {"dryRun": True}, 400, "scope"),
        ("rebuild", {"scope": "x" * 1_048_576}, 413, "1048576 bytes"),
    ],
)
async def test_a_wrong_body_is_explained_by_its_member(client: FhirClient, name: str, document: Any, status: int, names: str) -> None:
    reply = await client.ask(name, document)
    assert reply.status == status
    assert names in reply.json()["detail"]
    assert "SECRET" not in reply.json()["detail"]


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/jsonp", "application/fhir+json"])
async def test_a_body_of_another_type_is_415(client: FhirClient, content_type: str) -> None:
    assert (await client.post("/fhir-sync/retry", content_type, b"{}")).status == 415


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"{'a': 1}", b"[" * 100_000])
async def test_a_body_that_is_no_json_is_400(client: FhirClient, body: bytes) -> None:
    assert (await client.post("/fhir-sync/rebuild", "application/json; charset=utf-8", body)).status == 400


async def test_a_body_that_ends_early_queues_nothing(client: FhirClient) -> None:
    await store_and_write(client)
    reply = await client.send_cut_off("POST", "/fhir-sync/rebuild", {"content-type": "application/json"}, [b'{"scope": "all"}'])
    assert reply.status == 400
    assert (await client.get("/fhir-sync/status")).json()["dirty"] == 0


async def test_without_the_right_nobody_learns_or_does_anything() -> None:
    class Nobody:
        async def authorize(self, action: object, authorization: str | None) -> Caller:
            raise Unauthorized("No token.")

    client = AppClient(settings=ON, access=Nobody(), fhir=FakeFhirServer())
    for method, path in (("GET", "status"), ("GET", "issues"), ("GET", f"preview/{STUDY}"), ("POST", "retry"), ("POST", "rebuild")):
        assert (await client.send(method, f"/fhir-sync/{path}")).status == 401


async def health(client: AppClient) -> tuple[int, dict[str, str]]:
    reply = await client.get("/health/check")
    return reply.status, {check["name"]: check["description"] for check in reply.json()["details"]}


async def test_health_is_red_while_writing_is_paused_and_says_why(client: FhirClient) -> None:
    client.server.before = failing(FhirConfiguration("no token", 401), verbs="write")
    await client.store(make_instance(StudyInstanceUID=STUDY))
    while not (await client.get("/fhir-sync/status")).json()["paused"]:
        await client.settle()
    client.server.requests.clear()
    status, checks = await health(client)
    assert (status, checks["fhir"]) == (503, "writing to FHIR is paused: unauthorized")
    assert not client.server.requests


async def test_health_is_red_where_the_timer_has_found_a_wrong_server(client: FhirClient) -> None:
    client.server.before = failing(FhirConfiguration("the server speaks FHIR 5.0"), verbs="capabilities")
    await client.handler("sweep_fhir")(Timer())
    assert (await health(client))[1]["fhir"] == "writing to FHIR is paused: wrong-server"


async def test_health_looks_at_fhir_only_where_it_is_configured(client: FhirClient) -> None:
    assert (await health(client))[1]["fhir"] == ""
    assert "fhir" not in (await health(AppClient()))[1]


async def test_the_timer_goes_on_with_a_rebuild(client: FhirClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.services.fhir_requeue.SLICE_SECONDS", 0.0)
    monkeypatch.setattr("shared.services.fhir_requeue.PAGE_STUDIES", 1)
    for n in range(3):
        await client.store(make_instance(StudyInstanceUID=f"{STUDY}.{n}"))
    assert (await client.ask("rebuild", {"scope": "all"})).json() == {"queued": 1, "continues": True}
    await client.handler("sweep_fhir")(Timer())
    assert (await client.get("/fhir-sync/status")).json()["dirty"] == 2
