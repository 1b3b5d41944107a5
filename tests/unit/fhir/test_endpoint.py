"""The Endpoint says where the archive is."""

from __future__ import annotations

import pytest

from shared.fhir.endpoint import endpoint
from tests.support.fhir_evidence import SERVICE_ROOT, context, validate


def test_the_endpoint_is_complete_and_known_by_its_address() -> None:
    draft = endpoint(context())
    assert validate(draft.resource) == {
        "resourceType": "Endpoint",
        "meta": {"source": SERVICE_ROOT, "tag": [{"system": "https://archive.example/fhir/CodeSystem/origin", "code": "archive"}]},
        "identifier": [{"system": "https://archive.example/fhir/endpoint", "value": SERVICE_ROOT}],
        "status": "active",
        "connectionType": {"system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type", "code": "dicom-wado-rs"},
        "name": "DICOMweb archive.example",
        "payloadType": [{"text": "DICOM"}],
        "payloadMimeType": ["application/dicom", "application/dicom+json"],
        "address": SERVICE_ROOT,
    }
    assert draft.resource["identifier"] == [draft.identity.identifier()]


@pytest.mark.parametrize(
    ("setting", "value", "element", "expected"),
    [
        ("endpoint_name", "Our archive", "name", "Our archive"),
        ("managing_organization", "Organization/7", "managingOrganization", {"reference": "Organization/7"}),
    ],
)
def test_the_operator_can_name_it_and_who_runs_it(setting: str, value: str, element: str, expected: object) -> None:
    assert validate(endpoint(context(**{setting: value})).resource)[element] == expected
