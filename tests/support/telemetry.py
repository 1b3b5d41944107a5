"""Telemetry that is recorded by OpenTelemetry's SDK and kept in memory, for tests to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.adapters.telemetry import connect
from shared.telemetry.recorder import Telemetry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

ALWAYS = 1_000_000
"""So many traces a second that every piece of work is traced."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a metric: the value of a gauge, or how often something was measured and how long it took in all."""

    name: str
    dimensions: Mapping[str, Any]
    value: float
    count: int


class RecordedTelemetry:
    """Telemetry, and what it recorded."""

    def __init__(self, traces_per_second: int = ALWAYS, *, connected: bool = True) -> None:
        self.telemetry = Telemetry(traces_per_second)
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        if connected:
            self.connect()

    def connect(self) -> None:
        connect(self.telemetry, SimpleSpanProcessor(self._exporter), self._reader)

    def spans(self) -> list[ReadableSpan]:
        """Give the spans that have ended."""
        return list(self._exporter.get_finished_spans())

    def points(self, name: str | None = None) -> list[Point]:
        """Collect: give the points of all metrics, or of one."""
        data = self._reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [_point(m.name, p) for m in metrics if name in {None, m.name} for p in m.data.data_points]


def _point(name: str, point: Any) -> Point:
    if isinstance(point, HistogramDataPoint):
        return Point(name, dict(point.attributes or {}), point.sum, point.count)
    return Point(name, dict(point.attributes or {}), point.value, 1)
