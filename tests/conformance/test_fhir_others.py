"""What others have on the same FHIR server: their elements stay, their writes do not hold up ours, no identifier is taken for another.

docs/fhir.md says who owns what.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.dicom_builders import new_uid
from tests.support.fhir import PATIENCE_SECONDS, FhirClient, new_id, reference
from tests.support.fhir_acceptance import LinkedArchive, identifiers, image, report_file

if TYPE_CHECKING:
    from localhost.fhir_server import FhirServer
    from tests.support.fhir import Json
    from tests.support.fhir_acceptance import Link, Relay
    from tests.support.fhir_peer import Seen

EXTENSION = {"url": "urn:ehr:weight", "valueDecimal": 12.345678}
NOT_OURS = ("id", "status", "subject", "note", "extension", "description", "reasonReference", "contained", "text")


def ehr_study(study: str) -> Json:
    """Make the ImagingStudy that an EHR has of a study; its first series is ours too."""
    return {
        "resourceType": "ImagingStudy",
        "id": new_id(),
        "text": {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Kept &amp; unchanged: ä 山</div>'},
        "contained": [{"resourceType": "Organization", "id": "site", "name": "Site"}],
        "extension": [EXTENSION, {"url": "urn:ehr:more", "extension": [{"url": "a", "valueQuantity": {"value": 0.1, "unit": "mm"}}]}],
        "identifier": [{"system": "urn:ehr:studies", "value": "77"}, {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"}],
        "status": "registered",
        "subject": {"reference": "Patient/of-the-ehr", "display": "Jane"},
        "reasonReference": [{"reference": "Condition/c1"}],
        "note": [{"text": "Called the ward at 3."}],
        "description": "As ordered",
        "series": [
            {
                "uid": f"{study}.1",
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "OT"},
                "extension": [EXTENSION],
                "endpoint": [{"reference": "Endpoint/of-the-ehr"}],
                "instance": [{"uid": f"{study}.1.1", "sopClass": {"code": "urn:oid:1.2"}, "extension": [EXTENSION]}],
            },
            {
                "uid": f"{study}.99",
                "modality": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "MR"},
                "endpoint": [{"reference": "Endpoint/of-the-ehr"}],
            },
        ],
    }


def as_sent(client: FhirClient, study: Json) -> Any:
    """Read a resource with its numbers as they are written."""
    return json.loads(client.call("GET", reference(study)).content, parse_float=str)


async def test_an_adopted_study_keeps_what_is_not_ours_to_the_last_digit(link: Link, fhir_server: FhirServer) -> None:
    archive, study, ehr = link(), new_uid(), FhirClient(fhir_server.url)
    theirs = ehr_study(study)
    assert ehr.put(theirs).status_code == 201
    before = as_sent(ehr, theirs)
    await archive.put(image(study, 1), image(study, 2), image(study, 1, 2), report_file(study))
    await archive.in_step()
    after = as_sent(ehr, theirs)
    assert {name: after.get(name) for name in NOT_OURS} == {name: before.get(name) for name in NOT_OURS}
    assert "tag" not in after["meta"]
    assert (after["numberOfSeries"], after["numberOfInstances"]) == (3, 4)
    mine = {each["uid"]: each for each in after["series"]}
    assert mine[f"{study}.99"] == before["series"][1]
    assert mine[f"{study}.1"]["modality"]["code"] == "CT"
    assert {name: mine[f"{study}.1"][name] for name in ("extension", "endpoint")} == {
        name: before["series"][0][name] for name in ("extension", "endpoint")
    }
    assert mine[f"{study}.1"]["instance"][0]["extension"] == before["series"][0]["instance"][0]["extension"]
    assert sorted(each["value"] for each in after["identifier"]) == sorted(["77", f"urn:oid:{study}", "A1"])
    assert archive.written.all("ImagingStudy") == []
    assert archive.written.one("DiagnosticReport")["imagingStudy"] == [{"reference": reference(theirs)}]


async def test_an_adopted_study_outlives_ours_without_what_we_added(link: Link, fhir_server: FhirServer) -> None:
    archive, study, ehr = link(), new_uid(), FhirClient(fhir_server.url)
    theirs = ehr_study(study)
    ehr.put(theirs)
    before = as_sent(ehr, theirs)
    await archive.put(image(study), image(study, 1, 2))
    await archive.in_step()
    await archive.delete(study)
    await archive.in_step()
    after = as_sent(ehr, theirs)
    assert {name: after.get(name) for name in NOT_OURS} == {name: before.get(name) for name in NOT_OURS}
    assert [each["uid"] for each in after["series"]] == [f"{study}.99"]
    assert {"numberOfInstances", "started", "modality", "endpoint"} & set(after) == set()
    assert identifiers(after, "urn:ehr:studies") == ["77"]


class Hammer(threading.Thread):
    """Another writer, who changes a study's note over and over as fast as the server lets him."""

    def __init__(self, url: str, study: str, most: int) -> None:
        super().__init__(daemon=True)
        self.client, self.study, self.most, self.done = FhirClient(url), study, most, 0
        self.has_begun = threading.Event()

    def run(self) -> None:
        while self.done < self.most:
            (current,) = self.client.find("ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{self.study}")
            note = [{"text": f"Blow {self.done + 1}"}]
            answer = self.client.put({**current, "note": note}, If_Match=f'W/"{current["meta"]["versionId"]}"')
            self.done += answer.status_code == 200
            self.has_begun.set()


