"""Closed unless the local host opened it, and never open where there is a mark of Azure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared import access
from shared.access import DataAction, access_for, open_for_local_host
from shared.errors import NotConfigured
from shared.settings import Settings, StorageSettings

SETTINGS = Settings(storage=StorageSettings(kind="embedded"))


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access._LocalHost, "opened", False)


@pytest.mark.parametrize("action", list(DataAction))
async def test_without_an_identity_provider_everything_is_refused_and_the_settings_are_named(action: DataAction) -> None:
    with pytest.raises(NotConfigured, match="AUTHORITY and AUDIENCE"):
        await access_for(SETTINGS).authorize(action, "Bearer x")


async def test_one_missing_setting_is_named_alone() -> None:
    with pytest.raises(NotConfigured, match="set AUDIENCE"):
        await access_for(replace(SETTINGS, authority="https://login.test")).authorize(DataAction.READ, None)


async def test_with_both_settings_it_stays_closed_as_long_as_tokens_are_not_validated() -> None:
    configured = replace(SETTINGS, authority="https://login.test", audience="api://archive")
    with pytest.raises(NotConfigured, match="stays closed"):
        await access_for(configured).authorize(DataAction.READ, "Bearer x")


async def test_the_local_host_opens_it() -> None:
    open_for_local_host({})
    await access_for(SETTINGS).authorize(DataAction.DELETE, None)


async def test_nobody_opens_it_on_azure() -> None:
    with pytest.raises(NotConfigured, match="WEBSITE_INSTANCE_ID"):
        open_for_local_host({"WEBSITE_INSTANCE_ID": ""})
    with pytest.raises(NotConfigured):
        await access_for(SETTINGS).authorize(DataAction.READ, None)
