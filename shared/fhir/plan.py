"""What has to be written so that the FHIR server says what the catalog says. Reads the server; writes nothing.

One study's plan is made of *units*: what many studies share (devices, the endpoint), the study with its patient, and
each document. A unit's writes belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.fhir.identity import Identity, is_owned
from shared.fhir.json_text import digest
from shared.fhir.lookup import find, reference_to, version_of
from shared.fhir.merging import refresh, same
from shared.fhir.server import Write, escape_token
from shared.fhir.state import WrittenResource

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shared.fhir.identity import Document, Draft
    from shared.fhir.json_text import Resource
    from shared.fhir.server import Capabilities, FhirServer


class Change(StrEnum):
    """What happens to a resource."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    NONE = "none"


@dataclass(slots=True)
class Planned:
    """One resource: where it stands or will stand, and the write that brings it there, if any.

    ``mixed`` says that the write holds what others wrote too, which is not for us to check.
    """

    change: Change
    resource: WrittenResource
    write: Write | None = None
    mixed: bool = False


@dataclass(slots=True)
class Unit:
    """Writes that belong together; of one document where it names one."""

    planned: list[Planned] = field(default_factory=list)
    sop_instance_uid: str = ""

    @property
    def writes(self) -> list[Planned]:
        """Those that change something."""
        return [planned for planned in self.planned if planned.write is not None]


def unchanged(resource: WrittenResource) -> Planned:
    """Plan nothing."""
    return Planned(Change.NONE, resource)


def create(identity: Identity, resource: Resource, capabilities: Capabilities) -> Planned:
    """Plan to create a resource under its deterministic id; by its identifier, where the server makes the ids."""
    reference = f"{identity.resource_type}/{identity.logical_id}"
    written = _written(identity, reference, "", resource)
    if identity.resource_type in capabilities.no_update_create:
        token = f"{escape_token(identity.system)}|{escape_token(identity.value)}"
        url = f"{identity.resource_type}?identifier={quote(token, safe='')}"
        return Planned(Change.CREATE, written, Write("PUT", url, resource, full_url=f"urn:uuid:{identity.logical_id}"))
    return Planned(Change.CREATE, written, Write("PUT", reference, {**resource, "id": identity.logical_id}))


def update(identity: Identity, reference: str, version: str, resource: Resource, *, mixed: bool = False) -> Planned:
    """Plan to write a new version over the one that was read, or written, last."""
    written = _written(identity, reference, version, resource)
    whole = {**resource, "id": reference.partition("/")[2]}
    return Planned(Change.UPDATE, written, Write("PUT", reference, whole, if_match=version), mixed)


def delete(resource: WrittenResource) -> Planned:
    """Plan to delete a resource of ours."""
    return Planned(Change.DELETE, resource, Write("DELETE", resource.reference, if_match=resource.version))


def _written(identity: Identity, reference: str, version: str, resource: Resource) -> WrittenResource:
    return WrittenResource(identity.system, identity.value, reference, version, digest(resource))


def plan_own(draft: Draft, there: Sequence[Resource], canonical: str, capabilities: Capabilities) -> Planned:
    """Plan a resource of ours by what a search found under its identifier: new, brought up to date, or somebody else's and left alone."""
    identity, resource = draft.identity, draft.resource
    if not there:
        return create(identity, resource, capabilities)
    current = chosen(there, canonical)
    reference, version = reference_to(current), version_of(current)
    if not is_owned(current, canonical):
        return unchanged(WrittenResource(identity.system, identity.value, reference, version, digest(resource), owned=False))
    merged = refresh(resource, current)
    if same(merged, current):
        return unchanged(_written(identity, reference, version, resource))
    planned = update(identity, reference, version, merged, mixed=True)
    return replace(planned, resource=_written(identity, reference, version, resource))


def plan_known(draft: Draft, known: WrittenResource) -> Planned:
    """Plan a resource of which we know what we wrote last."""
    if not known.owned or known.digest == digest(draft.resource):
        return unchanged(known)
    return update(draft.identity, known.reference, known.version, draft.resource)


def chosen(resources: Sequence[Resource], canonical: str) -> Resource:
    """Choose among several that carry one identifier: ours first, then by id."""
    return min(resources, key=lambda resource: (not is_owned(resource, canonical), resource["id"]))


def plan_document(
    document: Document,
    known: Mapping[Identity, WrittenResource],
    there: Mapping[Identity, Sequence[Resource]],
    canonical: str,
    capabilities: Capabilities,
) -> Unit:
    """Plan one document's resources.

    Parameters
    ----------
    known
        What was written for it, and is relied on.
    there
        What a search found for the rest.
    """
    planned = [
        plan_known(draft, known[draft.identity])
        if draft.identity in known
        else plan_own(draft, there.get(draft.identity, ()), canonical, capabilities)
        for draft in document.drafts
    ]
    return Unit(planned, document.sop_instance_uid)


def removals(resources: Iterable[WrittenResource]) -> list[Planned]:
    """Plan to delete what is ours of some resources, whatever its version, those first that refer to others."""
    return [delete(replace(resource, version="")) for resource in reversed(list(resources)) if resource.owned]


async def _endpoint_by_name(draft: Draft, server: FhirServer) -> list[Resource]:
    """Find the Endpoint that Microsoft's connector has made for the same service: it is known by its name only."""
    address = draft.resource["address"]
    name = f"DICOM WADO-RS endpoint {address}"
    named = await server.search("Endpoint", {"name": name}, count=2)
    return [each for each in named if each.get("name") == name and each.get("address") == address]


@dataclass(slots=True)
class SharedResources:
    """What this process knows of resources that many studies share: each is looked up once."""

    known: dict[Identity, WrittenResource] = field(default_factory=dict)

    async def plan(self, drafts: Iterable[Draft], server: FhirServer, canonical: str, *, afresh: bool) -> Unit:
        """Plan those that are not known to stand as they should; ``afresh`` trusts nothing that is remembered."""
        wanted = [draft for draft in drafts if afresh or not self._stands(draft)]
        if not wanted:
            return Unit([])
        capabilities = await server.capabilities()
        there = await find(server, [draft.identity for draft in wanted])
        for draft in wanted:
            if draft.identity.resource_type == "Endpoint" and not there[draft.identity]:
                there[draft.identity] = await _endpoint_by_name(draft, server)
        return Unit([plan_own(draft, there[draft.identity], canonical, capabilities) for draft in wanted])

    def _stands(self, draft: Draft) -> bool:
        known = self.known.get(draft.identity)
        return known is not None and known.digest == digest(draft.resource)

    def remember(self, unit: Unit) -> None:
        """Take up what was planned and written."""
        self.known |= {planned.resource.identity: planned.resource for planned in unit.planned}

    def references(self) -> dict[Identity, str]:
        """Give where they stand."""
        return {identity: resource.reference for identity, resource in self.known.items()}
