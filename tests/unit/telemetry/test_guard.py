"""Nothing that a library words reaches a log with its values in it."""

from __future__ import annotations

import logging
import logging.config
import warnings
from typing import TYPE_CHECKING

import pytest
import uvicorn.config

from shared.errors import Busy
from shared.telemetry.guard import FailureGuard, UnexpectedFailure, install_guard

if TYPE_CHECKING:
    from collections.abc import Iterator

MARKER = "Secret^Patient"


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    install_guard()
    install_guard()
    yield
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(capture=False)


def fail() -> None:
    raise ValueError(MARKER)


@pytest.mark.parametrize(
    "name", ["pydicom", "pydicom.valuerep", "uvicorn.error", "asyncio", "azure.core.pipeline", "azure.storage.blob", "opentelemetry.sdk"]
)
def test_a_library_record_keeps_its_class_and_loses_its_text(name: str, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(name)
    with caplog.at_level(logging.DEBUG, logger=name):
        try:
            fail()
        except ValueError:
            logger.exception("cannot read %s", MARKER)
    text = caplog.text + "".join(str(vars(r)) for r in caplog.records)
    assert MARKER not in text
    assert "ValueError" in text


def test_what_the_server_configures_later_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
    logging.getLogger("uvicorn.error").error("bad value %s", MARKER)
    logging.getLogger("uvicorn.access").info('%s - "%s"', "127.0.0.1", f"GET /v2/studies?PatientName={MARKER}")
    captured = capsys.readouterr()
    assert MARKER not in captured.out + captured.err


def test_a_python_warning_loses_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings():
        logging.captureWarnings(capture=True)
        warnings.simplefilter("always")
        warnings.warn(MARKER, UserWarning, stacklevel=1)
    assert MARKER not in caplog.text


def test_our_own_records_keep_their_text(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("functions.anything").warning("stored %d instances", 3)
    assert "stored 3 instances" in caplog.text


def test_a_failure_that_was_not_foreseen_leaves_as_its_class() -> None:
    with pytest.raises(UnexpectedFailure) as raised, FailureGuard():
        fail()
    assert str(raised.value) == "ValueError"
    assert raised.value.__suppress_context__


def test_our_own_errors_pass() -> None:
    with pytest.raises(Busy), FailureGuard():
        raise Busy("Later.")


def test_a_record_of_nobody_in_particular_can_be_made() -> None:
    assert logging.makeLogRecord({"msg": "x"}).getMessage() == "x"
