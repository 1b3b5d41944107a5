"""What the synchronisation asks of a FHIR server, and how it fails. No code.

FhirError
├── FhirTransient       it may work later: time-outs, 408, 425, 429, 5xx; ``retry_after_seconds`` where the server said so
├── FhirConflict        409, 412: somebody else wrote meanwhile
├── FhirConfiguration   401, 403, 404 of the base, a server that is not what we need: nothing will work before an operator acted
└── FhirRefused         400, 413, 422, an answer that is none: this request will never work

A message is safe to show and to log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.fhir.json_text import Resource


class FhirError(Exception):
    """A FHIR request did not succeed.

    Parameters
    ----------
    message
        What failed, without a patient's value.
    status
        HTTP status of the answer, 0 where there was none.
    outcome_code, diagnostics
        Of the OperationOutcome's first issue; diagnostics are cut to 500 characters, identifiers masked.
    """

    def __init__(self, message: str, status: int = 0, outcome_code: str = "", diagnostics: str = "") -> None:
        super().__init__(message)
        self.status, self.outcome_code, self.diagnostics = status, outcome_code, diagnostics


class FhirTransient(FhirError):
    """It may work later."""

    def __init__(self, message: str, status: int = 0, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after_seconds = retry_after_seconds


class FhirConflict(FhirError):
    """Somebody else wrote meanwhile."""


class FhirConfiguration(FhirError):
    """Nothing will work before an operator acted."""


class FhirRefused(FhirError):
    """The same request will never work."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server's CapabilityStatement says. Types that it does not list count as capable."""

    transactions: bool = True
    no_update_create: frozenset[str] = frozenset()
    """Types whose resources cannot be created by PUT to a new id."""


@dataclass(frozen=True, slots=True)
class Write:
    """One entry of a transaction.

    Attributes
    ----------
    method
        ``PUT`` or ``DELETE``.
    url
        ``Type/id``, or ``Type?identifier=…`` (percent-encoded) for a conditional update.
    resource
        With its id, for a PUT to ``Type/id``.
    if_match
        Version, as in ``W/"7"``; empty for any.
    full_url
        ``urn:uuid:…`` by which other entries refer to a resource whose id the server chooses; else empty.
    """

    method: Literal["PUT", "DELETE"]
    url: str
    resource: Resource | None = None
    if_match: str = ""
    full_url: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an entry: HTTP status, ``Type/id`` and new version (``W/"8"``; empty where the server does not say)."""

    status: int
    reference: str
    version: str


class FhirServer(Protocol):
    """A FHIR R4 server. Every verb raises the ``FhirError`` family."""

    async def capabilities(self) -> Capabilities:
        """Check what the server is; asked once, then remembered for 24 hours.

        Raises
        ------
        FhirConfiguration
            It is not FHIR 4.0, or speaks no JSON.
        """
        ...

    async def search(self, resource_type: str, parameters: Mapping[str, str], *, count: int = 2) -> list[Resource]:
        """Find resources by ``POST [type]/_search``; parameters as FHIR writes them, not yet percent-encoded.

        Gives matches of the type only (not includes, not outcomes), of the first page.
        """
        ...

    async def read(self, reference: str) -> Resource | None:
        """Read ``Type/id``; None where it is not there, or gone."""
        ...

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """Do all writes as one transaction (in sequence where the server has none); results in their order.

        A DELETE of what is not there, or gone, succeeds.
        """
        ...


def escape_token(value: str) -> str:
    r"""Escape a token's system or value for a search parameter: ``\``, ``,``, ``$`` and ``|`` (FHIR R4 3.1.1.4.0.1 "Escaping")."""
    return "".join(f"\\{character}" if character in "\\,$|" else character for character in value)
