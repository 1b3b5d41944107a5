"""From a study's rows to a plan of what to write: reads the catalog and the FHIR server.

The resources are made twice: once without looking anything up, whose digest tells whether anything has changed at
all, and once more with what the server has for the identities that were asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from shared.fhir.context import Context, Projection
from shared.fhir.identity import Identity, Links, uid_identity
from shared.fhir.issues import Issue, IssueClass, IssueCode, Notes, StudyRejected
from shared.fhir.json_text import Resource, canonical, digest, parse
from shared.fhir.lookup import find, reference_to
from shared.fhir.merging import base_of
from shared.fhir.patient_plan import find_patient, of_same_person, plan_left_patient, plan_patient
from shared.fhir.plan import Planned, SharedResources, Unit, chosen, plan_document, removals
from shared.fhir.projection import project
from shared.fhir.state import Contribution, DocumentRow, SyncRow, SyncState, WrittenResource
from shared.fhir.study_plan import StudyPlan, plan_removal, plan_study, standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from shared.fhir.evidence import StudyEvidence
    from shared.fhir.identity import Draft
    from shared.fhir.patient_plan import FoundPatient
    from shared.fhir.server import Capabilities, FhirServer
    from shared.fhir_settings import FhirSettings
    from shared.ports import Clock

_STUDY_REFERENCE = re.compile(r'"reference":"(ImagingStudy/[^"]+)"')

_AMBIGUOUS = {
    "ServiceRequest": (IssueCode.ORDER_AMBIGUOUS, "AccessionNumber"),
    "Encounter": (IssueCode.ENCOUNTER_AMBIGUOUS, "AdmissionID"),
    "Practitioner": (IssueCode.PRACTITIONER_AMBIGUOUS, "PersonIdentificationCodeSequence"),
}


_ORDER_PENDING = Issue(IssueClass.VALUE_WARNING, IssueCode.ORDER_PENDING, "AccessionNumber")


@dataclass(slots=True)
class SyncPlan:
    """What to write for one study, in order, and what to remember once it is written.

    Attributes
    ----------
    shared
        What many studies share: written before the rest, in a transaction of its own.
    units
        The study with its patient, then each document.
    hash
        Digest of what the catalog says.
    study
        The ImagingStudy; None where the study is gone.
    pending
        Whether an order was looked for in vain, so that it is to be looked for again.
    """

    shared: Unit
    units: Sequence[Unit]
    hash: str
    study: StudyPlan | None = None
    patient: Planned | None = None
    patient_key: str = ""
    base: Resource = field(default_factory=dict)
    gone_documents: Sequence[str] = ()
    issues: Sequence[Issue] = ()
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a study; ``afresh`` says not to rely on it."""

    row: SyncRow
    documents: Mapping[str, DocumentRow]
    afresh: bool = False

    @property
    def partition_key(self) -> str:
        """Of the study."""
        return self.row.partition_key

    def trusted(self, document: DocumentRow) -> list[WrittenResource]:
        """Give those of a document's resources of which we know what we wrote last."""
        return [] if self.afresh else [resource for resource in document.resources if resource.digest]


Keep: TypeAlias = Callable[[str, Contribution], Awaitable[None]]
"""Remembers what a study says of the patient with this key."""


