"""Settle messages: publish what is left, put off what fails, revive what was given up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shared.catalog.cover import Cover, decode_settle_message, encode_settle_message
from shared.catalog.feed import FeedReader
from shared.catalog.keys import CATALOG, SETTLE_QUEUE
from shared.catalog.outbox import Action, Commit, FeedChange
from shared.catalog.publisher import FeedPublisher
from shared.errors import InvalidRequest, OutcomeUnknown
from shared.services.settle import SettleService
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from shared.ports import Stores

LEFT = Commit("1~study", 5, "attempt", "1.2", (FeedChange(Action.CREATE, "1.2.3", "1.2.3.4"),))


def make_service(stores: Stores) -> SettleService:
    return SettleService(stores.tables, FeedPublisher(stores.tables, stores.clock), Cover(stores.queues, 0))


@pytest.fixture
async def stores() -> Stores:
    stores = memory_stores()
    await stores.tables.transact(CATALOG, LEFT.partition_key, [LEFT.operation()])
    return stores


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_however_often_a_message_comes_the_commit_is_announced_once(stores: Stores, times: int) -> None:
    for _ in range(times):
        await make_service(stores).settle(encode_settle_message("1~study"))
    assert [e.sop_instance_uid for e in await FeedReader(stores.tables).read(0, 10)] == ["1.2.3.4"]


async def test_a_failing_handler_sends_a_successor(stores: Stores) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            return getattr(stores.tables, name)

        async def transact(self, *_: object) -> list[str]:
            raise OutcomeUnknown("storage is down")

    broken = replace(stores, tables=Broken())  # type: ignore[arg-type]
    service = SettleService(broken.tables, FeedPublisher(broken.tables, stores.clock, jitter=lambda: 0), Cover(stores.queues, 0))
    await service.settle(encode_settle_message("1~study"))
    (successor,) = await stores.queues.receive(SETTLE_QUEUE)
    await make_service(stores).settle(successor.body)
    assert len(await FeedReader(stores.tables).read(0, 10)) == 1


async def test_a_poisoned_message_is_sent_again(stores: Stores) -> None:
    await make_service(stores).revive(encode_settle_message("1~study"))
    (message,) = await stores.queues.receive(SETTLE_QUEUE)
    assert decode_settle_message(message.body).partition_key == "1~study"


@pytest.mark.parametrize("body", ["", "{", "[]", '{"schema":2,"partition":"x"}', '{"schema":1}', '{"schema":1,"partition":7}'])
async def test_a_foreign_message_is_refused_and_not_revived(stores: Stores, body: str) -> None:
    with pytest.raises(InvalidRequest):
        await make_service(stores).settle(body)
    await make_service(stores).revive(body)
    assert await stores.queues.receive(SETTLE_QUEUE) == []


async def test_one_message_covers_the_first_third_of_its_delay() -> None:
    stores, now = memory_stores(), [0.0]
    cover = Cover(stores.queues, 60, lambda: now[0])
    for moment in (0, 5, 19, 20, 39, 41):
        now[0] = moment
        await cover.ensure("1~study")
    assert list(cover._sent.values()) == [41]
