"""Settings come from the environment once, whole or not at all."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from shared import fhir_settings
from shared.errors import NotConfigured
from shared.fhir_settings import CHOICES, FhirSettings
from shared.settings import Settings

AZURE = {f"STORAGE__{service}ServiceUri": f"https://a.{service}.core.windows.net" for service in ("blob", "table", "queue")}
EMBEDDED = {"STORAGE_DATA_DIR": "/data"}
FHIR = {
    "FHIR_BASE_URL": "https://fhir.test/r4/",
    "FHIR_CANONICAL": "https://archive.test/fhir/",
    "FHIR_PATIENT_ID_SYSTEM": "urn:oid:2.25.1",
    "FHIR_ACCESSION_SYSTEM": "https://archive.test/accession",
    "PUBLIC_BASE_URL": "https://archive.test/",
}
CLIENT = {"FHIR_AUTH": "client-credentials", "FHIR_CLIENT_ID": "app", "FHIR_CLIENT_SECRET": "s3cret", "FHIR_TENANT_ID": "tenant"}
ON_AZURE = AZURE | {"WEBSITE_INSTANCE_ID": "abc"}


def test_a_data_directory_means_the_embedded_store() -> None:
    storage = Settings.from_environment(EMBEDDED | {"STORAGE_INBOX_DIR": "/inbox", "STORAGE_MERGE_WRITES": "false"}).storage
    assert (storage.kind, storage.data_dir, storage.inbox_dir, storage.merge_writes) == ("embedded", Path("/data"), Path("/inbox"), False)


def test_service_uris_mean_azure_with_an_identity() -> None:
    storage = Settings.from_environment(AZURE | {"STORAGE__clientId": "id"}).storage
    assert (storage.kind, storage.table_service_uri, storage.client_id) == ("azure", "https://a.table.core.windows.net", "id")


def test_a_connection_string_needs_no_uris() -> None:
    assert Settings.from_environment({"STORAGE": "UseDevelopmentStorage=true"}).storage.connection_string == "UseDevelopmentStorage=true"


def test_audit_records_name_this_archive() -> None:
    assert Settings.from_environment(EMBEDDED | {"AUDIT_WHEN_DOWN": "buffer"}).audit_when_down == "buffer"
    host = EMBEDDED | {"WEBSITE_HOSTNAME": "app.azure.test"}
    assert Settings.from_environment(host).audit_source == "app.azure.test"
    assert Settings.from_environment(host | {"AUDIT_SOURCE": "Radiology"}).audit_source == "Radiology"


def test_everything_else_has_a_default() -> None:
    settings = Settings.from_environment(EMBEDDED)
    assert settings == Settings(storage=settings.storage)


def test_all_that_is_missing_or_wrong_is_named_at_once_and_no_value_repeated() -> None:
    wrong = {"SETTLE_DELAY": "secret1", "MAX_INSTANCE_BYTES": "secret2", "PUBLIC_BASE_URL": "secret3", "INBOX_TRIGGER": "secret4"}
    with pytest.raises(NotConfigured) as raised:
        Settings.from_environment(wrong)
    message = str(raised.value)
    assert all(name in message for name in (*wrong, *AZURE))
    assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_BASE_URL", "ftp://archive.test"),
        ("PUBLIC_BASE_URL", "https://archive.test/?a=1"),
        ("CORS_ALLOWED_ORIGINS", "https://viewer.test, *"),
        ("SETTLE_DELAY", "0"),
        ("SETTLE_DELAY", "inf"),
        ("MAX_INSTANCE_BYTES", "-1"),
        ("MAX_INSTANCE_BYTES", "1e9"),
        ("STORAGE_MERGE_WRITES", "yes"),
        ("WEBSITE_INSTANCE_ID", "abc"),
        ("AUDIT_WHEN_DOWN", "ignore"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(name: str, value: str) -> None:
    with pytest.raises(NotConfigured):
        Settings.from_environment(EMBEDDED | {name: value})


def test_lists_and_urls_are_tidied() -> None:
    settings = Settings.from_environment(
        EMBEDDED | {"CORS_ALLOWED_ORIGINS": "https://a.test, https://b.test,", "PUBLIC_BASE_URL": "https://p.test/x/"}
    )
    assert settings.cors_allowed_origins == ("https://a.test", "https://b.test")
    assert settings.public_base_url == "https://p.test/x"


def read_fhir(**more: str) -> FhirSettings:
    settings = Settings.from_environment(EMBEDDED | FHIR | more).fhir
    assert settings is not None
    return settings


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(NotConfigured) as raised:
        Settings.from_environment(environment)
    return str(raised.value)


def test_without_a_fhir_server_its_settings_are_not_read() -> None:
    assert Settings.from_environment(EMBEDDED | {"FHIR_SYNC_DEBOUNCE": "nonsense"}).fhir is None


def test_a_fhir_server_needs_four_settings_more_and_all_that_are_missing_are_named() -> None:
    message = refusal(EMBEDDED | {"FHIR_BASE_URL": "https://fhir.test"})
    assert "set FHIR_CANONICAL, FHIR_PATIENT_ID_SYSTEM, FHIR_ACCESSION_SYSTEM, PUBLIC_BASE_URL" in message
    assert "fhir.test" not in message


def test_everything_else_about_fhir_has_a_default() -> None:
    assert read_fhir() == FhirSettings(
        base_url="https://fhir.test/r4",
        canonical="https://archive.test/fhir",
        patient_id_system="urn:oid:2.25.1",
        accession_system="https://archive.test/accession",
        service_root="https://archive.test/v2",
    )


def test_on_azure_the_host_name_tells_the_service_root() -> None:
    environment = ON_AZURE | FHIR | {"PUBLIC_BASE_URL": "", "WEBSITE_HOSTNAME": "app.azure.test"}
    settings = Settings.from_environment(environment).fhir
    assert settings is not None
    assert settings.service_root == "https://app.azure.test/v2"


def test_the_public_root_wins_over_the_host_name() -> None:
    assert read_fhir(WEBSITE_HOSTNAME="app.azure.test").service_root == "https://archive.test/v2"


TRUE = ("true", True)
MAPPED: dict[str, tuple[str, Any]] = {
    "FHIR_AUTH": ("managed-identity", "managed-identity"),
    "FHIR_SCOPE": ("system/*.rs", "system/*.rs"),
    "FHIR_TENANT_ID": ("archive.test", "archive.test"),
    "FHIR_CLIENT_ID": ("app", "app"),
    "FHIR_CLIENT_SECRET": ("s3cret", "s3cret"),
    "FHIR_TOKEN_URL": ("https://login.test/token", "https://login.test/token"),
    "FHIR_ISSUER_MAP": ('{"Hospital A": "urn:oid:2.25.7"}', {"Hospital A": "urn:oid:2.25.7"}),
    "FHIR_SITE_TIMEZONE": ("Europe/Vienna", "Europe/Vienna"),
    "FHIR_PATIENT_POLICY": ("overwrite", "overwrite"),
    "FHIR_PATIENT_MISMATCH": ("flag", "flag"),
    "FHIR_MISSING_PATIENT": ("display", "display"),
    "FHIR_SYNC_DEBOUNCE": ("0.5", 0.5),
    "FHIR_RETRY_WINDOW": ("3600", 3600.0),
    "FHIR_INSTANCE_LIMIT": ("50", 50),
    "FHIR_DOSE": ("false", False),
    "FHIR_DOSE_EVENTS": ("none", "none"),
    "FHIR_REPORTS": ("false", False),
    "FHIR_MEASUREMENTS": TRUE,
    "FHIR_DEVICES": ("false", False),
    "FHIR_SERIES_DEVICES": TRUE,
    "FHIR_DELETE": ("cancel", "cancel"),
    "FHIR_PRACTITIONER_SYSTEMS": ('{"99NPI": "http://hl7.test/npi"}', {"99NPI": "http://hl7.test/npi"}),
    "FHIR_PRACTITIONERS": ("create", "create"),
    "FHIR_ORDERS": ("create", "create"),
    "FHIR_STUDY_ID_SYSTEM": ("urn:uuid:0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41", "urn:uuid:0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41"),
    "FHIR_BIRTHDATE_SENTINELS": ("19000101, 11111111", ("19000101", "11111111")),
    "FHIR_KEY_IMAGES": ("basic", "basic"),
    "FHIR_TITLE_IMAGE_TYPE": TRUE,
    "FHIR_SERIES_STARTED_FALLBACK": TRUE,
    "FHIR_PATIENT_EXTENDED": TRUE,
    "FHIR_STRICT": TRUE,
    "FHIR_COMPAT_NOTE": TRUE,
    "FHIR_ENDPOINT_NAME": ("Radiology", "Radiology"),
    "FHIR_MANAGING_ORGANIZATION": ("Organization/42", "Organization/42"),
    "FHIR_LOCATION_MAP": ('{"CT 1": "Location/ct-1"}', {"CT 1": "Location/ct-1"}),
}


@pytest.mark.parametrize(("field", "setting"), [(field, name) for field, (name, _) in CHOICES.items()])
def test_each_fhir_setting_reaches_its_field(field: str, setting: str) -> None:
    text, value = MAPPED[setting]
    assert read_fhir(**{setting: text}) == replace(read_fhir(), **{field: value})


def test_every_field_with_a_default_can_be_set() -> None:
    assert {entry.name for entry in fields(FhirSettings) if (entry.default, entry.default_factory) != (MISSING, MISSING)} == set(CHOICES)


def literals() -> list[tuple[str, tuple[str, ...]]]:
    hints = get_type_hints(FhirSettings, vars(fhir_settings) | {"Mapping": dict})
    return [(name, get_args(hint)) for name, hint in hints.items() if get_origin(hint) is Literal]


@pytest.mark.parametrize(("field", "words"), literals())
def test_a_choice_takes_each_of_its_words_and_no_other(field: str, words: tuple[str, ...]) -> None:
    _, parse = CHOICES[field]
    assert [parse(word) for word in words] == list(words)
    with pytest.raises(ValueError, match=" or "):
        parse("other")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FHIR_BASE_URL", "ftp://secret.test"),
        ("FHIR_BASE_URL", "https://secret:word@fhir.test"),
        ("FHIR_BASE_URL", "https://fhir.test/?secret"),
        ("FHIR_BASE_URL", "https://fhir.test:secret"),
        ("FHIR_BASE_URL", "https://[secret"),
        ("FHIR_BASE_URL", "https:///secret"),
        ("FHIR_BASE_URL", "https://fhir.test/a secret"),
        ("FHIR_CANONICAL", "urn:secret:x"),
        ("FHIR_PATIENT_ID_SYSTEM", "secret"),
        ("FHIR_PATIENT_ID_SYSTEM", "https://archive.test/a secret"),
        ("FHIR_ACCESSION_SYSTEM", "urn:secret"),
        ("FHIR_ACCESSION_SYSTEM", "https://"),
        ("FHIR_STUDY_ID_SYSTEM", "urn:oid:\u00a0secret"),
        ("FHIR_AUTH", "secret"),
        ("FHIR_TENANT_ID", "secret/../x"),
        ("FHIR_TOKEN_URL", "secret"),
        ("FHIR_ISSUER_MAP", "secret"),
        ("FHIR_ISSUER_MAP", '["secret"]'),
        ("FHIR_ISSUER_MAP", '{"secret": 1}'),
        ("FHIR_ISSUER_MAP", '{"secret": "no uri"}'),
        ("FHIR_ISSUER_MAP", "[" * 100_000),
        ("FHIR_PRACTITIONER_SYSTEMS", '{"secret": ""}'),
        ("FHIR_LOCATION_MAP", '{"secret": "Patient/1"}'),
        ("FHIR_MANAGING_ORGANIZATION", "Organization/secret word"),
        ("FHIR_SITE_TIMEZONE", "Secret/City"),
        ("FHIR_SITE_TIMEZONE", "../../secret"),
        ("FHIR_SITE_TIMEZONE", "Europe"),
        ("FHIR_SYNC_DEBOUNCE", "0"),
        ("FHIR_SYNC_DEBOUNCE", "300.1"),
        ("FHIR_RETRY_WINDOW", "24h"),
        ("FHIR_INSTANCE_LIMIT", "0"),
        ("FHIR_BIRTHDATE_SENTINELS", "secret"),
        ("FHIR_STRICT", "secret"),
    ],
)
def test_a_fhir_value_that_cannot_be_meant_is_refused_and_not_repeated(name: str, value: str) -> None:
    message = refusal(EMBEDDED | FHIR | {name: value})
    assert name in message
    assert "secret" not in message.lower()


def test_client_credentials_need_a_client_a_secret_and_whom_to_ask() -> None:
    message = refusal(EMBEDDED | FHIR | {"FHIR_AUTH": "client-credentials"})
    assert "set FHIR_CLIENT_ID, FHIR_CLIENT_SECRET, FHIR_TENANT_ID" in message
    assert read_fhir(**CLIENT).tenant_id == "tenant"
    assert read_fhir(**CLIENT | {"FHIR_TENANT_ID": "", "FHIR_TOKEN_URL": "https://login.test/token"}).tenant_id == ""


def test_the_secret_is_in_no_representation() -> None:
    assert "s3cret" not in repr(read_fhir(**CLIENT))


PLAIN = {"FHIR_BASE_URL": "http://fhir.test"}


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(ON_AZURE | FHIR | PLAIN, id="patient-data-from-azure"),
        pytest.param(EMBEDDED | FHIR | PLAIN | {"FHIR_AUTH": "managed-identity"}, id="a-token"),
        pytest.param(EMBEDDED | FHIR | CLIENT | {"FHIR_TOKEN_URL": "http://login.test/token"}, id="a-password"),
    ],
)
def test_what_must_stay_secret_is_not_sent_in_the_clear(environment: dict[str, str]) -> None:
    assert "must be https" in refusal(environment)


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param(EMBEDDED | FHIR | PLAIN, id="not-on-azure"),
        pytest.param(ON_AZURE | FHIR | {"FHIR_BASE_URL": "http://127.0.0.1:8103/fhir"}, id="loopback"),
        pytest.param(ON_AZURE | FHIR | {"FHIR_BASE_URL": "http://[::1]:8103/fhir"}, id="loopback-6"),
    ],
)
def test_plain_http_is_for_trials(environment: dict[str, str]) -> None:
    assert Settings.from_environment(environment).fhir is not None
