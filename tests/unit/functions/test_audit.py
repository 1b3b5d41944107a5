"""Every route leaves exactly one record in the audit trail, refused or not, with the studies that it is about."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import function_app
from functions._http import Guards
from functions._routes import Route
from shared.access import ANYBODY, Caller, ClosedAccess, DataAction, NotPermitted
from shared.errors import StorageFailure, TooManyRequests, Unauthorized
from shared.services import audit, stow
from shared.services.audit import AuditService
from tests.support.app_client import SETTINGS, AppClient
from tests.support.audit import EverybodyIs, ShakyBlobs, details, read_trail, status, studies
from tests.support.counting import counting
from tests.support.dicom_builders import make_instance
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_world import FHIR
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.app_client import Reply
    from tests.support.audit import Json

STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"
GOOD = make_instance(StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=INSTANCE)
ADA = Caller("0aa1-ada", "Ada")
MULTIPART = 'multipart/related; type="application/dicom"; boundary=B'
OF_THE_BODY = {"store_instances", "retry_fhir_studies", "rebuild_fhir_studies"}


class ThreeCallers:
    """Knows Ada, who may do everything, and somebody who may do nothing."""

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        if authorization == "forbidden":
            raise NotPermitted(Caller("0bb2-bob"))
        if action is DataAction.PUBLIC:
            return ANYBODY
        if authorization is None:
            raise Unauthorized("Say who you are.")
        return ADA


class Limits:
    """Lets nobody in while ``closed``."""

    closed = False

    def admit(self, caller: Caller) -> Callable[[], None]:
        if self.closed:
            raise TooManyRequests("Too many.")
        return lambda: None


class AuditedClient(AppClient):
    """An app with everything, whose trail can be read, and broken."""

    def __init__(self) -> None:
        stores = memory_stores()
        self.blobs, self.limits = ShakyBlobs(stores.blobs, seconds=0), Limits()
        stores = replace(stores, blobs=self.blobs)
        self.trail = AuditService(stores.blobs, stores.clock, "archive.test")
        guards = Guards(audit=self.trail, limits=self.limits)
        settings = replace(SETTINGS, fhir=FHIR)
        super().__init__(stores, settings, ThreeCallers(), FakeFhirServer(), guards)
        self._seen = 0

    async def ask(self, method: str, url: str, body: bytes = b"", *, who: str | None = "ada", content_type: str = MULTIPART) -> Reply:
        headers = {"content-type": content_type, **({"authorization": who} if who else {})}
        return await self.send(method, url, headers, body)

    async def put_in(self, *instances: bytes, method: str = "POST", url: str = "/v2/studies") -> Reply:
        return await self.ask(method, url, multipart(*instances))

    async def records(self) -> list[Json]:
        """Give the records made since the last time."""
        await self.trail.close()
        every = await read_trail(self.stores.blobs)
        new, self._seen = every[self._seen :], len(every)
        return new


def multipart(*instances: bytes) -> bytes:
    return b"".join(b"--B\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % i for i in instances) + b"--B--\r\n"


def all_routes() -> list[tuple[Route, str]]:
    handlers: list[Any] = [f.get_user_function() for f in AppClient().functions.values() if f.is_http_function()]
    return [(handler.route, method) for handler in handlers for method in handler.route.methods]


ROUTES = all_routes()
AUDITED = [(route, method) for route, method in ROUTES if route.action is not DataAction.PUBLIC]
PUBLIC = [(route, method) for route, method in ROUTES if route.action is DataAction.PUBLIC]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Route) else str(value)


def url_of(route: Route) -> str:
    values = {"{version}": "v2", "{study}": STUDY, "{series}": SERIES, "{instance}": INSTANCE, "{frames}": "1", "{*path}": "v2/nothing"}
    url = route.readable
    for parameter, value in values.items():
        url = url.replace(parameter, value)
    return url


def body_of(route: Route) -> tuple[bytes, str]:
    if route.name.startswith("store_"):
        return multipart(make_instance(StudyInstanceUID=STUDY)), MULTIPART
    document = {"retry_fhir_studies": {"studies": [STUDY]}, "rebuild_fhir_studies": {"scope": [STUDY]}}.get(route.name, {})
    return json.dumps(document).encode(), "application/json"


async def ask_route(client: AuditedClient, route: Route, method: str, who: str | None = "ada") -> Reply:
    body, content_type = body_of(route)
    return await client.ask(method, url_of(route), body, who=who, content_type=content_type)


def check(record: Json, route: Route, method: str, reply: Reply) -> None:
    assert details(record) == {"method": method, "transaction": route.name, "right": str(route.action)}
    assert status(record) == reply.status


@pytest.mark.parametrize(("route", "method"), AUDITED, ids=name_of)
async def test_a_route_that_is_used_leaves_one_record(route: Route, method: str) -> None:
    client = AuditedClient()
    await client.put_in(GOOD)
    await client.records()
    reply = await ask_route(client, route, method)
    assert reply.status < 300
    (record,) = await client.records()
    check(record, route, method, reply)
    assert record["agent"][0] == {**record["agent"][0], "who": {"identifier": {"value": ADA.subject}}, "name": "Ada"}
    assert studies(record) == ([STUDY] if "{study" in route.template or route.name in OF_THE_BODY else [])


@pytest.mark.parametrize(("who", "expected"), [(None, 401), ("forbidden", 403)], ids=["unauthorized", "forbidden"])
@pytest.mark.parametrize(("route", "method"), AUDITED, ids=name_of)
async def test_a_route_that_is_refused_leaves_one_record(route: Route, method: str, who: str | None, expected: int) -> None:
    client = AuditedClient()
    reply = await ask_route(client, route, method, who)
    assert reply.status == expected
    assert client.blobs.counts["append audit"] == 2  # before the answer
    (record,) = await client.records()
    check(record, route, method, reply)
    assert record["agent"][0]["who"] == ({"display": "anonymous"} if who is None else {"identifier": {"value": "0bb2-bob"}})
    assert studies(record) == ([STUDY] if "{study" in route.template else [])


@pytest.mark.parametrize(("route", "method"), AUDITED, ids=name_of)
async def test_a_caller_who_asks_too_much_leaves_one_record(route: Route, method: str) -> None:
    client = AuditedClient()
    client.limits.closed = True
    reply = await ask_route(client, route, method)
    assert reply.status == 429
    (record,) = await client.records()
    check(record, route, method, reply)


@pytest.mark.parametrize(("route", "method"), PUBLIC, ids=name_of)
async def test_what_is_public_leaves_none_unless_refused(route: Route, method: str) -> None:
    client = AuditedClient()
    await ask_route(client, route, method, None)
    assert await client.records() == []
    await ask_route(client, route, method, "forbidden")
    assert [status(record) for record in await client.records()] == [403]


async def test_a_record_has_the_operation_id_of_its_answer() -> None:
    client = AuditedClient()
    reply = await client.send("GET", f"/v2/studies/{STUDY}", {"authorization": "ada", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    assert reply.json()["operationId"] == "ab" * 16
    (record,) = await client.records()
    assert record["entity"][-1]["what"]["identifier"]["value"] == "ab" * 16


async def test_a_store_names_all_studies_of_its_body_those_too_that_fail() -> None:
    client = AuditedClient()
    await client.put_in(GOOD)
    await client.records()
    body = (
        make_instance(StudyInstanceUID="1.2.4"),
        make_instance(StudyInstanceUID="1.2.4"),
        GOOD,  # a duplicate
        make_instance(StudyInstanceUID="1.2.5", PatientID="", SOPInstanceUID=""),
        make_instance(StudyInstanceUID="Doe^Jane"),
        b"nonsense",
    )
    reply = await client.put_in(*body)
    assert reply.status == 202
    (record,) = await client.records()
    assert (sorted(studies(record)), record["action"], status(record)) == ([STUDY, "1.2.4", "1.2.5"], "C", 202)


async def test_a_store_into_a_study_names_that_and_those_of_others() -> None:
    client = AuditedClient()
    reply = await client.put_in(make_instance(StudyInstanceUID="1.2.4"), method="PUT", url=f"/v2/studies/{STUDY}")
    assert reply.status == 409
    (record,) = await client.records()
    assert (studies(record), record["action"]) == ([STUDY, "1.2.4"], "U")


async def test_a_store_that_is_refused_half_way_names_what_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stow, "_MAX_PARTS_UNDER_WAY", 0)  # the first part is received when the second comes
    client = AuditedClient()
    client.app = function_app.create_app(
        replace(SETTINGS, max_instance_bytes=len(GOOD)), client.stores, ThreeCallers(), None, Guards(audit=client.trail)
    )
    client._handlers = {str(f.get_function_name()): f.get_user_function() for f in client.app.get_functions()}
    reply = await client.put_in(GOOD, bytes(2 * len(GOOD)))
    assert reply.status == 413
    assert [studies(record) for record in await client.records()] == [[STUDY]]


async def test_a_path_without_a_uid_names_no_study() -> None:
    client = AuditedClient()
    reply = await client.ask("GET", "/v2/studies/Doe%5EJane")
    assert reply.status == 400
    (record,) = await client.records()
    assert (studies(record), status(record)) == ([], 400)
    assert "Jane" not in str(record)


async def test_issues_of_a_study_name_it() -> None:
    client = AuditedClient()
    assert (await client.ask("GET", f"/fhir-sync/issues?study={STUDY}")).status == 200
    assert [studies(record) for record in await client.records()] == [[STUDY]]


@pytest.mark.parametrize(("file", "expected"), [(GOOD, 200), (make_instance(StudyInstanceUID=STUDY, SOPInstanceUID=""), 409)])
async def test_a_file_of_the_inbox_leaves_one_record(file: bytes, expected: int) -> None:
    client = AuditedClient()
    await client.stores.blobs.put("inbox", "any", file)

    class Blob:
        container_name, blob_name = "inbox", "any"

    await client.handler("ingest_blob")(Blob())
    await client.handler("ingest_blob")(Blob())
    (record,) = await client.records()
    assert (record["type"]["display"], status(record), studies(record)) == ("Import", expected, [STUDY])
    assert record["agent"][0]["who"] == {"identifier": {"value": "inbox"}}


async def break_trail(client: AuditedClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(audit, "PAUSE_WHEN_DOWN_SECONDS", 0.001)
    client.blobs.failures = [StorageFailure("away")] * 100_000
    assert (await client.ask("GET", "/v2/studies", who=None)).status == 503


async def test_while_the_trail_is_down_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AuditedClient()
    await client.put_in(GOOD)
    await break_trail(client, monkeypatch)
    client.blobs.counts.clear()
    for reply in (
        await client.put_in(make_instance()),
        await client.ask("DELETE", f"/v2/studies/{STUDY}"),
        await client.ask("GET", f"/v2/studies/{STUDY}"),
        await client.ask("GET", "/v2/studies"),
    ):
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert "audit trail" in reply.json()["detail"]
    assert not client.blobs.counts - Counter({"append audit": 100_000})
    health = (await client.ask("GET", "/health/check")).json()
    assert [check["name"] for check in health["details"] if check["status"] == "Unhealthy"] == ["audit"]
    client.blobs.failures.clear()
    await client.trail.close()
    assert (await client.ask("GET", f"/v2/studies/{STUDY}/metadata")).status == 200


async def test_a_file_stays_in_the_inbox_while_the_trail_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    client = AuditedClient()
    await break_trail(client, monkeypatch)
    await client.stores.blobs.put("inbox", "any", GOOD)

    class Blob:
        container_name, blob_name = "inbox", "any"

    with pytest.raises(Exception, match="audit trail"):
        await client.handler("ingest_blob")(Blob())
    assert await client.stores.blobs.head("inbox", "any") is not None
    client.blobs.failures.clear()
    await client.trail.close()


async def test_where_nobody_is_known_all_records_wait_for_each_other() -> None:
    stores, counts = counting(memory_stores())
    trail = AuditService(stores.blobs, stores.clock, "archive.test")
    client = AppClient(stores, guards=Guards(audit=trail))
    for _ in range(3):
        await client.store(make_instance(StudyInstanceUID=STUDY))
    assert counts["append audit"] == 0
    await trail.close()
    assert [details(event)["transaction"] for event in await read_trail(stores.blobs)] == ["store_instances"] * 3


async def test_a_store_costs_one_request_more_and_a_read_none() -> None:
    stores, counts = counting(memory_stores())
    trail = AuditService(stores.blobs, stores.clock, "archive.test")
    client, plain = AppClient(stores, access=EverybodyIs(ADA), guards=Guards(audit=trail)), AppClient(stores)
    for each in (client, plain):
        await each.store(make_instance(StudyInstanceUID=STUDY))  # opens archive and blob
    cost: list[Counter[str]] = []
    for each in (client, plain):
        counts.clear()
        await each.store(make_instance(StudyInstanceUID=STUDY))
        cost.append(Counter(counts))
        counts.clear()
        await each.get("/v2/studies")
        cost.append(Counter(counts))
    assert cost[0] - cost[2] == Counter({"append audit": 1})
    assert cost[1] == cost[3]
    await trail.close()


def test_a_closed_service_keeps_no_trail() -> None:
    stores = memory_stores()
    assert function_app._audit_trail(SETTINGS, stores, ClosedAccess("Set AUTHORITY.")) is None
