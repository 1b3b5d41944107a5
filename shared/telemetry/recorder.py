"""Recording metrics and traces. Not: where they are sent (``shared.adapters.telemetry``), or what a metric means.

Theory of operation
-------------------
``Telemetry`` exists only where telemetry is configured; elsewhere nothing is wrapped and nothing is recorded. What sends
it is loaded in a thread, after the first piece of work is done, since no cold start can wait for that. What was measured
until then is kept, and recorded then.

*Metrics* are complete: every request, run and storage call is measured. A reading of a gauge is sent once; what nobody
read anew is not repeated.

*Traces* are samples, some a second, since a study of a thousand frames would be ten thousand spans. Whether a piece of
work is one of them is ours to decide; a caller says only which trace it belongs to. What fails leaves its own span in
any case, as long as not everything does.

The span of the work at hand is in a context variable of our own, and our providers are never made OpenTelemetry's global
ones: with these, libraries (FastAPI is one) would begin to record spans of their own, with paths and query strings.
"""

from __future__ import annotations

import time
from collections import deque
from contextvars import ContextVar, Token
from time import perf_counter
from typing import TYPE_CHECKING, Self

from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed
from shared.limits import TokenBucket
from shared.telemetry.metrics import DURATIONS, GAUGES, STORAGE_DURATION, TRIGGER_DURATION, Dimensions, Metric, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter
    from opentelemetry.trace import Span, Tracer

MAX_EARLY = 1000
"""So many measurements are kept until there is something to record them with."""
BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
OK = "ok"
_ANSWERS = (AlreadyPresent, NotPresent, PreconditionFailed)
"""What storage answers where all is well with it."""

at_hand: ContextVar[Span | None] = ContextVar("span_at_hand", default=None)
"""Span of the work that the current task does; None where it is not traced."""


class Telemetry:
    """Takes measurements, and gives spans to what is traced.

    Parameters
    ----------
    traces_per_second
        How many pieces of work are traced, at most; 0 traces none.
    when_used
        Called once, after the first piece of work, to ``connect`` this.
    """

    def __init__(self, traces_per_second: int, when_used: Callable[[Telemetry], None] | None = None) -> None:
        self._samples, self._failures = _budget(traces_per_second), _budget(traces_per_second)
        self._when_used = when_used
        self._tracer: Tracer | None = None
        self._histograms: Mapping[str, Histogram] | None = None
        self._early: deque[tuple[Metric, float, Dimensions]] = deque(maxlen=MAX_EARLY)
        self._readings: dict[str, list[Reading]] = {}

    def connect(self, tracer: Tracer, meter: Meter) -> None:
        """Record from now on, and what was kept. May be called from any thread, once."""
        for gauge in GAUGES:
            meter.create_observable_gauge(gauge.name, [self._giver(gauge.name)], gauge.unit, gauge.meaning)
        self._histograms = {
            m.name: meter.create_histogram(m.name, m.unit, m.meaning, explicit_bucket_boundaries_advisory=BUCKETS_SECONDS)
            for m in DURATIONS
        }
        while self._early:
            self.record(*self._early.popleft())
        self._tracer = tracer

    def record(self, metric: Metric, seconds: float, dimensions: Dimensions) -> None:
        """Take a duration."""
        if self._histograms is None:
            self._early.append((metric, seconds, dimensions))
        else:
            self._histograms[metric.name].record(seconds, dimensions)

    def read(self, readings: Iterable[Reading]) -> None:
        """Take readings of gauges, instead of those that were not sent yet."""
        fresh: dict[str, list[Reading]] = {}
        for reading in readings:
            fresh.setdefault(reading.metric.name, []).append(reading)
        self._readings = fresh

    def _giver(self, name: str) -> Callable[[CallbackOptions], Sequence[Observation]]:
        def give(_: CallbackOptions) -> Sequence[Observation]:
            return [Observation(reading.value, reading.dimensions) for reading in self._readings.pop(name, ())]

        return give

    def used(self) -> None:
        """Say that a piece of work is done."""
        if self._when_used is not None:
            when_used, self._when_used = self._when_used, None
            when_used(self)

    def span(self, name: str, kind: SpanKind, parent: Callable[[], Context]) -> Span | None:
        """Begin the span of a piece of work; None where it is not one of those that are traced."""
        return self._begin(self._samples, name, kind, parent)

    def span_of_failure(self, name: str, kind: SpanKind, parent: Callable[[], Context], began_ns: int) -> Span | None:
        """Make the span of a piece of work that was not traced and failed; None where too many do."""
        return self._begin(self._failures, name, kind, parent, began_ns)

    def _begin(
        self, budget: TokenBucket | None, name: str, kind: SpanKind, parent: Callable[[], Context], began_ns: int | None = None
    ) -> Span | None:
        if self._tracer is None or budget is None or budget.take():
            return None
        return self._tracer.start_span(name, parent(), kind, start_time=began_ns)

    def run(self, function: str) -> Run:
        """Begin to observe a run of a function that is not HTTP."""
        return Run(self, function)

    def call(self, store: str, verb: str, name: str) -> Timed:
        """Begin to observe a call of storage; it gets a span where the work at hand has one."""
        parent, span = at_hand.get(), None
        if parent is not None and self._tracer is not None:
            span = self._tracer.start_span(f"{store} {verb} {name}", set_span_in_context(parent, Context()), SpanKind.CLIENT)
        return Timed(self, STORAGE_DURATION, {"store": store, "verb": verb, "name": name}, span)


