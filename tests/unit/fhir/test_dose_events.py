"""An irradiation event becomes an Observation of its own, known by its UID."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.dose_document import read
from shared.fhir.dose_events import events
from shared.fhir.identity import uid_identity
from shared.fhir.issues import IssueCode
from tests.support.sr_builders import (
    ABDOMEN,
    EVENT_UID,
    PLANE_A,
    PLANE_B,
    Json,
    assert_valid,
    code_item,
    container,
    ct_dose,
    ct_event,
    fluoroscopy_dose,
    make_context,
    make_evidence,
    make_frame,
    num,
    radiopharmaceutical_dose,
    uidref,
)


def made(dataset: Json, codes: list[IssueCode] | None = None, **settings: Any) -> list[Json]:
    context = make_context(**settings)
    report = read(make_evidence(dataset), make_frame(), context)
    assert report is not None
    drafts = [draft for draft, _ in events(report)]
    assert_valid(*drafts)
    assert [issue.code for issue in context.notes.issues] == (codes or [])
    return [draft.resource for draft in drafts]


def codes_of(resource: Json) -> list[str]:
    return [component["code"]["coding"][0]["code"] for component in resource["component"]]


@pytest.mark.parametrize(("wanted", "ct", "projection"), [("ct", 2, 0), ("all", 2, 1), ("none", 0, 0)])
def test_operator_says_which_events_there_are(wanted: str, ct: int, projection: int) -> None:
    assert len(made(ct_dose(), dose_events=wanted)) == ct
    assert len(made(fluoroscopy_dose(), dose_events=wanted)) == projection
    assert made(radiopharmaceutical_dose(), dose_events=wanted) == []


@pytest.mark.parametrize("srt", [True, False])
def test_ct_acquisition_has_all_that_its_template_says(*, srt: bool) -> None:
    event, _ = made(ct_dose(srt=srt))
    assert event["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{EVENT_UID.format(1)}"}]
    assert event["code"]["coding"][0]["code"] == "113852"
    assert (event["partOf"], event["subject"], event["status"]) == ([make_frame().study], make_frame().subject, "final")
    assert event["effectiveDateTime"] == "2026-01-10T09:16:21.5+09:00"
    assert event["bodySite"]["coding"][0]["code"] == "51185008"
    assert codes_of(event) == ["113830", "113838", "113835", "113930", "113820", "113825", "113733"]
    assert event["component"][4]["valueCodeableConcept"]["coding"][0] == {
        "system": "http://snomed.info/sct", "code": "116152004", "display": "Spiral Acquisition",
    }  # fmt: skip


def test_exposure_has_dose_and_voltage() -> None:
    (event,) = made(fluoroscopy_dose(), dose_events="all")
    assert codes_of(event) == ["122130", "113738", "113733"]
    assert event["bodySite"]["coding"][0]["code"] == "113345001"


def test_both_tubes_of_a_dual_source_scanner_are_given() -> None:
    (event,) = made(ct_dose(events=[ct_event(1, container("113831", num("113733", 140, "kV")))]))
    assert [component["valueQuantity"]["value"] for component in event["component"][-2:]] == [120, 140]


@pytest.mark.parametrize("uid", [None, "1.02", 7])
def test_event_without_a_uid_is_skipped_and_said(uid: Any) -> None:
    found = made(ct_dose(events=[ct_event(1, uid=uid), ct_event(2)]), [IssueCode.EVENT_WITHOUT_UID])
    assert [each["identifier"][0]["value"] for each in found] == [f"urn:oid:{EVENT_UID.format(2)}"]


def test_event_that_is_told_twice_counts_once_as_first_told() -> None:
    (event,) = made(ct_dose(events=[ct_event(1), ct_event(1, region=ABDOMEN)]))
    assert event["bodySite"]["coding"][0]["display"] == "Chest"


def test_nested_uid_is_not_that_of_the_event() -> None:
    nested = container("113829", uidref("113769", "1.2.3"))
    assert made(ct_dose(events=[ct_event(1, nested, uid=None)]), [IssueCode.EVENT_WITHOUT_UID]) == []


def test_event_of_several_regions_has_no_body_site() -> None:
    (event,) = made(ct_dose(events=[ct_event(1, code_item("123014", ABDOMEN))]))
    assert "bodySite" not in event


def test_event_without_region_or_start_has_neither() -> None:
    (event,) = made(ct_dose(events=[container("113819", uidref("113769", "1.2.3"))]))
    assert set(event) == {"resourceType", "meta", "partOf", "status", "subject", "identifier", "code"}


def test_events_name_their_plane() -> None:
    context = make_context(dose_events="all")
    report = read(make_evidence(fluoroscopy_dose(PLANE_A, PLANE_B)), make_frame(), context)
    assert report is not None
    assert [plane for _, plane in events(report)] == ["113620", "113621"]


def test_draft_is_known_by_the_event() -> None:
    report = read(make_evidence(ct_dose()), make_frame(), make_context())
    assert report is not None
    assert [draft.identity for draft, _ in events(report)] == [uid_identity("Observation", EVENT_UID.format(n)) for n in (1, 2)]
