"""A log record as JSON: what a search needs, and nothing a library worded."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from shared.telemetry.guard import install_guard
from shared.telemetry.logs import JsonFormatter, write_logs_as_json

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kept(logging.Handler):
    """Keeps what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def handler() -> Iterator[Kept]:
    handler, factory = Kept(), logging.getLogRecordFactory()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)
    logging.setLogRecordFactory(factory)


def written(handler: Kept) -> Any:
    (line,) = handler.lines
    return json.loads(line)


def test_a_record_is_one_object_with_its_extra_fields(handler: Kept) -> None:
    handler.setFormatter(JsonFormatter())
    logging.getLogger("shared.services.settle").warning("settling is put off, %d times", 2, extra={"error": "Busy", "commits": 3})
    fields = {"error": "Busy", "commits": 3}
    assert written(handler) == {"message": "settling is put off, 2 times", "logger": "shared.services.settle", **fields}


def test_of_an_error_its_class_is_written_and_neither_text_nor_traceback(handler: Kept) -> None:
    handler.setFormatter(JsonFormatter())
    try:
        raise ValueError("Secret^Patient")  # noqa: TRY301
    except ValueError:
        logging.getLogger("functions.x").exception("failed")
    assert written(handler) == {"message": "failed", "logger": "functions.x", "error": "ValueError"}


def test_the_handlers_that_are_there_write_json(handler: Kept) -> None:
    before = {other: other.formatter for other in logging.getLogger().handlers}
    write_logs_as_json()
    install_guard()
    logging.getLogger("pydicom").warning("value %s", "Secret^Patient")
    for other, formatter in before.items():
        other.setFormatter(formatter)
    assert "Secret" not in handler.lines[0]
    assert written(handler)["logger"] == "pydicom"
