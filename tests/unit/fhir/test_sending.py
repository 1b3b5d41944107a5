"""How units become transactions, and what is refused before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shared.fhir.identity import Identity
from shared.fhir.plan import Planned, Unit, create, update
from shared.fhir.sending import MAX_ENTRIES, batches, send
from shared.fhir.server import Capabilities, FhirConflict, FhirRefused
from tests.support.fake_fhir import FakeFhirServer

if TYPE_CHECKING:
    from shared.fhir.json_text import Resource

ABLE = Capabilities()


def patient(number: int, **elements: object) -> Planned:
    identity = Identity("Patient", "urn:s", str(number))
    return create(identity, {"resourceType": "Patient", "identifier": [identity.identifier()], **elements}, ABLE)


def unit(*numbers: int) -> Unit:
    return Unit([patient(number) for number in numbers])


@pytest.mark.parametrize(
    ("sizes", "filled"), [((1, 1), [2]), ((30, 20), [50]), ((30, 21), [30, 21]), ((60, 1), [60, 1]), ((0, 0), [0]), ((), [])]
)
def test_units_fill_transactions_and_none_is_divided(sizes: tuple[int, ...], filled: list[int]) -> None:
    units = [unit(*range(size)) for size in sizes]
    assert [sum(len(each.writes) for each in batch) for batch in batches(units)] == filled


async def test_a_unit_larger_than_a_transaction_is_sent_in_several() -> None:
    server = FakeFhirServer()
    await send(server, [unit(*range(MAX_ENTRIES + 1))], {})
    assert (server.requests["write"], len(server.all())) == (2, MAX_ENTRIES + 1)


async def test_what_is_not_valid_is_not_sent() -> None:
    server = FakeFhirServer()
    with pytest.raises(FhirRefused) as refused:
        await send(server, [Unit([patient(1), patient(2, gender=7)])], {})
    assert (refused.value.diagnostics, server.requests["write"]) == ("Patient.gender", 0)


async def test_what_others_wrote_is_not_ours_to_check() -> None:
    server, theirs = FakeFhirServer(), {"resourceType": "Patient", "id": "p", "odd": 7}
    server.put(theirs)
    mixed = update(Identity("Patient", "urn:s", "1"), "Patient/p", 'W/"1"', theirs, mixed=True)
    await send(server, [Unit([mixed])], {})
    assert mixed.resource.version == 'W/"2"'


async def test_a_resource_that_was_to_be_new_and_is_there_is_a_conflict() -> None:
    server = FakeFhirServer()
    await send(server, [unit(1)], {})
    with pytest.raises(FhirConflict):
        await send(server, [unit(1)], {})


async def test_ids_that_the_server_makes_are_used_from_then_on() -> None:
    able = Capabilities(no_update_create=frozenset({"Patient"}))
    server, identity = FakeFhirServer(abilities=able), Identity("Patient", "urn:s", "1")
    made = create(identity, {"resourceType": "Patient", "identifier": [identity.identifier()]}, able)
    meant, renamed = made.resource.reference, dict[str, str]()
    reference: Resource = {"resourceType": "Basic", "code": {"text": "x"}, "subject": {"reference": meant}}
    beside, later = create(Identity("Basic", "urn:s", "2"), reference, able), create(Identity("Basic", "urn:s", "3"), reference, able)
    await send(server, [Unit([made, beside])], renamed)
    await send(server, [Unit([later])], renamed)
    stands = f"Patient/{server.one('Patient')['id']}"
    assert renamed == {meant: stands}
    assert {basic["subject"]["reference"] for basic in server.all("Basic")} == {stands}
