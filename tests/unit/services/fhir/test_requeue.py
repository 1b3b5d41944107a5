"""Retries and rebuilds: what is queued really is tried again, everything once, and large archives in slices. In virtual time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from shared.catalog.keys import JOBS, SETTLE_QUEUE
from shared.errors import InvalidRequest
from shared.fhir.issues import IssueClass, IssueCode
from shared.fhir.server import FhirConfiguration, FhirError, FhirRefused, FhirTransient
from shared.fhir.state import OPEN_PARTITIONS, SyncStatus
from shared.services import fhir_requeue
from shared.services.fhir_requeue import Queued
from tests.support.counting import counting
from tests.support.fhir_studies import QUIET, STUDY, failing, image, open_issues, status, virtually, world_with
from tests.support.fhir_world import open_world
from tests.support.stores import memory_stores
from tests.support.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.server import Write, Written
    from shared.fhir.state import SyncRow
    from tests.support.fhir_world import FhirWorld

DOWN = FhirTransient("down", 503)


def uid(number: int) -> str:
    return f"{STUDY}.{number}"


def image_of(number: int, **attributes: Any) -> bytes:
    return image(StudyInstanceUID=uid(number), SeriesInstanceUID=f"{uid(number)}.1", SOPInstanceUID=f"{uid(number)}.1.1", **attributes)


async def failed_world(error: FhirError, *numbers: int, **settings: Any) -> FhirWorld:
    """Open a world in which the studies with these numbers could not be written; by now they could."""
    world = await open_world(retry_window_seconds=60, **settings)
    world.server.before = failing(error, verbs="write search")
    await world.store(*(image_of(number) for number in numbers))
    await world.pass_time(600)
    world.server.before = lambda verb: None
    return world


async def row_of(world: FhirWorld, number: int) -> SyncRow:
    return await world.fhir.sync._state.read(world.partition(uid(number)))


def studies_on(world: FhirWorld) -> int:
    return len(world.server.all("ImagingStudy"))


async def jobs(world: FhirWorld) -> list[str]:
    return [entity.row_key async for page in world.stores.tables.pages(JOBS, "fhir", start="r") for entity in page]


@pytest.mark.parametrize(
    ("error", "before"), [(FhirRefused("no", 422), SyncStatus.BLOCKED), (DOWN, SyncStatus.DEAD)], ids=["blocked", "dead"]
)
@virtually
async def test_a_study_that_did_not_change_is_tried_again(error: FhirError, before: SyncStatus) -> None:
    world = await failed_world(error, 1)
    assert (await row_of(world, 1)).status is before
    assert await world.fhir.requeue.retry_studies([uid(1)]) == Queued(1)
    await world.pass_time(2)
    assert (studies_on(world), await world.in_step()) == (1, True)


@virtually
async def test_a_study_that_fails_again_has_the_whole_retry_window_again() -> None:
    world = await failed_world(DOWN, 1)
    world.server.before = failing(DOWN, verbs="write search")
    await world.fhir.requeue.retry_studies([uid(1)])
    await world.pass_time(30)
    assert await status(world, uid(1)) is SyncStatus.DIRTY
    await world.pass_time(300)
    assert await status(world, uid(1)) is SyncStatus.DEAD


@virtually
async def test_a_study_that_waits_between_attempts_is_tried_at_once() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("busy", 429, retry_after_seconds=1800))
    await world.store(image_of(1))
    await world.pass_time(120)
    world.server.before = lambda verb: None
    assert await world.fhir.requeue.retry_class("transient") == Queued(1)
    await world.pass_time(2)
    assert studies_on(world) == 1


@virtually
async def test_a_retry_ends_the_pause() -> None:
    world = await open_world()
    world.server.before = failing(FhirConfiguration("token", 401), times=1)
    await world.store(image_of(1))
    await world.pass_time(QUIET)
    assert await world.fhir.requeue.retry_class("configuration") == Queued(1)
    await world.pass_time(2)
    assert studies_on(world) == 1


@virtually
async def test_a_study_in_step_is_looked_at_again_and_not_written() -> None:
    world = await world_with(image_of(1))
    world.server.requests.clear()
    assert await world.fhir.requeue.retry_studies([uid(1)]) == Queued(1)
    await world.pass_time(2)
    assert (world.server.total_writes, await world.in_step()) == (3, True)
    assert world.server.requests["search"]


@virtually
async def test_a_study_that_became_blocked_without_a_change_is_tried_again() -> None:
    world = await world_with(image_of(1))
    partition_key = world.partition(uid(1))
    await world.fhir.sync._state.change(partition_key, lambda row: replace(row, status=SyncStatus.BLOCKED, attempted=row.synced))
    await world.fhir.requeue.retry_studies([uid(1)])
    await world.pass_time(2)
    assert await world.in_step()


@virtually
async def test_what_was_never_stored_or_is_named_twice_counts_once_at_most() -> None:
    world = await world_with(image_of(1))
    assert await world.fhir.requeue.retry_studies([uid(7), uid(1), uid(1)]) == Queued(1)
    assert await world.fhir.requeue.rebuild_studies([uid(7), uid(1), uid(1)], dry_run=False) == Queued(1)
    assert await world.fhir.requeue.retry_studies([]) == Queued(0)


@virtually
async def test_a_class_leads_to_the_studies_with_such_an_issue() -> None:
    world = await failed_world(DOWN, 1, 2)
    world.server.before = failing(FhirRefused("no", 422))
    await world.store(image_of(3))
    await world.store(image_of(4, PatientID=None))
    await world.pass_time(QUIET)
    world.server.before = lambda verb: None
    assert await open_issues(world, uid(4)) == {(IssueClass.DICOM, IssueCode.MISSING_PATIENT_ID)}
    assert await world.fhir.requeue.retry_class("fhir") == Queued(1)
    assert await world.fhir.requeue.retry_class("dicom") == Queued(1)
    assert await world.fhir.requeue.retry_class("configuration") == Queued(0)
    assert await world.fhir.requeue.retry_class("dead") == Queued(2)
    await world.pass_time(5)
    assert studies_on(world) == 3
    assert await status(world, uid(4)) is SyncStatus.BLOCKED


@pytest.mark.parametrize("name", ["value-warning", "other", "", "DEAD"])
@virtually
async def test_a_class_that_stops_no_study_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="class must be one of"):
        await (await open_world()).fhir.requeue.retry_class(name)


@virtually
async def test_many_studies_of_a_class_are_retried_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await failed_world(DOWN, *range(40))
    monkeypatch.setattr(fhir_requeue, "SLICE_STUDIES", 10)
    queued = await world.fhir.requeue.retry_class("dead")
    assert queued.continues
    assert 10 <= queued.studies < 40
    for _ in range(10):
        await world.pass_time(10)
        await world.fhir.requeue.go_on()
    assert (studies_on(world), await jobs(world)) == (40, [])


@virtually
async def test_a_list_of_open_studies_goes_on_behind_one_of_them() -> None:
    world = await failed_world(DOWN, *range(30))
    state = world.fhir.sync._state
    for number in range(len(OPEN_PARTITIONS)):
        whole = [row async for page in state.open_pages(number) for row in page]
        for index, row in enumerate(whole):
            assert [r async for page in state.open_pages(number, row.partition_key) for r in page] == whole[index + 1 :]


@virtually
async def test_a_rebuild_restores_what_somebody_removed_from_the_server() -> None:
    world = await world_with(image_of(1), image_of(2))
    before = world.server.state()
    world.server.history.clear()
    assert await world.fhir.requeue.rebuild_all(dry_run=False) == Queued(2)
    await world.pass_time(5)
    assert (world.server.state(), await world.in_step()) == (before, True)


@virtually
async def test_a_rebuild_of_what_stands_as_it_should_writes_nothing() -> None:
    world = await world_with(image_of(1))
    written = world.server.total_writes
    await world.fhir.requeue.rebuild_studies([uid(1)], dry_run=False)
    await world.pass_time(5)
    assert (world.server.total_writes, (await row_of(world, 1)).rebuild) == (written, False)


@virtually
async def test_a_rebuild_that_is_asked_for_while_the_study_is_written_is_still_done(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(image_of(1))
    write = world.server.write

    async def asked_meanwhile(writes: Sequence[Write]) -> list[Written]:
        monkeypatch.undo()
        world.server.history.pop(f"Endpoint/{world.server.one('Endpoint')['id']}")
        await world.fhir.requeue.rebuild_studies([uid(1)], dry_run=False)
        return await write(writes)

    monkeypatch.setattr(world.server, "write", asked_meanwhile)
    await world.store(image_of(1, StudyDescription="OTHER"), replace=True)
    await world.pass_time(QUIET)
    assert world.server.one("Endpoint")
    assert await world.in_step()


@virtually
async def test_a_study_that_is_queued_lags_from_then_on() -> None:
    world = await world_with(image_of(1))
    await world.pass_time(1000)
    await world.fhir.requeue.rebuild_studies([uid(1)], dry_run=False)
    status_now = await world.fhir.operations.status()
    assert (status_now["dirty"], status_now["lagSeconds"]) == (1, 0)
    assert (await row_of(world, 1)).first_dirty_ms


@virtually
async def test_a_dry_run_counts_and_changes_nothing() -> None:
    counted, counts = counting(memory_stores(VirtualClock()))
    world = await open_world(stores=counted)
    await world.store(image_of(1), image_of(2))
    await world.pass_time(QUIET)
    counts.clear()
    world.server.requests.clear()
    assert await world.fhir.requeue.rebuild_all(dry_run=True) == Queued(2)
    assert await world.fhir.requeue.rebuild_studies([uid(1), uid(7)], dry_run=True) == Queued(1)
    assert {label.partition(" ")[0] for label in counts} == {"get", "page"}
    assert not world.server.requests


@virtually
async def test_a_deleted_study_is_not_among_all_but_may_be_named() -> None:
    world = await world_with(image_of(1), image_of(2))
    await world.delete(uid(1))
    await world.pass_time(QUIET)
    assert await world.fhir.requeue.rebuild_all(dry_run=False) == Queued(1)
    assert await world.fhir.requeue.rebuild_studies([uid(1)], dry_run=False) == Queued(1)
    await world.pass_time(5)
    assert (studies_on(world), await world.in_step()) == (1, True)


@virtually
async def test_a_study_whose_place_in_the_list_changed_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_requeue, "PAGE_STUDIES", 1)
    world = await world_with(image_of(1))
    await world.store(image_of(1, StudyDate="20250101", PatientName="New^Name"), replace=True)
    await world.pass_time(QUIET)
    assert await world.fhir.requeue.rebuild_all(dry_run=True) == Queued(1)


@virtually
async def test_a_study_that_moved_behind_the_cursor_meanwhile_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(*(image_of(n, StudyDate=f"2024010{n}") for n in range(1, 5)))
    monkeypatch.setattr(fhir_requeue, "PAGE_STUDIES", 1)
    monkeypatch.setattr(fhir_requeue, "SLICE_STUDIES", 2)
    assert (await world.fhir.requeue.rebuild_all(dry_run=False)).continues  # studies 4 and 3: the newest first
    await world.store(image_of(1, StudyDate="20250101"), replace=True)
    for _ in range(2):
        await world.pass_time(3)
        await world.fhir.requeue.go_on()
    assert (await row_of(world, 1)).rebuild


@virtually
async def test_a_large_archive_is_rebuilt_in_slices_each_after_the_last_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(*(image_of(n) for n in range(25)))
    world.server.history.clear()
    monkeypatch.setattr(fhir_requeue, "PAGE_STUDIES", 4)
    monkeypatch.setattr(fhir_requeue, "SLICE_STUDIES", 8)
    assert await world.fhir.requeue.rebuild_all(dry_run=False) == Queued(8, continues=True)
    await world.fhir.requeue.go_on()
    assert (await world.fhir.operations.status())["dirty"] == 8  # no more while these are not written
    for _ in range(4):
        await world.pass_time(5)
        await world.fhir.requeue.go_on()
    assert (studies_on(world), await jobs(world)) == (25, [])


@virtually
async def test_a_request_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(*(image_of(n) for n in range(4)))
    monkeypatch.setattr(fhir_requeue, "PAGE_STUDIES", 1)
    monkeypatch.setattr(fhir_requeue, "SLICE_SECONDS", 0.0)
    assert await world.fhir.requeue.rebuild_all(dry_run=True) == Queued(1, continues=True)
    assert await jobs(world) == []
    assert await world.fhir.requeue.rebuild_all(dry_run=False) == Queued(1, continues=True)
    assert await jobs(world) == ["rebuild"]


@virtually
async def test_a_rebuild_begun_anew_wins_over_the_timer_that_goes_on_with_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(*(image_of(n) for n in range(6)))
    monkeypatch.setattr(fhir_requeue, "PAGE_STUDIES", 1)
    monkeypatch.setattr(fhir_requeue, "SLICE_STUDIES", 2)
    requeue = world.fhir.requeue
    await requeue.rebuild_all(dry_run=False)
    (old,) = [fhir_requeue.Job.from_entity(entity) async for page in world.stores.tables.pages(JOBS, "fhir", start="r") for entity in page]
    await requeue.rebuild_all(dry_run=False)
    await requeue._keep(old, None)
    assert await jobs(world) == ["rebuild"]


@virtually
async def test_a_lost_message_is_made_up_for_by_the_sweeper() -> None:
    world = await world_with(image_of(1))
    await world.fhir.requeue.rebuild_studies([uid(1)], dry_run=False)
    for message in await world.stores.queues.receive(SETTLE_QUEUE):
        await world.stores.queues.delete(SETTLE_QUEUE, message)
    world.server.history.clear()
    await world.pass_time(700)
    assert (studies_on(world), await world.in_step()) == (1, True)
