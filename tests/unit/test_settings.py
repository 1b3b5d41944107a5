"""Settings come from the environment once, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import NotConfigured
from shared.settings import Settings

AZURE = {f"STORAGE__{service}ServiceUri": f"https://a.{service}.core.windows.net" for service in ("blob", "table", "queue")}
EMBEDDED = {"STORAGE_DATA_DIR": "/data"}


def test_a_data_directory_means_the_embedded_store() -> None:
    storage = Settings.from_environment(EMBEDDED | {"STORAGE_INBOX_DIR": "/inbox", "STORAGE_MERGE_WRITES": "false"}).storage
    assert (storage.kind, storage.data_dir, storage.inbox_dir, storage.merge_writes) == ("embedded", Path("/data"), Path("/inbox"), False)


def test_service_uris_mean_azure_with_an_identity() -> None:
    storage = Settings.from_environment(AZURE | {"STORAGE__clientId": "id"}).storage
    assert (storage.kind, storage.table_service_uri, storage.client_id) == ("azure", "https://a.table.core.windows.net", "id")


def test_a_connection_string_needs_no_uris() -> None:
    assert Settings.from_environment({"STORAGE": "UseDevelopmentStorage=true"}).storage.connection_string == "UseDevelopmentStorage=true"


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
