"""Measurement reports become Observations: groups, measurements, evaluations."""

from __future__ import annotations

import uuid
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from shared.dicom.sop_classes import ENCAPSULATED
from shared.fhir.dataset import tag
from shared.fhir.identity import uid_identity
from shared.fhir.issues import StudyRejected
from shared.fhir.measurements import MAX_OBSERVATIONS, measurements
from tests.support.fhir_evidence import validate
from tests.support.fhir_junk import junk_datasets
from tests.support.sr_builders import (
    CANONICAL,
    SOP_UID,
    Code,
    Json,
    attributes,
    code,
    code_item,
    container,
    device_observer,
    document,
    make_context,
    make_evidence,
    make_frame,
    num,
    text,
    uidref,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context, StudyFrame

REPORT, GROUP = ("126000", "DCM", "Imaging Measurement Report"), ("125007", "DCM", "Measurement Group")
CATEGORY: Code = ("276214006", "SCT", "Finding category")
FINDING: Code = ("121071", "DCM", "Finding")
SITE, LATERALITY = ("363698007", "SCT", "Finding Site"), ("272741003", "SCT", "Laterality")
OLD_SITE: Code = ("G-C0E3", "SRT", "Finding Site")
METHOD: Code = ("370129005", "SCT", "Measurement Method")
DERIVATION, MEAN = ("121401", "DCM", "Derivation"), ("373098007", "SCT", "Mean")
NODULE, LUNG, LEFT = ("27925004", "SCT", "Nodule"), ("39607008", "SCT", "Lung"), ("7771000", "SCT", "Left")
LENGTH, MARGIN = ("410668003", "SCT", "Length"), ("111000001", "SCT", "Margin")
MODIFIER, OBSERVER = "HAS CONCEPT MOD", "HAS OBS CONTEXT"
OBSERVATION_UID, TRACKING_UID = "1.2.3.4.5", "1.2.3.4.6"


def site(value: Code = LUNG, side: Code | None = None) -> Json:
    return code_item(SITE, value, *([code_item(LATERALITY, side, relationship=MODIFIER)] if side else []), relationship=MODIFIER)


def algorithm(version: str = "2.1") -> list[Json]:
    return [text("111001", "Finder", relationship=OBSERVER), text("111003", version, relationship=OBSERVER)]


def tracked(name: object = "Nodule 1", uid: object = TRACKING_UID) -> list[Json]:
    return [text("112039", name, relationship=OBSERVER), uidref("112040", uid, OBSERVER)]


def length(*children: Json, value: object = Decimal("12.50"), **more: Any) -> Json:
    return num(LENGTH, value, "mm", *children) | attributes(**more)


def report(*groups: Json, **by_keyword: Any) -> Json:
    return document(REPORT, container("126010", *groups), **by_keyword)


def wanted(**more: Any) -> Context:
    return make_context(measurements=True, **more)


def made(dataset: Json, context: Context | None = None, frame: StudyFrame | None = None) -> list[Json]:
    """Give the resources made of a dataset, validated."""
    drafts = measurements(make_evidence(dataset), frame or make_frame(), context or wanted())
    for draft in drafts:
        assert draft.resource["identifier"][0] == draft.identity.identifier()
    assert max(Counter(draft.identity for draft in drafts).values(), default=1) == 1
    return [validate(draft.resource) for draft in drafts]


def group(*children: Json, context: Context | None = None, frame: StudyFrame | None = None, **by_keyword: Any) -> list[Json]:
    """Give the resources of a report of one group."""
    return made(report(container(GROUP, *children), **by_keyword), context, frame)


def only(*children: Json, context: Context | None = None, **by_keyword: Any) -> Json:
    """Give the group's Observation, which comes last."""
    return group(*children, context=context, **by_keyword)[-1]


def member(*children: Json, inside: list[Json] | None = None, context: Context | None = None) -> Json:
    """Give the Observation of a measurement with these children, in a group with others."""
    return group(*(inside or []), length(*children), context=context)[0]


def codes(concept: Json) -> list[str]:
    return [each["code"] for each in concept["coding"]]


def issues(context: Context) -> list[tuple[str, str]]:
    return [(issue.code.value, issue.keyword) for issue in context.notes.issues]


@pytest.mark.parametrize(
    ("title", "sop_class_uid", "expected"),
    [
        ("126000", None, 2),
        ("126001", None, 2),
        ("126002", None, 2),
        ("126003", None, 2),
        ("113701", None, 0),
        (("18748-4", "LN", "Diagnostic Imaging Report"), None, 0),
        ("126000", f"{ENCAPSULATED}1", 0),
    ],
)
def test_measurement_reports_are_known_by_their_title(title: str | Code, sop_class_uid: str | None, expected: int) -> None:
    dataset = document(title, container(GROUP, length()))
    assert len(made(dataset | attributes(SOPClassUID=sop_class_uid))) == expected


def test_operator_has_to_want_them() -> None:
    assert made(report(container(GROUP, length())), make_context()) == []


def test_group_refers_to_its_members_which_come_first() -> None:
    measured, evaluated, whole = group(length(), code_item(MARGIN, NODULE))
    assert [each["reference"].partition("/")[0] for each in whole["hasMember"]] == ["Observation", "Observation"]
    assert "hasMember" not in measured
    assert "hasMember" not in evaluated
    assert len({each["reference"] for each in whole["hasMember"]}) == 2


def test_reference_to_a_member_is_that_to_what_is_written() -> None:
    context = wanted()
    whole = group(length(ObservationUID=OBSERVATION_UID), context=context)[-1]
    expected = uid_identity("Observation", OBSERVATION_UID).logical_id
    assert whole["hasMember"] == [{"reference": f"Observation/{expected}"}]


def test_groups_at_any_depth_are_found() -> None:
    assert len(made(document(REPORT, container(GROUP), container("1", container("2", container(GROUP)))))) == 2


@pytest.mark.parametrize(
    ("children", "code_of_group", "value"),
    [
        ([code_item(CATEGORY, NODULE), code_item(FINDING, LUNG)], "27925004", ["39607008"]),
        ([code_item(FINDING, LUNG)], "125007", ["39607008"]),
        ([], "125007", None),
        ([text(CATEGORY, "free"), text(FINDING, "free")], "125007", None),
        ([code_item(CATEGORY, ("", "SCT", "x")), code_item(FINDING, ("", "SCT", "x"))], "125007", None),
    ],
)
def test_group_is_coded_by_its_category_and_has_its_finding(children: list[Json], code_of_group: str, value: list[str] | None) -> None:
    whole = only(*children)
    assert codes(whole["code"]) == [code_of_group]
    assert (codes(whole["valueCodeableConcept"]) if value else whole.get("valueCodeableConcept")) == value


def test_second_finding_of_a_group_is_an_evaluation() -> None:
    evaluated, whole = group(code_item(FINDING, LUNG), code_item(FINDING, NODULE))
    assert (codes(whole["valueCodeableConcept"]), codes(evaluated["valueCodeableConcept"])) == (["39607008"], ["27925004"])


def test_measurement_keeps_its_digits_and_unit() -> None:
    resource = member()
    assert codes(resource["code"]) == ["410668003"]
    assert resource["valueQuantity"] == {"value": 12.5, "unit": "mm", "system": "http://unitsofmeasure.org", "code": "mm"}
    [draft, _] = measurements(make_evidence(report(container(GROUP, length()))), make_frame(), wanted())
    assert str(draft.resource["valueQuantity"]["value"]) == "12.50"


def test_measurement_that_failed_says_why() -> None:
    resource = group(num(LENGTH, None, None, qualifier="114007"))[0]
    assert codes(resource["dataAbsentReason"]) == ["not-performed"]
    assert "valueQuantity" not in resource


@pytest.mark.parametrize(
    ("bad", "keyword"),
    [
        (num(LENGTH, None, None), "MeasuredValueSequence"),
        (num(LENGTH, "junk", "mm"), "MeasuredValueSequence"),
        (num(LENGTH, 7, None), "MeasuredValueSequence"),
        (num(("", "SCT", "x"), 7, "mm"), "ConceptNameCodeSequence"),
        (attributes(ValueType="NUM"), "ConceptNameCodeSequence"),
        (code_item(MARGIN, ("", "SCT", "x")), "ConceptCodeSequence"),
        (attributes(ValueType="CODE", ConceptNameCodeSequence=code(MARGIN)), "ConceptCodeSequence"),
    ],
)
def test_member_without_a_name_or_value_is_dropped(bad: Json, keyword: str) -> None:
    context = wanted()
    resources = group(bad, length(), context=context)
    assert len(resources) == 2
    assert len(resources[-1]["hasMember"]) == 1
    assert ("bad-value", keyword) in issues(context)


def test_evaluation_has_its_code() -> None:
    resource = group(code_item(MARGIN, NODULE))[0]
    assert (codes(resource["code"]), codes(resource["valueCodeableConcept"])) == (["111000001"], ["27925004"])


@pytest.mark.parametrize("relationship", [MODIFIER, OBSERVER, "HAS ACQ CONTEXT"])
def test_what_only_describes_the_group_is_no_member(relationship: str) -> None:
    assert len(group(code_item(MARGIN, NODULE, relationship=relationship))) == 1


def test_site_and_method_are_no_members_whatever_their_relationship() -> None:
    assert len(group(code_item(SITE, LUNG), code_item(METHOD, NODULE), text(FINDING, "x"), container("1", length()))) == 1


def test_modifiers_of_a_measurement_become_components() -> None:
    own = code_item((LENGTH[0], "SCT", "itself"), MEAN, relationship=MODIFIER)
    mean = code_item(DERIVATION, MEAN, relationship=MODIFIER)
    resource = member(mean, own, site(), code_item(MARGIN, NODULE), text("1", "x", relationship=MODIFIER))
    [component] = resource["component"]
    assert (codes(component["code"]), codes(component["valueCodeableConcept"])) == (["121401"], ["373098007"])


def test_observation_uid_identifies() -> None:
    [resource, whole] = made(report(container(GROUP, length(ObservationUID=OBSERVATION_UID)) | attributes(ObservationUID=TRACKING_UID)))
    assert resource["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{OBSERVATION_UID}"}]
    assert whole["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{TRACKING_UID}"}]


