"""What others have made on the FHIR server: adopted, linked, waited for, kept. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.identity import Identity
from shared.fhir.issues import IssueClass, IssueCode
from shared.fhir.lookup import find
from shared.fhir.server import FhirRefused, Write
from shared.fhir.state import SyncStatus
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_studies import (
    QUIET,
    SERIES,
    STUDY,
    ehr_patient,
    foreign_study,
    image,
    open_issues,
    status,
    virtually,
    world_with,
)
from tests.support.fhir_world import open_world


@virtually
async def test_an_adopted_study_keeps_everything_that_is_not_ours() -> None:
    world = await open_world()
    world.server.put(foreign_study())
    await world.store(image())
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    kept = {name: study[name] for name in ("id", "status", "subject", "description", "note")}
    assert kept == {name: foreign_study()[name] for name in kept}
    assert study["numberOfInstances"] == 1
    assert [series["uid"] for series in study["series"]] == [SERIES, "9.9.9"]
    assert study["series"][0]["extension"] == foreign_study()["series"][0]["extension"]
    assert study["series"][0]["modality"]["code"] == "CT"
    assert [each["value"] for each in study["identifier"] if each["system"] == "urn:ehr"] == ["77"]
    assert "tag" not in study["meta"]


@virtually
async def test_an_adopted_study_loses_only_what_we_added_when_ours_is_deleted() -> None:
    world = await open_world()
    world.server.put(foreign_study())
    await world.store(image())
    await world.pass_time(QUIET)
    await world.delete(STUDY)
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    assert [series["uid"] for series in study["series"]] == ["9.9.9"]
    assert "endpoint" not in study
    assert "numberOfInstances" not in study
    assert study["note"] == [{"text": "kept"}]


@virtually
async def test_what_others_add_to_our_study_survives_the_next_change() -> None:
    world = await world_with(image(1))
    ours = world.server.one("ImagingStudy")
    world.server.put({**ours, "note": [{"text": "read on Tuesday"}]})
    await world.store(image(2))
    await world.pass_time(QUIET)
    study = world.server.one("ImagingStudy")
    assert study["note"] == [{"text": "read on Tuesday"}]
    assert study["numberOfInstances"] == 2
    await world.store(image(3))
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["note"] == [{"text": "read on Tuesday"}]


@virtually
async def test_a_patient_of_the_ehr_is_linked_and_not_edited() -> None:
    world = await open_world()
    world.server.put(ehr_patient())
    await world.store(image())
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["subject"]["reference"] == "Patient/ehr"
    assert world.server.writes["Patient"] == 0


@virtually
async def test_the_policy_overwrite_sets_name_and_gender_of_the_ehrs_patient() -> None:
    world = await open_world(patient_policy="overwrite")
    world.server.put(ehr_patient(gender="male", birthDate="1970-01-01"))
    await world.store(image())
    await world.pass_time(QUIET)
    patient = world.server.one("Patient")
    assert (patient["gender"], patient["name"][0]["text"], patient["id"]) == ("female", "Jane Doe", "ehr")


@virtually
async def test_the_policy_link_waits_for_the_patient() -> None:
    world = await world_with(image(), patient_policy="link")
    assert await open_issues(world) == {(IssueClass.FHIR, IssueCode.PATIENT_NOT_FOUND)}
    assert not world.server.all("ImagingStudy")
    world.server.put(ehr_patient())
    await world.pass_time(4500)
    assert world.server.one("ImagingStudy")["subject"]["reference"] == "Patient/ehr"
    assert IssueCode.PATIENT_NOT_FOUND not in {code for _, code in await open_issues(world)}


@virtually
async def test_a_patient_with_another_birth_date_and_family_name_blocks_the_study() -> None:
    world = await open_world()
    world.server.put(ehr_patient(birthDate="1950-05-05", name=[{"family": "Miller"}]))
    await world.store(image())
    await world.pass_time(QUIET)
    assert await status(world) is SyncStatus.BLOCKED
    assert await open_issues(world) == {(IssueClass.FHIR, IssueCode.PATIENT_MISMATCH)}
    assert not world.server.all("ImagingStudy")


@virtually
@pytest.mark.parametrize("elements", [{"birthDate": "1950-05-05"}, {"name": [{"family": "Miller"}], "birthDate": "1970-01-01"}])
async def test_one_difference_alone_is_a_correction(elements: dict[str, Any]) -> None:
    world = await open_world()
    world.server.put(ehr_patient(**elements))
    await world.store(image())
    await world.pass_time(QUIET)
    assert len(world.server.all("ImagingStudy")) == 1


@virtually
async def test_a_mismatch_can_be_flagged_instead() -> None:
    world = await open_world(patient_mismatch="flag")
    world.server.put(ehr_patient(birthDate="1950-05-05", name=[{"family": "Miller"}]))
    await world.store(image())
    await world.pass_time(QUIET)
    assert len(world.server.all("ImagingStudy")) == 1
    assert (IssueClass.VALUE_WARNING, IssueCode.PATIENT_MISMATCH) in await open_issues(world)


@virtually
async def test_a_patient_merged_in_the_ehr_leads_to_the_survivor() -> None:
    world = await open_world()
    world.server.put(ehr_patient(link=[{"type": "replaced-by", "other": {"reference": "Patient/new"}}]))
    world.server.put({"resourceType": "Patient", "id": "new", "name": [{"family": "Doe"}]})
    await world.store(image())
    await world.pass_time(QUIET)
    assert world.server.one("ImagingStudy")["subject"]["reference"] == "Patient/new"


@virtually
async def test_two_patients_with_the_identifier_block_the_study() -> None:
    world = await open_world()
    world.server.put(ehr_patient())
    world.server.put({**ehr_patient(), "id": "ehr-2"})
    await world.store(image())
    await world.pass_time(QUIET)
    assert await open_issues(world) == {(IssueClass.FHIR, IssueCode.MULTIPLE_MATCHES)}


@virtually
async def test_a_study_without_patient_id_is_held_until_one_comes() -> None:
    world = await world_with(image(PatientID=None))
    assert await open_issues(world) == {(IssueClass.DICOM, IssueCode.MISSING_PATIENT_ID)}
    await world.store(image(PatientID="P1"), replace=True)
    await world.pass_time(QUIET)
    assert len(world.server.all("ImagingStudy")) == 1
    assert (IssueClass.DICOM, IssueCode.MISSING_PATIENT_ID) not in await open_issues(world)


@virtually
async def test_or_it_is_shown_with_the_name_alone() -> None:
    world = await world_with(image(PatientID=None), missing_patient="display")
    assert not world.server.all("Patient")
    assert world.server.one("ImagingStudy")["subject"] == {"type": "Patient", "display": "Jane Doe"}


@virtually
async def test_an_order_that_comes_later_is_referred_to_within_the_hour() -> None:
    world = await world_with(image())
    assert (IssueClass.VALUE_WARNING, IssueCode.ORDER_PENDING) in await open_issues(world)
    patient = world.server.one("Patient")
    accession = {"system": "http://archive.example/fhir/accession", "value": "A1"}
    order = {"resourceType": "ServiceRequest", "id": "o1", "identifier": [accession], "subject": {"reference": f"Patient/{patient['id']}"}}
    world.server.put(order)
    await world.pass_time(2 * 3600)
    assert world.server.one("ImagingStudy")["basedOn"] == [{"reference": "ServiceRequest/o1"}]
    assert not await open_issues(world)


@virtually
async def test_an_order_that_never_comes_is_not_looked_for_after_seven_days() -> None:
    world = await world_with(image())
    await world.pass_time(8 * 86_400, sweep_every=1800, step=60)
    world.server.requests.clear()
    await world.pass_time(86_400, sweep_every=1800, step=60)
    assert not world.server.requests
    assert world.server.writes["ImagingStudy"] == 1


@virtually
async def test_a_study_of_another_person_leaves_the_patient_alone() -> None:
    world = await world_with(image(1))
    stranger = image(
        StudyInstanceUID="1.2.9", SOPInstanceUID="1.2.9.1", PatientName="Miller^Max", PatientBirthDate="19500505", PatientSex="M"
    )
    await world.store(stranger)
    await world.pass_time(QUIET)
    assert await open_issues(world, "1.2.9") == {(IssueClass.FHIR, IssueCode.PATIENT_MISMATCH)}
    await world.store(image(2))
    await world.pass_time(QUIET)
    patient = world.server.one("Patient")
    assert (patient["name"][0]["family"], patient["birthDate"], patient["gender"]) == ("Doe", "1970-01-01", "female")


@virtually
async def test_what_a_study_said_of_a_patient_that_it_never_had_is_forgotten() -> None:
    world = await open_world()
    world.server.judge = refuse_studies
    await world.store(image(PatientID="P9"))
    await world.pass_time(QUIET)
    world.server.judge = lambda write: None
    await world.store(image(PatientID="P1"), replace=True)
    await world.pass_time(QUIET)
    nine = Identity("Patient", "http://archive.example/fhir/patient-id", "P9")
    state = world.fhir.sync._state
    assert await state.contributions(state.patient_key(nine)) == []


def refuse_studies(write: Write) -> None:
    if write.url.startswith("ImagingStudy"):
        raise FhirRefused("invalid", 422)


@virtually
async def test_a_patient_whom_the_ehr_made_inactive_stays_so() -> None:
    world = await world_with(image(1))
    world.server.put({**world.server.one("Patient"), "active": False})
    await world.store(image(2, PatientSex="O"), image(3, PatientSex="O"))
    await world.pass_time(QUIET)
    patient = world.server.one("Patient")
    assert (patient["active"], patient["gender"]) == (False, "other")


@virtually
async def test_a_patient_whom_we_made_inactive_becomes_active_again_with_a_study() -> None:
    world = await world_with(image())
    await world.store(image(PatientID="P2"), replace=True)
    await world.pass_time(QUIET)
    await world.store(image(PatientID="P1"), replace=True)
    await world.pass_time(QUIET)
    first = next(patient for patient in world.server.all("Patient") if patient["identifier"][0]["value"] == "P1")
    assert "active" not in first
    assert [tag["code"] for tag in first["meta"]["tag"]] == ["archive"]


@virtually
async def test_an_order_of_another_patient_is_not_linked() -> None:
    world = await open_world()
    accession = {"system": "http://archive.example/fhir/accession", "value": "A1"}
    order = {"resourceType": "ServiceRequest", "id": "o1", "identifier": [accession], "subject": {"reference": "Patient/other"}}
    world.server.put(order)
    await world.store(image())
    await world.pass_time(QUIET)
    assert "reference" not in world.server.one("ImagingStudy")["basedOn"][0]


@virtually
async def test_many_of_one_identifier_do_not_hide_the_others() -> None:
    server = FakeFhirServer()
    crowd, lonely = Identity("Device", "urn:s", "a"), Identity("Device", "urn:s", "b")
    for number in range(9):
        server.put({"resourceType": "Device", "id": f"c{number}", "identifier": [crowd.identifier()]})
    server.put({"resourceType": "Device", "id": "z", "identifier": [lonely.identifier()]})
    found = await find(server, [crowd, lonely])
    assert [resource["id"] for resource in found[lonely]] == ["z"]
    assert len(found[crowd]) == 2
