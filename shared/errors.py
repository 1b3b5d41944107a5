"""Every error the archive raises on purpose, and what kind of trouble each is.

ArchiveError
├── InvalidRequest            a request that cannot be understood
├── InvalidDicom              bytes that are no readable PS3.10 file
├── NotFound
│   └── FrameNotFound
├── Conflict
├── NotAcceptable
├── UnsupportedMediaType
├── TooLarge
├── Unauthorized, Forbidden
├── TooManyRequests           a caller asks too much at once
├── NotConfigured             the operator has something to set first
├── Busy                      try again later
└── StorageFailure            what a storage adapter reports
    ├── NotPresent            404
    ├── AlreadyPresent        409
    ├── PreconditionFailed    412
    ├── StorageLimit          a size or key the storage service would refuse
    └── OutcomeUnknown        it may or may not have happened

A message is safe to show and to log: it names the attribute, the limit and the remedy, never a value.
"""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What kind of trouble it is, for whoever has to answer."""

    INCORRECT = "incorrect"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    NOT_ACCEPTABLE = "not-acceptable"
    CONFLICT = "conflict"
    TOO_LARGE = "too-large"
    UNSUPPORTED = "unsupported"
    EXCESSIVE = "excessive"
    BUSY = "busy"
    FAULT = "fault"


class ArchiveError(Exception):
    """Base of all our errors; its message is safe to show and to log."""

    category = Category.FAULT


class InvalidRequest(ArchiveError, ValueError):
    """The request cannot be understood."""

    category = Category.INCORRECT


class InvalidDicom(ArchiveError, ValueError):
    """The bytes are not a readable PS3.10 file."""

    category = Category.INCORRECT


class NotFound(ArchiveError, LookupError):
    """Nothing is stored under these identifiers."""

    category = Category.NOT_FOUND


class FrameNotFound(NotFound):
    """A frame number lies outside the instance, or the instance has no pixel data."""


class Conflict(ArchiveError):
    """The request contradicts what is stored."""

    category = Category.CONFLICT


class NotAcceptable(ArchiveError):
    """No representation that the caller accepts can be given."""

    category = Category.NOT_ACCEPTABLE


class UnsupportedMediaType(ArchiveError):
    """The body is of a type that this resource does not take."""

    category = Category.UNSUPPORTED


class TooLarge(ArchiveError):
    """The body, or a part of it, is over a stated limit."""

    category = Category.TOO_LARGE


class Unauthorized(ArchiveError):
    """The caller did not say who it is.

    Parameters
    ----------
    message
        What is wrong with the token; nothing of the token itself.
    challenge
        Sent as ``WWW-Authenticate``.
    """

    category = Category.UNAUTHORIZED

    def __init__(self, message: str, challenge: str = "") -> None:
        super().__init__(message)
        self.challenge = challenge


class Forbidden(ArchiveError):
    """The caller lacks the data action."""

    category = Category.FORBIDDEN


class TooManyRequests(ArchiveError):
    """The caller has more requests in work, or sends them faster, than it may.

    Parameters
    ----------
    message
        Which limit.
    retry_after_seconds
        Sent as ``Retry-After``.
    """

    category = Category.EXCESSIVE

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotConfigured(ArchiveError):
    """The service cannot answer before the operator has set something."""

    category = Category.BUSY


class Busy(ArchiveError):
    """The service cannot do it now; the same request may succeed later.

    Parameters
    ----------
    message
        What the caller may know.
    retry_after_seconds
        Sent as ``Retry-After``.
    """

    category = Category.BUSY

    def __init__(self, message: str, retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StorageFailure(ArchiveError):
    """A storage verb did not succeed.

    Parameters
    ----------
    message
        Which verb, on which table, container or queue; never a key.
    index
        Zero-based position of the failing operation in a transaction.
    """

    category = Category.BUSY

    def __init__(self, message: str, index: int = 0) -> None:
        super().__init__(message)
        self.index = index


class NotPresent(StorageFailure, LookupError):
    """The blob, entity, container or queue is not there (404)."""


class AlreadyPresent(StorageFailure):
    """Something is there already (409)."""


class PreconditionFailed(StorageFailure):
    """It was changed by somebody else meanwhile (412)."""


class StorageLimit(StorageFailure, ValueError):
    """A size, count or key is over what the storage service takes; nothing was sent."""

    category = Category.FAULT


class OutcomeUnknown(StorageFailure):
    """A time-out, a broken connection or a 5xx: it may or may not have happened, or happen yet."""
