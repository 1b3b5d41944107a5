"""Settings of telemetry: where it goes, how its sender says who it is, how much is traced. Not: reading the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.settings_source import LOOPBACK, whole_number

if TYPE_CHECKING:
    from shared.settings_source import Source

CONNECTION_STRING = "APPLICATIONINSIGHTS_CONNECTION_STRING"
AUTHENTICATION_STRING = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"

EXPORTER_SWITCHES = (
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
)
"""What keeps the exporter from calling its maker's own endpoints, and from looking for global providers. It takes these from the
environment alone."""


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Where telemetry goes.

    Attributes
    ----------
    connection_string
        Of the Application Insights component. It has a key, which counts for nothing where the component asks for tokens.
    with_identity
        Whether to send with a token of the managed identity.
    client_id
        Of the user-assigned managed identity; None takes the system-assigned one.
    traces_per_second
        How many requests and runs are traced; 0 traces none.
    """

    connection_string: str = field(repr=False)
    with_identity: bool = False
    client_id: str | None = None
    traces_per_second: int = 5


_NOBODY: tuple[bool, str | None] = (False, None)


def telemetry_settings(source: Source) -> TelemetrySettings | None:
    """Read the settings; None where telemetry goes nowhere."""
    connection_string = source.parse(CONNECTION_STRING, _connection_string, None)
    with_identity, client_id = source.parse(AUTHENTICATION_STRING, _authentication, _NOBODY)
    traces_per_second = source.parse("TELEMETRY_TRACES_PER_SECOND", whole_number, 5)
    if connection_string is None:
        return None
    return TelemetrySettings(connection_string, with_identity, client_id, traces_per_second)


def _connection_string(text: str) -> str:
    parts = _pairs(text)
    endpoint = urlsplit(parts.get("ingestionendpoint", ""))
    safe = endpoint.scheme == "https" or (endpoint.scheme == "http" and endpoint.hostname in LOOPBACK)
    if not parts.get("instrumentationkey") or not safe:
        raise ValueError("must be the connection string of an Application Insights component")
    return text


def _authentication(text: str) -> tuple[bool, str | None]:
    parts = _pairs(text)
    if parts.get("authorization") != "AAD" or not parts.keys() <= {"authorization", "clientid"}:
        raise ValueError("must be Authorization=AAD, and ;ClientId=… where the identity is a user-assigned one")
    return True, parts.get("clientid")


def _pairs(text: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in text.split(";") if pair.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
