"""The caller's trace: under which id a request is found in logs and traces, and what it continues.

References
----------
W3C Trace Context, 3.2 "Traceparent Header".
"""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}")


def operation_id(traceparent: str | None) -> str:
    """Give the id under which this request is found in the logs: the caller's W3C trace id, or a new one."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return match["trace"] if match else secrets.token_hex(16)


def parent_id(traceparent: str | None) -> str | None:
    """Give the id of the caller's span; None where it named none."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return match["parent"] if match else None
