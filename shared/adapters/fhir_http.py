"""The FHIR server by HTTP: the port ``FhirServer``. Requests run in a few threads of their own, never on the loop.

Nothing is sent, and no slow library imported, before the first request.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from shared.adapters.fhir_answers import Limits, check, resource_if_any, resource_of, wrong_answer
from shared.adapters.fhir_bundles import (
    capabilities_of,
    is_reference,
    is_success,
    matches,
    results,
    sent_in,
    transaction,
    with_ids,
    written,
)
from shared.adapters.fhir_shapes import is_readable
from shared.adapters.worker_threads import WorkerThreads
from shared.fhir.json_text import canonical
from shared.fhir.server import Capabilities, FhirConfiguration, FhirRefused, FhirServer, FhirTransient, Write, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.adapters.fhir_answers import Answer
    from shared.adapters.fhir_connection import FhirConnection
    from shared.fhir.json_text import Resource
    from shared.fhir_settings import FhirSettings

_THREADS = 4
_CAPABILITIES_SECONDS = 24 * 60 * 60.0
_FHIR_JSON = {"Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Prefer": "handling=strict"}
_GONE = (404, 410)


class HttpFhirServer:
    """A FHIR R4 server behind a base URL.

    Parameters
    ----------
    settings
        Where it is and how to get in.
    limits
        In time and size, of one request.
    clock
        Monotonic seconds.
    """

    def __init__(self, settings: FhirSettings, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._limits, self._clock = settings, limits or Limits(), clock
        self._threads = WorkerThreads(_THREADS, "fhir")
        self._connection: FhirConnection | None = None
        self._connecting = Lock()
        self._capabilities: tuple[float, Capabilities] | None = None

    async def capabilities(self) -> Capabilities:
        """Check what the server is; remembered for 24 hours."""
        if self._capabilities is None or self._clock() >= self._capabilities[0]:
            known = await self._threads.run(self._ask_capabilities)
            self._capabilities = self._clock() + _CAPABILITIES_SECONDS, known
        return self._capabilities[1]

    async def search(self, resource_type: str, parameters: Mapping[str, str], *, count: int = 2) -> list[Resource]:
        """Find resources; a parameter that the server does not know is refused instead of ignored."""
        return await self._threads.run(lambda: self._search(resource_type, {**parameters, "_count": str(count)}))

    async def read(self, reference: str) -> Resource | None:
        """Read ``Type/id``; anything else is refused unasked, since references come from the server."""
        if not is_reference(reference):
            raise FhirRefused("read: the reference is not Type/id")
        return await self._threads.run(lambda: self._read(reference))

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        """Do all writes: as one transaction, or one by one where the server has none."""
        if not writes:
            return []
        at_once = (await self.capabilities()).transactions
        return await self._threads.run(lambda: self._transact(writes) if at_once else self._write_each(writes))

    def close(self) -> None:
        """Wait for the requests in hand; close the connections."""
        self._threads.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        with self._connecting:
            if self._connection is None:
                from shared.adapters.fhir_connection import FhirConnection  # noqa: PLC0415 -- requests takes 0.15 s to import

                self._connection = FhirConnection(self._settings, _THREADS, self._limits, self._clock)
            connection = self._connection
        return connection.ask(method, path, headers, body)

    def _ask_capabilities(self) -> Capabilities:
        what = "capability statement"
        try:
            answer = self._ask("GET", "metadata", {})
            check(answer, what, None)
            return capabilities_of(resource_of(answer, what, "CapabilityStatement"))
        except (FhirRefused, FhirTransient) as error:
            if isinstance(error, FhirTransient) and not 200 <= error.status < 300:
                raise
            raise FhirConfiguration(f"{error}; see FHIR_BASE_URL", error.status, error.outcome_code, error.diagnostics) from error

    def _search(self, resource_type: str, parameters: Mapping[str, str]) -> list[Resource]:
        what = f"search of {resource_type}"
        body = urlencode(parameters, quote_via=quote, safe="").encode("ascii")
        answer = self._ask("POST", f"{resource_type}/_search", _FORM, body)
        check(answer, what, list(parameters.values()))
        return matches(resource_of(answer, what, "Bundle"), resource_type, what)

    def _read(self, reference: str) -> Resource | None:
        resource_type, _, logical_id = reference.partition("/")
        what = f"read of {resource_type}"
        answer = self._ask("GET", reference, {})
        if answer.status in _GONE:
            return None
        check(answer, what, logical_id)
        resource = resource_of(answer, what, resource_type)
        if resource.get("id") != logical_id or not is_readable(resource):
            raise wrong_answer(what)
        return resource

    def _transact(self, writes: Sequence[Write]) -> list[Written]:
        what = f"transaction of {len(writes)}"
        answer = self._ask("POST", "", _FHIR_JSON, canonical(transaction(writes, self._settings.base_url)))
        check(answer, what, sent_in(writes))
        return results(resource_of(answer, what, "Bundle"), writes, what)

    def _write_each(self, writes: Sequence[Write]) -> list[Written]:
        ids: dict[str, str] = {}
        done: list[Written] = []
        for write in writes:
            done.append(self._write_one(write, ids))
            if write.full_url:
                ids[write.full_url] = done[-1].reference
        return done

    def _write_one(self, write: Write, ids: Mapping[str, str]) -> Written:
        what = f"{write.method} of {write.url.partition('/')[0].partition('?')[0]}"
        if_match = {"If-Match": write.if_match} if write.if_match else {}
        body = canonical(with_ids(write.resource, ids)) if write.resource is not None else None
        answer = self._ask(write.method, write.url, {**_FHIR_JSON, **if_match}, body)
        if not is_success(write, answer.status):
            check(answer, what, sent_in([write]))
        location = answer.headers.get("Location") or answer.headers.get("Content-Location", "")
        return written(write, answer.status, answer.headers.get("ETag", ""), location, resource_if_any(answer))


def open_fhir(settings: FhirSettings | None) -> FhirServer | None:
    """Give the FHIR server that the settings name, or None. Nothing is sent over a network."""
    return HttpFhirServer(settings) if settings is not None else None
