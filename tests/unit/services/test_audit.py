"""The audit trail keeps its promises: what is written when, together with what, and what happens while it cannot be written."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.access import Caller, DataAction
from shared.audit import AccessRecord
from shared.errors import Busy, OutcomeUnknown, StorageFailure
from shared.services import audit as module
from shared.services import audit_log
from shared.services.audit import AuditService
from tests.support.audit import ShakyBlobs, read_trail, studies
from tests.support.stores import memory_stores
from tests.support.virtual_time import EPOCH, VirtualClock, run_virtually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READ = AccessRecord(EPOCH, Caller("someone"), "retrieve_study", "GET", DataAction.READ, ("1.2.3",), 200, "op")
STORE = replace(READ, transaction="store_instances", method="POST", action=DataAction.WRITE)
DELETE = replace(READ, transaction="delete_study", method="DELETE", action=DataAction.DELETE, status=204)
FORBIDDEN, UNKNOWN_CALLER, TOO_MANY = (replace(READ, status=status) for status in (403, 401, 429))
NOT_FOUND = replace(READ, status=404)
AWAY = StorageFailure("write of a blob: access refused")
NO_ANSWER = OutcomeUnknown("write of a blob: no answer")


class Trail:
    """A trail on blobs that can fail, in time of its own."""

    def __init__(self, when_down: Any = "refuse") -> None:
        clock = VirtualClock()
        self.blobs = ShakyBlobs(memory_stores(clock).blobs)
        self.service = AuditService(self.blobs, clock, "archive.test", when_down)

    @property
    def requests(self) -> int:
        return self.blobs.counts["append audit"]

    async def written(self) -> int:
        return len(await read_trail(self.blobs))

    async def names(self) -> list[str]:
        return [blob.name async for page in self.blobs.list("audit") for blob in page]

    async def break_down(self, failure: StorageFailure = AWAY) -> None:
        """Let so many tries fail that the trail is down."""
        self.blobs.failures = [failure] * 1000
        with pytest.raises(Busy):
            await self.service.record(STORE)

    async def recover(self) -> None:
        self.blobs.failures.clear()
        await asyncio.sleep(module.PAUSE_WHEN_DOWN_SECONDS + 1)


def virtually(test: Callable[[Trail], Awaitable[None]], when_down: str = "refuse") -> None:
    async def run() -> None:
        await test(Trail(when_down))

    run_virtually(run())


@pytest.mark.parametrize(
    "access", [STORE, DELETE, FORBIDDEN, UNKNOWN_CALLER, TOO_MANY], ids=["store", "delete", "forbidden", "unauthorized", "too many"]
)
def test_a_write_delete_or_refusal_is_recorded_before_it_is_answered(access: AccessRecord) -> None:
    async def test(trail: Trail) -> None:
        await trail.service.record(access)
        assert await trail.written() == 1

    virtually(test)


@pytest.mark.parametrize("access", [READ, NOT_FOUND], ids=["read", "nothing there"])
def test_a_read_does_not_wait_and_is_recorded_within_five_seconds(access: AccessRecord) -> None:
    async def test(trail: Trail) -> None:
        trail.blobs.seconds = 0.9
        before = asyncio.get_running_loop().time()
        await trail.service.record(access)
        assert asyncio.get_running_loop().time() == before
        assert await trail.written() == 0
        await asyncio.sleep(5)
        assert await trail.written() == 1

    virtually(test)


def test_reads_of_five_seconds_share_one_request() -> None:
    async def test(trail: Trail) -> None:
        for _ in range(300):
            await trail.service.record(READ)
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        assert await trail.written() == 300
        assert trail.requests == 2  # one makes the blob

    virtually(test)


def test_reads_go_along_with_a_write() -> None:
    async def test(trail: Trail) -> None:
        for _ in range(5):
            await trail.service.record(READ)
        await trail.service.record(STORE)
        assert await trail.written() == 6
        assert trail.requests == 2
        await asyncio.sleep(20)
        assert trail.requests == 2

    virtually(test)


def test_a_read_that_comes_while_a_write_is_recorded_causes_no_request_of_its_own() -> None:
    async def test(trail: Trail) -> None:
        for _ in range(3):
            writing = asyncio.create_task(trail.service.record(STORE))
            await asyncio.sleep(0.005)
            await trail.service.record(READ)
            await writing
        assert (await trail.written(), trail.requests) == (5, 4)
        await asyncio.sleep(5)
        assert (await trail.written(), trail.requests) == (6, 5)

    virtually(test)


def test_writes_at_once_share_requests() -> None:
    async def test(trail: Trail) -> None:
        async def client() -> None:
            for _ in range(20):
                await trail.service.record(STORE)
                await asyncio.sleep(0.001)

        await asyncio.gather(*[client() for _ in range(16)])
        assert await trail.written() == 320
        assert trail.requests < 50
        assert asyncio.get_running_loop().time() < 1

    virtually(test)


def test_writes_one_after_the_other_wait_for_nothing_else() -> None:
    async def test(trail: Trail) -> None:
        for _ in range(20):
            await trail.service.record(STORE)
        assert asyncio.get_running_loop().time() < 0.5

    virtually(test)


def test_a_caller_who_goes_away_leaves_his_record() -> None:
    async def test(trail: Trail) -> None:
        request = asyncio.create_task(trail.service.record(STORE))
        await asyncio.sleep(0.001)
        request.cancel()
        await asyncio.sleep(1)
        assert await trail.written() == 1

    virtually(test)


def test_closing_writes_what_waits() -> None:
    async def test(trail: Trail) -> None:
        await trail.service.record(READ)
        await trail.service.close()
        assert await trail.written() == 1
        await trail.service.close()
        assert trail.requests == 2

    virtually(test)


def test_closing_gives_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def test(trail: Trail) -> None:
        trail.blobs.failures = [AWAY] * 1000
        await trail.service.record(READ)
        await trail.service.close()
        assert await trail.written() == 0

    virtually(test)
    assert "before the process ended" in caplog.text


def test_a_name_says_when_and_nothing_else_and_every_hour_has_its_blob() -> None:
    async def test(trail: Trail) -> None:
        for _ in range(3):
            await trail.service.record(STORE)
            await asyncio.sleep(1800)
        names = await trail.names()
        assert [name.rpartition("/")[0] for name in names] == ["2026/01/01/00", "2026/01/01/01"]
        assert all(len(name) == len("2026/01/01/00/") + 26 + len(".ndjson") for name in names)

    virtually(test)


def test_a_blob_with_many_blocks_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "MAX_BLOCKS", 3)

    async def test(trail: Trail) -> None:
        for _ in range(7):
            await trail.service.record(STORE)
        assert len(await trail.names()) == 3
        assert await trail.written() == 7

    virtually(test)


def test_many_records_are_several_blocks_and_a_large_one_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BLOCK_BYTES", 10_000)
    many = tuple(f"1.2.{n}" for n in range(200))

    async def test(trail: Trail) -> None:
        for access in (READ, READ, replace(READ, studies=many), READ, READ):
            await trail.service.record(access)
        await asyncio.sleep(5)
        assert [len(studies(event)) for event in await read_trail(trail.blobs)] == [1, 1, 200, 1, 1]
        assert trail.requests > 2

    virtually(test)


@pytest.mark.parametrize("lost", [False, True], ids=["not done", "done, and the answer lost"])
@pytest.mark.parametrize("before", [0, 1], ids=["first block", "later block"])
def test_a_block_of_unknown_fate_is_there_once(before: int, *, lost: bool) -> None:
    async def test(trail: Trail) -> None:
        for _ in range(before):
            await trail.service.record(STORE)
        trail.blobs.failures, trail.blobs.lost = [NO_ANSWER, NO_ANSWER], lost
        await trail.service.record(DELETE)
        await trail.service.record(STORE)
        assert await trail.written() == before + 2
        assert len(await trail.names()) == 1

    virtually(test)


def test_a_block_of_unknown_fate_stays_in_the_blob_it_was_meant_for() -> None:
    async def test(trail: Trail) -> None:
        await asyncio.sleep(3599.9)  # the hour ends while it is tried again
        trail.blobs.failures, trail.blobs.lost = [NO_ANSWER, NO_ANSWER], True
        await trail.service.record(STORE)
        await trail.service.record(DELETE)
        assert [name[:13] for name in await trail.names()] == ["2026/01/01/00", "2026/01/01/01"]
        assert await trail.written() == 2

    virtually(test)


def test_a_block_that_was_refused_goes_into_another_blob() -> None:
    async def test(trail: Trail) -> None:
        await trail.service.record(STORE)
        trail.blobs.failures = [AWAY]
        await trail.service.record(DELETE)
        assert await trail.written() == 2
        assert len(await trail.names()) == 2

    virtually(test)


@pytest.mark.parametrize("failure", [AWAY, NO_ANSWER], ids=["refused", "unknown"])
def test_what_cannot_be_recorded_is_refused_and_what_was_done_is_recorded_later(failure: StorageFailure) -> None:
    async def test(trail: Trail) -> None:
        trail.service.admit()
        await trail.service.record(READ)
        await trail.break_down(failure)
        with pytest.raises(Busy):
            trail.service.admit()
        with pytest.raises(Busy):
            await trail.service.record(READ)
        with pytest.raises(Busy):
            await trail.service.check()
        await trail.recover()
        trail.service.admit()
        await trail.service.check()
        await trail.service.record(DELETE)
        assert await trail.written() == 4

    virtually(test)


def test_a_hiccup_refuses_nothing() -> None:
    async def test(trail: Trail) -> None:
        trail.blobs.failures = [NO_ANSWER] * (module.TRIES - 1)
        await trail.service.record(STORE)
        trail.service.admit()
        assert await trail.written() == 1

    virtually(test)


def test_with_a_buffer_work_goes_on_and_is_recorded_later() -> None:
    async def test(trail: Trail) -> None:
        trail.blobs.failures = [NO_ANSWER] * 1000
        for access in (READ, STORE, DELETE, FORBIDDEN):
            trail.service.admit()
            await trail.service.record(access)
        assert await trail.written() == 0
        with pytest.raises(Busy):
            await trail.service.check()
        await trail.recover()
        assert await trail.written() == 4

    virtually(test, "buffer")


def test_a_full_buffer_refuses_and_forgets_nothing_that_was_done(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 5000)

    async def test(trail: Trail) -> None:
        trail.blobs.failures = [NO_ANSWER] * 1000
        for _ in range(4):
            await trail.service.record(STORE)
        with pytest.raises(Busy):
            trail.service.admit()
        await trail.service.record(STORE)  # began before it was full
        for _ in range(50):
            await trail.service.record(FORBIDDEN)
        await trail.recover()
        trail.service.admit()
        assert await trail.written() == 5

    virtually(test, "buffer")
    assert "50 refusals were not recorded" in caplog.text


def test_who_waits_is_not_left_waiting_by_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def test(trail: Trail) -> None:
        async def break_it(*_: object, **__: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(trail.blobs, "append", break_it)
            with pytest.raises(Busy):
                await trail.service.record(STORE)
        with pytest.raises(Busy):
            trail.service.admit()
        with pytest.raises(Busy):
            await trail.service.record(FORBIDDEN)
        await asyncio.sleep(1)
        trail.service.admit()
        assert await trail.written() == 1

    virtually(test)
    assert "ZeroDivisionError" in caplog.text


def test_going_down_and_coming_up_is_logged_without_a_uid(caplog: pytest.LogCaptureFixture) -> None:
    async def test(trail: Trail) -> None:
        await trail.break_down()
        await trail.recover()

    with caplog.at_level(logging.INFO):
        virtually(test)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "1.2.3" not in caplog.text
