"""A study that changes: what of it reaches FHIR, and how many writes that takes. In virtual time."""

from __future__ import annotations

import asyncio
import random

from tests.support.dicom_builders import new_uid
from tests.support.fhir_studies import (
    QUIET,
    SERIES,
    STUDY,
    image,
    virtually,
    world_with,
)
from tests.support.fhir_world import dose_report, open_world
from tests.support.sr_builders import ct_event

ONE_EVENT = [ct_event(1, uid="1.2.9.9")]


@virtually
async def test_a_new_study_becomes_a_patient_an_endpoint_and_an_imaging_study() -> None:
    world = await world_with(image(1), image(2))
    assert dict(world.server.writes) == {"Endpoint": 1, "Patient": 1, "ImagingStudy": 1}
    study = world.server.one("ImagingStudy")
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 2)
    assert study["subject"]["reference"] == f"Patient/{world.server.one('Patient')['id']}"
    assert study["endpoint"] == [{"reference": f"Endpoint/{world.server.one('Endpoint')['id']}"}]


@virtually
async def test_a_store_is_acknowledged_without_a_request_to_fhir() -> None:
    world = await open_world()
    await world.store(image())
    assert not world.server.requests


@virtually
async def test_storing_the_same_study_again_makes_no_new_version() -> None:
    world = await world_with(image(1), image(2))
    await world.store(image(1), image(2), replace=True)
    await world.pass_time(QUIET)
    assert world.server.total_writes == 3


@virtually
async def test_a_look_at_a_study_in_step_asks_the_server_nothing() -> None:
    world = await world_with(image(AccessionNumber=None))
    world.server.requests.clear()
    for _ in range(3):
        await world.fhir.sync.look(world.partition(STUDY))
    assert not world.server.requests


@virtually
async def test_a_thousand_instances_from_eight_senders_in_any_order_cost_at_most_ten_writes() -> None:
    world = await open_world()
    numbers = list(range(1, 1001))
    random.Random(3).shuffle(numbers)
    files = [image(number, SeriesInstanceUID=f"{SERIES}.{number % 4}", PixelData=None) for number in numbers]

    async def send(mine: list[bytes]) -> None:
        for file in mine:
            await world.store(file)
            await asyncio.sleep(0.3)

    senders = asyncio.gather(*(send(files[n::8]) for n in range(8)))
    await world.pass_time(200)
    await senders
    study = world.server.one("ImagingStudy")
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (4, 1000)
    assert sum(len(series["instance"]) for series in study["series"]) == 1000
    assert world.server.total_writes <= 10


@virtually
async def test_a_study_that_keeps_changing_is_written_every_five_minutes() -> None:
    world = await open_world()
    for number in range(1, 61):
        await world.store(image(number))
        await world.pass_time(10)
    assert 1 <= world.server.writes["ImagingStudy"] <= 3


@virtually
async def test_sixteen_studies_of_a_new_patient_at_once_make_one_patient_that_says_what_the_newest_says() -> None:
    world = await open_world()
    studies = [
        image(StudyInstanceUID=f"{STUDY}.{n}", SOPInstanceUID=new_uid(), StudyDate=f"202401{n:02d}", PatientSex="FM"[n % 2])
        for n in range(1, 17)
    ]
    await asyncio.gather(*map(world.store, studies))
    await world.pass_time(QUIET)
    assert len(world.server.all("ImagingStudy")) == 16
    assert world.server.one("Patient")["gender"] == "female"  # of the 16th of January


@virtually
async def test_a_replaced_instance_with_other_attributes_updates_the_study() -> None:
    world = await world_with(image())
    await world.store(image(StudyDescription="CT HEAD AND NECK"), replace=True)
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["description"] == "CT HEAD AND NECK"
    assert world.server.writes["ImagingStudy"] == 2


@virtually
async def test_a_deleted_instance_and_series_leave_the_study() -> None:
    world = await world_with(image(1), image(2), image(3, SeriesInstanceUID=f"{SERIES}.9"))
    await world.delete(STUDY, SERIES, f"{SERIES}.1")
    await world.delete(STUDY, f"{SERIES}.9")
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    assert [instance["uid"] for series in study["series"] for instance in series["instance"]] == [f"{SERIES}.2"]
    assert (study["numberOfSeries"], study["numberOfInstances"]) == (1, 1)


