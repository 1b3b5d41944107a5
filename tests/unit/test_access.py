"""Closed unless the local host opened it, never open where there is a mark of Azure; with tokens, what their roles grant."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared import access
from shared.access import ANYBODY, Caller, DataAction, NotPermitted, TokenAccess, access_for, open_for_local_host
from shared.errors import Busy, NotConfigured, Unauthorized
from shared.identity_settings import IdentitySettings
from shared.settings import Settings, StorageSettings
from shared.tokens import IssuerKeys, SigningKey
from tests.support.issuer import AUDIENCE, HOUR, ROLES, TokenMaker

if TYPE_CHECKING:
    from shared.access import Access

MAKER = TokenMaker()
IDENTITY = IdentitySettings(MAKER.issuer, (AUDIENCE, "second"), roles=ROLES)
SETTINGS = Settings(storage=StorageSettings(kind="embedded"))
CHALLENGE = f'Bearer authorization_uri="{MAKER.issuer}", resource_id="{AUDIENCE}", realm="{AUDIENCE}"'


class Keys:
    """Keys that need no fetching; counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.there = True
        self.published = IssuerKeys(MAKER.issuer, {MAKER.key_id: SigningKey(MAKER.private.public_key(), ["RS256"])})

    async def current(self, key_id: str) -> IssuerKeys:
        self.asked += 1
        if not self.there:
            raise Busy("No keys.")
        return self.published


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access._LocalHost, "opened", False)


@pytest.fixture
def keys() -> Keys:
    return Keys()


def choose(identity: IdentitySettings) -> Access:
    return access_for(replace(SETTINGS, identity=identity), lambda _: Keys())


# Open, closed, with tokens


@pytest.mark.parametrize("action", list(DataAction))
async def test_without_an_identity_provider_everything_is_refused_and_the_settings_are_named(action: DataAction) -> None:
    with pytest.raises(NotConfigured, match="set AUTHORITY and AUDIENCE"):
        await choose(IdentitySettings()).authorize(action, f"Bearer {MAKER.token('admin')}")


async def test_one_missing_setting_is_named_alone() -> None:
    with pytest.raises(NotConfigured, match="set AUDIENCE"):
        await choose(IdentitySettings("https://login.test")).authorize(DataAction.READ, None)
    with pytest.raises(NotConfigured, match="set AUTHORITY"):
        await choose(IdentitySettings(audiences=("a",))).authorize(DataAction.READ, None)


async def test_with_both_tokens_are_asked_for() -> None:
    with pytest.raises(Unauthorized):
        await choose(IDENTITY).authorize(DataAction.READ, None)
    await choose(IDENTITY).authorize(DataAction.READ, f"Bearer {MAKER.token('reader')}")


async def test_the_local_host_opens_it() -> None:
    open_for_local_host({})
    assert await choose(IDENTITY).authorize(DataAction.DELETE, None) == ANYBODY


async def test_nobody_opens_it_on_azure() -> None:
    with pytest.raises(NotConfigured, match="WEBSITE_INSTANCE_ID"):
        open_for_local_host({"WEBSITE_INSTANCE_ID": ""})
    with pytest.raises(NotConfigured):
        await choose(IdentitySettings()).authorize(DataAction.READ, None)


# Rights


@pytest.mark.parametrize("action", sorted(set(DataAction) - {DataAction.PUBLIC}))
@pytest.mark.parametrize("role", ROLES)
async def test_a_role_allows_what_it_grants_and_nothing_else(keys: Keys, role: str, action: DataAction) -> None:
    tokens, bearer = TokenAccess(IDENTITY, keys), f"Bearer {MAKER.token(role)}"
    if action in ROLES[role]:
        assert await tokens.authorize(action, bearer) == Caller(f"{MAKER.issuer}#somebody", "viewer")
    else:
        with pytest.raises(NotPermitted, match=r"^Authorization failed\.$") as raised:
            await tokens.authorize(action, bearer)
        assert raised.value.caller.name == "viewer"


async def test_several_roles_allow_what_any_of_them_grants(keys: Keys) -> None:
    tokens, bearer = TokenAccess(IDENTITY, keys), f"Bearer {MAKER.token('reader', 'nonsense', 'exporter')}"
    for action in (DataAction.READ, DataAction.EXPORT):
        await tokens.authorize(action, bearer)
    with pytest.raises(NotPermitted):
        await tokens.authorize(DataAction.WRITE, bearer)


