"""Sending telemetry to Application Insights. Not: what is recorded.

The SDK and the exporter cost a cold start too much, so that they are loaded by a thread once the first piece of work is done.
Nothing is made OpenTelemetry's global provider; ``shared.telemetry.recorder`` says why.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from shared.settings import keep_exporter_to_itself
from shared.telemetry.recorder import Telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

    from shared.telemetry_settings import TelemetrySettings

SERVICE_NAME = "dicomweb-functions"
EXPORT_EVERY_SECONDS = 60
PAUSE_SECONDS = 2.0
"""Between the first piece of work and the loading: who made this process start has more requests, as a rule."""


def open_telemetry(settings: TelemetrySettings | None) -> Telemetry | None:
    """Begin to record where it is known where to send it; None where it is not."""
    if settings is None:
        return None

    def load_later(telemetry: Telemetry) -> None:
        threading.Thread(target=_load, args=(telemetry, settings), name="telemetry", daemon=True).start()

    return Telemetry(settings.traces_per_second, load_later)


def _load(telemetry: Telemetry, settings: TelemetrySettings) -> None:
    time.sleep(PAUSE_SECONDS)
    keep_exporter_to_itself()
    # half a second on a good day, for which no cold start waits
    from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter  # noqa: PLC0415 -- as above
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415 -- as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 -- as above

    options = {"connection_string": settings.connection_string, "credential": _credential(settings), "disable_offline_storage": True}
    connect(
        telemetry,
        BatchSpanProcessor(AzureMonitorTraceExporter(**options)),
        PeriodicExportingMetricReader(AzureMonitorMetricExporter(**options), EXPORT_EVERY_SECONDS * 1000),
    )


def connect(telemetry: Telemetry, spans: SpanProcessor, metrics: MetricReader) -> None:
    """Have telemetry recorded by OpenTelemetry's SDK, and given to a processor of spans and a reader of metrics."""
    from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider  # noqa: PLC0415 -- as above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 -- as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 -- as above
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415 -- as above

    resource = Resource.create({"service.name": SERVICE_NAME})
    traces = TracerProvider(sampler=ALWAYS_ON, resource=resource)  # which ones is decided before: shared.telemetry.recorder
    traces.add_span_processor(spans)
    meters = MeterProvider([metrics], resource, exemplar_filter=AlwaysOffExemplarFilter())
    telemetry.connect(traces.get_tracer(SERVICE_NAME), meters.get_meter(SERVICE_NAME))


def _credential(settings: TelemetrySettings) -> Any:
    if not settings.with_identity:
        return None
    from azure.identity import ManagedIdentityCredential  # noqa: PLC0415 -- as above

    return ManagedIdentityCredential(client_id=settings.client_id) if settings.client_id else ManagedIdentityCredential()