@pytest.mark.parametrize("bad", [None, "junk", 7])
def test_without_it_the_place_in_the_document_does(bad: object) -> None:
    [resource, whole] = group(length(ObservationUID=bad))
    places = [uuid.uuid5(uuid.NAMESPACE_OID, f"{SOP_UID}#{path}") for path in ("1.1.1.1", "1.1.1")]
    expected = [[{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{place}"}] for place in places]
    assert [resource["identifier"], whole["identifier"]] == expected


def test_uid_that_two_items_have_identifies_the_first_alone() -> None:
    first, second, _ = group(length(ObservationUID=OBSERVATION_UID), length(ObservationUID=OBSERVATION_UID))
    assert first["identifier"][0]["system"] == "urn:dicom:uid"
    assert second["identifier"][0]["system"] == "urn:ietf:rfc:3986"


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        (tracked(), ["Nodule 1", f"urn:oid:{TRACKING_UID}"]),
        (tracked(uid="junk"), ["Nodule 1"]),
        (tracked(name=None), [f"urn:oid:{TRACKING_UID}"]),
        (tracked(7, 7), []),
        ([], []),
    ],
)
def test_tracking_identifies_group_and_members_too(children: list[Json], expected: list[str]) -> None:
    for resource in group(*children, length()):
        assert [each["value"] for each in resource["identifier"][1:]] == expected
        assert all(codes(each["type"])[0] in {"112039", "112040"} for each in resource["identifier"][1:])


def test_measurement_tracked_by_itself_is_not_tracked_as_its_group() -> None:
    resource = member(*tracked("Own", "1.2.9"), inside=tracked())
    assert [each["value"] for each in resource["identifier"][1:]] == ["Own", "urn:oid:1.2.9"]


@pytest.mark.parametrize(
    ("inside", "own", "expected"),
    [
        ([site()], [], ["39607008"]),
        ([site()], [site(LEFT)], ["7771000"]),
        ([], [site()], ["39607008"]),
        ([code_item(OLD_SITE, LUNG)], [], ["39607008"]),
        ([], [], None),
        ([site(("", "SCT", "x"))], [], None),
    ],
)
def test_body_site_is_the_finding_site_of_the_item_else_of_the_group(
    inside: list[Json], own: list[Json], expected: list[str] | None
) -> None:
    found = member(*own, inside=inside).get("bodySite")
    assert (found and codes(found)) == expected


def test_side_of_the_body_site_is_an_extension() -> None:
    found = only(site(side=LEFT))["bodySite"]
    assert codes(found) == ["39607008"]
    assert found["extension"][0]["url"] == f"{CANONICAL}/StructureDefinition/laterality"
    assert codes(found["extension"][0]["valueCodeableConcept"]) == ["7771000"]


def test_method_is_that_of_the_item_else_of_the_group() -> None:
    inside = [code_item(METHOD, NODULE, relationship=MODIFIER)]
    assert codes(member(inside=inside)["method"]) == ["27925004"]
    assert codes(member(code_item(METHOD, MEAN, relationship=MODIFIER), inside=inside)["method"]) == ["373098007"]
    assert "method" not in member()


def test_device_is_the_algorithm_of_the_item_else_of_the_group() -> None:
    context = wanted()
    resource = member(*algorithm("3"), inside=algorithm(), context=context)
    assert resource["device"]["display"] == "Finder"
    versions = [draft.resource["version"] for draft in context.shared.values()]
    assert versions == [[{"value": "3"}], [{"value": "2.1"}]]


def test_without_an_algorithm_it_is_the_observer_else_the_equipment() -> None:
    observer = device_observer("1.2.3", "Workstation")
    [by_observer] = made(document(REPORT, *observer, container(GROUP), Manufacturer="ACME", ManufacturerModelName="X"))
    assert by_observer["device"]["display"] == "Workstation"
    assert only(Manufacturer="ACME", ManufacturerModelName="X")["device"] == {"type": "Device", "display": "ACME X"}
    assert "device" not in only()


@pytest.mark.parametrize(
    ("own", "of_group", "of_root", "expected"),
    [
        ("20260110101010", "20260110111111", None, "2026-01-10T10:10:10+09:00"),
        (None, "20260110111111", None, "2026-01-10T11:11:11+09:00"),
        (None, None, "20260110121212", "2026-01-10T12:12:12+09:00"),
        ("junk", 7, None, "2026-01-10T10:00:00+09:00"),
        (None, None, None, "2026-01-10T10:00:00+09:00"),
    ],
)
def test_effective_is_the_observation_moment_else_that_of_the_content(
    own: object, of_group: object, of_root: object, expected: str
) -> None:
    one = container(GROUP, length(ObservationDateTime=own)) | attributes(ObservationDateTime=of_group)
    assert made(report(one, ObservationDateTime=of_root))[0]["effectiveDateTime"] == expected


def test_unknown_moment_is_left_out() -> None:
    assert "effectiveDateTime" not in only(ContentDate=None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"VerificationFlag": "VERIFIED"}, "final"),
        ({"VerificationFlag": "UNVERIFIED"}, "preliminary"),
        ({"CompletionFlag": "PARTIAL"}, "preliminary"),
        ({"CompletionFlag": None, "VerificationFlag": None}, "preliminary"),
    ],
)
def test_status_is_that_of_the_document(flags: dict[str, Any], expected: str) -> None:
    assert [each["status"] for each in group(length(), **flags)] == [expected] * 2


