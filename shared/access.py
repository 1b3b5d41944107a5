"""The one place that says who may do what. Closed unless somebody opened it.

Every route names the data action it needs (or that it is public), and asks here before storage is touched.
There is no setting that opens the service: the local host does it in process, on loopback, and never where
a mark of Azure is present.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from shared.errors import Forbidden, NotConfigured, Unauthorized
from shared.rights import DataAction
from shared.settings import runs_on_azure
from shared.tokens import bearer_token, label_of, read_claims, roles_of, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from shared.identity_settings import IdentitySettings
    from shared.settings import Settings
    from shared.tokens import Claims, KeySource

__all__ = [
    "ANYBODY",
    "Access",
    "Caller",
    "ClosedAccess",
    "DataAction",
    "NotPermitted",
    "OpenAccess",
    "TokenAccess",
    "access_for",
    "open_for_local_host",
]

REMEMBERED_SECONDS: Final = 60
"""For so long a token that was checked is known again, unless it ends before. Checking costs 0.15 ms, much beside a small answer."""
_REMEMBERED_TOKENS: Final = 1000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an id that stays the same from token to token (empty: nobody in particular), and what a token says of it."""

    subject: str = ""
    name: str = ""


ANYBODY = Caller()
"""Who asks where nobody has to say who it is."""


class NotPermitted(Forbidden):
    """The caller, whom we know, lacks the data action."""

    def __init__(self, caller: Caller) -> None:
        super().__init__("Authorization failed.")
        self.caller = caller


class Access(Protocol):
    """Decides on one request."""

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        """Give the bearer of ``authorization`` (that header's value), who has the action; raise otherwise.

        Raises
        ------
        Unauthorized
            There is no token, or it is none that we take.
        NotPermitted
            The bearer lacks the action.
        Busy
            Tokens cannot be checked at the moment.
        NotConfigured
            The service is closed.
        """
        ...


class ClosedAccess:
    """Refuses everything, with the reason: something has to be set first."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:  # noqa: ARG002  # the same for all
        """Refuse.

        Raises
        ------
        NotConfigured
            Always.
        """
        raise NotConfigured(self._reason)


class OpenAccess:
    """Allows everything: the local host's, on loopback only."""

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:  # noqa: ARG002  # the same for all
        """Allow."""
        return ANYBODY


@dataclass(frozen=True, slots=True)
class _Bearer:
    """What a token says, once checked, and until when it need not be checked again."""

    caller: Caller
    actions: frozenset[DataAction]
    known_until: float


class TokenAccess:
    """Allows what the roles in a caller's token grant.

    Parameters
    ----------
    settings
        Whose tokens, for whom, and what their roles grant.
    keys
        Gives the issuer's keys.
    clock
        Seconds since 1970.
    """

    def __init__(self, settings: IdentitySettings, keys: KeySource, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._keys, self._clock = settings, keys, clock
        self._known: dict[bytes, _Bearer] = {}
        first = settings.audiences[0]
        self._challenge = f'Bearer authorization_uri="{settings.authority}", resource_id="{first}", realm="{first}"'

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        """Allow what the token's roles grant, and what is public."""
        if action is DataAction.PUBLIC:
            return ANYBODY
        bearer = await self._identify(authorization)
        if action not in bearer.actions:
            raise NotPermitted(bearer.caller)
        return bearer.caller

    async def _identify(self, authorization: str | None) -> _Bearer:
        try:
            token = bearer_token(authorization)
            name = sha256(token.encode("ascii")).digest()
            known = self._known.get(name)
            if known is not None and self._clock() < known.known_until:
                return known
            return self._remember(name, await read_claims(token, self._settings.audiences, self._keys))
        except Unauthorized as error:
            blamed = "" if authorization is None else f', error="invalid_token", error_description="{error}"'
            raise Unauthorized(str(error), self._challenge + blamed) from None

    def _remember(self, name: bytes, claims: Claims) -> _Bearer:
        roles = roles_of(claims, self._settings.roles_claim)
        actions = frozenset[DataAction]().union(*(self._settings.roles.get(role, ()) for role in roles))
        known_until = min(self._clock() + REMEMBERED_SECONDS, float(claims["exp"]))
        bearer = _Bearer(Caller(subject_of(claims), label_of(claims)), actions, known_until)
        if len(self._known) >= _REMEMBERED_TOKENS:
            del self._known[next(iter(self._known))]  # the oldest
        self._known[name] = bearer
        return bearer


class _LocalHost:
    """Whether the local host of this process has opened the service."""

    opened = False


def open_for_local_host(environment: Mapping[str, str] | None = None) -> None:
    """Open the service to everyone who reaches this process. For the local host alone, before it loads the app.

    Raises
    ------
    NotConfigured
        The process carries the mark of an Azure function app.
    """
    if runs_on_azure(environment):
        raise NotConfigured("WEBSITE_INSTANCE_ID is set: a function app on Azure is never opened without tokens.")
    _LocalHost.opened = True


def access_for(settings: Settings, make_keys: Callable[[str], KeySource]) -> Access:
    """Choose how requests are authorised; ``make_keys`` makes what gives the keys of an issuer's URL."""
    if _LocalHost.opened:
        return OpenAccess()
    missing = settings.identity.missing
    if missing:
        return ClosedAccess(f"The service is closed until its identity provider is configured: set {' and '.join(missing)}.")
    return TokenAccess(settings.identity, make_keys(settings.identity.authority))
