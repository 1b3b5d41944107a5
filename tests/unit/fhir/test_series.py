"""The series of an ImagingStudy, attribute by attribute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.identity import Identity
from shared.fhir.issues import StudyRejected
from shared.fhir.series import in_order, modality, series_element
from tests.support.fhir_evidence import (
    BASIC_TEXT_SR,
    CT_IMAGE,
    ENCAPSULATED_PDF,
    KEY_OBJECTS,
    PRESENTATION_STATE,
    SEGMENTATION,
    SERIES_UID,
    Json,
    code,
    context,
    evidence,
    instance,
    validate,
    warnings,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.json_text import Resource

SCT = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"


def element(ctx: Context, *instances: Json, cut_short: bool = False) -> Resource:
    """Make the element of a study's only series, checked within an ImagingStudy."""
    (series,) = evidence(instances).series
    made = series_element(series, ctx, cut_short=cut_short)
    study = {"resourceType": "ImagingStudy", "status": "available", "subject": {"type": "Patient"}, "series": [made]}
    checked: Resource = validate(study)["series"][0]
    return checked


def said_of(settings: dict[str, Any] | None = None, /, **attributes: Any) -> tuple[Resource, list[tuple[str, str]]]:
    ctx = context(**settings or {})
    return element(ctx, instance(**attributes)), warnings(ctx)


def test_a_series_of_which_nothing_else_is_known_has_uids_and_counts() -> None:
    made, said = said_of()
    sop_class = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CT_IMAGE}", "display": "CT Image Storage"}
    assert made == {
        "uid": SERIES_UID,
        "modality": {"system": DCM, "code": "CT"},
        "numberOfInstances": 1,
        "instance": [{"uid": f"{SERIES_UID}.1", "sopClass": sop_class}],
    }
    assert said == []


NUMBERS = [(0, 0), (7, 7), ("7", 7), (7.0, 7), (2_147_483_647, 2_147_483_647), (None, None), ("", None)]
BAD_NUMBERS = [-1, 2_147_483_648, "x", 1.5, {}, True]


@pytest.mark.parametrize(("sent", "number"), NUMBERS)
def test_a_series_number_is_one_from_zero(sent: object, number: int | None) -> None:
    made, said = said_of(SeriesNumber=sent)
    assert (made.get("number"), said) == (number, [])


@pytest.mark.parametrize("sent", BAD_NUMBERS)
def test_a_bad_series_number_is_left_out(sent: object) -> None:
    made, said = said_of(SeriesNumber=sent)
    assert ("number" in made, said) == (False, [("SeriesNumber", "bad-value")])


@pytest.mark.parametrize(
    ("sent", "shown", "said"),
    [
        ("MR", "MR", []),
        ("mr ", "MR", []),
        ("OT", "OT", []),
        (None, "OT", [("Modality", "modality-missing")]),
        ("", "OT", [("Modality", "modality-missing")]),
        ("C T", "OT", [("Modality", "bad-value")]),
        (5, "OT", [("Modality", "bad-value")]),
    ],
)
def test_a_series_always_has_a_modality(sent: object, shown: str, said: list[tuple[str, str]]) -> None:
    for strict in (False, True):
        made, warned = said_of({"strict": strict}, Modality=sent)
        assert (made["modality"], warned) == ({"system": DCM, "code": shown}, said)


def test_the_fallback_is_told_from_a_modality_that_is_other() -> None:
    assert [modality(evidence([instance(Modality=sent)]).series[0], context().notes) for sent in ("OT", None)] == ["OT", None]


@pytest.mark.parametrize(
    ("attributes", "description"),
    [
        ({"SeriesDescription": " Bone 1.0 "}, "Bone 1.0"),
        ({"SeriesDescription": ["Bone", "1.0"]}, "Bone; 1.0"),
        ({"SeriesDescriptionCodeSequence": code("1", "99X", "Bone")}, "Bone"),
        ({"SeriesDescription": "Bone 1.0", "SeriesDescriptionCodeSequence": code("1", "99X", "Bone")}, "Bone 1.0"),
        ({"SeriesDescription": 5}, None),
        ({}, None),
    ],
    ids=["text", "several", "code", "text first", "bad", "absent"],
)
def test_a_description_is_text_or_the_meaning_of_a_code(attributes: dict[str, Any], description: str | None) -> None:
    made, said = said_of(**attributes)
    assert made.get("description") == description
    assert said == ([("SeriesDescription", "bad-value")] if 5 in attributes.values() else [])


FEMUR = {"system": SCT, "code": "71341001", "display": "Femur"}


