"""Sending a plan's units to the FHIR server, as few requests as its limits allow. Not: what is in them.

References
----------
FHIR R4 3.1.0.11.2 "Transaction Processing Rules"; 3.1.0.11.4 on references between entries (``urn:uuid:``).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.fhir.plan import Change
from shared.fhir.server import FhirConflict, FhirRefused
from shared.fhir.validation import first_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shared.fhir.plan import Planned, Unit
    from shared.fhir.server import FhirServer, Write

MAX_ENTRIES = 50
"""Of one transaction: Azure takes 500, others fewer."""

_CREATED = 201


def batches(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Put units together, in their order and none divided, until a transaction is full."""
    batch: list[Unit] = []
    for unit in units:
        if batch and sum(len(each.writes) for each in batch) + len(unit.writes) > MAX_ENTRIES:
            yield batch
            batch = []
        batch.append(unit)
    if batch:
        yield batch


async def send(server: FhirServer, units: Sequence[Unit], renamed: dict[str, str]) -> None:
    """Write units as one transaction, several where they are larger than one may be; note what came of each write.

    Parameters
    ----------
    renamed
        ``Type/id`` that we meant → the one that the server chose, for servers that make the ids; is added to.

    Raises
    ------
    FhirRefused
        Also where something is not valid by our own check: nothing of that transaction was sent.
    FhirConflict
        Also where a resource that was to be new turned out to be there: somebody made it at the same moment.
    """
    writes = [planned for unit in units for planned in unit.writes]
    for first in range(0, len(writes), MAX_ENTRIES):
        await _send_some(server, writes[first : first + MAX_ENTRIES], renamed)


async def _send_some(server: FhirServer, planned: Sequence[Planned], renamed: dict[str, str]) -> None:
    await asyncio.to_thread(_check, planned)
    results = await server.write(writes_of(planned, renamed))
    overwrote = False
    for each, result in zip(planned, results, strict=True):
        meant = each.resource.reference
        each.resource = replace(each.resource, version=result.version, reference=result.reference or meant)
        if each.resource.reference != meant:
            renamed[meant] = each.resource.reference
        overwrote |= each.change is Change.CREATE and meant == each.resource.reference and result.status != _CREATED
    if overwrote:
        raise FhirConflict("A resource was created by somebody else at the same moment.")


def _check(planned: Sequence[Planned]) -> None:
    """Refuse to send what is not valid, as the server would."""
    for each in planned:
        if each.write and each.write.resource and not each.mixed and (place := first_problem(each.write.resource)):
            raise FhirRefused("what was to be sent is not valid", outcome_code="invalid", diagnostics=place)


def writes_of(planned: Iterable[Planned], renamed: Mapping[str, str]) -> list[Write]:
    """Give the writes as they are sent: references lead to where their targets stand, or by ``urn:uuid:`` to other entries."""
    listed = [(each.resource.reference, each.write) for each in planned if each.write]
    names = {**renamed, **{reference: write.full_url for reference, write in listed if write.full_url}}
    return [_with_names(write, names) for _, write in listed]


def _with_names(write: Write, names: dict[str, str]) -> Write:
    if not names or write.resource is None:
        return write
    return replace(write, resource=_renamed(write.resource, names))


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """Replace references throughout a resource."""
    if isinstance(value, dict):
        return {k: names.get(v, v) if k == "reference" and isinstance(v, str) else _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return value
