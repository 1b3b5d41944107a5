"""An Encounter is referred to where the server has it, and otherwise not mentioned."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.encounters import encounter
from shared.fhir.identity import Identity
from tests.support.fhir_evidence import context, evidence, instance, warnings

OID = {"UniversalEntityID": "2.16.840.1.113883.19.6", "UniversalEntityIDType": "ISO"}
ANYWHERE, HERE = Identity("Encounter", "", "V-1"), Identity("Encounter", "urn:oid:2.16.840.1.113883.19.6", "V-1")


@pytest.mark.parametrize(
    ("attributes", "identity"),
    [
        ({"AdmissionID": " V-1 "}, ANYWHERE),
        ({"AdmissionID": "V-1", "IssuerOfAdmissionIDSequence": OID}, HERE),
    ],
    ids=["by value alone", "with its issuer"],
)
def test_an_encounter_is_found_by_admission_id_and_issuer(attributes: dict[str, Any], identity: Identity) -> None:
    study, ctx = evidence([instance(**attributes)]), context()
    assert encounter(study, ctx) is None
    assert list(ctx.links.asked) == [identity]
    assert encounter(study, context({identity: "Encounter/3"})) == {"reference": "Encounter/3"}


@pytest.mark.parametrize(("sent", "said"), [(None, []), ("", []), (5, [("AdmissionID", "bad-value")])])
def test_without_an_admission_id_nothing_is_asked(sent: object, said: list[tuple[str, str]]) -> None:
    ctx = context()
    assert encounter(evidence([instance(AdmissionID=sent)]), ctx) is None
    assert not ctx.links.asked
    assert warnings(ctx) == said


def test_of_several_admissions_that_of_most_instances_counts() -> None:
    ctx = context({ANYWHERE: "Encounter/3"})
    study = evidence([instance(AdmissionID=value) for value in ("V-1", "V-1", "V-2")])
    assert encounter(study, ctx) == {"reference": "Encounter/3"}
    assert warnings(ctx) == [("AdmissionID", "study-conflict")]
