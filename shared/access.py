"""The one place that says who may do what. Closed unless somebody opened it.

Every route names the data action it needs (or that it is public), and asks here before storage is touched.
There is no setting that opens the service: the local host does it in process, on loopback, and never where
a mark of Azure is present. Checking tokens is not part of this version, so a deployment stays closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from shared.errors import NotConfigured
from shared.settings import runs_on_azure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.settings import Settings


class DataAction(StrEnum):
    """What a caller may be allowed to do; ``PUBLIC`` needs no right."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    MANAGE_EXTENDED_QUERY_TAGS = "manageExtendedQueryTags"
    EXPORT = "export"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an id that stays the same from token to token (empty: nobody in particular), and what a token says of it."""

    subject: str = ""
    name: str = ""


ANYBODY = Caller()
"""Who asks where nobody has to say who it is."""


class Access(Protocol):
    """Decides on one request."""

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        """Give the bearer of ``authorization`` (that header's value), who has the action; raise otherwise.

        Raises
        ------
        Unauthorized
            There is no token, or it is none that we take.
        Forbidden
            The bearer lacks the action.
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


def access_for(settings: Settings) -> Access:
    """Choose how requests are authorised."""
    if _LocalHost.opened:
        return OpenAccess()
    missing = [name for name, value in (("AUTHORITY", settings.authority), ("AUDIENCE", settings.audience)) if not value]
    if missing:
        return ClosedAccess(f"The service is closed until its identity provider is configured: set {' and '.join(missing)}.")
    return ClosedAccess("This version does not validate tokens from AUTHORITY for AUDIENCE yet, so the service stays closed.")