@pytest.mark.parametrize(
    ("attributes", "site", "said"),
    [
        ({"BodyPartExamined": "FEMUR"}, FEMUR, []),
        ({"AnatomicRegionSequence": code("71341001", "SCT", "Femur"), "BodyPartExamined": "HEAD"}, FEMUR, []),
        ({"AnatomicRegionSequence": code("T-12710", "SRT", "Femur")}, FEMUR, []),
        ({"BodyPartExamined": "OUR TERM"}, {"display": "OUR TERM"}, []),
        ({"BodyPartExamined": 5}, None, [("BodyPartExamined", "bad-value")]),
        ({"AnatomicRegionSequence": {"CodeMeaning": "Femur"}}, None, [("AnatomicRegionSequence", "bad-value")]),
        ({}, None, []),
    ],
    ids=["term", "region first", "old code", "unknown term", "bad term", "bad region", "absent"],
)
def test_the_body_site_is_a_region_or_a_defined_term(attributes: dict[str, Any], site: Resource | None, said: list[Any]) -> None:
    made, warned = said_of(**attributes)
    assert (made.get("bodySite"), warned) == (site, said)


@pytest.mark.parametrize(
    ("series", "images", "side"),
    [
        ("R", [None], "24028007"),
        ("L", ["R"], "7771000"),
        ("B", [None], "51440002"),
        ("U", [None], None),
        (None, ["L", "L"], "7771000"),
        (None, ["L", "R"], None),
        (None, ["L", None], None),
        (None, [None], None),
    ],
    ids=["right", "left", "both", "unpaired", "images agree", "images differ", "some images", "absent"],
)
def test_the_side_is_that_of_the_series_or_of_all_its_images(series: str | None, images: list[str | None], side: str | None) -> None:
    ctx = context()
    made = element(ctx, *[instance(Laterality=series, ImageLaterality=image) for image in images])
    assert made.get("laterality", {}).get("code") == side
    assert warnings(ctx) == []


@pytest.mark.parametrize("keyword", ["Laterality", "ImageLaterality"])
def test_a_side_that_is_none_is_left_out(keyword: str) -> None:
    made, said = said_of(**{keyword: "X"})
    assert ("laterality" in made, said) == (False, [(keyword, "bad-value")])


@pytest.mark.parametrize(
    ("item", "identifier"),
    [
        ({"SpecimenUID": "1.2.3", "SpecimenIdentifier": "S1"}, {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}),
        ({"SpecimenIdentifier": "S1"}, {"value": "S1"}),
        (
            {
                "SpecimenIdentifier": "S1",
                "IssuerOfTheSpecimenIdentifierSequence": {"UniversalEntityID": "1.2.9", "UniversalEntityIDType": "ISO"},
            },
            {"system": "urn:oid:1.2.9", "value": "S1"},
        ),
        ({"SpecimenUID": "no uid", "SpecimenIdentifier": "S1"}, {"value": "S1"}),
    ],
    ids=["uid", "identifier", "issuer", "bad uid"],
)
def test_a_specimen_is_referred_to_by_its_identifier(item: dict[str, Any], identifier: Resource) -> None:
    ctx = context()
    made = element(ctx, instance(SpecimenDescriptionSequence=[item, item]))
    assert made["specimen"] == [{"type": "Specimen", "identifier": identifier}]
    assert not ctx.links.asked


@pytest.mark.parametrize(("sent", "said"), [({}, [("SpecimenDescriptionSequence", "bad-value")]), (None, [])])
def test_a_specimen_without_identifier_is_left_out(sent: object, said: list[tuple[str, str]]) -> None:
    made, warned = said_of(SpecimenDescriptionSequence=sent)
    assert ("specimen" in made, warned) == (False, said)


START: dict[str, Any] = {"SeriesDate": "20260110", "SeriesTime": "091630", "TimezoneOffsetFromUTC": "+0900"}
ACQUIRED = {"AcquisitionDate": "20260110", "AcquisitionTime": "091700", "TimezoneOffsetFromUTC": "+0900"}


@pytest.mark.parametrize(
    ("attributes", "started"),
    [
        (START, "2026-01-10T09:16:30+09:00"),
        (START | {"TimezoneOffsetFromUTC": None}, "2026-01-10"),
        (START | {"SeriesTime": None}, "2026-01-10"),
        (START | {"SeriesDate": None}, None),
        (START | {"SeriesDate": "20261301"}, None),
        (ACQUIRED, None),
    ],
    ids=["exact", "no zone", "no time", "no date", "bad date", "acquisition"],
)
def test_a_series_starts_when_it_says(attributes: dict[str, Any], started: str | None) -> None:
    assert said_of(**attributes)[0].get("started") == started


