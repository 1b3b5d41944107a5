"""Key object selections as Basic: which instances and frames were selected, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from shared.dicom.sop_classes import KEY_OBJECT_SELECTION
from shared.fhir.issues import StudyRejected
from shared.fhir.key_objects import basic
from tests.support.fhir_evidence import validate
from tests.support.fhir_junk import junk_datasets
from tests.support.sr_builders import (
    CANONICAL,
    SERIES_UID,
    SOP_UID,
    STUDY_UID,
    Json,
    attributes,
    container,
    content,
    document,
    make_context,
    make_evidence,
    make_frame,
    text,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context

CT_IMAGE, FIRST, SECOND = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.1", "1.2.3.2"
EXTENSION = f"{CANONICAL}/StructureDefinition/imaging-selection-"


def image(uid: object = FIRST, sop_class_uid: object = CT_IMAGE, frames: object = None, value_type: str = "IMAGE") -> Json:
    reference = attributes(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=uid, ReferencedFrameNumber=frames)
    return content(value_type, None, ReferencedSOPSequence=reference)


def evidence_of(*uids: str) -> Json:
    references = [attributes(ReferencedSOPClassUID=CT_IMAGE, ReferencedSOPInstanceUID=uid) for uid in uids]
    series = attributes(SeriesInstanceUID=SERIES_UID, ReferencedSOPSequence=references)
    return attributes(StudyInstanceUID=STUDY_UID, ReferencedSeriesSequence=series)


def written(*children: Json, context: Context | None = None, **by_keyword: Any) -> Json:
    """Give the resource made of a selection, validated."""
    dataset = document(("113000", "DCM", "Of Interest"), *children, **{"SOPClassUID": KEY_OBJECT_SELECTION, **by_keyword})
    draft = basic(make_evidence(dataset), make_frame(), context or make_context(key_images="basic"))
    assert draft is not None
    resource = validate(draft.resource)
    assert resource["identifier"] == [draft.identity.identifier()]
    return resource


def instances(resource: Json) -> list[Json]:
    """Give the parts of each instance extension, by their names; frames as a list."""
    found = [each["extension"] for each in resource["extension"] if each["url"] == f"{EXTENSION}instance"]
    plain = [{part["url"]: part.get("valueId") or part.get("valueCoding") for part in parts if part["url"] != "frame"} for parts in found]
    frames = [[part["valuePositiveInt"] for part in parts if part["url"] == "frame"] for parts in found]
    return [{**parts, "frames": numbers} for parts, numbers in zip(plain, frames, strict=True)]


def issues(context: Context) -> list[tuple[str, str]]:
    return [(issue.code.value, issue.keyword) for issue in context.notes.issues]


def test_only_wanted_key_object_selections_are_written() -> None:
    selection = document("113000", image(), SOPClassUID=KEY_OBJECT_SELECTION)
    assert basic(make_evidence(selection), make_frame(), make_context()) is None
    assert basic(make_evidence(document("113000", image())), make_frame(), make_context(key_images="basic")) is None


def test_it_says_what_it_is_of_whom_and_since_when() -> None:
    resource = written(image())
    assert resource["code"] == {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "ImagingSelection"}]}
    assert resource["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{SOP_UID}"}]
    assert resource["subject"] == make_frame().subject
    assert resource["created"] == "2026-01-10"


@pytest.mark.parametrize("day", [None, "junk", 7])
def test_unknown_day_is_left_out(day: object) -> None:
    assert "created" not in written(image(), ContentDate=day)


def test_reason_and_study_are_extensions() -> None:
    [reason, study] = written()["extension"]
    assert reason == {
        "url": f"{EXTENSION}code",
        "valueCodeableConcept": {
            "coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "113000", "display": "Of Interest"}]
        },
    }
    assert study == {"url": f"{EXTENSION}derived-from", "valueReference": make_frame().study}


def test_selection_without_a_reason_still_names_its_study() -> None:
    assert [each["url"] for each in written(ConceptNameCodeSequence=7)["extension"]] == [f"{EXTENSION}derived-from"]


def test_instance_has_its_class_and_the_series_and_study_that_the_evidence_tells() -> None:
    resource = written(image(), image(SECOND), CurrentRequestedProcedureEvidenceSequence=evidence_of(FIRST))
    sop_class = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CT_IMAGE}", "display": "CT Image Storage"}
    assert instances(resource) == [
        {"uid": FIRST, "seriesUid": SERIES_UID, "studyUid": STUDY_UID, "sopClass": sop_class, "frames": []},
        {"uid": SECOND, "sopClass": sop_class, "frames": []},
    ]


@pytest.mark.parametrize(
    ("frames", "expected", "noted"),
    [
        (None, [], []),
        (3, [3], []),
        ([1, "2", "5.0"], [1, 2, 5], []),
        (["junk", 4, -1, 0], [4], [("bad-value", "ReferencedFrameNumber")]),
        ({"a": 1}, [], [("bad-value", "ReferencedFrameNumber")]),
    ],
)
def test_frames_are_listed_where_not_all_are_meant(frames: object, expected: list[int], noted: list[tuple[str, str]]) -> None:
    context = make_context(key_images="basic")
    assert instances(written(image(frames=frames), context=context))[0]["frames"] == expected
    assert issues(context) == noted


@pytest.mark.parametrize("value_type", ["IMAGE", "COMPOSITE", "WAVEFORM"])
def test_objects_of_any_kind_and_place_are_listed_in_order(value_type: str) -> None:
    resource = written(text("113012", "why"), image(SECOND, value_type=value_type), container("1", image(FIRST)))
    assert [each["uid"] for each in instances(resource)] == [SECOND, FIRST]


@pytest.mark.parametrize("uid", [None, "", "junk", 7, "1." + "2" * 70])
def test_reference_without_a_uid_is_dropped(uid: object) -> None:
    context = make_context(key_images="basic")
    assert [each["uid"] for each in instances(written(image(uid), image(SECOND), context=context))] == [SECOND]
    assert issues(context) == [("bad-value", "ReferencedSOPInstanceUID")]


def test_class_that_is_no_uid_is_left_out() -> None:
    assert instances(written(image(sop_class_uid="junk"))) == [{"uid": FIRST, "frames": []}]


@pytest.mark.parametrize(("count", "noted"), [(3, []), (4, [("instances-elided", "ReferencedSOPSequence")])])
def test_no_more_instances_are_listed_than_the_operator_allows(count: int, noted: list[tuple[str, str]]) -> None:
    context = make_context(key_images="basic", instance_limit=3)
    assert len(instances(written(*[image()] * count, context=context))) == 3
    assert issues(context) == noted


def test_no_more_frames_are_listed_than_that() -> None:
    context = make_context(key_images="basic", instance_limit=3)
    assert instances(written(image(frames=[1, 2, 3, 4]), context=context))[0]["frames"] == [1, 2, 3]
    assert issues(context) == [("instances-elided", "ReferencedFrameNumber")]


def test_strict_operator_refuses_a_reference_without_a_uid() -> None:
    with pytest.raises(StudyRejected):
        written(image("junk"), context=make_context(key_images="basic", strict=True))


KEYWORDS = (
    "ContentSequence", "ValueType", "RelationshipType", "ConceptNameCodeSequence", "CodeValue", "CodingSchemeDesignator", "CodeMeaning",
    "ReferencedSOPSequence", "ReferencedSOPInstanceUID", "ReferencedSOPClassUID", "ReferencedFrameNumber", "SeriesInstanceUID",
    "CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence", "StudyInstanceUID", "ContentDate",
)  # fmt: skip


@given(junk_datasets(*KEYWORDS))
@settings(deadline=None)
def test_whatever_the_dataset_a_valid_selection_is_made(junk: Json) -> None:
    draft = basic(make_evidence(junk | attributes(SOPClassUID=KEY_OBJECT_SELECTION)), make_frame(), make_context(key_images="basic"))
    assert draft is not None
    validate(draft.resource)
