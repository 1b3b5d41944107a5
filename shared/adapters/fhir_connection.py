"""Exchanges with one FHIR server: its base URL, the headers of every request, the token. Blocks: for threads."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from shared.adapters.fhir_auth import make_tokens
from shared.adapters.fhir_exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.adapters.fhir_answers import Answer, Limits
    from shared.fhir_settings import FhirSettings

_REFUSED = (401, 403)
_HEADERS = {"Accept": "application/fhir+json", "Accept-Encoding": "gzip", "User-Agent": "dicomweb-functions"}


class FhirConnection:
    """Exchanges with one FHIR server.

    Parameters
    ----------
    settings
        Where it is and how to get in.
    connections, limits
        As of ``Exchange``.
    clock
        Monotonic seconds.
    """

    def __init__(self, settings: FhirSettings, connections: int, limits: Limits, clock: Callable[[], float]) -> None:
        self._base = settings.base_url
        self._exchange = Exchange(connections, limits)
        self._tokens = make_tokens(settings, self._exchange, clock)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Send a request; once more with a new token where the server refused one that was kept."""
        answer, was_new = self._ask(method, path, headers, body)
        if answer.status in _REFUSED and not was_new:
            answer, _ = self._ask(method, path, headers, body)
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._exchange.close()

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> tuple[Answer, bool]:
        token, is_new = self._tokens.get() if self._tokens else ("", True)
        all_headers = {**_HEADERS, "X-Request-ID": secrets.token_hex(16), **headers}
        if token:
            all_headers["Authorization"] = f"Bearer {token}"
        answer = self._exchange.send(method, f"{self._base}/{path}" if path else self._base, all_headers, body)
        if answer.status in _REFUSED and self._tokens:
            self._tokens.forget(token)
        return answer, is_new
