"""What a FHIR server's answer means: a resource, or which error. Not: sending anything.

An answer is not trusted. A resource that is taken from one can be written back: it is not nested too deep and has no
numbers that nobody can write. An error's text holds no word that we sent, nothing in quotes and nothing with a digit.

References
----------
FHIR R4 3.1.0 "RESTful API"; RFC 9110 10.2.3 "Retry-After".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from shared.adapters.fhir_masking import mask, words_of
from shared.fhir.json_text import Resource, parse
from shared.fhir.server import FhirConfiguration, FhirConflict, FhirError, FhirRefused, FhirTransient

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (by any case) and the body, decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange with the server may take.

    ``read_seconds`` is for one receive, ``total_seconds`` for everything, ``answer_bytes`` for the body when unpacked.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    total_seconds: float = 60.0
    answer_bytes: int = 32 * 1024 * 1024


_CONFLICT = frozenset({409, 412})
_TRANSIENT = frozenset({408, 425, 429})
_NOT_IMPLEMENTED = 501
_OPERATOR_ACTS: Mapping[int, str] = {
    401: "access refused; see FHIR_AUTH and FHIR_SCOPE",
    403: "access refused; see the roles of the identity on the FHIR server",
    406: "the server speaks no FHIR JSON",
    415: "the server takes no FHIR JSON",
}
_LONGEST_DIAGNOSTICS = 500
_CODE = re.compile(r"[a-z-]{1,40}", re.ASCII)


def check(answer: Answer, what: str, sent: Any) -> None:
    """Raise what an answer without success means; ``what`` names the request, ``sent`` is what stood in it.

    Raises
    ------
    FhirError
        The status is not 2xx.
    """
    if not 200 <= answer.status < 300:
        raise failure(answer.status, what, outcome=_outcome_of(answer), headers=answer.headers, sent=sent)


def failure(status: int, what: str, *, outcome: Resource, headers: Mapping[str, str], sent: Any) -> FhirError:
    """Make the error that a status means; ``outcome`` is the OperationOutcome, or empty."""
    message = f"{what}: status {status}"
    if status in _TRANSIENT or (500 <= status < 600 and status != _NOT_IMPLEMENTED):
        return FhirTransient(message, status, retry_after_seconds(headers))
    code, diagnostics = _first_issue(outcome, sent)
    if status in _CONFLICT:
        return FhirConflict(message, status, code, diagnostics)
    act = _what_the_operator_does(status, outcome)
    if act:
        return FhirConfiguration(f"{message}; {act}", status, code, diagnostics)
    return FhirRefused(message, status, code, diagnostics)


def _what_the_operator_does(status: int, outcome: Resource) -> str:
    if 300 <= status < 400:
        return "it is a redirect, and none is followed: set FHIR_BASE_URL to where it leads"
    if status == 404 and not outcome:
        return "no FHIR server is there; see FHIR_BASE_URL"
    return _OPERATOR_ACTS.get(status, "")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Give how long the server wants us to wait, at most an hour; None where it does not say."""
    milliseconds = _number(headers.get("x-ms-retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, _LONGEST_WAIT_SECONDS)
    text = headers.get("Retry-After")
    seconds = _number(text)
    seconds = _seconds_until(text) if seconds is None else seconds
    return None if seconds is None else min(seconds, _LONGEST_WAIT_SECONDS)


_LONGEST_WAIT_SECONDS = 3600.0
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)


def _number(text: str | None) -> float | None:
    return float(text) if text and _NUMBER.fullmatch(text.strip()) else None


def _seconds_until(text: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max((then - datetime.now(UTC)).total_seconds(), 0.0)


def resource_of(answer: Answer, what: str, resource_type: str) -> Resource:
    """Read the resource of an answer with success.

    Raises
    ------
    FhirTransient
        It is a page: something stands in between, such as a gateway under maintenance.
    FhirRefused
        It is no FHIR JSON, or another resource.
    """
    if not _is_json(answer):
        raise FhirTransient(f"{what}: the answer is no JSON; does something stand in between?", answer.status)
    resource = resource_if_any(answer)
    if resource.get("resourceType") != resource_type:
        raise wrong_answer(what, answer.status)
    return resource


def wrong_answer(what: str, status: int = 200) -> FhirRefused:
    """Make the error for an answer that is none."""
    return FhirRefused(f"{what}: wrong answer, it is not the FHIR JSON that was asked for", status)


def _outcome_of(answer: Answer) -> Resource:
    resource = resource_if_any(answer)
    return resource if resource.get("resourceType") == "OperationOutcome" else {}


def _first_issue(outcome: Resource, sent: Any) -> tuple[str, str]:
    issue = next(objects(outcome.get("issue")), {})
    code, diagnostics = issue.get("code"), issue.get("diagnostics")
    details = issue.get("details")
    text = diagnostics or (details.get("text") if isinstance(details, dict) else "")
    masked = mask(text, words_of(sent), _LONGEST_DIAGNOSTICS) if isinstance(text, str) else ""
    return (code if isinstance(code, str) and _CODE.fullmatch(code) else ""), masked


def objects(value: Any) -> Iterator[Resource]:
    """Give the JSON objects in what should be a list of them."""
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DEEPEST = 64
_LARGEST_EXPONENT = 100


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("Content-Type", "").lower()


def resource_if_any(answer: Answer) -> Resource:
    """Read a JSON object that can be written again; empty where the answer has none."""
    if not _is_json(answer):
        return {}
    text = answer.body.removeprefix(_BYTE_ORDER_MARK)
    try:
        orjson.loads(text)  # stricter than ours: UTF-8, no NaN, no half of a surrogate pair, not nested without end
        value = parse(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and _can_be_written(value) else {}


def _can_be_written(value: Resource) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        if not level:
            return True
        if any(map(_is_strange_number, level)):
            return False
        level = [inner for item in level for inner in _inside(item)]
    return False


def _inside(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _is_strange_number(value: Any) -> bool:
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    return isinstance(value, Decimal) and abs(value.adjusted()) > _LARGEST_EXPONENT
