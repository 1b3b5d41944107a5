"""The one place that says who may do what. Closed unless somebody opened it.

Every route names the data action it needs (or that it is public), and asks here before storage is touched.
There is no setting that opens the service: the local host does it in process, on loopback, and never where
a mark of Azure is present. Checking tokens is not part of this version, so a deployment stays closed.
"""

from __future__ import annotations

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


class Access(Protocol):
    """Decides on one request."""

    async def authorize(self, action: DataAction, authorization: str | None) -> None:
        """Return where the bearer of ``authorization`` (that header's value) has the action; raise otherwise."""
        ...


class ClosedAccess:
    """Refuses everything, with the reason: something has to be set first."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def authorize(self, action: DataAction, authorization: str | None) -> None:  # noqa: ARG002  # the same for all
        """Refuse.

        Raises
        ------
        NotConfigured
            Always.
        """
        raise NotConfigured(self._reason)


class OpenAccess:
    """Allows everything: the local host's, on loopback only."""

    async def authorize(self, action: DataAction, authorization: str | None) -> None:
        """Allow."""


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
