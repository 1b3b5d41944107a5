"""The check before sending: where a resource is not valid R4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.validation import MAX_INSTANCES, first_problem

if TYPE_CHECKING:
    from shared.fhir.json_text import Resource

SUBJECT = {"reference": "Patient/1"}


def study(**elements: Any) -> Resource:
    return {"resourceType": "ImagingStudy", "status": "available", "subject": SUBJECT, **elements}


def series(instances: int, uid: object = "1.2") -> Resource:
    return {"uid": uid, "modality": {"code": "CT"}, "instance": [{"uid": "1.2.3", "sopClass": {"code": "x"}}] * instances}


@pytest.mark.parametrize("resource", [study(), study(series=[series(2)]), {"resourceType": "Patient", "id": "a", "birthDate": "1970-01"}])
def test_valid_resources_have_no_problem(resource: Resource) -> None:
    assert first_problem(resource) == ""


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        ({"resourceType": "ImagingStudy", "status": "available"}, "ImagingStudy.subject"),
        (study(numberOfSeries=-1), "ImagingStudy.numberOfSeries"),
        (study(series=[series(1, uid=None)]), "ImagingStudy.series.0.uid"),
        ({"resourceType": "Patient", "birthDate": "Jane Doe"}, "Patient.birthDate"),
        ({"resourceType": "Patient", "unknown": 1}, "Patient.unknown"),
    ],
)
def test_the_place_is_told_and_not_the_value(resource: Resource, place: str) -> None:
    told = first_problem(resource)
    assert told.startswith(place)
    assert "Doe" not in told


def test_a_large_study_is_not_checked() -> None:
    assert first_problem(study(status=None, series=[series(MAX_INSTANCES + 1, uid=None)])) == ""


@pytest.mark.parametrize("name", ["../os", "patient", "os.path", ""])
def test_no_other_module_is_imported(name: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        first_problem({"resourceType": name})
