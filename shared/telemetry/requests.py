"""Observing one HTTP request: its duration, and its span while its answer is made and sent. Not: what is answered."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from time import perf_counter
from typing import TYPE_CHECKING, Self

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

from shared.telemetry.metrics import REQUEST_DURATION
from shared.telemetry.recorder import at_hand, end_span
from shared.telemetry.trace_context import parent_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.trace import Span

    from shared.ports import Piece
    from shared.telemetry.metrics import Dimensions
    from shared.telemetry.recorder import Telemetry


class ObservedRequest:
    """Observes the request that is answered in its context.

    Parameters
    ----------
    method, route
        The route is the template, without constraints: never a path.
    operation
        The trace id, which logs and answers have too.
    traceparent
        What the caller sent; None where nothing was.
    """

    def __init__(self, telemetry: Telemetry, method: str, route: str, operation: str, traceparent: str | None) -> None:
        self._telemetry, self._operation, self._traceparent = telemetry, operation, traceparent
        self._name = f"{method} {route}"
        self._dimensions: Dimensions = {"http.request.method": method, "http.route": route}
        self._began_ns, self._started = time.time_ns(), perf_counter()
        self._span = telemetry.span(self._name, SpanKind.SERVER, self._parent)
        self._token: Token[Span | None] | None = None

    def __enter__(self) -> Self:
        """Begin; the request is the work at hand."""
        self._token = at_hand.set(self._span)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Leave the work; where there is no answer, the span ends here."""
        if self._token is not None:
            at_hand.reset(self._token)
        if kind is not None and self._span is not None:
            end_span(self._span, {**self._dimensions, "outcome": kind.__name__}, failed=True)
        self._telemetry.used()

    def answered(self, status: int) -> None:
        """Take the status; the answer begins now."""
        self._dimensions = {**self._dimensions, "http.response.status_code": status}
        self._telemetry.record(REQUEST_DURATION, perf_counter() - self._started, self._dimensions)
        if self._span is None and status >= 500:
            span = self._telemetry.span_of_failure(self._name, SpanKind.SERVER, self._parent, self._began_ns)
            if span is not None:
                end_span(span, self._dimensions, failed=True)

    def sending(
        self, first: Piece, rest: AsyncIterator[Piece] | None, leave: Callable[[], None]
    ) -> tuple[AsyncIterator[Piece] | None, Callable[[], None]]:
        """Observe the answer until it has been sent: give what follows its first piece, and what is to be called at its end."""
        span = self._span
        if span is None:
            return rest, leave
        body = _Body(span, len(first))

        def left() -> None:
            leave()
            failed = body.fetching or int(self._dimensions.get("http.response.status_code", 0)) >= 500
            end_span(span, {**self._dimensions, "http.response.body.size": body.size}, failed=failed)

        return (None if rest is None else body.pieces(rest)), left

    def _parent(self) -> Context:
        """Give the caller's span, or one that only names the trace."""
        span_id = parent_id(self._traceparent) or self._operation[16:]
        context = SpanContext(int(self._operation, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        return set_span_in_context(NonRecordingSpan(context), Context())


class _Body:
    """The body of a traced answer; ``fetching`` is left true where a piece could not be had."""

    def __init__(self, span: Span, size: int) -> None:
        self._span, self.size, self.fetching = span, size, False

    async def pieces(self, rest: AsyncIterator[Piece]) -> AsyncGenerator[Piece]:
        """Give the pieces on; each is fetched as work of this request, whatever task asks for it."""
        try:
            while True:
                token, self.fetching = at_hand.set(self._span), True
                try:
                    piece = await anext(rest, None)
                finally:
                    at_hand.reset(token)
                self.fetching = False
                if piece is None:
                    return
                self.size += len(piece)
                yield piece
        finally:
            if isinstance(rest, AsyncGenerator):
                await rest.aclose()
