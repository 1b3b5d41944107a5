"""Every way in which the FHIR server fails, and in which we do: nothing is lost, nothing written twice. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.fhir.identity import Identity
from shared.fhir.issues import IssueClass, IssueCode
from shared.fhir.plan import Unit
from shared.fhir.server import Capabilities, FhirConfiguration, FhirConflict, FhirRefused, FhirTransient, Write
from shared.fhir.state import Contribution, LeaseLost, SyncStatus
from shared.services.fhir_outcomes import Attempt
from shared.services.fhir_plan import Known, SyncPlan
from tests.support.fhir_studies import (
    QUIET,
    SERIES,
    STUDY,
    ehr_patient,
    failing,
    image,
    open_issues,
    status,
    virtually,
    world_with,
)
from tests.support.fhir_world import dose_report, open_world


@virtually
async def test_a_storm_of_conflicts_converges() -> None:
    world = await open_world()
    world.server.before = failing(FhirConflict("changed", 412), times=4)
    await world.store(image())
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["numberOfInstances"] == 1
    assert await world.in_step()


@virtually
async def test_a_server_that_is_down_for_an_hour_costs_nothing_but_time() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("down", 503), verbs="capabilities search read write")
    for n in range(5):
        await world.store(image(StudyInstanceUID=f"{STUDY}.{n}", SOPInstanceUID=f"{STUDY}.{n}.1"))
    await world.pass_time(3600)
    assert await status(world, f"{STUDY}.0") is SyncStatus.DIRTY
    world.server.before = lambda verb: None
    await world.pass_time(180)
    assert len(world.server.all("ImagingStudy")) == 5
    assert await world.in_step()


@virtually
async def test_a_server_that_is_down_for_longer_than_the_retry_window_is_given_up_until_the_study_changes() -> None:
    world = await open_world(retry_window_seconds=600)
    world.server.before = failing(FhirTransient("down", 503), verbs="capabilities search read write")
    await world.store(image(1))
    await world.pass_time(1200)
    assert await status(world) is SyncStatus.DEAD
    assert await open_issues(world) == {(IssueClass.DEAD, IssueCode.GIVEN_UP)}
    world.server.before = lambda verb: None
    await world.store(image(2))
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["numberOfInstances"] == 2
    assert (IssueClass.DEAD, IssueCode.GIVEN_UP) not in await open_issues(world)


@virtually
async def test_the_servers_hint_is_honoured() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("busy", 429, retry_after_seconds=120), times=1)
    await world.store(image())
    await world.pass_time(100)
    assert world.server.requests["write"] == 1
    await world.pass_time(120)
    assert len(world.server.all("ImagingStudy")) == 1


@virtually
async def test_a_refused_token_pauses_everything_and_gives_nothing_up() -> None:
    world = await open_world()
    world.server.before = failing(FhirConfiguration("refused", 401), verbs="capabilities search read write")
    for n in range(5):
        await world.store(image(StudyInstanceUID=f"{STUDY}.{n}", SOPInstanceUID=f"{STUDY}.{n}.1"))
    await world.pass_time(3600)
    assert world.server.requests.total() < 5 * 3600 / 300
    assert {await status(world, f"{STUDY}.{n}") for n in range(5)} == {SyncStatus.DIRTY}
    world.server.before = lambda verb: None
    await world.pass_time(600)
    assert len(world.server.all("ImagingStudy")) == 5
    assert not any(issue_class is IssueClass.CONFIGURATION for issue_class, _ in await open_issues(world, f"{STUDY}.0"))


@virtually
async def test_a_refused_study_is_blocked_until_it_changes() -> None:
    world = await open_world()
    world.server.before = failing(FhirRefused("invalid", 422, "invariant", "sub-1"))
    await world.store(image(1))
    await world.pass_time(600)
    assert await status(world) is SyncStatus.BLOCKED
    attempts = world.server.requests["write"]
    await world.pass_time(86_400, step=60)
    assert world.server.requests["write"] == attempts
    world.server.before = lambda verb: None
    await world.store(image(2))
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["numberOfInstances"] == 2


@virtually
async def test_a_500_is_believed_three_times() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("broken", 500))
    await world.store(image())
    await world.pass_time(3600)
    assert await status(world) is SyncStatus.BLOCKED
    assert world.server.requests["write"] == 4


@virtually
async def test_a_refused_document_does_not_keep_the_study_from_being_written() -> None:
    world = await open_world()

    def refuse_documents(write: Write) -> None:
        if write.url.startswith("DocumentReference"):
            raise FhirRefused("invalid", 422)

    world.server.judge = refuse_documents
    await world.store(image(), dose_report(STUDY))
    await world.pass_time(QUIET)
    assert len(world.server.all("ImagingStudy")) == 1
    assert (IssueClass.FHIR, IssueCode.REFUSED) in await open_issues(world)


@virtually
async def test_a_lost_answer_leads_to_no_duplicate_and_no_further_version() -> None:
    world = await open_world()
    world.server.after = failing(FhirTransient("lost", 504), times=3)
    await world.store(image(), dose_report(STUDY))
    await world.pass_time(300)
    assert {kind: count for kind, count in world.server.writes.items() if kind in {"Patient", "ImagingStudy"}} == {
        "Patient": 1,
        "ImagingStudy": 1,
    }
    assert await world.in_step()


@virtually
async def test_a_server_that_makes_the_ids_gets_conditional_updates() -> None:
    world = await open_world()
    types = frozenset({"Patient", "ImagingStudy", "Endpoint", "Observation", "DocumentReference", "Device"})
    world.server.abilities = Capabilities(no_update_create=types)
    await world.store(image(1), dose_report(STUDY))
    await world.pass_time(QUIET)
    await world.store(image(2))
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    assert study["id"].startswith("server-")
    assert study["subject"]["reference"] == f"Patient/{world.server.one('Patient')['id']}"
    assert study["endpoint"] == [{"reference": f"Endpoint/{world.server.one('Endpoint')['id']}"}]
    assert {o["partOf"][0]["reference"] for o in world.server.all("Observation")} == {f"ImagingStudy/{study['id']}"}


@virtually
async def test_a_study_that_others_refer_to_is_cancelled_where_it_cannot_be_deleted() -> None:
    world = await world_with(image())

    def refuse_deletes(write: Write) -> None:
        if write.method == "DELETE":
            raise FhirConflict("referred to", 409)

    world.server.judge = refuse_deletes
    await world.delete(STUDY)
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    assert (study["status"], study["numberOfSeries"], study["numberOfInstances"], "series" in study) == ("cancelled", 0, 0, False)


@virtually
async def test_the_operator_may_want_cancelled_studies() -> None:
    world = await world_with(image(), delete="cancel")
    await world.delete(STUDY)
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["status"] == "cancelled"


@virtually
async def test_messages_that_come_often_and_in_any_order_end_in_the_state_of_one_ordered_pass() -> None:
    states = set()
    for deliveries in (1, 5):
        world = await open_world()
        world.deliveries = deliveries
        for n in range(1, 7):
            await world.store(image(n, StudyDescription=f"part {n}"), image(n, StudyInstanceUID="1.2.9", SOPInstanceUID=f"1.2.9.{n}"))
            await world.pass_time(7)
        await world.delete(STUDY, SERIES, f"{SERIES}.3")
        await world.pass_time(600)
        states.add(world.server.state())
    assert len(states) == 1


@virtually
async def test_a_study_written_by_a_process_that_died_before_it_recorded_it_is_not_written_twice() -> None:
    world = await open_world()
    record = world.fhir.sync._outcomes.written
    died: list[bool] = []

    async def die(*args: Any) -> None:
        if not died:
            died.append(True)
            raise asyncio.CancelledError
        await record(*args)

    world.fhir.sync._outcomes.written = die  # type: ignore[assignment, method-assign]
    await world.store(image(AccessionNumber=None))
    with pytest.raises(asyncio.CancelledError):
        await world.pass_time(QUIET)
    await world.restart()
    await world.pass_time(900)
    assert world.server.writes["ImagingStudy"] == world.server.writes["Patient"] == 1
    assert await world.in_step()


@virtually
async def test_a_worker_that_lost_its_lease_does_not_write() -> None:
    world = await open_world()
    taken: list[asyncio.Task[Any]] = []

    def steal(verb: str) -> None:
        if verb == "search" and not taken:
            taken.append(
                asyncio.ensure_future(world.fhir.sync._state.change(world.partition(STUDY), lambda row: replace(row, lease_owner="other")))
            )

    world.server.before = steal
    await world.store(image())
    await world.pass_time(30)
    assert world.server.writes["ImagingStudy"] == 0
    await world.pass_time(600)
    assert world.server.writes["ImagingStudy"] == 1


@virtually
async def test_a_lost_message_is_made_up_for_by_the_sweeper() -> None:
    world = await open_world()
    await world.store(image())
    await world.pass_time(3, sweep_every=10**6)
    while messages := await world.stores.queues.receive("settle", limit=32, visibility_seconds=0.01):
        for message in messages:
            await world.stores.queues.delete("settle", message)
    await world.pass_time(900)
    assert len(world.server.all("ImagingStudy")) == 1


@virtually
async def test_a_patients_values_are_in_no_issue_and_no_message() -> None:
    world = await open_world()
    world.server.put(ehr_patient(birthDate="1950-05-05", name=[{"family": "Miller"}]))
    await world.store(image())
    await world.pass_time(QUIET)
    logged = await world.fhir.sync._outcomes._issues.of_study(world.partition(STUDY))
    told = str([each.issue for each in logged])
    assert "Doe" not in told
    assert "Miller" not in told
    assert "P1" not in told


@virtually
async def test_a_worker_that_lost_its_lease_forgets_nothing_of_what_another_remembers() -> None:
    world = await world_with(image())
    sync, partition = world.fhir.sync, world.partition(STUDY)
    mine, others = (sync._state.patient_key(Identity("Patient", "urn:s", value)) for value in ("P1", "P2"))
    await sync._state.contribute(others, Contribution(partition, "2024-01-02", {"gender": "female"}))
    row = await sync._state.change(partition, lambda row: replace(row.describing(others), lease_owner="other"))
    study = await sync._study(partition)
    assert study is not None
    with pytest.raises(LeaseLost):
        await sync._outcomes.written(Attempt(partition, "me"), study, Known(row, {}), SyncPlan(Unit(), [], "", patient_key=mine), ())
    assert len(await sync._state.contributions(others)) == 1