def test_the_start_of_a_series_is_the_earliest_that_its_instances_give() -> None:
    starts: list[dict[str, Any]] = [START | {"SeriesTime": time} for time in ("091700", None, "091600")]
    ctx = context()
    assert element(ctx, *[instance(**each) for each in starts])["started"] == "2026-01-10T09:16:00+09:00"
    assert warnings(ctx) == []


@pytest.mark.parametrize(
    ("attributes", "started"),
    [
        (START | ACQUIRED, "2026-01-10T09:16:30+09:00"),
        (ACQUIRED, "2026-01-10T09:17:00+09:00"),
        (ACQUIRED | {"AcquisitionDateTime": "20260110091500"}, "2026-01-10T09:15:00+09:00"),
        ({"ContentDate": "20260110", "ContentTime": "0918", "TimezoneOffsetFromUTC": "+0900"}, "2026-01-10T09:18:00+09:00"),
        ({}, None),
    ],
    ids=["series first", "acquisition", "acquisition date-time", "content", "absent"],
)
def test_a_series_can_start_with_its_first_acquisition(attributes: dict[str, Any], started: str | None) -> None:
    assert said_of({"series_started_fallback": True}, **attributes)[0].get("started") == started


def function(code: str) -> Resource:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": code}]}


def test_performers_are_those_who_perform_and_those_who_operate() -> None:
    made, _ = said_of(PerformingPhysicianName=["A^A", "B^B"], OperatorsName="C^C", Manufacturer="ACME", ManufacturerModelName="X")
    expected = [("A A", "PRF"), ("B B", "PRF"), ("C C", "SPRF")]
    assert made["performer"] == [
        {"function": function(code), "actor": {"type": "Practitioner", "display": name}} for name, code in expected
    ]


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        ("PerformingPhysicianName", "PerformingPhysicianIdentificationSequence"),
        ("OperatorsName", "OperatorIdentificationSequence"),
    ],
)
def test_a_performer_is_found_by_code(names: str, codes: str) -> None:
    found = {Identity("Practitioner", "https://staff.example", "77"): "Practitioner/9"}
    ctx = context(found, practitioner_systems={"99STAFF": "https://staff.example"})
    item = {"PersonIdentificationCodeSequence": code("77", "99STAFF")}
    made = element(ctx, instance(**{names: "A^A", codes: item}))
    assert [each["actor"] for each in made["performer"]] == [{"reference": "Practitioner/9", "display": "A A"}]


def test_performers_of_all_instances_are_listed_once() -> None:
    ctx = context()
    made = element(ctx, *[instance(OperatorsName=name) for name in ("B^B", "A^A", "B^B")])
    assert [each["actor"]["display"] for each in made["performer"]] == ["B B", "A A"]
    assert warnings(ctx) == []


def test_equipment_performs_where_the_operator_wants_that() -> None:
    ctx = context(series_devices=True)
    made = element(ctx, instance(Manufacturer="ACME", ManufacturerModelName="X", DeviceSerialNumber="7"))
    ((identity, _),) = ctx.shared.items()
    assert made["performer"] == [{"actor": {"reference": f"Device/{identity.logical_id}", "display": "ACME X"}}]


@pytest.mark.parametrize(
    ("keyword", "values", "name", "winner"),
    [
        ("SeriesNumber", [1, 1, 2], "number", 1),
        ("SeriesDescription", ["A", "B"], "description", "B"),
        ("Modality", ["MR", "CT", "MR"], "modality", {"system": DCM, "code": "MR"}),
        ("BodyPartExamined", ["FEMUR", "FEMUR", "HEAD"], "bodySite", FEMUR),
    ],
)
def test_where_instances_differ_most_decide(keyword: str, values: list[Any], name: str, winner: object) -> None:
    ctx = context()
    assert element(ctx, *[instance(**{keyword: value}) for value in values])[name] == winner
    assert warnings(ctx) == [(keyword, "series-conflict")]


@pytest.mark.parametrize(("sent", "number"), NUMBERS)
def test_an_instance_number_is_one_from_zero(sent: object, number: int | None) -> None:
    made, said = said_of(InstanceNumber=sent)
    assert (made["instance"][0].get("number"), said) == (number, [])


@pytest.mark.parametrize("sent", BAD_NUMBERS)
def test_a_bad_instance_number_is_left_out_and_noted_for_the_instance(sent: object) -> None:
    ctx = context()
    made = element(ctx, instance(InstanceNumber=sent))
    (issue,) = ctx.notes.issues
    assert "number" not in made["instance"][0]
    assert (issue.keyword, issue.series_instance_uid, issue.sop_instance_uid) == ("InstanceNumber", SERIES_UID, f"{SERIES_UID}.1")


