"""What handlers answer, as values. Not: how it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

import orjson

from functions._headers import quote_etag
from shared.ports import Piece

Body: TypeAlias = bytes | AsyncIterator[Piece]


@dataclass(slots=True)
class Answer:
    """What a handler answers.

    Attributes
    ----------
    body
        Bytes, or an iterator that nobody has asked for its first piece yet.
    length
        Of an iterator's body in bytes, where it is known.
    """

    status: int = 200
    body: Body = b""
    content_type: str | None = None
    length: int | None = None
    headers: dict[str, str | Sequence[str]] = field(default_factory=dict)


def json_answer(document: object, status: int = 200, content_type: str = "application/json") -> Answer:
    """Answer with JSON."""
    return Answer(status, orjson.dumps(document), content_type)


def not_modified(etag: str) -> Answer:
    """Say that the caller's version is current."""
    return Answer(304, headers={"etag": quote_etag(etag)})


def problem(status: int, detail: str, operation: str | None = None) -> Answer:
    """Answer with a problem document; ``detail`` holds no value of the request.

    References
    ----------
    RFC 9457 "Problem Details for HTTP APIs".
    """
    document: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if operation:
        document["operationId"] = operation
    return json_answer(document, status, "application/problem+json")
