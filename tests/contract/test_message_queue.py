"""The contract of the MessageQueue port."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shared.errors import NotPresent, StorageLimit
from shared.ports import Backlog

if TYPE_CHECKING:
    from shared.ports import MessageQueue
    from tests.contract.conftest import PassTime

QUEUE = "settle"


async def test_message_is_received_as_it_was_sent(queues: MessageQueue) -> None:
    await queues.send(QUEUE, '{"name": "Müller/三郎"}')
    (message,) = await queues.receive(QUEUE)
    assert (message.body, message.dequeue_count) == ('{"name": "Müller/三郎"}', 1)


async def test_empty_queue_gives_nothing(queues: MessageQueue) -> None:
    assert await queues.receive(QUEUE) == []


async def test_received_message_is_hidden_from_others(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "a")
    assert len(await queues.receive(QUEUE)) == 1
    assert await queues.receive(QUEUE) == []


async def test_message_comes_back_unless_deleted(queues: MessageQueue, pass_time: PassTime) -> None:
    await queues.send(QUEUE, "kept")
    await queues.send(QUEUE, "deleted")
    for message in await queues.receive(QUEUE, visibility_seconds=1):
        if message.body == "deleted":
            await queues.delete(QUEUE, message)
    await pass_time(1.5)
    (message,) = await queues.receive(QUEUE)
    assert (message.body, message.dequeue_count) == ("kept", 2)


async def test_delayed_message_is_seen_later(queues: MessageQueue, pass_time: PassTime) -> None:
    await queues.send(QUEUE, "later", delay_seconds=1)
    assert await queues.receive(QUEUE) == []
    await pass_time(1.5)
    assert [message.body for message in await queues.receive(QUEUE)] == ["later"]


async def test_message_that_somebody_else_took_cannot_be_deleted(queues: MessageQueue, pass_time: PassTime) -> None:
    await queues.send(QUEUE, "a")
    (first,) = await queues.receive(QUEUE, visibility_seconds=1)
    await pass_time(1.5)
    (second,) = await queues.receive(QUEUE)
    with pytest.raises(NotPresent):
        await queues.delete(QUEUE, first)
    await queues.delete(QUEUE, second)


async def test_message_is_deleted_once(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "a")
    (message,) = await queues.receive(QUEUE)
    await queues.delete(QUEUE, message)
    with pytest.raises(NotPresent):
        await queues.delete(QUEUE, message)


async def test_expired_message_that_nobody_took_can_still_be_deleted(queues: MessageQueue, pass_time: PassTime) -> None:
    await queues.send(QUEUE, "a")
    (message,) = await queues.receive(QUEUE, visibility_seconds=1)
    await pass_time(1.5)
    await queues.delete(QUEUE, message)
    assert await queues.receive(QUEUE) == []


async def test_message_given_back_is_seen_at_once_and_counted_on(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "a")
    (message,) = await queues.receive(QUEUE)
    await queues.postpone(QUEUE, message, delay_seconds=0)
    (again,) = await queues.receive(QUEUE)
    assert (again.body, again.dequeue_count) == ("a", 2)


async def test_postponed_message_stays_hidden_longer(queues: MessageQueue, pass_time: PassTime) -> None:
    await queues.send(QUEUE, "a")
    (message,) = await queues.receive(QUEUE, visibility_seconds=1)
    postponed = await queues.postpone(QUEUE, message, delay_seconds=60)
    await pass_time(1.5)
    assert await queues.receive(QUEUE) == []
    await queues.delete(QUEUE, postponed)


async def test_postponing_gives_a_new_receipt_and_ends_the_old(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "a")
    (message,) = await queues.receive(QUEUE)
    postponed = await queues.postpone(QUEUE, message, delay_seconds=60)
    for verb in (queues.delete(QUEUE, message), queues.postpone(QUEUE, message, delay_seconds=60)):
        with pytest.raises(NotPresent):
            await verb
    assert (postponed.body, postponed.dequeue_count) == ("a", 1)
    await queues.delete(QUEUE, postponed)


async def test_receives_at_most_the_limit_and_each_message_once(queues: MessageQueue) -> None:
    sent = {str(n) for n in range(40)}
    for body in sent:
        await queues.send(QUEUE, body)
    batches = [await queues.receive(QUEUE, limit=16) for _ in range(4)]
    assert [len(batch) for batch in batches] == [16, 16, 8, 0]
    assert {message.body for batch in batches for message in batch} == sent


async def test_queues_are_separate(queues: MessageQueue) -> None:
    await queues.send("settle-poison", "a")
    assert await queues.receive(QUEUE) == []


@pytest.mark.parametrize("limit", [0, 33])
async def test_limit_of_a_receive_is_checked(queues: MessageQueue, limit: int) -> None:
    with pytest.raises(StorageLimit):
        await queues.receive(QUEUE, limit=limit)


async def test_largest_message_is_taken_and_a_larger_one_refused(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "x" * 48 * 1024)
    assert [len(message.body) for message in await queues.receive(QUEUE)] == [48 * 1024]
    with pytest.raises(StorageLimit):
        await queues.send(QUEUE, "x" * (48 * 1024 + 1))


async def test_unknown_queue_is_not_present(queues: MessageQueue) -> None:
    queue = "no-such-queue"
    for verb in (queues.send(queue, "a"), queues.receive(queue), queues.check(queue), queues.backlog(queue)):
        with pytest.raises(NotPresent):
            await verb


async def test_check_passes_for_our_queues(queues: MessageQueue) -> None:
    await queues.check(QUEUE)


async def test_backlog_of_an_empty_queue_is_nothing(queues: MessageQueue) -> None:
    assert await queues.backlog(QUEUE) == Backlog(0)


async def test_backlog_counts_all_messages_and_shows_the_oldest_without_taking_it(queues: MessageQueue, pass_time: PassTime) -> None:
    before = datetime.now(UTC)
    for body in ("first", "second"):
        await queues.send(QUEUE, body)
    await queues.send(QUEUE, "hidden", delay_seconds=60)
    await pass_time(1.5)
    backlog = await queues.backlog(QUEUE)
    assert (backlog.messages, backlog.oldest) == (3, "first")
    assert backlog.since is not None
    assert abs(backlog.since - before) < timedelta(seconds=30)
    assert sorted(message.body for message in await queues.receive(QUEUE)) == ["first", "second"]


async def test_backlog_of_hidden_messages_has_no_oldest(queues: MessageQueue) -> None:
    await queues.send(QUEUE, "hidden", delay_seconds=60)
    assert await queues.backlog(QUEUE) == Backlog(1)
