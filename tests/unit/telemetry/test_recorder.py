"""What is measured arrives at OpenTelemetry's SDK, all of it; of traces a sample does, and what failed."""

from __future__ import annotations

import pytest
from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, StatusCode

from shared.errors import NotPresent, OutcomeUnknown
from shared.telemetry.metrics import QUEUE_AGE, QUEUE_MESSAGES, Reading
from shared.telemetry.recorder import MAX_EARLY, Telemetry
from tests.support.telemetry import RecordedTelemetry

SETTLE = {"queue": "settle"}


def fail(error: BaseException) -> None:
    raise error


def test_a_run_is_measured_and_traced() -> None:
    recorded = RecordedTelemetry()
    with recorded.telemetry.run("settle_study"):
        pass
    (point,) = recorded.points("archive.trigger.duration")
    assert (point.dimensions, point.count) == ({"function": "settle_study", "outcome": "ok"}, 1)
    (span,) = recorded.spans()
    assert (span.name, span.kind, span.status.status_code) == ("settle_study", SpanKind.CONSUMER, StatusCode.UNSET)


def test_a_run_says_how_it_came_out() -> None:
    recorded = RecordedTelemetry()
    with recorded.telemetry.run("ingest_blob") as run:
        run.outcome = "rejected"
    with pytest.raises(OutcomeUnknown), recorded.telemetry.run("ingest_blob"):
        fail(OutcomeUnknown("tables"))
    assert {point.dimensions["outcome"] for point in recorded.points("archive.trigger.duration")} == {"rejected", "OutcomeUnknown"}
    assert [span.status.status_code for span in recorded.spans()] == [StatusCode.UNSET, StatusCode.ERROR]


def test_calls_of_storage_belong_to_the_work_at_hand() -> None:
    recorded = RecordedTelemetry()
    with recorded.telemetry.run("settle_study"), recorded.telemetry.call("tables", "get", "catalog"):
        pass
    call, run = recorded.spans()
    assert (call.name, call.kind) == ("tables get catalog", SpanKind.CLIENT)
    assert call.parent is not None
    assert run.context is not None
    assert (call.parent.span_id, call.parent.trace_id) == (run.context.span_id, run.context.trace_id)


def test_calls_without_traced_work_are_measured_only() -> None:
    recorded = RecordedTelemetry()
    with recorded.telemetry.call("tables", "get", "catalog"):
        pass
    (point,) = recorded.points("archive.storage.duration")
    assert point.dimensions == {"store": "tables", "verb": "get", "name": "catalog", "outcome": "ok"}
    assert recorded.spans() == []


def test_what_storage_answers_is_no_failure() -> None:
    recorded = RecordedTelemetry()
    with recorded.telemetry.run("x"):
        for error in (NotPresent("gone"), OutcomeUnknown("lost")):
            with pytest.raises(type(error)), recorded.telemetry.call("blobs", "read", "dicom"):
                fail(error)
    statuses = {span.attributes["outcome"]: span.status.status_code for span in recorded.spans() if span.attributes}
    assert (statuses["NotPresent"], statuses["OutcomeUnknown"]) == (StatusCode.UNSET, StatusCode.ERROR)


def test_traces_are_some_and_failures_are_traced_beside_them() -> None:
    recorded = RecordedTelemetry(traces_per_second=2)
    for _ in range(10):
        with recorded.telemetry.run("settle_study"):
            pass
    assert len(recorded.spans()) == 2
    for _ in range(10):
        with pytest.raises(ValueError, match="no"), recorded.telemetry.run("settle_study"):
            fail(ValueError("no"))
    assert len(recorded.spans()) == 4
    assert sum(point.count for point in recorded.points("archive.trigger.duration")) == 20


def test_no_traces_means_metrics_alone() -> None:
    recorded = RecordedTelemetry(traces_per_second=0)
    with pytest.raises(ValueError, match="no"), recorded.telemetry.run("settle_study"):
        fail(ValueError("no"))
    assert recorded.spans() == []
    assert len(recorded.points("archive.trigger.duration")) == 1


def test_what_was_measured_before_there_was_an_sdk_is_recorded_then() -> None:
    recorded = RecordedTelemetry(connected=False)
    for _ in range(MAX_EARLY + 5):
        with recorded.telemetry.call("tables", "get", "catalog"):
            pass
    recorded.connect()
    (point,) = recorded.points("archive.storage.duration")
    assert point.count == MAX_EARLY


def test_a_reading_is_given_once() -> None:
    recorded = RecordedTelemetry()
    recorded.telemetry.read([Reading(QUEUE_MESSAGES, 3, SETTLE), Reading(QUEUE_MESSAGES, 0, {"queue": "settle-poison"})])
    assert {(p.dimensions["queue"], p.value) for p in recorded.points("archive.queue.messages")} == {("settle", 3), ("settle-poison", 0)}
    assert recorded.points("archive.queue.messages") == []


def test_a_new_reading_takes_the_place_of_one_that_was_not_sent() -> None:
    recorded = RecordedTelemetry()
    recorded.telemetry.read([Reading(QUEUE_AGE, 900, SETTLE)])
    recorded.telemetry.read([Reading(QUEUE_AGE, 0, SETTLE)])
    assert [point.value for point in recorded.points("archive.queue.oldest.age")] == [0]


def test_the_first_piece_of_work_asks_for_the_sdk_and_no_other_does() -> None:
    asked: list[Telemetry] = []
    telemetry = Telemetry(1, asked.append)
    assert asked == []
    for _ in range(3):
        with telemetry.run("settle_study"):
            pass
    assert asked == [telemetry]


def test_nothing_becomes_global_where_libraries_would_find_it() -> None:
    """FastAPI, under the Functions host, records paths and query strings as soon as there are global providers."""
    RecordedTelemetry()
    assert type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")
    assert type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")
