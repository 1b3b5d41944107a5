"""Three ways of an ImagingStudy: what is ours, what was ours, what is somebody else's."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.documents import document_reference
from shared.fhir.dose import dose
from shared.fhir.merging import base_of, deactivated, merge_patient, merge_study, refresh, same
from tests.support.sr_builders import (
    ct_dose,
    fluoroscopy_dose,
    make_context,
    make_evidence,
    make_frame,
    mammography_dose,
    radiopharmaceutical_dose,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.fhir.json_text import Resource

ROOT = "http://archive.example/fhir"
OURS: Any = {"x": 1}


def merged(ours: Resource, theirs: Resource, *bases: Resource, adopted: bool = False) -> Resource:
    kind = {"resourceType": "ImagingStudy"}
    result = merge_study({**kind, **ours}, [{**kind, **base} for base in bases], {**kind, **theirs}, adopted=adopted)
    return {name: value for name, value in result.items() if name != "resourceType"}


@pytest.mark.parametrize(
    ("ours", "theirs", "base", "result"),
    [
        pytest.param({"started": "2024"}, {"started": "2023"}, {"started": "2023"}, {"started": "2024"}, id="ours is set"),
        pytest.param({}, {"started": "2023"}, {"started": "2023"}, {}, id="what was ours goes"),
        pytest.param({}, {"started": "2022"}, {"started": "2023"}, {"started": "2022"}, id="what somebody set since stays"),
        pytest.param({}, {"note": [{"text": "a"}]}, {}, {"note": [{"text": "a"}]}, id="what never was ours stays"),
        pytest.param({"note": [{"text": "b"}]}, {"note": [{"text": "a"}]}, {}, {"note": [{"text": "b"}, {"text": "a"}]}, id="lists join"),
        pytest.param(
            {"modality": [{"code": "CT"}]}, {"modality": [{"code": "XX"}]}, {}, {"modality": [{"code": "CT"}]}, id="modality is ours"
        ),
    ],
)
def test_an_element_of_our_study(ours: Resource, theirs: Resource, base: Resource, result: Resource) -> None:
    assert merged(ours, theirs, base) == result


def test_an_identifier_is_the_same_whatever_else_it_says() -> None:
    theirs = {"identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "1"}]}
    ours = {"identifier": [{"use": "official", "system": "urn:a", "value": "1"}]}
    assert merged(ours, theirs)["identifier"] == [*ours["identifier"], theirs["identifier"][1]]


def test_what_was_meant_in_an_attempt_whose_answer_was_lost_counts_as_ours() -> None:
    first, second = {"series": [{"uid": "1"}, {"uid": "2"}]}, {"series": [{"uid": "1"}, {"uid": "3"}]}
    theirs = {"series": [{"uid": "1"}, {"uid": "2"}, {"uid": "3"}, {"uid": "9"}]}
    assert [series["uid"] for series in merged({"series": [{"uid": "1"}]}, theirs, first, second)["series"]] == ["1", "9"]


@pytest.mark.parametrize("name", ["description", "referrer", "procedureCode", "reasonCode"])
def test_of_an_adopted_study_some_elements_are_filled_only(name: str) -> None:
    assert merged({name: "ours"}, {}, adopted=True) == {name: "ours"}
    assert merged({name: "ours"}, {name: "theirs"}, adopted=True) == {name: "theirs"}
    assert merged({name: "new"}, {name: "ours"}, {name: "ours"}, adopted=True) == {name: "new"}


@pytest.mark.parametrize("name", ["status", "subject", "basedOn", "encounter", "note"])
def test_and_most_are_left_alone(name: str) -> None:
    assert merged({name: [OURS]}, {name: [{"theirs": 1}]}, adopted=True) == {name: [{"theirs": 1}]}
    assert merged({name: [OURS]}, {}, adopted=True) == {}


def test_foreign_fields_of_a_series_and_of_an_instance_stay() -> None:
    theirs = {
        "series": [
            {"uid": "1", "endpoint": ["e"], "number": 9, "instance": [{"uid": "1.1", "extension": ["x"], "number": 9}, {"uid": "1.2"}]}
        ]
    }
    ours = {"series": [{"uid": "1", "number": 1, "instance": [{"uid": "1.1", "number": 2}]}]}
    (series,) = merged(ours, theirs)["series"]
    assert series == {"uid": "1", "endpoint": ["e"], "number": 1, "instance": [{"uid": "1.1", "extension": ["x"], "number": 2}]}


def test_a_tag_that_was_ours_goes_and_a_foreign_one_stays() -> None:
    ours, base = {"meta": {"tag": [{"code": "a"}]}}, {"meta": {"tag": [{"code": "a"}, {"code": "elided"}]}}
    theirs = {"meta": {"versionId": "7", "tag": [{"code": "a"}, {"code": "elided"}, {"code": "foreign"}]}}
    assert merged(ours, theirs, base) == {"meta": {"tag": [{"code": "a"}, {"code": "foreign"}]}}


def test_a_base_knows_series_by_uid_alone() -> None:
    assert base_of({"status": "available", "series": [{"uid": "1", "instance": [{}] * 1000}]}) == {
        "status": "available",
        "series": [{"uid": "1"}],
    }


def test_versions_and_a_decimals_zeros_make_no_difference() -> None:
    assert same({"v": Decimal("1.50"), "meta": {"versionId": "1", "tag": []}}, {"v": Decimal("1.5"), "meta": {"versionId": "2", "tag": []}})
    assert not same({"v": Decimal("1.5")}, {"v": Decimal("1.51")})


def test_the_newest_study_says_who_a_patient_is_and_none_empties_anything() -> None:
    old, new = {"gender": "male", "birthDate": "1970-01-01", "name": [{"family": "Old"}]}, {"name": [{"family": "New"}]}
    assert merge_patient({"resourceType": "Patient"}, [old, new], ROOT) == {
        "resourceType": "Patient",
        "gender": "male",
        "birthDate": "1970-01-01",
        "name": [{"family": "New"}],
    }


def test_what_others_say_of_a_patient_stays() -> None:
    current: Any = {"identifier": [{"system": "urn:ehr", "value": "1"}], "telecom": ["t"], "extension": [{"url": "urn:x"}]}
    said = {"identifier": [{"system": "urn:a", "value": "2"}], "extension": [{"url": "urn:y"}]}
    patient = merge_patient(current, [said], ROOT)
    assert patient["identifier"] == [*said["identifier"], *current["identifier"]]
    assert patient["extension"] == [{"url": "urn:y"}, {"url": "urn:x"}]
    assert patient["telecom"] == ["t"]


def test_names_of_one_use_are_replaced_together_and_those_of_other_uses_stay() -> None:
    old = {"name": [{"use": "usual", "text": "Old"}, {"text": "山"}, {"use": "maiden", "text": "Born"}]}
    new = {"name": [{"use": "usual", "text": "New"}, {"use": "old", "text": "Former"}]}
    patient = merge_patient({"name": [{"use": "nickname", "text": "Nick"}]}, [old, new], ROOT)
    assert [each["text"] for each in patient["name"]] == ["New", "Born", "Former", "Nick"]


def test_the_order_in_which_studies_come_makes_no_difference_to_their_patient() -> None:
    said = [
        {"identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:o", "value": f"{n}"}], "extension": [{"url": f"urn:{n}"}]}
        for n in range(3)
    ]
    merged = []
    for first in said:
        patient = merge_patient(first, [first], ROOT)
        merged.append(merge_patient(patient, said, ROOT))
    assert merged[0] == merged[1] == merged[2]


def test_only_what_we_made_inactive_becomes_active() -> None:
    left = deactivated({"resourceType": "Patient", "meta": {"versionId": "3", "tag": [{"code": "a"}]}}, ROOT)
    assert left["active"] is False
    assert merge_patient(left, [], ROOT) == {"resourceType": "Patient", "meta": {"tag": [{"code": "a"}]}}
    assert merge_patient({"active": False}, [], ROOT) == {"active": False}


def test_what_an_observation_of_ours_says_no_more_goes_and_what_others_added_stays() -> None:
    theirs = {"resourceType": "Observation", "id": "o", "basedOn": ["old"], "note": [{"text": "theirs"}], "status": "preliminary"}
    ours = {"resourceType": "Observation", "status": "final"}
    assert refresh(ours, theirs) == {"resourceType": "Observation", "id": "o", "note": [{"text": "theirs"}], "status": "final", "meta": {}}


def test_what_a_device_of_ours_said_once_is_filled_in_not_taken_away() -> None:
    theirs = {"resourceType": "Device", "id": "d", "version": [{"value": "1"}]}
    assert refresh({"resourceType": "Device", "modelNumber": "M"}, theirs)["version"] == [{"value": "1"}]


@pytest.mark.parametrize("report", [ct_dose, fluoroscopy_dose, mammography_dose, radiopharmaceutical_dose])
def test_every_element_of_a_documents_resources_is_known_to_be_ours(report: Callable[[], Any]) -> None:
    evidence, frame, context = make_evidence(report()), make_frame(), make_context(dose_events="all")
    for draft in [*dose(evidence, frame, context), document_reference(evidence, frame, context)]:
        said = {name: value for name, value in draft.resource.items() if name != "meta"}
        assert refresh({"resourceType": draft.resource["resourceType"]}, said).keys() <= {"resourceType", "meta"}