@virtually
async def test_a_deleted_study_goes_with_its_documents_and_comes_back_when_stored_again() -> None:
    world = await world_with(image(), dose_report(STUDY))
    before = world.server.state()
    await world.delete(STUDY)
    await world.pass_time(QUIET)
    assert {resource["resourceType"] for resource in world.server.all()} <= {"Patient", "Endpoint", "Device"}
    await world.store(image(), dose_report(STUDY))
    await world.pass_time(QUIET)
    assert world.server.state() == before


@virtually
async def test_a_study_deleted_before_it_was_ever_written_leaves_nothing() -> None:
    world = await open_world()
    await world.store(image())
    await world.delete(STUDY)
    await world.pass_time(QUIET)
    assert world.server.total_writes == 0
    assert await world.in_step()


@virtually
async def test_a_deleted_dose_report_takes_its_observations_along_and_nothing_else() -> None:
    world = await world_with(image(), dose_report(STUDY))
    assert world.server.all("Observation")
    assert world.server.all("DocumentReference")
    await world.delete(STUDY, f"{STUDY}.88")
    await world.pass_time(QUIET)
    assert not world.server.all("Observation")
    assert not world.server.all("DocumentReference")
    assert world.server.one("ImagingStudy")["numberOfInstances"] == 1


@virtually
async def test_deleting_an_image_does_not_touch_the_dose() -> None:
    world = await world_with(image(1), image(2), dose_report(STUDY))
    observations = world.server.writes["Observation"]
    await world.delete(STUDY, SERIES, f"{SERIES}.1")
    await world.pass_time(QUIET)
    assert world.server.writes["Observation"] == observations
    assert world.server.one("ImagingStudy")["numberOfInstances"] == 2


@virtually
async def test_another_patient_id_moves_the_study_and_its_documents_to_the_other_patient() -> None:
    world = await world_with(image(), dose_report(STUDY))
    await world.store(image(PatientID="P2"), dose_report(STUDY, PatientID="P2"), replace=True)
    await world.pass_time(QUIET)
    old, new = sorted(world.server.all("Patient"), key=lambda patient: str(patient["identifier"][0]["value"]))
    subjects = {r["subject"]["reference"] for kind in ("ImagingStudy", "Observation", "DocumentReference") for r in world.server.all(kind)}
    assert subjects == {f"Patient/{new['id']}"}
    assert old["active"] is False
    assert "active" not in new


@virtually
async def test_a_patient_whom_other_studies_have_stays_active() -> None:
    world = await world_with(image(), image(StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1"))
    await world.store(image(PatientID="P2"), replace=True)
    await world.pass_time(QUIET)
    assert all("active" not in patient for patient in world.server.all("Patient"))


@virtually
async def test_an_older_study_fills_what_the_newest_does_not_say_in_whatever_order_they_come() -> None:
    old = image(StudyInstanceUID="1.2.8", SOPInstanceUID="1.2.8.1", StudyDate="20200101", PatientSex="F", PatientName="Old^Name")
    new = image(StudyDate="20240101", PatientSex=None, PatientName="New^Name")
    states = set()
    for files in ([old, new], [new, old]):
        world = await open_world()
        for file in files:
            await world.store(file)
            await world.pass_time(QUIET)
        patient = world.server.one("Patient")
        states.add((patient["gender"], patient["name"][0]["family"]))
    assert states == {("female", "New")}


@virtually
async def test_an_event_that_another_studys_report_tells_of_too_outlives_the_first_study() -> None:
    world = await open_world()
    for study in ("1.2.3", "1.2.4"):
        await world.store(dose_report(study, events=ONE_EVENT))
        await world.pass_time(QUIET)
    await world.delete("1.2.3")
    await world.pass_time(QUIET)
    left = {observation["identifier"][0]["value"] for observation in world.server.all("Observation")}
    assert left == {"urn:oid:1.2.9.9", "urn:oid:1.2.4.88.1"}
