"""Queue Storage's limits, enforced by both sets of adapters."""

from __future__ import annotations

from shared.errors import StorageLimit

MAX_BODY_BYTES = 48 * 1024
"""What fits 64 KiB as base64."""
MAX_RECEIVED = 32


def check_body(body: str) -> None:
    """Raise ``StorageLimit`` unless Queue Storage would take the message."""
    if len(body.encode()) > MAX_BODY_BYTES:
        raise StorageLimit(f"a queue message is larger than {MAX_BODY_BYTES} bytes")


def check_limit(limit: int) -> None:
    """Raise ``StorageLimit`` unless so many messages may be asked for at once."""
    if not 1 <= limit <= MAX_RECEIVED:
        raise StorageLimit(f"1 to {MAX_RECEIVED} messages can be received at once")
