"""What the Azure SDK raises, in our words. A message never holds a key, a name or what the service answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables import TableTransactionError

from shared.errors import AlreadyPresent, NotPresent, OutcomeUnknown, PreconditionFailed, StorageFailure, StorageLimit

if TYPE_CHECKING:
    from types import TracebackType

_BY_STATUS: dict[int, type[StorageFailure]] = {
    404: NotPresent,
    408: OutcomeUnknown,
    412: PreconditionFailed,
    413: StorageLimit,
    429: OutcomeUnknown,
}
_REFUSED = (401, 403)
_RECEIPT_IS_OLD = "PopReceiptMismatch"


class Translation:
    """Context in which the SDK's errors become ours; ``what`` says the verb and on what kind of thing.

    A class, since it enters and leaves faster than a generator.
    """

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Raise ours instead."""
        if isinstance(error, HttpResponseError):
            raise self._of_answer(error) from error
        if isinstance(error, AzureError | OSError):
            raise OutcomeUnknown(f"{self._what}: no answer") from error

    def _of_answer(self, error: HttpResponseError) -> StorageFailure:
        status = error.status_code or 500
        index = error.index if isinstance(error, TableTransactionError) else 0
        if status in _REFUSED:
            return StorageFailure(f"{self._what}: access refused; see the identity's role assignments", index)
        return _class_of(status, code_of(error))(f"{self._what}: status {status}", index)


def _class_of(status: int, code: str) -> type[StorageFailure]:
    if code == _RECEIPT_IS_OLD:
        return NotPresent
    if status == 409:
        return AlreadyPresent if code.endswith("AlreadyExists") else StorageFailure
    if "TooLarge" in code or code.startswith("TooMany"):
        return StorageLimit
    return _BY_STATUS.get(status, OutcomeUnknown if status >= 500 else StorageFailure)


def code_of(error: HttpResponseError) -> str:
    """Give the service's own code of an error, such as ``TableNotFound``; empty where it gave none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))