@pytest.mark.parametrize("sop_class_uid", ["1.2.3", "1.2.840.10008.5.1.4.1.1.9999"])
def test_an_unknown_sop_class_has_no_display(sop_class_uid: str) -> None:
    made, _ = said_of(SOPClassUID=sop_class_uid)
    assert made["instance"][0]["sopClass"] == {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{sop_class_uid}"}


@pytest.mark.parametrize("keyword", ["SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
@pytest.mark.parametrize("uid", ["1.02.3", "1..2", "1." + "2" * 63, "", "3.1"])
def test_a_uid_that_fhir_cannot_take_rejects_the_study(keyword: str, uid: str) -> None:
    with pytest.raises(StudyRejected) as rejected:
        said_of(**{keyword: uid})
    assert rejected.value.issue.keyword == keyword


def test_a_uid_of_64_characters_is_good() -> None:
    uid = "1." + "2" * 62
    made, _ = said_of(SeriesInstanceUID=uid, SOPInstanceUID=uid)
    assert made["uid"] == made["instance"][0]["uid"] == uid


REPORT = {"ConceptNameCodeSequence": code("18748-4", "LN", "Imaging report"), "DocumentTitle": "Title", "ContentLabel": "LABEL"}


@pytest.mark.parametrize(
    ("sop_class_uid", "title"),
    [
        (BASIC_TEXT_SR, "Imaging report"),
        (KEY_OBJECTS, "Imaging report"),
        (ENCAPSULATED_PDF, "Title"),
        (PRESENTATION_STATE, "LABEL"),
        (CT_IMAGE, None),
        (SEGMENTATION, None),
    ],
)
def test_a_title_is_what_documents_and_presentation_states_have(sop_class_uid: str, title: str | None) -> None:
    attributes = {"SOPClassUID": sop_class_uid, "ImageType": ["ORIGINAL", "PRIMARY"]}
    assert said_of(**attributes, **REPORT)[0]["instance"][0].get("title") == title
    assert "title" not in said_of(**attributes)[0]["instance"][0]


def test_an_image_is_titled_with_its_type_where_the_operator_wants_that() -> None:
    made, _ = said_of({"title_image_type": True}, ImageType=["ORIGINAL", "PRIMARY", "AXIAL"])
    assert made["instance"][0]["title"] == "ORIGINAL\\PRIMARY\\AXIAL"


def test_what_is_no_title_is_left_out() -> None:
    made, said = said_of(SOPClassUID=ENCAPSULATED_PDF, DocumentTitle=5)
    assert ("title" in made["instance"][0], said) == (False, [("DocumentTitle", "bad-value")])


def test_elements_stand_by_number_then_uid_and_last_without_a_number() -> None:
    elements: list[Resource] = [
        {"uid": "1.1"},
        {"uid": "1.4", "number": 10},
        {"uid": "1.3", "number": 2},
        {"uid": "1.2", "number": 2},
        {"uid": "1.0"},
    ]
    assert [each["uid"] for each in in_order(elements)] == ["1.2", "1.3", "1.4", "1.0", "1.1"]


def test_instances_stand_in_order() -> None:
    made = element(context(), *[instance(InstanceNumber=number) for number in (None, 10, 2)])
    assert [each["uid"] for each in made["instance"]] == [f"{SERIES_UID}.{n}" for n in (3, 2, 1)]


@pytest.mark.parametrize(
    ("count", "cut_short", "listed"),
    [(50, True, 50), (51, True, 0), (51, False, 51)],
    ids=["small series", "large series", "small study"],
)
def test_a_large_series_of_a_large_study_lists_no_images(count: int, cut_short: bool, listed: int) -> None:
    made = element(context(), *[instance()] * count, cut_short=cut_short)
    assert (made["numberOfInstances"], len(made.get("instance", []))) == (count, listed)


def test_documents_are_listed_in_whatever_series() -> None:
    classes = [CT_IMAGE] * 60 + [BASIC_TEXT_SR, KEY_OBJECTS, ENCAPSULATED_PDF, PRESENTATION_STATE, SEGMENTATION]
    made = element(context(), *[instance(SOPClassUID=each) for each in classes], cut_short=True)
    assert [each["sopClass"]["code"] for each in made["instance"]] == [f"urn:oid:{each}" for each in classes[60:]]
    assert made["numberOfInstances"] == 65
