"""Settings of identity and rights: the roles that come with the service, and what cannot be meant."""

from __future__ import annotations

import pytest

from shared.errors import NotConfigured
from shared.identity_settings import IdentitySettings
from shared.rights import ALL_ACTIONS, DEFAULT_ROLES, DataAction, parse_roles
from shared.settings import Settings

EMBEDDED = {"STORAGE_DATA_DIR": "/data"}
ON_AZURE = {"STORAGE": "UseDevelopmentStorage=true", "WEBSITE_INSTANCE_ID": "abc"}


def read(**environment: str) -> IdentitySettings:
    return Settings.from_environment(EMBEDDED | environment).identity


def test_nothing_set_is_closed_and_has_roles() -> None:
    identity = read()
    assert identity == IdentitySettings()
    assert identity.missing == ["AUTHORITY", "AUDIENCE"]
    assert identity.roles == DEFAULT_ROLES


def test_the_roles_that_come_with_the_service() -> None:
    assert {
        "globalReader": {DataAction.READ},
        "globalWriter": {DataAction.READ, DataAction.WRITE},
        "globalAdmin": ALL_ACTIONS,
    } == DEFAULT_ROLES


def test_all_that_can_be_set() -> None:
    identity = read(
        AUTHORITY="https://login.test/tenant/v2.0/",
        AUDIENCE="api://archive , 11111111-2222-3333-4444-555555555555,",
        ROLES_CLAIM="https://archive.test/roles",
        ROLES='{"System/*.read": ["read"], "none": [], "all": ["*"], "two": ["export", "manageExtendedQueryTags"]}',
    )
    assert identity.authority == "https://login.test/tenant/v2.0"
    assert identity.audiences == ("api://archive", "11111111-2222-3333-4444-555555555555")
    assert identity.roles_claim == "https://archive.test/roles"
    assert identity.roles == {
        "System/*.read": {DataAction.READ},
        "none": frozenset(),
        "all": ALL_ACTIONS,
        "two": {DataAction.EXPORT, DataAction.MANAGE_EXTENDED_QUERY_TAGS},
    }
    assert identity.missing == []


def test_everything_is_all_but_public() -> None:
    assert parse_roles('{"a": ["*"]}')["a"] == set(DataAction) - {DataAction.PUBLIC}


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/realm", "http://localhost/realm", "http://[::1]:8080"])
def test_plain_http_is_for_the_own_machine_and_never_on_azure(url: str) -> None:
    assert read(AUTHORITY=url).authority == url
    with pytest.raises(NotConfigured, match="AUTHORITY must be https"):
        Settings.from_environment(ON_AZURE | {"AUTHORITY": url})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTHORITY", "secret"),
        ("AUTHORITY", "http://secret.test"),
        ("AUTHORITY", "http://127.0.0.1.secret.test"),
        ("AUTHORITY", "https://user:secret@login.test"),
        ("AUTHORITY", "https://login.test/?secret"),
        ("AUTHORITY", 'https://login.test/"secret'),
        ("AUTHORITY", "https://login.test/secret\\"),
        ("AUTHORITY", "https://login.test/secr\u00e9t"),
        ("AUDIENCE", ","),
        ("AUDIENCE", 'api://"secret'),
        ("AUDIENCE", "api://a secret"),
        ("AUDIENCE", "api://secret\r\nx: y"),
        ("ROLES_CLAIM", "a secret"),
        ("ROLES", "secret"),
        ("ROLES", "[" * 100_000),
        ("ROLES", '["secret"]'),
        ("ROLES", "{}"),
        ("ROLES", '{"secret": "read"}'),
        ("ROLES", '{"secret": ["Read"]}'),
        ("ROLES", '{"secret": ["public"]}'),
        ("ROLES", '{"secret": ["read", "secret"]}'),
        ("ROLES", '{"secret": [["read"]]}'),
        ("ROLES", '{"secret": [{}]}'),
        ("ROLES", '{"secret": {"dataActions": ["read"]}}'),
        ("ROLES", '{"a secret": ["read"]}'),
        ("ROLES", '{"": ["read"]}'),
    ],
)
def test_what_cannot_be_meant_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(NotConfigured, match=name) as raised:
        read(**{name: value})
    assert "secret" not in str(raised.value)


def test_an_unknown_action_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotConfigured, match=r"ROLES .* \*, delete, export, manageExtendedQueryTags, read, write"):
        read(ROLES='{"reader": ["reed"]}')
