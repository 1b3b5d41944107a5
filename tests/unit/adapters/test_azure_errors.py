"""Azure's errors in our words."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError
from azure.data.tables import TableTransactionError

from shared.adapters.azure_errors import Translation
from shared.errors import AlreadyPresent, NotPresent, OutcomeUnknown, PreconditionFailed, StorageFailure, StorageLimit


def answer(status: int, code: str = "", error_type: type[HttpResponseError] = HttpResponseError, message: str = "") -> HttpResponseError:
    error = error_type(message=message or "1.2.840.113619 was refused")
    error.status_code = status
    error.error_code = code  # type: ignore[attr-defined]  # the SDK's clients set it so
    return error


CASES: list[tuple[Exception, type[StorageFailure]]] = [
    (answer(404), NotPresent),
    (answer(412, "UpdateConditionNotSatisfied"), PreconditionFailed),
    (answer(409, "EntityAlreadyExists"), AlreadyPresent),
    (answer(409, "BlobAlreadyExists"), AlreadyPresent),
    (answer(409, "TableBeingDeleted"), StorageFailure),
    (answer(400, "PopReceiptMismatch"), NotPresent),
    (answer(400, "EntityTooLarge"), StorageLimit),
    (answer(413), StorageLimit),
    (answer(400, "InvalidInput"), StorageFailure),
    (answer(403, "AuthorizationFailure"), StorageFailure),
    (answer(429), OutcomeUnknown),
    (answer(500, "OperationTimedOut"), OutcomeUnknown),
    (answer(503, "ServerBusy"), OutcomeUnknown),
    (ServiceRequestError("cannot connect"), OutcomeUnknown),
    (ServiceResponseError("connection reset"), OutcomeUnknown),
    (TimeoutError(), OutcomeUnknown),
    (ConnectionResetError(), OutcomeUnknown),
]


@pytest.mark.parametrize(
    ("raised", "expected"), CASES, ids=[f"{e.status_code}" if isinstance(e, HttpResponseError) else type(e).__name__ for e, _ in CASES]
)
def test_error_is_translated_and_quotes_nothing(raised: Exception, expected: type[StorageFailure]) -> None:
    with pytest.raises(StorageFailure) as caught, Translation("read from a table"):
        raise raised
    assert type(caught.value) is expected
    assert "1.2.840" not in str(caught.value)
    assert str(caught.value).startswith("read from a table")


def test_failed_transaction_names_its_operation() -> None:
    with pytest.raises(AlreadyPresent) as caught, Translation("transaction"):
        raise answer(409, "EntityAlreadyExists", TableTransactionError, "3:The specified entity already exists.")
    assert caught.value.index == 3


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), Translation("read"):
        raise ZeroDivisionError