def test_everything_leads_to_study_patient_order_and_encounter() -> None:
    frame = make_frame(encounter={"reference": "Encounter/3"})
    for resource in group(length(), frame=frame):
        assert resource["partOf"] == resource["derivedFrom"] == [frame.study]
        assert resource["subject"] == frame.subject
        assert resource["basedOn"] == frame.based_on
        assert resource["encounter"] == frame.encounter
        assert codes(resource["category"][0]) == ["imaging"]
    assert "encounter" not in only()


@pytest.mark.parametrize(("count", "observations", "noted"), [(499, 500, []), (500, 1, [("measurements-elided", "ContentSequence")])])
def test_of_too_many_only_groups_are_written(count: int, observations: int, noted: list[tuple[str, str]]) -> None:
    context = wanted()
    resources = group(*[code_item(MARGIN, NODULE)] * count, context=context)
    assert len(resources) == observations
    assert ("hasMember" in resources[-1]) == (noted == [])
    assert issues(context) == noted


def test_no_more_groups_are_written_than_that() -> None:
    context = wanted()
    assert len(made(report(*[container(GROUP)] * (MAX_OBSERVATIONS + 1)), context)) == MAX_OBSERVATIONS
    assert issues(context) == [("measurements-elided", "ContentSequence")]


def test_strict_operator_refuses_a_measurement_without_a_value() -> None:
    with pytest.raises(StudyRejected):
        group(num(LENGTH, None, None), context=wanted(strict=True))


KEYWORDS = (
    "ContentSequence", "ValueType", "RelationshipType", "ConceptNameCodeSequence", "ConceptCodeSequence", "CodeValue",
    "CodingSchemeDesignator", "CodeMeaning", "TextValue", "UID", "MeasuredValueSequence", "MeasurementUnitsCodeSequence", "NumericValue",
    "NumericValueQualifierCodeSequence", "ObservationUID", "ObservationDateTime", "CompletionFlag", "Manufacturer", "ContentDate",
)  # fmt: skip


@given(junk_datasets(*KEYWORDS), junk_datasets(*KEYWORDS))
@settings(deadline=None)
def test_whatever_the_content_valid_observations_are_made(junk: Json, other: Json) -> None:
    odd = attributes(ValueType="NUM", RelationshipType="CONTAINS", ConceptNameCodeSequence=code(LENGTH)) | other
    about = {name: value for name, value in junk.items() if name not in {tag("ContentSequence"), tag("ConceptNameCodeSequence")}}
    assert made(report(container(GROUP, junk, odd, length())) | about)
