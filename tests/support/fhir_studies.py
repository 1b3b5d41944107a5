"""What tests of the synchronisation have in common: a study, worlds that it was stored in, and what an operator sees."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from tests.support.dicom_builders import make_instance
from tests.support.fhir_world import FhirWorld, open_world
from tests.support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from shared.fhir.issues import IssueClass, IssueCode
    from shared.fhir.json_text import Resource
    from shared.fhir.state import SyncStatus

STUDY, SERIES = "1.2.840.1", "1.2.840.1.1"
QUIET = 60.0
"""Seconds after which a study of these tests has been written."""


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtually(test(*args, **kwargs))

    return run


def image(number: int = 1, **attributes: Any) -> bytes:
    defaults = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": f"{SERIES}.{number}", "InstanceNumber": number}
    return make_instance(**{**defaults, **attributes})


async def world_with(*files: bytes, **settings: Any) -> FhirWorld:
    world = await open_world(**settings)
    await world.store(*files)
    await world.pass_time(QUIET)
    return world


async def open_issues(world: FhirWorld, study: str = STUDY) -> set[tuple[IssueClass, IssueCode]]:
    logged = await world.fhir.sync._outcomes._issues.of_study(world.partition(study))
    return {(each.issue.issue_class, each.issue.code) for each in logged if not each.resolved}


async def status(world: FhirWorld, study: str = STUDY) -> SyncStatus:
    return (await world.fhir.sync._state.read(world.partition(study))).status


def failing(error: Exception, times: int = 10**9, verbs: str = "write") -> Callable[[str], None]:
    """Fail the first requests of some verbs."""
    left = [times]

    def fail(verb: str) -> None:
        if verb in verbs.split() and left[0] > 0:
            left[0] -= 1
            raise error

    return fail


def foreign_study() -> Resource:
    return {
        "resourceType": "ImagingStudy",
        "id": "ehr-7",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}, {"system": "urn:ehr", "value": "77"}],
        "status": "registered",
        "subject": {"reference": "Patient/ehr"},
        "description": "As ordered",
        "note": [{"text": "kept"}],
        "series": [
            {"uid": SERIES, "modality": {"code": "XX"}, "extension": [{"url": "urn:x", "valueString": "kept"}]},
            {"uid": "9.9.9", "modality": {"code": "MR"}},
        ],
    }


def ehr_patient(**elements: Any) -> Resource:
    identifier = [{"system": "http://archive.example/fhir/patient-id", "value": "P1"}]
    return {"resourceType": "Patient", "id": "ehr", "identifier": identifier, "name": [{"family": "Doe"}], **elements}
