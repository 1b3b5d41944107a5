"""ImagingStudy: what a study of the archive looks like in FHIR. Not: what others have added to it (merging).

References
----------
PS3.3 C.7.2.1 "General Study Module", C.7.2.2 "Patient Study Module"; FHIR R4 10.6 "Resource ImagingStudy".
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from shared.fhir import concepts, encounters, locations, moments, orders, practitioners, values
from shared.fhir.context import StudyFrame
from shared.fhir.documents import predecessors
from shared.fhir.endpoint import endpoint_identity
from shared.fhir.evidence import distinct, union, vote
from shared.fhir.identity import DCM, Draft, identifier, is_uid, origin_system, uid_identity
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import Resource, compact
from shared.fhir.patient import subject
from shared.fhir.series import in_order, is_cut_short, modality, series_element

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import Block, StudyEvidence
    from shared.fhir.identity import Identity

INSTANCES_ELIDED = "instances-elided"
"""Code of the tag on studies that do not list all their instances."""

_REFERRER = ("ReferringPhysicianName", "ReferringPhysicianIdentificationSequence")
_INTERPRETER = ("NameOfPhysiciansReadingStudy", "PhysiciansReadingStudyIdentificationSequence")
_REQUESTS = "RequestAttributesSequence"


def study_identity(evidence: StudyEvidence) -> Identity:
    """Give by what the ImagingStudy is known."""
    return uid_identity("ImagingStudy", evidence.study_instance_uid)


def frame(evidence: StudyEvidence, context: Context) -> StudyFrame:
    """Make what the ImagingStudy and the resources of the study's documents have in common.

    Raises
    ------
    StudyRejected
        The Study Instance UID is bad, or there is no usable Patient ID and there must be one.
    """
    if not is_uid(evidence.study_instance_uid):
        context.notes.at()
        context.notes.reject("StudyInstanceUID")
    identity, who = study_identity(evidence), subject(evidence, context)
    modalities = {modality(series, context.notes) for series in evidence.series}
    context.notes.at()
    documents = frozenset(document.sop_instance_uid for document in evidence.documents)
    short = {"reference": who["reference"]} if "reference" in who else who
    return StudyFrame(
        study=context.own(identity),
        subject=short,
        based_on=orders.based_on(evidence, short, context),
        encounter=encounters.encounter(evidence, context),
        identifiers=[identity.identifier("official"), *orders.accession_identifiers(evidence, context)],
        started=moments.earliest(moments.moment(block.dataset, "StudyDate", "StudyTime", context) for block in evidence.blocks),
        modalities=sorted(each for each in modalities if each),
        documents=documents,
        superseded=documents.intersection(chain.from_iterable(map(predecessors, evidence.documents))),
    )


def imaging_study(evidence: StudyEvidence, study_frame: StudyFrame, context: Context) -> Draft:
    """Make the ImagingStudy.

    Raises
    ------
    StudyRejected
        A UID or SOP class is bad.
    """
    notes, blocks = context.notes, evidence.blocks
    instances = sum(len(series.instances) for series in evidence.series)
    over_limit = instances > context.settings.instance_limit
    elided = over_limit and any(is_cut_short(series) for series in evidence.series)
    series = in_order([series_element(series, context, cut_short=over_limit) for series in evidence.series])
    notes.at()
    if elided:
        notes.warn("NumberOfStudyRelatedInstances", IssueCode.INSTANCES_ELIDED)
    description = vote(blocks, lambda ds: values.text(ds, "StudyDescription", notes), notes, "StudyDescription")
    resource = compact(
        resourceType="ImagingStudy",
        meta=_meta(context, elided=elided),
        identifier=[*study_frame.identifiers, *_study_id(blocks, context)],
        status="available",
        modality=[{"system": DCM, "code": code} for code in study_frame.modalities],
        subject=subject(evidence, context),
        encounter=study_frame.encounter,
        started=study_frame.started,
        basedOn=study_frame.based_on,
        referrer=vote(blocks, lambda ds: practitioners.first_of(ds, *_REFERRER, context), notes, "ReferringPhysicianName"),
        interpreter=union(blocks, lambda ds: practitioners.people(ds, *_INTERPRETER, context)),
        endpoint=[context.own(endpoint_identity(context))],
        numberOfSeries=len(evidence.series),
        numberOfInstances=instances,
        procedureCode=union(blocks, lambda ds: concepts.concepts(ds, "ProcedureCodeSequence", context)),
        location=locations.location(_series_blocks(evidence), context),
        reasonCode=_reasons(evidence, context),
        note=[{"text": description}] if description and context.settings.compat_note else None,
        description=description,
        series=series,
    )
    return Draft(study_identity(evidence), resource)


def _meta(context: Context, *, elided: bool) -> Resource:
    ours = context.meta()
    tag = {"system": origin_system(context.settings.canonical), "code": INSTANCES_ELIDED}
    return {**ours, "tag": [*ours["tag"], tag]} if elided else ours


def _study_id(blocks: Sequence[Block], context: Context) -> list[Resource]:
    system = context.settings.study_id_system
    if not system:
        return []
    found = vote(blocks, lambda ds: values.first_text(ds, "StudyID", context.notes), context.notes, "StudyID")
    return [identifier(system, found, use="usual")] if found else []


def _series_blocks(evidence: StudyEvidence) -> list[Block]:
    """Give the blocks of all series in the order of first storage."""
    return sorted((block for series in evidence.series for block in series.blocks), key=lambda block: block.first)


def _reasons(evidence: StudyEvidence, context: Context) -> list[Resource]:
    """Give why the study was asked for: what stands at its top, then what the requests say that its series answer."""
    requested = union(_series_blocks(evidence), lambda ds: (reason for item in ds.items(_REQUESTS) for reason in _reason(item, context)))
    return distinct([*union(evidence.blocks, lambda ds: _reason(ds, context)), *requested])


def _reason(ds: Dataset, context: Context) -> list[Resource]:
    coded = concepts.concepts(ds, "ReasonForRequestedProcedureCodeSequence", context)
    described = values.text(ds, "ReasonForTheRequestedProcedure", context.notes)
    return coded or ([{"text": described}] if described else [])