async def test_roles_come_from_the_claim_that_the_operator_chose(keys: Keys) -> None:
    tokens = TokenAccess(replace(IDENTITY, roles_claim="scp"), keys)
    await tokens.authorize(DataAction.WRITE, f"Bearer {MAKER.token(scp='openid writer')}")
    with pytest.raises(NotPermitted):
        await tokens.authorize(DataAction.WRITE, f"Bearer {MAKER.token('writer')}")


async def test_no_role_is_called_public(keys: Keys) -> None:
    with pytest.raises(NotPermitted):
        await TokenAccess(IDENTITY, keys).authorize(DataAction.READ, f"Bearer {MAKER.token('public', '*', 'read', '')}")


@pytest.mark.parametrize("authorization", [None, "nonsense", f"Bearer {MAKER.token(exp=1)}"])
async def test_what_is_public_needs_no_token_and_no_keys(keys: Keys, authorization: str | None) -> None:
    assert await TokenAccess(IDENTITY, keys).authorize(DataAction.PUBLIC, authorization) == ANYBODY
    assert keys.asked == 0


# Refusals


async def test_who_has_no_token_is_told_where_to_get_one(keys: Keys) -> None:
    with pytest.raises(Unauthorized) as raised:
        await TokenAccess(IDENTITY, keys).authorize(DataAction.READ, None)
    assert raised.value.challenge == CHALLENGE


@pytest.mark.parametrize("authorization", ["nonsense", "Basic x", f"Bearer {MAKER.token(exp=1)}", "Bearer a.b.c"])
async def test_who_has_a_bad_one_is_told_what_is_wrong(keys: Keys, authorization: str) -> None:
    with pytest.raises(Unauthorized) as raised:
        await TokenAccess(IDENTITY, keys).authorize(DataAction.READ, authorization)
    assert raised.value.challenge == f'{CHALLENGE}, error="invalid_token", error_description="{raised.value}"'


async def test_without_keys_nobody_is_told_that_the_token_is_bad(keys: Keys) -> None:
    keys.there = False
    with pytest.raises(Busy):
        await TokenAccess(IDENTITY, keys).authorize(DataAction.READ, f"Bearer {MAKER.token('reader')}")


# What is remembered


class Clock:
    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def test_a_token_is_checked_once_a_minute(keys: Keys) -> None:
    clock = Clock()
    tokens, bearer = TokenAccess(IDENTITY, keys, clock), f"Bearer {MAKER.token('reader')}"
    for ahead, checks in ((0, 1), (50, 1), (61, 2), (110, 2)):
        clock.ahead = ahead
        await tokens.authorize(DataAction.READ, bearer)
        assert keys.asked == checks


async def test_a_token_is_not_known_longer_than_it_lives(keys: Keys) -> None:
    clock = Clock()
    tokens, bearer = TokenAccess(IDENTITY, keys, clock), f"Bearer {MAKER.token('reader', exp=int(time.time()) + 20)}"
    await tokens.authorize(DataAction.READ, bearer)
    clock.ahead = 21
    await tokens.authorize(DataAction.READ, bearer)
    assert keys.asked == 2


async def test_a_known_token_grants_no_more_than_before(keys: Keys) -> None:
    tokens, bearer = TokenAccess(IDENTITY, keys), f"Bearer {MAKER.token('reader')}"
    await tokens.authorize(DataAction.READ, bearer)
    with pytest.raises(NotPermitted):
        await tokens.authorize(DataAction.DELETE, bearer)


async def test_a_token_that_was_refused_is_looked_at_again(keys: Keys) -> None:
    tokens, bearer = TokenAccess(IDENTITY, keys), f"Bearer {MAKER.token('reader', exp=int(time.time()) - HOUR)}"
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await tokens.authorize(DataAction.READ, bearer)
    assert keys.asked == 3


async def test_a_token_like_a_known_one_is_another(keys: Keys) -> None:
    tokens, token = TokenAccess(IDENTITY, keys), MAKER.token("reader")
    await tokens.authorize(DataAction.READ, f"Bearer {token}")
    with pytest.raises(Unauthorized):
        await tokens.authorize(DataAction.READ, f"Bearer {token}x")


async def test_only_so_many_tokens_are_remembered(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_REMEMBERED_TOKENS", 3)
    tokens = TokenAccess(IDENTITY, keys)
    bearers = [f"Bearer {MAKER.token('reader', jti=str(number))}" for number in range(4)]
    for bearer in (*bearers, *bearers[1:]):
        await tokens.authorize(DataAction.READ, bearer)
    assert (keys.asked, len(tokens._known)) == (4, 3)
