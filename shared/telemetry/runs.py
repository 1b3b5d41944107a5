"""Runs of functions that are not HTTP: observed, and with nothing in what they raise that the host may not log."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.telemetry.guard import FailureGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.telemetry.recorder import Telemetry


PUT_OFF, REJECTED = "put-off", "rejected"
"""Outcomes that are no error and not ``ok`` either: the feed will be later; a file was moved to ``inbox-rejected``."""


class Outcome(Protocol):
    """How a run comes out, to be set where there is more to say than that it did."""

    outcome: str | None


@dataclass(slots=True)
class _Unobserved:
    outcome: str | None = None


@contextmanager
def guarded_run(telemetry: Telemetry | None, function: str) -> Iterator[Outcome]:
    """Observe a run of a function; our own errors pass, any other is replaced by its class.

    Raises
    ------
    UnexpectedFailure
        The work raised something that is no ArchiveError.
    """
    with FailureGuard():
        if telemetry is None:
            yield _Unobserved()
        else:
            with telemetry.run(function) as run:
                yield run