async def test_a_storm_of_foreign_writes_ends_with_theirs_and_ours(link: Link, between: Relay) -> None:
    archive, study = link(between.url), new_uid()
    await archive.put(image(study, 1))
    await archive.in_step()
    hammer = Hammer(between.target, study, most=250)
    hammer.start()
    await asyncio.to_thread(hammer.has_begun.wait)
    for number in range(2, 6):
        await archive.put(image(study, number))
        await archive.pass_time()
    await asyncio.to_thread(hammer.join)
    await archive.in_step()
    assert between.answers_given[412] > 0
    resource = archive.written.one("ImagingStudy")
    assert (resource["numberOfInstances"], resource["note"]) == (5, [{"text": "Blow 250"}])
    assert 1 + 250 < int(resource["meta"]["versionId"]) <= 1 + 250 + 4


def ehr_patient(archive: LinkedArchive) -> Json:
    """Make the EHR's patient with the number P1."""
    identifier = {"system": archive.fhir_settings.patient_id_system, "value": "P1"}
    return {"resourceType": "Patient", "id": new_id(), "identifier": [identifier], "name": [{"family": "Doe"}]}


def order(archive: LinkedArchive, number: str, patient: Json) -> Json:
    """Make the EHR's order with an accession number."""
    return {
        "resourceType": "ServiceRequest",
        "id": new_id(),
        "status": "active",
        "intent": "order",
        "subject": {"reference": reference(patient)},
        "identifier": [{"system": archive.fhir_settings.accession_system, "value": number}],
    }


async def test_a_patient_of_the_ehr_is_linked_and_not_touched(link: Link, fhir_server: FhirServer) -> None:
    archive, study, ehr = link(), new_uid(), FhirClient(fhir_server.url)
    patient = ehr_patient(archive)
    ehr.put(patient)
    await archive.put(image(study))
    await archive.in_step()
    assert archive.written.one("ImagingStudy")["subject"]["reference"] == reference(patient)
    assert len(ehr.versions(reference(patient))) == 1


async def test_an_order_that_the_ehr_enters_later_is_linked_when_the_timer_looks_again(link: Link, fhir_server: FhirServer) -> None:
    archive, study, ehr = link(), new_uid(), FhirClient(fhir_server.url)
    await archive.put(image(study, AccessionNumber="A|1,2"))
    await archive.in_step()
    assert "reference" not in archive.written.one("ImagingStudy")["basedOn"][0]
    late = order(archive, "A|1,2", archive.written.one("Patient"))
    assert ehr.put(late).ok
    archive.clock.put_forward(3700)
    await archive.sweep()
    await archive.in_step()
    assert archive.written.one("ImagingStudy")["basedOn"] == [{"reference": reference(late)}]


async def test_two_persons_who_come_under_one_new_number_at_the_same_moment_are_not_made_one(link: Link, between: Relay) -> None:
    """The second is planned while the first is about to be written."""
    one = link(between.url)
    other = link(between.url, beside=one)
    first, second, begun, go_on = new_uid(), new_uid(), threading.Event(), threading.Event()

    def hold_up(seen: Seen) -> None:
        if seen.method == "POST" and f"urn:oid:{first}".encode() in seen.body and b'"transaction"' in seen.body:
            begun.set()
            go_on.wait(PATIENCE_SECONDS)

    between.rule = hold_up
    await one.put(image(first, PatientName="Doe^Jane", PatientBirthDate="19700101", StudyDate="20240101"))
    writing = asyncio.create_task(one.pass_time(60))
    await asyncio.to_thread(begun.wait)
    await other.put(image(second, PatientName="Roe^Richard", PatientBirthDate="19850505", StudyDate="20230101"))
    await other.pass_time(60)
    go_on.set()
    await writing
    await one.pass_time()
    one.clock.put_forward(3700)
    await one.sweep()
    await one.pass_time()
    families = {first: "Doe", second: "Roe"}
    written = [identifiers(study, "urn:dicom:uid")[0].removeprefix("urn:oid:") for study in one.written.all("ImagingStudy")]
    assert [each["name"][0]["family"] for each in one.written.all("Patient")] == [families[study] for study in written]
    assert len(written) == 1
    blocked = {first: second, second: first}[written[0]]
    assert ("fhir", "patient-mismatch") in await one.issues(blocked)


