"""Studies in a real FHIR server: stored twice, in parallel, replaced, deleted, given to another patient, written anew.

docs/fhir.md says what becomes of them.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dicom_builders import new_uid
from tests.support.fhir import reference, running_fhir_server
from tests.support.fhir_acceptance import LinkedArchive, image, pdf_file, relay, report_file
from tests.support.fhir_world import dose_report

if TYPE_CHECKING:
    from localhost.fhir_server import FhirServer
    from tests.support.fhir_acceptance import Link

SENDERS = 8


async def send_in_any_order(archive: LinkedArchive, files: list[bytes]) -> None:
    """Send files one by one, over several senders at the same time."""
    left = random.sample(files, len(files))

    async def send() -> None:
        while left:
            await archive.put(left.pop())

    await asyncio.gather(*(send() for _ in range(SENDERS)))


def counts(archive: LinkedArchive) -> tuple[int, int, list[int]]:
    """Give numbers of series and instances, and of the instances of each series, as the ImagingStudy says and lists them."""
    study = archive.written.one("ImagingStudy")
    listed = [len(series["instance"]) for series in study["series"]]
    assert listed == [series["numberOfInstances"] for series in study["series"]]
    return study["numberOfSeries"], study["numberOfInstances"], listed


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_the_same_study_stored_twice_is_one_patient_and_one_study_in_one_version(link: Link, method: str) -> None:
    archive, study = link(), new_uid()
    for _ in range(2):
        await archive.store(image(study, 1), image(study, 2), method=method)
        await archive.in_step()
    assert archive.written.versions() == {"Patient": 1, "Endpoint": 1, "ImagingStudy": 1}
    assert counts(archive) == (1, 2, [2])


async def test_writing_everything_anew_makes_no_new_version(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), report_file(study), pdf_file(study), dose_report(study))
    await archive.in_step()
    before = archive.written.versions()
    await archive.rebuild()
    assert archive.written.versions() == before
    assert set(before.values()) <= {1, 2, 3}, before


async def test_the_preview_is_what_is_written_then(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), report_file(study), dose_report(study))
    preview = (await archive.get(f"/fhir-sync/preview/{study}")).json()
    assert archive.written.everything() == []
    await archive.in_step()
    assert {entry["request"]["url"]: entry["resource"] for entry in preview["bundle"]["entry"]} == archive.written.state()
    assert {change["action"] for change in preview["changes"]} == {"create"}


async def test_a_study_of_more_instances_than_are_listed_is_counted_right_all_the_same(link: Link) -> None:
    archive, study = link(instance_limit=60), new_uid()
    await archive.put(*(image(study, number, PixelData=None) for number in range(1, 61)), image(study, 1, 2), report_file(study))
    await archive.in_step()
    resource = archive.written.one("ImagingStudy")
    assert (resource["numberOfSeries"], resource["numberOfInstances"]) == (3, 62)
    assert [len(series.get("instance", [])) for series in resource["series"]] == [0, 1, 1]
    assert "instances-elided" in {tag["code"] for tag in resource["meta"]["tag"]}


async def test_500_instances_in_any_order_over_8_senders_are_counted_right_and_cost_few_versions(link: Link) -> None:
    archive, study = link(settle_delay_seconds=0.03, debounce_seconds=0.5), new_uid()
    files = [image(study, number, series, PixelData=None) for series in range(1, 6) for number in range(1, 101)]
    async with archive.delivering():
        await send_in_any_order(archive, files)
    await archive.in_step()
    assert counts(archive) == (5, 500, [100] * 5)
    assert archive.written.versions()["ImagingStudy"] <= 10
    assert archive.written.versions()["Patient"] == 1


async def test_16_studies_of_a_new_patient_in_two_processes_at_once_are_of_one_patient(link: Link) -> None:
    """Each says something else of the patient: in the end the Patient has it all, the newest study's name among it."""
    one = link()
    other = link(beside=one)
    nothing: dict[str, Any] = {"PatientSex": None, "PatientBirthDate": None}
    said: dict[int, dict[str, Any]] = {3: {"PatientSex": "F"}, 7: {"PatientBirthDate": "19700101"}, 11: {"PatientBirthName": "Born^Jane"}}
    for number in random.sample(range(16), 16):
        attributes = {**nothing, **said.get(number, {}), "PatientName": f"Doe^Jane {number}", "StudyDate": f"202401{number + 1:02d}"}
        await (one, other)[number % 2].put(image(new_uid(), **attributes))
    one.clock.put_forward(60)
    await asyncio.gather(*(archive.deliver(limit=4) for archive in (one, other) for _ in range(4)))
    await one.in_step()
    patient = one.written.one("Patient")
    assert [study["subject"]["reference"] for study in one.written.all("ImagingStudy")] == [reference(patient)] * 16
    assert one.written.versions()["ImagingStudy"] == 16
    assert ([name["text"] for name in patient["name"]], patient["gender"]) == (["Jane 15 Doe", "Jane Born"], "female")
    assert patient["birthDate"] == "1970-01-01"


