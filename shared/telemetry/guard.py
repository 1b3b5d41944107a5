"""Logging without PHI: the guard for other people's loggers, and for what triggers raise. Not: business decisions.

Our own messages are constant and our fields hold counts, sizes, durations, categories and route templates. What
libraries log is not ours to word: pydicom's warnings, Python's, the SDK's and the server's may quote values,
URLs and query strings. The guard keeps of such a record who says it, how grave it is and the class of the error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from shared.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

GUARDED = (
    "PIL",
    "asyncio",
    "azure.",
    "concurrent.futures",
    "fastapi",
    "msal",
    "opentelemetry",
    "py.warnings",
    "pydicom",
    "urllib3",
    "uvicorn",
)
"""Beginnings of the names of loggers whose records lose their text."""

SILENCED = ("uvicorn.access", "azure.core.pipeline.policies.http_logging_policy")
"""Loggers that write URLs; they say nothing at all."""

QUIET = ("uvicorn.error",)
"""Loggers that say only what is wrong; without its text, anything less says nothing."""


class _GuardedRecords:
    """Makes log records, those of guarded loggers without their text, arguments and traceback.

    A record is stripped where it is made: handlers and propagation are reset by whoever configures logging
    later (uvicorn does), the factory of records is not.
    """

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self._make = make

    def __call__(self, name: str | None, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(name, *args, **kwargs)
        if name and name.startswith(GUARDED):
            error = record.exc_info[0] if record.exc_info else None
            record.msg, record.args = "%s (text withheld, it may hold patient data)", (error.__name__ if error else "a message",)
            record.exc_info = record.exc_text = record.stack_info = None
        return record


def _drop(_: logging.LogRecord) -> bool:
    return False


def _is_grave(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def install_guard() -> None:
    """Route the loggers of libraries, and Python's warnings, through the guard. Doing it again changes nothing."""
    logging.captureWarnings(capture=True)
    factory = logging.getLogRecordFactory()
    if not isinstance(factory, _GuardedRecords):
        logging.setLogRecordFactory(_GuardedRecords(factory))
    for name in SILENCED:
        logging.getLogger(name).addFilter(_drop)
    for name in QUIET:
        logging.getLogger(name).addFilter(_is_grave)


class UnexpectedFailure(Exception):
    """Stands for an exception whose text may quote a value; its own text is that one's class."""


class FailureGuard:
    """Context of a trigger's work: lets our own errors pass, and replaces any other by its class.

    The host writes what a trigger raises into its log, text and traceback; ours are safe to show, others not.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Replace an unexpected error.

        Raises
        ------
        UnexpectedFailure
            The work raised something that is no ArchiveError.
        """
        if kind is not None and isinstance(error, Exception) and not isinstance(error, ArchiveError):
            raise UnexpectedFailure(kind.__name__) from None