PATIENT_IDS = [
    *("A", "a", "B", "A,B", "B,A", "A|B", "|A", "A|", "A$B", "A&B", "A+B", "A B", "A#B", "A%2CB", "A%B", "A/B", "A?B", "A=B", "A;B", "A:B"),
    *('A"B', "A'B", "<A>", "A*", "*", "{A}", "A@B", "A^B", "É", "é", "e", "山田", "Ω-1", "0007", "7", "AB", "A.B", "A~B", "ß", "SS"),
]
"""Values that escaping, encoding, or the folding of case or accents would take for one another."""


async def test_no_patient_id_is_mistaken_for_another(link: Link) -> None:
    archive = link()
    for _ in range(2):
        for half in (PATIENT_IDS[::2], PATIENT_IDS[1::2]):
            await archive.put(*(image(study_of(archive, value), PatientID=value, SpecificCharacterSet="ISO_IR 192") for value in half))
            await archive.in_step()
        check_patients(archive)
    await archive.rebuild()
    check_patients(archive)
    assert archive.written.versions()["Patient"] == len(PATIENT_IDS)


def study_of(archive: LinkedArchive, patient_id: str) -> str:
    return f"2.25.{int(archive.canonical[7:23], 16)}.{PATIENT_IDS.index(patient_id)}"


def check_patients(archive: LinkedArchive) -> None:
    patients = {reference(each): each["identifier"][0]["value"] for each in archive.written.all("Patient")}
    assert sorted(patients.values()) == sorted(PATIENT_IDS)
    for study in archive.written.all("ImagingStudy"):
        uid = identifiers(study, "urn:dicom:uid")[0]
        assert patients[study["subject"]["reference"]] == PATIENT_IDS[int(uid.rpartition(".")[2])]


async def test_a_server_that_takes_everything_for_a_match_misleads_nobody(link: Link, between: Relay) -> None:
    """Some ignore case, or misread an escaped character; this one gives all patients whatever it is asked for."""
    archive = link(between.url)
    everybody = f"Patient?_tag={quote(archive.canonical, safe='')}/CodeSystem/origin%7Carchive"
    between.rule = lambda seen: between.forward(replace(seen, method="GET", path=everybody)) if seen.path == "Patient/_search" else None
    for value in ("A", "a", "A,B", "A"):
        await archive.put(image(new_uid(), PatientID=value))
        await archive.in_step()
    patients = {reference(each): each["identifier"][0]["value"] for each in archive.written.all("Patient")}
    assert sorted(patients.values()) == ["A", "A,B", "a"]
    assert sorted(patients[study["subject"]["reference"]] for study in archive.written.all("ImagingStudy")) == ["A", "A", "A,B", "a"]


async def test_one_patient_id_written_in_two_ways_is_one_patient(link: Link) -> None:
    archive = link()
    for value in ("Jose\u0301", "Jos\u00e9", " Jos\u00e9  "):
        await archive.put(image(new_uid(), PatientID=value, SpecificCharacterSet="ISO_IR 192"))
    await archive.in_step()
    assert archive.written.one("Patient")["identifier"][0]["value"] == "Jos\u00e9"


@pytest.mark.parametrize("value", ["A,B", "A|B", "A$1", "A&B+C", "#1 a", "Ä山"])
async def test_an_accession_number_leads_to_its_order_and_no_other(link: Link, fhir_server: FhirServer, value: str) -> None:
    archive, ehr = link(), FhirClient(fhir_server.url)
    patient = ehr_patient(archive)
    ehr.put(patient)
    orders = {each: order(archive, each, patient) for each in (value, value[0], value[-1], value.lower(), value.upper())}
    for each in orders.values():
        assert ehr.put(each).ok
    await archive.put(image(new_uid(), AccessionNumber=value, SpecificCharacterSet="ISO_IR 192"))
    await archive.in_step()
    assert archive.written.one("ImagingStudy")["basedOn"] == [{"reference": reference(orders[value])}]


async def test_an_issuers_name_with_any_character_makes_a_system_without_blanks(link: Link) -> None:
    archive = link()
    for issuer in ("A, B|C", "A, B|c", "Krankenhaus Ä & Söhne #1"):
        await archive.put(image(new_uid(), IssuerOfPatientID=issuer, SpecificCharacterSet="ISO_IR 192"))
    await archive.in_step()
    systems = {each["identifier"][0]["system"].removeprefix(archive.canonical) for each in archive.written.all("Patient")}
    assert systems == {"/issuer/A%2C%20B%7CC", "/issuer/A%2C%20B%7Cc", "/issuer/Krankenhaus%20%C3%84%20%26%20S%C3%B6hne%20%231"}