def _budget(per_second: int) -> TokenBucket | None:
    return TokenBucket(per_second, per_second) if per_second else None


class Timed:
    """Observes the work done in its context: how long it takes, and how it comes out.

    Attributes
    ----------
    outcome
        To be set where there is more to say than ``ok``; an error gives its class. None forgets that there was any work.
    """

    __slots__ = ("_dimensions", "_metric", "_span", "_started", "_telemetry", "outcome")

    def __init__(self, telemetry: Telemetry, metric: Metric, dimensions: Dimensions, span: Span | None) -> None:
        self._telemetry, self._metric, self._dimensions, self._span = telemetry, metric, dimensions, span
        self._started = 0.0
        self.outcome: str | None = OK

    def __enter__(self) -> Self:
        """Begin."""
        self._started = perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Measure, and end the span."""
        outcome = kind.__name__ if kind else self.outcome
        if outcome is None:
            return
        dimensions = {**self._dimensions, "outcome": outcome}
        self._telemetry.record(self._metric, perf_counter() - self._started, dimensions)
        if self._span is not None:
            end_span(self._span, dimensions, failed=kind is not None and not issubclass(kind, _ANSWERS))


class Run(Timed):
    """Observes a run of a function that is not HTTP, and what storage does for it."""

    __slots__ = ("_began_ns", "_function", "_token")

    def __init__(self, telemetry: Telemetry, function: str) -> None:
        super().__init__(telemetry, TRIGGER_DURATION, {"function": function}, telemetry.span(function, SpanKind.CONSUMER, Context))
        self._function, self._began_ns = function, time.time_ns()
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        """Begin; the run is the work at hand."""
        self._token = at_hand.set(self._span)
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Measure, and end the span."""
        if self._token is not None:
            at_hand.reset(self._token)
        if self._span is None and kind is not None:
            self._span = self._telemetry.span_of_failure(self._function, SpanKind.CONSUMER, Context, self._began_ns)
        super().__exit__(kind, error, traceback)
        self._telemetry.used()


def end_span(span: Span, dimensions: Dimensions, *, failed: bool) -> None:
    """Say how it came out, and end it."""
    span.set_attributes(dict(dimensions))
    if failed:
        span.set_status(StatusCode.ERROR)
    span.end()
