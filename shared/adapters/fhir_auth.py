"""Tokens for the FHIR server: from a managed identity, from Entra ID or from any OAuth 2.0 token endpoint. Blocks: for threads.

References
----------
RFC 6749 4.4 "Client Credentials Grant"; 2.3.1 "Client Password".
"""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from shared.fhir.server import FhirConfiguration, FhirTransient

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.core.credentials import TokenCredential

    from shared.adapters.fhir_exchange import Exchange
    from shared.fhir_settings import FhirSettings

EARLY_SECONDS = 300.0
"""A token is renewed so long before it ends, or at half its life where that is shorter."""
_USUAL_LIFE_SECONDS = 300.0
_NO_TOKEN = "no token for the FHIR server: see FHIR_AUTH, and the roles of the identity"  # noqa: S105 -- a message
_UNREACHABLE = "no token for the FHIR server: whoever issues them does not answer"
_CONNECT_SECONDS, _READ_SECONDS, _RETRIES = 10, 30, 1


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and how long it lives from now."""

    text: str
    life_seconds: float


class Issuer(Protocol):
    """Whoever issues tokens."""

    def issue(self) -> Token:
        """Get a new token.

        Raises
        ------
        FhirConfiguration
            It is refused.
        FhirTransient
            There is no answer.
        """
        ...


class Tokens:
    """Keeps a token until shortly before it ends.

    Parameters
    ----------
    make_issuer
        Makes whoever issues tokens; made anew after ``forget``, since the SDK's credentials keep tokens too.
    clock
        Monotonic seconds.
    """

    def __init__(self, make_issuer: Callable[[], Issuer], clock: Callable[[], float] = time.monotonic) -> None:
        self._make_issuer, self._clock = make_issuer, clock
        self._issuer: Issuer | None = None
        self._text, self._renew_at = "", 0.0
        self._lock = Lock()

    def get(self) -> tuple[str, bool]:
        """Give a token, and whether it is a new one."""
        with self._lock:
            if self._text and self._clock() < self._renew_at:
                return self._text, False
            self._issuer = self._issuer or self._make_issuer()
            token = self._issuer.issue()
            self._text = token.text
            self._renew_at = self._clock() + token.life_seconds - min(EARLY_SECONDS, token.life_seconds / 2)
            return self._text, True

    def forget(self, text: str) -> None:
        """Throw a token away that the server refused, unless it was replaced meanwhile."""
        with self._lock:
            if text == self._text:
                self._text, self._issuer = "", None


class AzureIssuer:
    """Tokens of Entra ID, by way of the Azure SDK."""

    def __init__(self, settings: FhirSettings) -> None:
        self._credential = _credential(settings)
        self._scope = settings.scope or f"{settings.base_url}/.default"

    def issue(self) -> Token:
        """Get a new token."""
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415 -- half a second, with azure.identity

        try:
            token = self._credential.get_token(self._scope)
        except (ClientAuthenticationError, ValueError) as error:  # ValueError: the identity's endpoint answered something else
            raise FhirConfiguration(_NO_TOKEN) from error
        except AzureError as error:
            raise FhirTransient(_UNREACHABLE) from error
        return Token(token.token, token.expires_on - time.time())


def _credential(settings: FhirSettings) -> TokenCredential:
    # azure.identity takes half a second to import, and only some servers need it
    from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 -- said above

    limits: dict[str, Any] = {"connection_timeout": _CONNECT_SECONDS, "read_timeout": _READ_SECONDS, "retry_total": _RETRIES}
    if settings.auth == "client-credentials":
        return ClientSecretCredential(settings.tenant_id, settings.client_id, settings.client_secret, **limits)
    if settings.client_id:
        return ManagedIdentityCredential(client_id=settings.client_id, **limits)
    return DefaultAzureCredential(**limits)


class EndpointIssuer:
    """Tokens of an OAuth 2.0 token endpoint, for the client's password."""

    def __init__(self, settings: FhirSettings, exchange: Exchange) -> None:
        self._url, self._scope, self._exchange = settings.token_url, settings.scope, exchange
        pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
        self._headers = {
            "Authorization": "Basic " + b64encode(pair.encode("ascii")).decode("ascii"),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }

    def issue(self) -> Token:
        """Get a new token."""
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        answer = self._exchange.send("POST", self._url, self._headers, urlencode(form).encode("ascii"))
        if answer.status in (408, 429) or answer.status >= 500:
            raise FhirTransient(_UNREACHABLE, answer.status)
        token = _token_of(answer.body) if answer.status == 200 else None
        if token is None:
            raise FhirConfiguration(_NO_TOKEN, answer.status)
        return token


_BEARER = re.compile(r"[!-~]{1,16384}", re.ASCII)


def _token_of(body: bytes) -> Token | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = value.get("access_token") if isinstance(value, dict) else None
    if not isinstance(text, str) or not _BEARER.fullmatch(text):
        return None
    life = value.get("expires_in")
    return Token(text, float(life) if isinstance(life, int | float) and 0 < life < 1e6 else _USUAL_LIFE_SECONDS)


def make_tokens(settings: FhirSettings, exchange: Exchange, clock: Callable[[], float]) -> Tokens | None:
    """Choose how tokens are got; None where none are needed."""
    if settings.auth == "none":
        return None
    if settings.auth == "client-credentials" and settings.token_url:
        return Tokens(lambda: EndpointIssuer(settings, exchange), clock)
    return Tokens(lambda: AzureIssuer(settings), clock)
