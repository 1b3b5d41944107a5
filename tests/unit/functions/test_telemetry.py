"""Requests under observation: measured by route, traced with their storage calls, and nothing of a patient in any of it (threat T13)."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from functions._http import Guards
from shared.adapters.names import CONTAINERS, QUEUES, TABLES
from shared.catalog.cover import encode_settle_message
from shared.errors import OutcomeUnknown
from shared.services.observe import BLOB_TRIGGER_POISON
from shared.telemetry.stores import observed
from tests.support.app_client import SETTINGS, AppClient
from tests.support.dicom_builders import make_instance
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_world import FHIR
from tests.support.phi_watch import CANARY, CANARY_UID
from tests.support.stores import memory_stores
from tests.support.telemetry import RecordedTelemetry
from tests.unit.functions.test_phi import GOOD, INSTANCE, STUDY, fail_in_every_way

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

TRACE, SPAN = "ab" * 16, "cd" * 8


def observed_client(recorded: RecordedTelemetry) -> AppClient:
    return AppClient(observed(memory_stores(), recorded.telemetry), guards=Guards(observe=recorded.telemetry))


@pytest.fixture
def recorded() -> RecordedTelemetry:
    return RecordedTelemetry()


@pytest.fixture
def client(recorded: RecordedTelemetry) -> AppClient:
    return observed_client(recorded)


def of_kind(recorded: RecordedTelemetry, kind: SpanKind) -> list[ReadableSpan]:
    return [span for span in recorded.spans() if span.kind is kind]


async def test_a_request_is_measured_by_template_method_and_status(client: AppClient, recorded: RecordedTelemetry) -> None:
    await client.get("/v2/studies/1.2.3")
    await client.get("/v2/studies/1.2.4")
    (point,) = recorded.points("archive.request.duration")
    assert point.dimensions == {
        "http.request.method": "GET",
        "http.route": "/{version}/studies/{study}",
        "http.response.status_code": 404,
    }
    assert point.count == 2


async def test_the_callers_trace_goes_on(client: AppClient, recorded: RecordedTelemetry) -> None:
    await client.get("/v2/studies", traceparent=f"00-{TRACE}-{SPAN}-00")
    (span,) = of_kind(recorded, SpanKind.SERVER)
    assert (span.context.trace_id if span.context else 0, span.parent and span.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert span.name == "GET /{version}/studies"


async def test_the_operation_id_of_an_answer_is_the_id_of_its_trace(client: AppClient, recorded: RecordedTelemetry) -> None:
    reply = await client.get("/v2/studies/1.2.3")
    (span,) = of_kind(recorded, SpanKind.SERVER)
    assert span.context is not None
    assert reply.json()["operationId"] == f"{span.context.trace_id:032x}"


async def test_what_storage_does_while_a_body_is_sent_belongs_to_the_request(client: AppClient, recorded: RecordedTelemetry) -> None:
    instances = [make_instance(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", SOPInstanceUID=f"1.2.3.4.{n}") for n in range(20)]
    await client.store(*instances)
    reply = await client.get("/v2/studies/1.2.3", accept='multipart/related; type="application/dicom"')
    assert reply.complete
    request = of_kind(recorded, SpanKind.SERVER)[-1]
    assert request.context is not None
    reads = [s for s in recorded.spans() if s.parent and s.parent.span_id == request.context.span_id and s.name == "blobs stream dicom"]
    assert len(reads) + sum(s.name == "blobs read dicom" for s in recorded.spans()) == 20
    assert (request.attributes or {})["http.response.body.size"] == len(reply.body)


async def test_a_request_that_fails_is_traced_even_where_no_other_is(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = RecordedTelemetry(traces_per_second=1)
    client = observed_client(recorded)
    await client.get("/v2/studies")

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError(CANARY)

    monkeypatch.setattr(client.stores.tables, "pages", broken)
    assert (await client.get("/v2/studies")).status == 500
    assert [s.status.status_code for s in of_kind(recorded, SpanKind.SERVER)] == [StatusCode.UNSET, StatusCode.ERROR]


async def test_a_run_of_a_trigger_is_measured_by_its_name(client: AppClient, recorded: RecordedTelemetry) -> None:
    await client.handler("sweep_archive")(timer=None)
    (point,) = recorded.points("archive.trigger.duration")
    assert point.dimensions == {"function": "sweep_archive", "outcome": "ok"}


async def test_the_gauges_are_read_by_a_timer(client: AppClient, recorded: RecordedTelemetry) -> None:
    await client.store(GOOD)
    await client.handler("observe_archive")(timer=None)
    gauges = {(point.name, *point.dimensions.values()): point.value for point in recorded.points() if point.count == 1}
    assert gauges["archive.queue.messages", "settle"] == 1
    assert gauges["archive.queue.messages", "settle-poison"] == 0
    assert gauges["archive.feed.lag",] == 0
    assert {gauges["archive.health", check] for check in ("blobs", "tables", "queues", "archive")} == {1}


async def test_the_gauges_tell_how_fhir_stands(recorded: RecordedTelemetry) -> None:
    settings = replace(SETTINGS, fhir=FHIR, settle_delay_seconds=0)
    client = AppClient(settings=settings, fhir=FakeFhirServer(), guards=Guards(observe=recorded.telemetry))
    await client.store(GOOD)
    for message in await client.stores.queues.receive("settle"):
        await client.handler("settle_study")(SimpleNamespace(get_body=message.body.encode))
    await client.handler("observe_archive")(timer=None)
    gauges = {(point.name, *point.dimensions.values()): point.value for point in recorded.points() if "fhir" in point.name}
    assert gauges["archive.fhir.studies", "dirty"] == 1
    assert gauges["archive.fhir.studies", "dead"] == gauges["archive.fhir.paused",] == 0
    assert gauges["archive.fhir.lag",] >= 0


def test_without_telemetry_there_is_no_timer_for_it() -> None:
    assert "observe_archive" not in AppClient().functions


CLOSED_SETS = {
    "store": {"blobs", "tables", "queues"},
    "name": {*CONTAINERS, *TABLES, *QUEUES, BLOB_TRIGGER_POISON},
    "http.request.method": {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"},
}
ERROR_CLASS = re.compile(r"ok|rejected|put-off|([A-Z][a-z]+)+")


def strange(name: str, value: Any, routes: set[str]) -> bool:
    """Tell whether an attribute says more than it may."""
    if name in CLOSED_SETS:
        return value not in CLOSED_SETS[name]
    if name == "http.route":
        return value not in routes
    if name == "outcome":
        return not ERROR_CLASS.fullmatch(value)
    if name in {"http.response.status_code", "http.response.body.size"}:
        return not isinstance(value, int)
    return not re.fullmatch(r"[a-z_]+", str(value))


async def test_nothing_that_a_caller_or_a_file_says_is_in_metrics_or_traces(client: AppClient, recorded: RecordedTelemetry) -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": CANARY, "baggage": f"patient={CANARY}"}
    await fail_in_every_way(client)
    await client.store(GOOD)
    urls = (
        STUDY,
        INSTANCE,
        f"{STUDY}/metadata",
        f"{INSTANCE}/frames/1",
        f"/v2/studies?PatientName={CANARY}",
        "/v2/changefeed",
        f"/{CANARY}",
    )
    for url in urls:
        for method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            await client.send(method, url, headers)
    await client.stores.blobs.put("inbox", f"{CANARY}.dcm", GOOD)
    await client.handler("ingest_blob")(blob=SimpleNamespace(container_name="inbox", blob_name=f"{CANARY}.dcm"))
    await client.handler("observe_archive")(timer=None)

    routes = {handler.route.readable for handler in map(client.handler, client.functions) if hasattr(handler, "route")}
    spans, points = recorded.spans(), recorded.points()
    described = [*(span.attributes or {} for span in spans), *(point.dimensions for point in points)]
    attributes = [(name, value) for one in described for name, value in one.items()]
    assert len(spans) > 150
    assert len({name for name, _ in attributes}) > 8
    everything = "".join(span.to_json() for span in spans) + str(points)
    assert CANARY not in everything
    assert CANARY_UID not in everything
    assert not [(name, value) for name, value in attributes if name not in {"queue", "check"} and strange(name, value, routes)]


@pytest.mark.parametrize(("content", "outcome"), [(GOOD, "ok"), (b"no DICOM", "rejected")], ids=["good", "bad"])
async def test_a_file_of_the_inbox_is_counted_as_stored_or_rejected(
    client: AppClient, recorded: RecordedTelemetry, content: bytes, outcome: str
) -> None:
    await client.stores.blobs.put("inbox", "a.dcm", content)
    await client.handler("ingest_blob")(blob=SimpleNamespace(container_name="inbox", blob_name="a.dcm"))
    (point,) = recorded.points("archive.trigger.duration")
    assert point.dimensions == {"function": "ingest_blob", "outcome": outcome}


async def test_a_commit_that_cannot_be_published_shows_as_put_off(
    client: AppClient, recorded: RecordedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise OutcomeUnknown("tables: no answer")

    body = encode_settle_message("1~x")
    with monkeypatch.context() as patch:
        patch.setattr(client.stores.tables, "pages", away)
        await client.handler("settle_study")(SimpleNamespace(get_body=body.encode))
    await client.handler("settle_study")(SimpleNamespace(get_body=body.encode))
    outcomes = [point.dimensions["outcome"] for point in recorded.points("archive.trigger.duration")]
    assert sorted(outcomes) == ["ok", "put-off"]


async def test_an_answer_that_breaks_off_is_a_failure(
    client: AppClient, recorded: RecordedTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = [make_instance(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.3.4", SOPInstanceUID=f"1.2.3.4.{n}") for n in range(20)]
    await client.store(*instances)
    read, reads = client.stores.blobs.read, 0

    async def breaking(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read("dicom", "gone") if reads > 12 else await read(*args, **kwargs)

    monkeypatch.setattr(client.stores.blobs, "read", breaking)
    reply = await client.get("/v2/studies/1.2.3", accept='multipart/related; type="application/dicom"')
    request = of_kind(recorded, SpanKind.SERVER)[-1]
    assert not reply.complete
    assert (request.status.status_code, (request.attributes or {})["http.response.status_code"]) == (StatusCode.ERROR, 200)
