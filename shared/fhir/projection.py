"""A study's whole state → everything that should stand for it on the FHIR server. Pure: the heart of the synchronisation.

Store, replace, delete, a changed patient, a rebuild: all of them come here, and what is written is the difference to
what was written before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir.context import Projection
from shared.fhir.documents import document_reference
from shared.fhir.dose import dose
from shared.fhir.endpoint import endpoint
from shared.fhir.identity import Document
from shared.fhir.imaging_study import frame, imaging_study
from shared.fhir.key_objects import basic
from shared.fhir.measurements import measurements
from shared.fhir.patient import patient
from shared.fhir.reports import diagnostic_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence, StudyEvidence
    from shared.fhir.identity import Draft, Identity


def project(evidence: StudyEvidence, context: Context) -> Projection:
    """Make the resources of a study.

    Raises
    ------
    StudyRejected
        The study cannot be written as it is.
    """
    context.share(endpoint(context))
    subject = patient(evidence, context)
    study_frame = frame(evidence, context)
    study = imaging_study(evidence, study_frame, context)
    documents = _once_each([Document(each.sop_instance_uid, _document_drafts(each, study_frame, context)) for each in evidence.documents])
    return Projection(
        study=study,
        patient=subject,
        documents=[document for document in documents if document.drafts],
        shared=list(context.shared.values()),
        study_date=(study_frame.started or "")[:10],
        asked=list(context.links.asked),
        own=frozenset(context.links.own),
    )


def _document_drafts(document: DocumentEvidence, study_frame: StudyFrame, context: Context) -> Sequence[Draft]:
    """Make the resources of one document, those that others refer to first."""
    context.notes.at(document.series_instance_uid, document.sop_instance_uid)
    results = [*dose(document, study_frame, context), *measurements(document, study_frame, context)]
    references = [context.own(draft.identity) for draft in results]
    rest = (
        diagnostic_report(document, study_frame, references, context),
        document_reference(document, study_frame, context),
        basic(document, study_frame, context),
    )
    return [*results, *(draft for draft in rest if draft is not None)]


def _once_each(documents: Sequence[Document]) -> list[Document]:
    """Leave out what an earlier document makes too, as two dose reports may tell of one irradiation event."""
    made: set[Identity] = set()
    kept = []
    for document in documents:
        kept.append(Document(document.sop_instance_uid, [draft for draft in document.drafts if draft.identity not in made]))
        made |= {draft.identity for draft in document.drafts}
    return kept