class Planner:
    """Plans studies."""

    def __init__(self, server: FhirServer, state: SyncState, settings: FhirSettings, clock: Clock, shared: SharedResources) -> None:
        self._server, self._state, self._settings, self._clock, self._shared = server, state, settings, clock, shared

    async def plan(self, evidence: StudyEvidence, known: Known, keep: Keep | None = None) -> SyncPlan | None:
        """Plan a study that is in the catalog; None where nothing has changed since it was written.

        Parameters
        ----------
        keep
            Remembers what the study says of its patient, before the patient is written, as parallel studies of the patient
            have to know; None remembers nothing (a preview).

        Raises
        ------
        StudyRejected
            It cannot be written as it is.
        FhirError
            The server did not answer.
        """
        draft, _ = await self._project(evidence, Links())
        said_hash = digest(_said(draft))
        if said_hash == known.row.hash and not known.afresh and not known.row.recheck_ms:
            return None
        capabilities = await self._server.capabilities()
        found: dict[Identity, str] = {}
        units = [Unit()]
        patient, issues = await self._plan_patient(draft, known, capabilities, keep)
        if patient is not None and draft.patient is not None:
            found[draft.patient.identity] = patient.resource.reference
            units[0].planned.append(patient)
        ambiguous = await self._look_up(draft, found, patient)
        if self._settings.orders == "create" and found:
            draft, _ = await self._project(evidence, Links(found=found))  # an order that is there by any of its numbers is not made
        shared = await self._plan_shared(draft, found, afresh=known.afresh)
        where = await standing(known.row, evidence.study_instance_uid, self._server, self._settings.canonical, afresh=known.afresh)
        if where.reference:
            found[draft.study.identity] = where.reference
        there = await self._find_documents(draft, known, found)
        final, context = await self._project(evidence, Links(found=found))
        study = plan_study(final.study, where, known.row, capabilities)
        units[0].planned += [*await self._left_patient(draft, known), study.planned]
        gone, reference = self._gone(final, known), study.planned.resource.reference
        made = {each.identity for document in final.documents for each in document.drafts}
        units[0].planned += await self._removals((r for row in gone for r in row.resources), made, reference)
        units += await self._plan_documents(final, known, there, capabilities, made, reference)
        pending = any("reference" not in order for order in final.study.resource.get("basedOn", []))
        return SyncPlan(
            shared=shared,
            units=units,
            hash=said_hash,
            study=study,
            patient=patient,
            patient_key=self._state.patient_key(draft.patient.identity) if draft.patient else "",
            base=base_of(final.study.resource),
            gone_documents=[row.sop_instance_uid for row in gone],
            issues=[*context.notes.issues, *issues, *ambiguous, *([_ORDER_PENDING] if pending else [])],
            pending=pending,
        )

    async def plan_removal(self, known: Known, study_instance_uid: str, *, cancel: bool) -> SyncPlan:
        """Plan a study that is gone from the catalog."""
        known_row = replace(known.row, foreign=True)  # whatever we remember, it is read before it is deleted
        where = await standing(known_row, study_instance_uid, self._server, self._settings.canonical, afresh=known.afresh)
        documents = (resource for row in known.documents.values() for resource in row.resources)
        stood = where.reference or known.row.study_ref or f"ImagingStudy/{uid_identity('ImagingStudy', study_instance_uid).logical_id}"
        units = [Unit(await self._removals(documents, frozenset(), stood))]
        study = plan_removal(where, known.row, study_instance_uid, cancel=cancel)
        if study is not None:
            units.append(Unit([study]))
        return SyncPlan(Unit(), units, hash="", gone_documents=list(known.documents))

    async def _project(self, evidence: StudyEvidence, links: Links) -> tuple[Projection, Context]:
        settings, notes = self._settings, Notes(strict=self._settings.strict)
        context = Context(settings, settings.service_root, self._clock.now().date(), notes, links)
        return await asyncio.to_thread(project, evidence, context), context

    async def _plan_shared(self, draft: Projection, found: dict[Identity, str], *, afresh: bool) -> Unit:
        unit = await self._shared.plan(draft.shared, self._server, self._settings.canonical, afresh=afresh)
        found |= self._shared.references() | {planned.resource.identity: planned.resource.reference for planned in unit.planned}
        return unit

    async def _plan_patient(
        self, draft: Projection, known: Known, capabilities: Capabilities, keep: Keep | None
    ) -> tuple[Planned | None, Sequence[Issue]]:
        if draft.patient is None:
            return None, ()
        found, said = await find_patient(draft.patient, self._server, self._settings), [draft.patient.resource]
        if self._settings.patient_policy != "link":
            key, mine = self._state.patient_key(draft.patient.identity), self._contribution(draft.patient, draft.study_date, known)
            try:
                found, others = await self._hear_others(draft.patient, found, key, mine, keep)
            except StudyRejected:
                if keep is not None:
                    await self._state.withdraw(key, mine.study_key)  # nobody else is to hear of a study that is not written
                raise
            said = [each.elements for each in sorted([*others, mine], key=lambda each: each.age)]
        return plan_patient(draft.patient, found, said, self._settings, capabilities), found.issues

    async def _hear_others(
        self, patient: Draft, found: FoundPatient, key: str, mine: Contribution, keep: Keep | None
    ) -> tuple[FoundPatient, Sequence[Contribution]]:
        """Have what the study says of its patient remembered; give what others say, and the Patient as it is now that they know of ours."""
        there = await self._state.contributions(key)
        if keep is not None and mine not in there:
            await keep(key, mine)
            there = await self._state.contributions(key)
            found = await find_patient(patient, self._server, self._settings)
        others = [each for each in there if each.study_key != mine.study_key]
        return found, of_same_person(others, patient, found, self._settings)

    def _contribution(self, patient: Draft, study_date: str, known: Known) -> Contribution:
        """Give what a study says of its patient, as it reads when it comes from the table."""
        elements: Resource = parse(canonical(patient.resource))
        return Contribution(known.partition_key, study_date, elements)

    async def _left_patient(self, draft: Projection, known: Known) -> list[Planned]:
        """Plan for the patient that the study had before, where it was the last one."""
        old = known.row.patient_key
        if not old or (draft.patient is not None and old == self._state.patient_key(draft.patient.identity)):
            return []
        if any(each.study_key != known.partition_key for each in await self._state.contributions(old)):
            return []
        planned = await plan_left_patient(known.row.patient_ref, self._server, self._settings.canonical)
        return [planned] if planned else []

    async def _look_up(self, draft: Projection, found: dict[Identity, str], patient: Planned | None) -> Sequence[Issue]:
        """Look for what others have made: orders, encounters, practitioners. Only what is there exactly once is referred to."""
        asked = [identity for identity in draft.asked if identity.resource_type in _AMBIGUOUS]
        orders = [identity for identity in asked if identity.resource_type == "ServiceRequest"]
        others = [identity for identity in asked if identity.resource_type != "ServiceRequest" and identity not in draft.own]
        of_patient = {"patient": patient.resource.reference} if patient is not None else {}
        there = {**await find(self._server, orders, of_patient), **await find(self._server, others)}
        issues: list[Issue] = []
        for identity, resources in there.items():
            code, keyword = _AMBIGUOUS[identity.resource_type]
            if len(resources) == 1:
                found[identity] = reference_to(resources[0])
            elif resources:
                issues.append(Issue(IssueClass.VALUE_WARNING, code, keyword))
        return issues

    async def _find_documents(self, draft: Projection, known: Known, found: dict[Identity, str]) -> dict[Identity, list[Resource]]:
        """Find where the documents' resources stand: as remembered, else by search."""
        identities = [each.identity for document in draft.documents for each in document.drafts]
        remembered = {r.identity: r for row in known.documents.values() for r in known.trusted(row)}
        there = await find(self._server, [identity for identity in identities if identity not in remembered])
        others = {r.reference: r.identity for row in known.documents.values() for r in row.resources}
        for identity, resources in there.items():  # a part of a report may carry the identifier of the whole
            there[identity] = [each for each in resources if others.get(reference_to(each), identity) == identity]
        found |= {identity: remembered[identity].reference for identity in identities if identity in remembered}
        found |= {identity: reference_to(chosen(resources, self._settings.canonical)) for identity, resources in there.items() if resources}
        return there

    async def _removals(self, resources: Iterable[WrittenResource], made: AbstractSet[Identity], study: str) -> list[Planned]:
        """Plan to delete what is not made any more; not what is gone, nor what has become another study's meanwhile."""
        planned = removals(resource for resource in resources if resource.identity not in made)
        return [each for each in planned if await self._is_still_of(each.resource.reference, study)]

    async def _is_still_of(self, reference: str, study: str) -> bool:
        """Tell whether a resource is there and of this study: two studies' dose reports may tell of one irradiation event."""
        current = await self._server.read(reference)
        studies = set(_STUDY_REFERENCE.findall(canonical(current).decode())) if current else {reference}
        return not studies or study in studies

    async def _plan_documents(
        self,
        final: Projection,
        known: Known,
        there: Mapping[Identity, Sequence[Resource]],
        capabilities: Capabilities,
        made: AbstractSet[Identity],
        study: str,
    ) -> list[Unit]:
        units = []
        for document in final.documents:
            row = known.documents.get(document.sop_instance_uid)
            trusted = {resource.identity: resource for resource in known.trusted(row)} if row else {}
            unit = plan_document(document, trusted, there, self._settings.canonical, capabilities)
            gone = await self._removals(row.resources, made, study) if row else []
            units.append(Unit([*gone, *unit.planned], document.sop_instance_uid))
        return units

    def _gone(self, final: Projection, known: Known) -> list[DocumentRow]:
        """Give the documents that were written and are no more."""
        left = {document.sop_instance_uid for document in final.documents}
        return [row for uid, row in known.documents.items() if uid not in left]


def _said(draft: Projection) -> Resource:
    """Give all that a projection says, to be compared with what it said before."""
    return {
        "patient": draft.patient.resource if draft.patient else None,
        "study": draft.study.resource,
        "documents": [[each.resource for each in document.drafts] for document in draft.documents],
        "shared": [each.resource for each in draft.shared],
    }
