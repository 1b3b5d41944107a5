"""What a caller gets that asks too much at once: 429, and when to come again (threat T18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from functions._http import Guards
from shared.access import ANYBODY, Caller, DataAction
from shared.limits import LimitsPerCaller
from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance

if TYPE_CHECKING:
    import pytest

STUDY = "1.2.3"


class Named:
    """Lets everybody in; who it is, the Authorization header says."""

    async def authorize(self, action: DataAction, authorization: str | None) -> Caller:
        return ANYBODY if action is DataAction.PUBLIC else Caller(authorization or "somebody")


def limited(per_second: int = 0, at_once: int = 0) -> AppClient:
    return AppClient(access=Named(), guards=Guards(limits=LimitsPerCaller(per_second, at_once, lambda: 0.0)))


async def begin(client: AppClient) -> Any:
    """Ask for a study whose answer is not sent yet."""
    scope = {"type": "http", "method": "GET", "query_string": b"", "path_params": {"version": "v2", "study": STUDY}}
    accept = (b"accept", b'multipart/related; type="application/dicom"')
    return await client.handler("retrieve_study")(req=Request(scope | {"headers": [accept]}))


async def send(response: Any) -> None:
    async def collect(_: Any) -> None:
        """Take what is sent."""

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    await response({}, receive, collect)


async def test_who_asks_too_fast_is_told_when_to_come_again() -> None:
    client = limited(per_second=1)
    statuses = [(await client.get("/v2/studies")).status for _ in range(3)]
    refused = await client.get("/v2/studies")
    assert statuses == [204, 204, 429]
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert "CALLER_REQUESTS_PER_SECOND" in refused.json()["detail"]
    assert (await client.get("/v2/studies", authorization="another")).status == 204


async def test_an_answer_counts_until_it_has_been_sent() -> None:
    client = limited(at_once=1)
    await client.store(make_instance(StudyInstanceUID=STUDY))
    under_way = await begin(client)
    assert under_way.status_code == 200
    assert (await client.get("/v2/studies")).status == 429
    await send(under_way)
    assert (await client.get("/v2/studies")).status == 200


async def test_an_answer_that_nobody_sends_does_not_count_for_ever() -> None:
    client = limited(at_once=1)
    await client.store(make_instance(StudyInstanceUID=STUDY))
    under_way = await begin(client)
    del under_way
    assert (await client.get("/v2/studies")).status == 200


async def test_a_handler_that_fails_leaves_no_request_in_work(monkeypatch: pytest.MonkeyPatch) -> None:
    client = limited(at_once=1)

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr(client.stores.tables, "pages", broken)
        assert [(await client.get("/v2/studies")).status for _ in range(3)] == [500, 500, 500]
    assert (await client.get("/v2/studies")).status == 204


async def test_strangers_on_public_routes_are_not_limited() -> None:
    client = limited(per_second=1, at_once=1)
    assert {(await client.get("/health/check")).status for _ in range(20)} == {200}
    assert {(await client.send("OPTIONS", "/v2/studies")).status for _ in range(20)} == {204}
