"""What happens to a study's ImagingStudy: created, merged with what others wrote, taken away.

Ours is written without being read first, as long as the version on the server is the one that we wrote last: If-Match
sees to that. Where it is not, or others' elements are in it, it is read and merged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.fhir.identity import is_owned, uid_identity
from shared.fhir.issues import Issue, IssueClass, IssueCode, StudyRejected
from shared.fhir.json_text import digest
from shared.fhir.lookup import find, reference_to, version_of
from shared.fhir.merging import merge_study, same, without_server_meta
from shared.fhir.plan import Planned, create, delete, unchanged, update
from shared.fhir.state import WrittenResource

if TYPE_CHECKING:
    from shared.fhir.identity import Draft, Identity
    from shared.fhir.json_text import Resource
    from shared.fhir.server import Capabilities, FhirServer
    from shared.fhir.state import SyncRow


@dataclass(slots=True)
class Standing:
    """The ImagingStudy as the server has it: what we know from writing it last, or what was read."""

    reference: str = ""
    version: str = ""
    adopted: bool = False
    read: Resource | None = None


@dataclass(slots=True)
class StudyPlan:
    """What happens to the ImagingStudy, and what to remember of it."""

    planned: Planned
    adopted: bool
    foreign: bool


async def standing(row: SyncRow, study_instance_uid: str, server: FhirServer, canonical: str, *, afresh: bool) -> Standing:
    """Find where the study stands; no request where we know.

    Raises
    ------
    StudyRejected
        The server has it more than once.
    """
    if row.study_ref and not afresh:
        if not row.foreign and row.study_version:
            return Standing(row.study_ref, row.study_version, row.adopted)
        if (current := await server.read(row.study_ref)) is not None:
            return Standing(row.study_ref, version_of(current), row.adopted, current)
    identity = uid_identity("ImagingStudy", study_instance_uid)
    matches = (await find(server, [identity]))[identity]
    if len(matches) > 1:
        diagnostics = ", ".join(sorted(reference_to(match) for match in matches))
        raise StudyRejected(Issue(IssueClass.FHIR, IssueCode.MULTIPLE_MATCHES, "StudyInstanceUID", diagnostics=diagnostics))
    if not matches:
        return Standing()
    return Standing(reference_to(matches[0]), version_of(matches[0]), not is_owned(matches[0], canonical), matches[0])


def plan_study(draft: Draft, where: Standing, row: SyncRow, capabilities: Capabilities) -> StudyPlan:
    """Plan a study that is in the catalog."""
    identity, ours = draft.identity, draft.resource
    if not where.reference:
        return StudyPlan(create(identity, ours, capabilities), adopted=False, foreign=False)
    if where.read is None:
        known = WrittenResource(identity.system, identity.value, where.reference, where.version, row.written)
        same_as_written = row.written == digest(ours)
        planned = unchanged(known) if same_as_written else update(identity, where.reference, where.version, ours)
        return StudyPlan(planned, row.adopted, row.foreign)
    merged = merge_study(ours, row.meant, where.read, adopted=where.adopted)
    foreign = where.adopted or digest({**ours, "id": merged.get("id")}) != digest(merged)
    return StudyPlan(_plan_merged(identity, where, merged), where.adopted, foreign)


def _plan_merged(identity: Identity, where: Standing, merged: Resource) -> Planned:
    if where.read is not None and same(merged, where.read):
        return unchanged(WrittenResource(identity.system, identity.value, where.reference, where.version, digest(_without_id(merged))))
    return update(identity, where.reference, where.version, _without_id(merged), mixed=True)


def _without_id(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if name != "id"}


def plan_removal(where: Standing, row: SyncRow, study_instance_uid: str, *, cancel: bool) -> Planned | None:
    """Plan for a study that is gone from the catalog: None where nothing of it is on the server.

    Ours is deleted, or with ``cancel`` kept as cancelled and empty; of somebody else's what we added is taken away.
    """
    if not where.reference or where.read is None:
        return None
    identity = uid_identity("ImagingStudy", study_instance_uid)
    if where.adopted:
        return _plan_merged(identity, where, merge_study({}, row.meant, where.read, adopted=True))
    if cancel:
        return _plan_merged(identity, where, _cancelled(where.read))
    return delete(WrittenResource(identity.system, identity.value, where.reference, where.version, digest=""))


def _cancelled(study: Resource) -> Resource:
    left = {name: value for name, value in without_server_meta(study).items() if name != "series"}
    return {**left, "status": "cancelled", "numberOfSeries": 0, "numberOfInstances": 0}
