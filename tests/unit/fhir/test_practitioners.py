"""People are found by the operator's codes, and never by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.identity import Identity
from shared.fhir.practitioners import first_of, people, practitioner
from tests.support.fhir_evidence import code, context, dataset, validate, warnings

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.json_text import Resource

STAFF = "https://hospital.example/staff"
ANN = Identity("Practitioner", STAFF, "77")
NAMES, CODES = "ReferringPhysicianName", "ReferringPhysicianIdentificationSequence"


def identified(value: str | None = "77", designator: str = "99STAFF", meaning: str | None = None) -> dict[str, Any]:
    return {"PersonIdentificationCodeSequence": code(value, designator, meaning)}


def known(found: dict[Identity, str] | None = None, **settings: Any) -> Context:
    return context(found, practitioner_systems={"99STAFF": STAFF}, **settings)


def asked(ctx: Context, **attributes: Any) -> Resource | None:
    return first_of(dataset(**attributes), NAMES, CODES, ctx)


def test_a_person_with_a_name_only_is_named() -> None:
    ctx = known()
    assert asked(ctx, ReferringPhysicianName="Refer^Ann^^Dr") == {"type": "Practitioner", "display": "Dr Ann Refer"}
    assert not ctx.links.asked


def test_a_person_whose_code_is_found_is_referred_to() -> None:
    attributes = {NAMES: "Refer^Ann^^Dr", CODES: identified()}
    assert asked(known({ANN: "Practitioner/9"}), **attributes) == {"reference": "Practitioner/9", "display": "Dr Ann Refer"}


def test_a_person_whose_code_is_not_found_is_identified() -> None:
    ctx = known()
    expected = {"type": "Practitioner", "identifier": {"system": STAFF, "value": "77"}, "display": "Dr Ann Refer"}
    assert asked(ctx, **{NAMES: "Refer^Ann^^Dr", CODES: identified()}) == expected
    assert list(ctx.links.asked) == [ANN]


@pytest.mark.parametrize(
    ("item", "display"),
    [
        (identified(designator="99OTHER"), "Dr Ann Refer"),
        (identified(None), "Dr Ann Refer"),
        ({}, "Dr Ann Refer"),
        ("junk", "Dr Ann Refer"),
    ],
    ids=["foreign scheme", "no code", "no item", "junk"],
)
def test_a_code_that_the_operator_does_not_know_leaves_the_name(item: Any, display: str) -> None:
    ctx = known()
    assert asked(ctx, **{NAMES: "Refer^Ann^^Dr", CODES: item}) == {"type": "Practitioner", "display": display}
    assert not ctx.links.asked


def test_the_first_code_of_a_known_scheme_counts() -> None:
    item = {"PersonIdentificationCodeSequence": [code("1", "99OTHER"), code("77", "99STAFF"), code("78", "99STAFF")]}
    ctx = known()
    asked(ctx, **{NAMES: "Refer^Ann", CODES: item})
    assert list(ctx.links.asked) == [ANN]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (identified(meaning="Ann Refer"), {"type": "Practitioner", "identifier": {"system": STAFF, "value": "77"}, "display": "Ann Refer"}),
        (identified(designator="99OTHER", meaning="Ann Refer"), {"type": "Practitioner", "display": "Ann Refer"}),
        (identified(designator="99OTHER"), None),
        (None, None),
    ],
    ids=["known code", "unknown code", "nothing to show", "absent"],
)
def test_without_a_name_the_meaning_of_the_code_is_shown(item: Any, expected: Resource | None) -> None:
    assert asked(known(), **{CODES: item}) == expected


def test_a_practitioner_is_made_where_the_operator_wants_that() -> None:
    ctx = known(practitioners="create")
    reference = asked(ctx, **{NAMES: "Refer^Ann^^Dr=紹介^安", CODES: identified()})
    assert reference == {"reference": f"Practitioner/{ANN.logical_id}", "display": "Dr Ann Refer"}
    resource = validate(ctx.shared[ANN].resource)
    assert resource["identifier"] == [{"system": STAFF, "value": "77"}]
    assert [name["text"] for name in resource["name"]] == ["Dr Ann Refer", "紹介安"]


def test_a_practitioner_without_a_name_is_made_with_what_is_shown() -> None:
    ctx = known(practitioners="create")
    practitioner(dataset(**identified()), "Ann Refer", ctx)
    assert validate(ctx.shared[ANN].resource)["name"] == [{"text": "Ann Refer"}]


def test_nobody_is_made_for_a_name_alone() -> None:
    ctx = known(practitioners="create")
    asked(ctx, ReferringPhysicianName="Refer^Ann")
    assert not ctx.shared


def test_names_and_codes_belong_together_by_position() -> None:
    ds = dataset(**{NAMES: ["A^A", "B^B"], CODES: [identified("1"), identified("2")]})
    assert [(each["identifier"]["value"], each["display"]) for each in people(ds, NAMES, CODES, known())] == [("1", "A A"), ("2", "B B")]


def test_codes_are_given_to_nobody_where_their_number_is_another() -> None:
    ds = dataset(**{NAMES: ["A^A", "B^B"], CODES: [identified("2")]})
    expected = [
        {"type": "Practitioner", "display": "A A"},
        {"type": "Practitioner", "display": "B B"},
        {"type": "Practitioner", "identifier": {"system": STAFF, "value": "2"}},
    ]
    assert people(ds, NAMES, CODES, known()) == expected


def test_a_name_that_is_none_is_left_out_with_a_warning() -> None:
    ctx = known()
    assert asked(ctx, ReferringPhysicianName=5) is None
    assert warnings(ctx) == [(NAMES, "bad-value")]