async def test_a_replaced_instance_is_told_anew(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study, 1), image(study, 2))
    await archive.in_step()
    for number in (1, 2):
        await archive.put(image(study, number, StudyDescription="CT NECK", Modality="PT", InstanceNumber=number + 10))
    await archive.in_step()
    resource = archive.written.one("ImagingStudy")
    assert (resource["description"], [each["code"] for each in resource["modality"]]) == ("CT NECK", ["PT"])
    assert [instance["number"] for instance in resource["series"][0]["instance"]] == [11, 12]
    assert resource["meta"]["versionId"] == "2"


@pytest.mark.parametrize(("levels", "left"), [(3, (2, 3, [1, 2])), (2, (1, 2, [2]))], ids=["an instance", "a series"])
async def test_what_is_deleted_is_not_listed_any_more(link: Link, levels: int, left: tuple[int, int, list[int]]) -> None:
    archive, study = link(), new_uid()
    await archive.put(*(image(study, number, series) for series in (1, 2) for number in (1, 2)))
    await archive.in_step()
    await archive.delete(*(study, f"{study}.1", f"{study}.1.2")[:levels])
    await archive.in_step()
    assert counts(archive) == left


async def test_a_deleted_study_goes_with_all_that_was_made_of_its_documents_and_the_patient_stays(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), report_file(study), pdf_file(study), dose_report(study))
    await archive.in_step()
    gone = [reference(each) for each in archive.written.everything() if each["resourceType"] not in {"Patient", "Endpoint"}]
    assert len(gone) == 9
    await archive.delete(study)
    await archive.in_step()
    assert sorted(each["resourceType"] for each in archive.written.everything()) == ["Endpoint", "Patient"]
    assert {archive.written.client.call("GET", each).status_code for each in gone} == {410}


async def test_a_study_that_is_stored_again_after_its_deletion_is_back_under_its_id(link: Link) -> None:
    archive, study = link(), new_uid()
    files = [image(study), report_file(study), dose_report(study)]
    await archive.put(*files)
    await archive.in_step()
    before = archive.written.state()
    await archive.delete(study)
    await archive.in_step()
    await archive.put(*files)
    await archive.in_step()
    assert archive.written.state() == before


async def test_another_patient_id_moves_study_dose_report_and_document(link: Link) -> None:
    archive, study = link(), new_uid()

    def files(patient_id: str) -> list[bytes]:
        of: dict[str, Any] = {"PatientID": patient_id}
        documents = [report_file(study, **of), pdf_file(study, **of), dose_report(study, **of)]
        return [image(study, **of), *documents]

    await archive.put(*files("P1"))
    await archive.in_step()
    ids = {reference(each) for each in archive.written.everything()}
    await archive.put(*files("P2"))
    await archive.in_step()
    old, new = sorted(archive.written.all("Patient"), key=lambda patient: str(patient["identifier"][0]["value"]))
    told = [each for each in archive.written.everything() if "subject" in each]
    assert {each["resourceType"] for each in told} == {"ImagingStudy", "Observation", "DiagnosticReport", "DocumentReference"}
    assert {each["subject"]["reference"] for each in told} == {reference(new)}
    assert (old["active"], "active" in new) == (False, False)
    assert {reference(each) for each in archive.written.everything()} - ids == {reference(new)}


async def test_an_empty_server_is_filled_with_the_same_as_came_by_and_by(link: Link, fhir_server: FhirServer) -> None:
    """Although each message came up to five times."""
    with relay(fhir_server.url) as between, running_fhir_server() as empty:
        archive = link(between.url)
        archive.deliveries = 5
        await a_busy_day(archive)
        incremental = archive.written.state()
        assert len(incremental) > 20
        between.target = archive.written.client.url = empty.url
        assert archive.written.state() == {}
        await archive.rebuild()
        assert archive.written.state() == incremental
        archive.written.client.url = fhir_server.url


async def a_busy_day(archive: LinkedArchive) -> None:
    """Store, replace and delete in several studies of two patients, with documents."""
    studies = [new_uid() for _ in range(4)]
    for number, study in reversed(list(enumerate(studies))):
        of: dict[str, Any] = {"PatientID": f"P{number % 2}", "StudyDate": f"2024010{number + 1}"}
        names: dict[str, Any] = {"PatientBirthName": "Born^Jane", "OtherPatientNames": f"Former^Jane {number}"} if number < 2 else {}
        await archive.put(image(study, 1, **of, **names), image(study, 2, **of, **names), report_file(study, **of))
        await archive.in_step()
        await archive.put(dose_report(study, **of), image(study, 3, 2, **of))
        await archive.in_step()
    await archive.put(image(studies[0], 1, PatientID="P0", StudyDate="20240101", StudyDescription="CT NECK"))
    await archive.delete(studies[1], f"{studies[1]}.1", f"{studies[1]}.1.1")
    await archive.delete(studies[2], f"{studies[2]}.88")
    await archive.in_step()
