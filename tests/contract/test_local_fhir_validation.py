"""The local FHIR server takes valid R4 and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.fhir import SYSTEM, FhirClient, is_outcome, observation, patient, reference, study

if TYPE_CHECKING:
    from localhost.fhir_server import FhirServer
    from tests.support.fhir import Json


@pytest.fixture(scope="module")
def fhir(fhir_server: FhirServer) -> FhirClient:
    return FhirClient(fhir_server.url)


@pytest.mark.parametrize(
    ("wrong", "expression"),
    [
        (patient(gender="M"), "Patient.gender"),
        (patient(identifier=[{"system": SYSTEM, "value": "1", "use": "main"}]), "Patient.identifier.use"),
        (patient(contact=[{"gender": "M", "name": {"text": "A"}}]), "Patient.contact.gender"),
        (patient(colour="red"), "Patient.colour"),
        (patient(birthDate="19700101"), "Patient.birthDate"),
        (patient(active="yes"), "Patient.active"),
        (patient(name={"text": "A"}), "Patient.name"),
        (patient(name=[]), "Patient.name"),
        (patient(name=None), "Patient.name"),
        (patient(generalPractitioner=[{"reference": "Device/1"}]), "Patient.generalPractitioner"),
        (study(status=None), "ImagingStudy.status"),
        (study(status="complete"), "ImagingStudy.status"),
        (study(subject={}), "ImagingStudy.subject"),
        (study(series=[{"uid": "1.2"}]), "ImagingStudy.series"),
        (observation(valueQuantity={"value": 1, "code": "mGy"}), "Observation.value"),
        (observation(valueInteger=1, valueString="1"), "value"),
        (observation(component=[{"code": {"text": "x"}, "valueQuantity": {"code": "mGy"}}]), "Observation.component"),
        (observation(effectivePeriod={"start": "2026-02-01", "end": "2026-01-01"}), "Observation.effective"),
        (observation(extension=[{"url": "http://x/y"}]), "Observation.extension"),
        (observation(note=[{"text": ""}]), "Observation.note"),
    ],
)
def test_what_is_not_valid_is_refused_and_said(fhir: FhirClient, wrong: Json, expression: str) -> None:
    answer = fhir.put(wrong)
    assert (answer.status_code, is_outcome(answer)) == (422, True)
    assert any(place.startswith(expression) for issue in answer.json()["issue"] for place in issue.get("expression", ())), answer.text
    assert fhir.call("GET", reference(wrong)).status_code == 404


def test_a_study_without_a_status_is_refused(fhir: FhirClient) -> None:
    resource = study()
    resource.pop("status")
    assert fhir.put(resource).status_code == 422
    assert fhir.call("POST", "ImagingStudy", resource).status_code == 422


def test_valid_resources_of_all_kinds_we_write_are_taken(fhir: FhirClient) -> None:
    somebody = patient(
        gender="male", birthDate="1961-07", name=[{"use": "usual", "family": "山田", "_family": {"extension": [extension()]}}]
    )
    coding = {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}
    imaging = study(started="2026-01-10T09:15:00+09:00", modality=[coding], series=[{"uid": "1.2.3", "modality": coding}])
    quantity = {"value": 512.3, "unit": "mGy.cm", "system": "http://unitsofmeasure.org", "code": "mGy.cm"}
    dose = observation(
        partOf=[{"reference": reference(imaging)}], focus=[{"reference": "http://elsewhere/Patient/1"}], valueQuantity=quantity
    )
    for resource in (somebody, imaging, dose):
        assert fhir.put(resource).status_code == 201
        assert fhir.call("GET", reference(resource)).json().items() >= resource.items()


def extension() -> Json:
    return {"url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation", "valueCode": "IDE"}
