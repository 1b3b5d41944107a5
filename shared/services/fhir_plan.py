"""From a study's rows to a plan of what to write: reads the catalog and the FHIR server.

The resources are made twice: once without looking anything up, whose digest tells whether anything has changed at
all, and once more with what the server has for the identities that were asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from shared.fhir.context import Context, Projection
from shared.fhir.identity import Identity, Links
from shared.fhir.issues import Issue, IssueClass, IssueCode, Notes
from shared.fhir.json_text import Resource, digest
from shared.fhir.lookup import find, reference_to
from shared.fhir.merging import base_of
from shared.fhir.patient_plan import plan_left_patient, plan_patient
from shared.fhir.plan import Planned, SharedResources, Unit, chosen, plan_document, removals
from shared.fhir.projection import project
from shared.fhir.state import Contribution, DocumentRow, SyncRow, SyncState, WrittenResource
from shared.fhir.study_plan import StudyPlan, plan_removal, plan_study, standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.fhir.evidence import StudyEvidence
    from shared.fhir.server import Capabilities, FhirServer
    from shared.fhir_settings import FhirSettings
    from shared.ports import Clock

_AMBIGUOUS = {
    "ServiceRequest": (IssueCode.ORDER_AMBIGUOUS, "AccessionNumber"),
    "Encounter": (IssueCode.ENCOUNTER_AMBIGUOUS, "AdmissionID"),
    "Practitioner": (IssueCode.PRACTITIONER_AMBIGUOUS, "PersonIdentificationCodeSequence"),
}


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


class Planner:
    """Plans studies."""

    def __init__(self, server: FhirServer, state: SyncState, settings: FhirSettings, clock: Clock, shared: SharedResources) -> None:
        self._server, self._state, self._settings, self._clock, self._shared = server, state, settings, clock, shared

    async def plan(self, evidence: StudyEvidence, known: Known, *, keep: bool = True) -> SyncPlan | None:
        """Plan a study that is in the catalog; None where nothing has changed since it was written.

        Parameters
        ----------
        keep
            Remember what the study says of its patient first, as parallel studies of the patient have to know; not for a preview.

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
        shared = await self._plan_shared(draft, found, afresh=known.afresh)
        units = [Unit()]
        patient, issues = await self._plan_patient(draft, known, capabilities, keep=keep)
        if patient is not None and draft.patient is not None:
            found[draft.patient.identity] = patient.resource.reference
            units[0].planned.append(patient)
        more, pending = await self._look_up(draft, found, patient)
        where = await standing(known.row, evidence.study_instance_uid, self._server, self._settings.canonical, afresh=known.afresh)
        if where.reference:
            found[draft.study.identity] = where.reference
        there = await self._find_documents(draft, known, found)
        final, context = await self._project(evidence, Links(found=found))
        study = plan_study(final.study, where, known.row, capabilities)
        units[0].planned += [*await self._left_patient(draft, known), study.planned]
        made = {each.identity for document in final.documents for each in document.drafts}
        units[0].planned += removals(r for row in self._gone(final, known) for r in row.resources if r.identity not in made)
        units += self._plan_documents(final, known, there, capabilities)
        return SyncPlan(
            shared=shared,
            units=units,
            hash=said_hash,
            study=study,
            patient=patient,
            patient_key=self._state.patient_key(draft.patient.identity) if draft.patient else "",
            base=base_of(final.study.resource),
            gone_documents=[row.sop_instance_uid for row in self._gone(final, known)],
            issues=[*context.notes.issues, *issues, *more],
            pending=pending,
        )

    async def plan_removal(self, known: Known, study_instance_uid: str, *, cancel: bool) -> SyncPlan:
        """Plan a study that is gone from the catalog."""
        known_row = replace(known.row, foreign=True)  # whatever we remember, it is read before it is deleted
        where = await standing(known_row, study_instance_uid, self._server, self._settings.canonical, afresh=known.afresh)
        planned = removals(resource for row in known.documents.values() for resource in row.resources)
        units = [Unit(planned)]
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
        self, draft: Projection, known: Known, capabilities: Capabilities, *, keep: bool
    ) -> tuple[Planned | None, Sequence[Issue]]:
        if draft.patient is None:
            return None, ()
        key = self._state.patient_key(draft.patient.identity)
        said = [draft.patient.resource]
        if self._settings.patient_policy != "link":
            mine = Contribution(known.partition_key, draft.study_date, draft.patient.resource)
            if keep:
                await self._state.contribute(key, mine)
            others = [each for each in await self._state.contributions(key) if each.study_key != mine.study_key]
            said = [each.elements for each in sorted([*others, mine], key=lambda each: each.age)]
        planned = await plan_patient(draft.patient, said, self._server, self._settings, capabilities)
        return planned.planned, planned.issues

    async def _left_patient(self, draft: Projection, known: Known) -> list[Planned]:
        """Plan for the patient that the study had before, where it was the last one."""
        old = known.row.patient_key
        if not old or (draft.patient is not None and old == self._state.patient_key(draft.patient.identity)):
            return []
        if any(each.study_key != known.partition_key for each in await self._state.contributions(old)):
            return []
        planned = await plan_left_patient(known.row.patient_ref, self._server, self._settings.canonical)
        return [planned] if planned else []

    async def _look_up(self, draft: Projection, found: dict[Identity, str], patient: Planned | None) -> tuple[Sequence[Issue], bool]:
        """Look for what others have made: orders, encounters, practitioners. Only what is there exactly once is referred to."""
        asked = [identity for identity in draft.asked if identity not in draft.own and identity.resource_type in _AMBIGUOUS]
        orders = [identity for identity in asked if identity.resource_type == "ServiceRequest"]
        others = [identity for identity in asked if identity.resource_type != "ServiceRequest"]
        of_patient = {"patient": patient.resource.reference} if patient is not None and patient.resource.version else {}
        there = {**await find(self._server, orders, of_patient), **await find(self._server, others)}
        issues: list[Issue] = []
        for identity, resources in there.items():
            code, keyword = _AMBIGUOUS[identity.resource_type]
            if len(resources) == 1:
                found[identity] = reference_to(resources[0])
            elif resources:
                issues.append(Issue(IssueClass.VALUE_WARNING, code, keyword))
        missing = [identity for identity in orders if not there[identity]]
        if missing:
            issues.append(Issue(IssueClass.VALUE_WARNING, IssueCode.ORDER_PENDING, "AccessionNumber"))
        return issues, bool(missing)

    async def _find_documents(self, draft: Projection, known: Known, found: dict[Identity, str]) -> dict[Identity, list[Resource]]:
        """Find where the documents' resources stand: as remembered, else by search."""
        identities = [each.identity for document in draft.documents for each in document.drafts]
        remembered = {r.identity: r for row in known.documents.values() for r in known.trusted(row)}
        there = await find(self._server, [identity for identity in identities if identity not in remembered])
        found |= {identity: remembered[identity].reference for identity in identities if identity in remembered}
        found |= {identity: reference_to(chosen(resources, self._settings.canonical)) for identity, resources in there.items() if resources}
        return there

    def _plan_documents(
        self, final: Projection, known: Known, there: Mapping[Identity, Sequence[Resource]], capabilities: Capabilities
    ) -> list[Unit]:
        made = {draft.identity for document in final.documents for draft in document.drafts}
        units = []
        for document in final.documents:
            row = known.documents.get(document.sop_instance_uid)
            trusted = {resource.identity: resource for resource in known.trusted(row)} if row else {}
            unit = plan_document(document, trusted, there, self._settings.canonical, capabilities)
            gone = removals(r for r in row.resources if r.identity not in made) if row else []
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
