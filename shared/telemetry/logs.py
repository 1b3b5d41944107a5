"""Log records as JSON, for whoever searches them. Not: which records there are, or where they go."""

from __future__ import annotations

import logging
from typing import Final

import orjson

_STANDARD: Final = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "taskName"}
"""What every record has; all else came as ``extra``."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: its message, who says it, the class of its error, and its extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        error = {"error": record.exc_info[0].__name__} if record.exc_info and record.exc_info[0] else {}
        document = {"message": record.getMessage(), "logger": record.name, **error, **fields}
        return orjson.dumps(document, default=str).decode()


def write_logs_as_json() -> None:
    """Have the handlers that there are write JSON: on Azure the worker's, which hands records to the host as text."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
