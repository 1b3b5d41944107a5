"""The Clock port on the machine's own clock."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Wall time of this machine."""

    def now(self) -> datetime:
        """Give the time, in UTC."""
        return datetime.now(UTC)
