"""Finding what a FHIR server has for our identities, by identifier, exactly. Not: what to do with it.

References
----------
FHIR R4 3.1.1.4.10 "token": ``system|value``, several joined by commas.
"""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from shared.fhir.identity import DICOM_UID
from shared.fhir.server import escape_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from shared.fhir.identity import Identity
    from shared.fhir.json_text import Resource
    from shared.fhir.server import FhirServer

_AT_ONCE = 20
"""So many identifiers are asked for in one search."""


async def find(server: FhirServer, identities: Iterable[Identity], more: Mapping[str, str] | None = None) -> dict[Identity, list[Resource]]:
    """Search for resources by identifier; of each identity those that really carry it.

    A server may misread an escaped character or ignore case, so what comes back is compared with what was asked for.
    """
    found: dict[Identity, list[Resource]] = {}
    for batch in _batches(identities):
        found |= await _find_batch(server, batch, more or {})
    return found


async def _find_batch(server: FhirServer, batch: Sequence[Identity], more: Mapping[str, str]) -> dict[Identity, list[Resource]]:
    tokens, page = ",".join(token for identity in batch for token in _tokens(identity)), 2 * len(batch)
    resources = await server.search(batch[0].resource_type, {"identifier": tokens, **more}, count=page)
    if len(resources) >= page and len(batch) > 1:  # many of one may have kept out the others
        return {k: v for identity in batch for k, v in (await _find_batch(server, [identity], more)).items()}
    return {identity: [resource for resource in resources if carries(resource, identity)] for identity in batch}


def carries(resource: Resource, identity: Identity) -> bool:
    """Tell whether a resource has an identity's identifier."""
    return any(_same(each, identity) for each in _identifiers(resource))


def reference_to(resource: Resource) -> str:
    """Give ``Type/id``."""
    return f"{resource['resourceType']}/{resource['id']}"


def version_of(resource: Resource) -> str:
    """Give the version as ``If-Match`` wants it; empty where the server does not say."""
    version = resource.get("meta", {}).get("versionId", "")
    return f'W/"{version}"' if version else ""


def _batches(identities: Iterable[Identity]) -> Iterator[Sequence[Identity]]:
    ordered = sorted(dict.fromkeys(identities), key=lambda identity: identity.resource_type)
    for _, group in groupby(ordered, key=lambda identity: identity.resource_type):
        while batch := list(islice(group, _AT_ONCE)):
            yield batch


def _tokens(identity: Identity) -> Iterator[str]:
    system, value = escape_token(identity.system), escape_token(identity.value)
    yield f"{system}|{value}" if system else value
    if identity.system == DICOM_UID:
        yield f"{system}|{value.removeprefix('urn:oid:')}"  # as some wrote it; we never do


def _identifiers(resource: Resource) -> list[Any]:
    several, master = resource.get("identifier", []), resource.get("masterIdentifier")
    listed = several if isinstance(several, list) else [several]
    return [each for each in (*listed, master) if isinstance(each, dict)]


def _same(each: Resource, identity: Identity) -> bool:
    if identity.system and each.get("system") != identity.system:
        return False
    value = each.get("value")
    return value == identity.value or (identity.system == DICOM_UID and f"urn:oid:{value}" == identity.value)
