"""A study is based on the orders that it names, found or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.identity import Identity
from shared.fhir.orders import accession_identifiers, based_on
from tests.support.fhir_evidence import ACCESSIONS, BASIC_TEXT_SR, code, context, evidence, instance, validate, warnings

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.json_text import Resource

OID = {"UniversalEntityID": "2.16.840.1.113883.19.7", "UniversalEntityIDType": "ISO"}
SUBJECT = {"reference": "Patient/1"}
PLACER = "PlacerOrderNumberImagingServiceRequest"
ACC_77, ORDER_5 = Identity("ServiceRequest", ACCESSIONS, "ACC-77", "ACSN"), Identity("ServiceRequest", ACCESSIONS, "ORD-5", "PLAC")


def logical(*identities: Identity) -> list[Resource]:
    return [{"type": "ServiceRequest", "identifier": identity.identifier()} for identity in identities]


def asked(ctx: Context, *instances: dict[str, Any]) -> list[Resource]:
    return based_on(evidence([instance(**attributes) for attributes in instances]), SUBJECT, ctx)


@pytest.mark.parametrize(
    ("attributes", "identities"),
    [
        ({"AccessionNumber": " ACC-77 "}, [ACC_77]),
        (
            {"AccessionNumber": "ACC-77", "IssuerOfAccessionNumberSequence": OID},
            [Identity("ServiceRequest", "urn:oid:2.16.840.1.113883.19.7", "ACC-77", "ACSN")],
        ),
        ({PLACER: "ORD-5"}, [ORDER_5]),
        (
            {PLACER: "ORD-5", "OrderPlacerIdentifierSequence": OID},
            [Identity("ServiceRequest", "urn:oid:2.16.840.1.113883.19.7", "ORD-5", "PLAC")],
        ),
        ({"AccessionNumber": "ACC-77", PLACER: "ORD-5"}, [ACC_77, ORDER_5]),
        ({"ReferencedRequestSequence": [{"AccessionNumber": "ACC-77"}, {PLACER: "ORD-5"}]}, [ACC_77, ORDER_5]),
        ({"AccessionNumber": "ACC-77", "ReferencedRequestSequence": {"AccessionNumber": "ACC-77"}}, [ACC_77]),
        ({}, []),
        ({"AccessionNumber": ""}, []),
    ],
    ids=["accession", "its issuer", "placer", "its issuer too", "both", "requests of a report", "named twice", "absent", "empty"],
)
def test_orders_that_the_server_does_not_have_are_identified(attributes: dict[str, Any], identities: list[Identity]) -> None:
    ctx = context()
    assert asked(ctx, attributes) == logical(*identities)
    assert list(ctx.links.asked) == identities
    assert warnings(ctx) == []


@pytest.mark.parametrize(
    "attributes",
    [{"AccessionNumber": 7}, {PLACER: {}}, {"ReferencedRequestSequence": "junk"}, {"ReferencedRequestSequence": {"AccessionNumber": 7}}],
)
def test_what_is_no_number_of_an_order_is_left_out(attributes: dict[str, Any]) -> None:
    assert asked(context(), attributes) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({ACC_77: "ServiceRequest/1"}, [{"reference": "ServiceRequest/1"}]),
        ({ORDER_5: "ServiceRequest/1"}, [{"reference": "ServiceRequest/1"}]),
        ({ACC_77: "ServiceRequest/1", ORDER_5: "ServiceRequest/1"}, [{"reference": "ServiceRequest/1"}]),
        ({ACC_77: "ServiceRequest/1", ORDER_5: "ServiceRequest/2"}, [{"reference": "ServiceRequest/1"}, {"reference": "ServiceRequest/2"}]),
    ],
    ids=["by accession", "by placer", "the same by both", "two"],
)
def test_an_order_that_the_server_has_is_referred_to_literally(found: dict[Identity, str], expected: list[Resource]) -> None:
    assert asked(context(found), {"AccessionNumber": "ACC-77", PLACER: "ORD-5"}) == expected


def test_a_study_can_answer_several_orders_in_the_order_of_storage() -> None:
    ctx = context({ORDER_5: "ServiceRequest/5"})
    other = Identity("ServiceRequest", ACCESSIONS, "ACC-78", "ACSN")
    references = asked(ctx, {"AccessionNumber": "ACC-78"}, {"AccessionNumber": "ACC-77"}, {PLACER: "ORD-5"}, {"AccessionNumber": "ACC-78"})
    assert references == [*logical(other, ACC_77), {"reference": "ServiceRequest/5"}]


def test_all_accession_numbers_of_the_study_are_its_identifiers() -> None:
    instances = [instance(AccessionNumber=value) for value in ("B", None, "A", "B", 5)]
    requests = instance(SOPClassUID=BASIC_TEXT_SR, ReferencedRequestSequence={"AccessionNumber": "C"})
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
    expected = [{"type": kind, "system": ACCESSIONS, "value": value} for value in ("B", "A")]
    ctx = context()
    assert accession_identifiers(evidence([*instances, requests]), ctx) == expected
    assert warnings(ctx) == [("AccessionNumber", "bad-value")]


REQUEST = {
    "AccessionNumber": "ACC-77",
    PLACER: "ORD-5",
    "RequestedProcedureCodeSequence": code("P5-0808E", "99LOCAL", "CT Femur"),
    "RequestedProcedureDescription": "CT of the femur",
    "RequestingPhysician": "Refer^Ann^^Dr",
    "IssueDateOfImagingServiceRequest": "20260109",
    "IssueTimeOfImagingServiceRequest": "1705",
    "TimezoneOffsetFromUTC": "+0900",
}


def created(ctx: Context, *instances: dict[str, Any]) -> Resource:
    """Make the one order of a study."""
    references = asked(ctx, *instances)
    ((identity, draft),) = ctx.shared.items()
    assert references == [{"reference": f"ServiceRequest/{identity.logical_id}"}]
    assert draft.resource["identifier"][0] == identity.identifier()
    return validate(draft.resource)


def test_an_order_is_made_where_the_operator_wants_that() -> None:
    resource = created(context(orders="create"), REQUEST)
    coding = {"system": "https://archive.example/fhir/code-system/99LOCAL", "code": "P5-0808E", "display": "CT Femur"}
    assert resource == {
        "resourceType": "ServiceRequest",
        "meta": context().meta(),
        "identifier": [ACC_77.identifier(), ORDER_5.identifier()],
        "status": "completed",
        "intent": "order",
        "code": {"coding": [coding]},
        "subject": SUBJECT,
        "authoredOn": "2026-01-09T17:05:00+09:00",
        "requester": {"type": "Practitioner", "display": "Dr Ann Refer"},
    }


@pytest.mark.parametrize(
    ("attributes", "element", "expected"),
    [
        ({"RequestedProcedureCodeSequence": None}, "code", {"text": "CT of the femur"}),
        ({"RequestedProcedureCodeSequence": None, "RequestedProcedureDescription": None}, "code", None),
        ({"IssueTimeOfImagingServiceRequest": None}, "authoredOn", "2026-01-09"),
        ({"IssueDateOfImagingServiceRequest": None}, "authoredOn", None),
        ({"IssueDateOfImagingServiceRequest": "junk"}, "authoredOn", None),
        ({"RequestingPhysician": None}, "requester", None),
    ],
    ids=["text", "no procedure", "date only", "no date", "bad date", "nobody"],
)
def test_an_order_says_what_the_study_knows_of_it(attributes: dict[str, Any], element: str, expected: object) -> None:
    assert created(context(orders="create"), REQUEST | attributes).get(element) == expected


def test_instances_of_one_order_add_to_it_and_do_not_empty_it() -> None:
    ctx = context(orders="create")
    resource = created(ctx, {"AccessionNumber": "ACC-77", "RequestingPhysician": "Refer^Ann"}, REQUEST, {"AccessionNumber": "ACC-77"})
    assert resource["identifier"] == [ACC_77.identifier(), ORDER_5.identifier()]
    assert resource["requester"] == {"type": "Practitioner", "display": "Ann Refer"}
    assert resource["authoredOn"] == "2026-01-09T17:05:00+09:00"


def test_an_order_known_by_its_placers_number_is_not_made_again() -> None:
    ctx = context({ORDER_5: "ServiceRequest/5"}, orders="create")
    assert asked(ctx, REQUEST) == [{"reference": "ServiceRequest/5"}]
    assert list(ctx.shared) == [ORDER_5]


def test_without_a_number_no_order_is_made() -> None:
    ctx = context(orders="create")
    assert asked(ctx, REQUEST | {"AccessionNumber": None, PLACER: None}) == []
    assert not ctx.shared
