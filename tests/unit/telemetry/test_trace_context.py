"""The trace id of a caller is the operation id; what is none makes a new one."""

from __future__ import annotations

import pytest

from shared.telemetry.trace_context import operation_id, parent_id

TRACE, SPAN = "ab" * 16, "cd" * 8


def test_the_callers_trace_is_the_operation_and_its_span_the_parent() -> None:
    traceparent = f"00-{TRACE}-{SPAN}-00"
    assert (operation_id(traceparent), parent_id(traceparent)) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "traceparent",
    [None, "", "x", "Secret^Patient", f"00-{'AB' * 16}-{SPAN}-01", f"00-{TRACE}", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"],
)
def test_an_operation_id_is_never_what_somebody_made_up(traceparent: str | None) -> None:
    made = operation_id(traceparent)
    assert len(made) == 32
    assert made != operation_id(traceparent)
    assert parent_id(traceparent) is None
