"""Settings of identity and rights: whose tokens are taken, and what they allow. Not: how a token is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.rights import DEFAULT_ROLES, Roles, parse_roles
from shared.settings_source import LOOPBACK, base_url

if TYPE_CHECKING:
    from shared.settings_source import Source


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """Who may call the service; ``docs/settings.md`` explains each.

    Attributes
    ----------
    authority
        URL of the OpenID issuer, without a slash at its end.
    audiences
        For whom tokens must be issued: any of these; the first is named to callers without a token.
    roles_claim
        The claim that lists the caller's roles.
    roles
        What they grant.
    """

    authority: str = ""
    audiences: tuple[str, ...] = ()
    roles_claim: str = "roles"
    roles: Roles = field(default_factory=lambda: DEFAULT_ROLES)

    @property
    def missing(self) -> list[str]:
        """Names of the settings without which nobody can be let in."""
        return [name for name, value in (("AUTHORITY", self.authority), ("AUDIENCE", self.audiences)) if not value]


def identity_settings(source: Source) -> IdentitySettings:
    """Read them. What is wrong is left with the source; nothing needs to be set, and without the first two the service is closed."""
    authority = source.parse("AUTHORITY", _issuer_url, "")
    if source.on_azure and authority.startswith("http:"):
        source.reject("AUTHORITY must be https")
    return IdentitySettings(
        authority=authority,
        audiences=source.parse("AUDIENCE", _audiences, ()),
        roles_claim=source.parse("ROLES_CLAIM", _claim_name, "roles"),
        roles=source.parse("ROLES", parse_roles, DEFAULT_ROLES),
    )


_QUOTABLE = re.compile(r"[!#-\[\]-~]+", re.ASCII)
"""What can stand between quotes in a header."""
_CLAIM_NAME = re.compile(r"[!-~]{1,128}", re.ASCII)


def _issuer_url(text: str) -> str:
    url = base_url(text)
    parts = urlsplit(url)
    if not _QUOTABLE.fullmatch(url) or (parts.scheme == "http" and parts.hostname not in LOOPBACK):
        raise ValueError("must be an https URL; http is for the own machine")
    return url


def _audiences(text: str) -> tuple[str, ...]:
    audiences = tuple(audience.strip() for audience in text.split(",") if audience.strip())
    if not audiences or not all(map(_QUOTABLE.fullmatch, audiences)):
        raise ValueError("must list audiences, separated by commas, without blanks and quotes")
    return audiences


def _claim_name(text: str) -> str:
    if not _CLAIM_NAME.fullmatch(text):
        raise ValueError("must be the name of a claim")
    return text
