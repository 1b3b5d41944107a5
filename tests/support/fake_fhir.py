"""A FHIR server in memory, behind the port: versions, transactions, If-Match, exact identifiers, and every way to fail.

It is what the synchronisation's own tests run against, in virtual time. The same promises are tested against a real
server in tests/conformance.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from shared.fhir.json_text import canonical, digest, parse
from shared.fhir.lookup import version_of
from shared.fhir.merging import same, without_server_meta
from shared.fhir.server import Capabilities, FhirConflict, FhirRefused, Write, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.fhir.json_text import Resource

_TOKEN = re.compile(r"(?:\\.|[^\\,|])*(?:\|(?:\\.|[^\\,|])*)?")


@dataclass
class FakeFhirServer:
    """FHIR in memory.

    Attributes
    ----------
    history
        ``Type/id`` → its versions, None for a deletion.
    requests, writes
        Requests by verb; resources of which a new version was made, by type.
    before, after
        Called with the verb before a request is done, and after it: what they raise, the caller gets.
    judge
        Called with each write; may refuse it, and with it the whole transaction.
    versioning
        Whether the server makes a new version of what did not change; Azure does.
    """

    history: dict[str, list[Resource | None]] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    before: Callable[[str], None] = lambda verb: None
    after: Callable[[str], None] = lambda verb: None
    judge: Callable[[Write], None] = lambda write: None
    abilities: Capabilities = field(default_factory=Capabilities)
    versioning: bool = True

    # the port

    async def capabilities(self) -> Capabilities:
        await self._arrive("capabilities")
        return self.abilities

    async def search(self, resource_type: str, parameters: Mapping[str, str], *, count: int = 2) -> list[Resource]:
        await self._arrive("search")
        matches = [r for r in self.all(resource_type) if all(_matches(r, name, value) for name, value in parameters.items())]
        self.after("search")
        return copy.deepcopy(matches[:count])

    async def read(self, reference: str) -> Resource | None:
        await self._arrive("read")
        self.after("read")
        return copy.deepcopy(self.now(reference))

    async def write(self, writes: Sequence[Write]) -> list[Written]:
        if not writes:
            return []
        await self._arrive("write")
        backup = {reference: list(versions) for reference, versions in self.history.items()}
        try:
            names = {write.full_url: self._conditional(write) for write in writes if write.full_url}
            results = [self._write_one(write, names) for write in writes]
        except Exception:
            self.history = backup
            raise
        self.after("write")
        return results

    async def _arrive(self, verb: str) -> None:
        await asyncio.sleep(0.001)
        self.requests[verb] += 1
        self.before(verb)

    def _conditional(self, write: Write) -> str:
        resource_type, _, query = write.url.partition("?identifier=")
        found = [r for r in self.all(resource_type) if _matches(r, "identifier", unquote(query))]
        if len(found) > 1:
            raise FhirConflict("several match", 412)
        return f"{resource_type}/{found[0]['id'] if found else f'server-{len(self.history)}-{digest(query)[:8]}'}"

    def _write_one(self, write: Write, names: Mapping[str, str]) -> Written:
        self.judge(write)
        reference = names.get(write.full_url, write.url)
        current, versions = self.now(reference), self.history.setdefault(reference, [])
        if write.if_match and (current is None or version_of(current) != write.if_match):
            raise FhirConflict("another version", 412)
        if write.method == "DELETE":
            if current is not None:
                versions.append(None)
                self.writes[reference.partition("/")[0]] += 1
            return Written(204, reference, "")
        resource = _with_names(write.resource or {}, names) | {"id": reference.partition("/")[2]}
        if resource["resourceType"] != reference.partition("/")[0]:
            raise FhirRefused("the type does not fit the URL", 400)
        if current is None or self.versioning or not same(current, resource):
            meta = {**without_server_meta(resource).get("meta", {}), "versionId": str(len(versions) + 1)}
            versions.append({**parse(canonical(resource)), "meta": meta})
            self.writes[resource["resourceType"]] += 1
        return Written(201 if current is None else 200, reference, version_of(versions[-1] or {}))

    # what tests look at, and what others do

    def now(self, reference: str) -> Resource | None:
        versions = self.history.get(reference)
        return versions[-1] if versions else None

    def all(self, resource_type: str = "") -> list[Resource]:
        current = [versions[-1] for _, versions in sorted(self.history.items()) if versions]
        return [r for r in current if r is not None and resource_type in {"", r["resourceType"]}]

    def one(self, resource_type: str) -> Resource:
        (resource,) = self.all(resource_type)
        return resource

    def put(self, resource: Resource) -> str:
        """Write as somebody else; give ``Type/id``."""
        reference = f"{resource['resourceType']}/{resource['id']}"
        versions = self.history.setdefault(reference, [])
        versions.append({**resource, "meta": {**resource.get("meta", {}), "versionId": str(len(versions) + 1)}})
        return reference

    def state(self) -> str:
        """Give a digest of all resources, versions apart."""
        return digest([without_server_meta(resource) for resource in self.all()])

    @property
    def total_writes(self) -> int:
        return sum(self.writes.values())


def _matches(resource: Resource, name: str, value: str) -> bool:
    if name == "identifier":
        listed = resource.get("identifier", [])
        master = [resource["masterIdentifier"]] if "masterIdentifier" in resource else []
        there = [(each.get("system", ""), each.get("value", "")) for each in [*listed, *master]]
        return any(_token_matches(token, there) for token in _tokens(value))
    if name == "patient":
        return bool(resource.get("subject", {}).get("reference") == value)
    if name == "name":
        return str(resource.get("name", "")).lower().startswith(value.lower())
    raise AssertionError(f"search by {name} is not known here")


def _tokens(value: str) -> list[str]:
    return [token for token in _TOKEN.findall(value) if token]


def _token_matches(token: str, there: Sequence[tuple[str, str]]) -> bool:
    system, bar, value = _split(token)
    return any(value == v and (not bar or system == s) for s, v in there)


def _split(token: str) -> tuple[str, str, str]:
    parts = re.split(r"(?<!\\)(\|)", token, maxsplit=1)
    system, bar, value = parts if len(parts) == 3 else ("", "", parts[0])
    return re.sub(r"\\(.)", r"\1", system), bar, re.sub(r"\\(.)", r"\1", value)


def _with_names(value: Resource, names: Mapping[str, str]) -> Resource:
    text = canonical(value).decode()
    for full_url, reference in names.items():
        text = text.replace(f'"{full_url}"', f'"{reference}"')
    resource: Resource = parse(text)
    return resource
