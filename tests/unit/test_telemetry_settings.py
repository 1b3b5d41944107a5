"""Where telemetry goes, and how much a caller may ask: settings that are wrong are named, without their value."""

from __future__ import annotations

import pytest

from shared.errors import NotConfigured
from shared.settings import Settings
from shared.telemetry_settings import TelemetrySettings

EMBEDDED = {"STORAGE_DATA_DIR": "/data"}
COMPONENT = "InstrumentationKey=1-2-3;IngestionEndpoint=https://westeurope.in.test/;LiveEndpoint=https://live.test/"
CONNECTED = EMBEDDED | {"APPLICATIONINSIGHTS_CONNECTION_STRING": COMPONENT}


def telemetry(**environment: str) -> TelemetrySettings | None:
    return Settings.from_environment(CONNECTED | environment).telemetry


def test_without_a_component_nothing_is_recorded() -> None:
    assert Settings.from_environment(EMBEDDED | {"TELEMETRY_TRACES_PER_SECOND": "7"}).telemetry is None


def test_a_connection_string_is_enough() -> None:
    assert telemetry() == TelemetrySettings(COMPONENT, with_identity=False, client_id=None, traces_per_second=5)


@pytest.mark.parametrize(
    ("text", "client_id"),
    [("Authorization=AAD", None), ("Authorization=AAD;ClientId=abc", "abc"), (" ClientId = abc ; Authorization=AAD; ", "abc")],
)
def test_an_identity_sends_with_a_token(text: str, client_id: str | None) -> None:
    settings = telemetry(APPLICATIONINSIGHTS_AUTHENTICATION_STRING=text)
    assert settings is not None
    assert (settings.with_identity, settings.client_id) == (True, client_id)


def test_traces_can_be_switched_off() -> None:
    settings = telemetry(TELEMETRY_TRACES_PER_SECOND="0")
    assert settings is not None
    assert settings.traces_per_second == 0


def test_the_key_is_not_shown() -> None:
    assert "1-2-3" not in repr(telemetry())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "secret"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=secret"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "InstrumentationKey=secret;IngestionEndpoint=http://secret.test/"),
        ("APPLICATIONINSIGHTS_CONNECTION_STRING", "IngestionEndpoint=https://secret.test/"),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "ClientId=secret"),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "Authorization=secret"),
        ("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "Authorization=AAD;ClientSecret=secret"),
        ("TELEMETRY_TRACES_PER_SECOND", "secret"),
        ("TELEMETRY_TRACES_PER_SECOND", "-1"),
        ("CALLER_REQUESTS_PER_SECOND", "1.5"),
        ("CALLER_REQUESTS_AT_ONCE", "secret"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(name: str, value: str) -> None:
    with pytest.raises(NotConfigured, match=name) as raised:
        Settings.from_environment(CONNECTED | {name: value})
    assert "secret" not in str(raised.value)


def test_callers_are_limited_unless_somebody_switches_it_off() -> None:
    settings = Settings.from_environment(EMBEDDED)
    assert (settings.caller_requests_per_second, settings.caller_requests_at_once) == (500, 80)
    off = Settings.from_environment(EMBEDDED | {"CALLER_REQUESTS_PER_SECOND": "0", "CALLER_REQUESTS_AT_ONCE": "0"})
    assert (off.caller_requests_per_second, off.caller_requests_at_once) == (0, 0)
