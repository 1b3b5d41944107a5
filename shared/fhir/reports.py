"""Imaging reports → DiagnosticReport. Not: what tells a report from other documents by its title (report_titles).

References
----------
PS3.16 TID 2000 "Basic Diagnostic Imaging Report", CID 7001 "Diagnostic Imaging Report Heading", CID 7002 "Diagnostic
Imaging Report Element"; FHIR R4 "Resource DiagnosticReport".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.dicom.sop_classes import STRUCTURED_REPORTS
from shared.fhir import documents, moments, sr_document, values
from shared.fhir.concepts import concept, key_of
from shared.fhir.identity import Draft, uid_identity
from shared.fhir.json_text import compact
from shared.fhir.narrative import xhtml
from shared.fhir.report_titles import categories, is_report_title

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

REPORT_CLASSES = frozenset(
    {
        f"{STRUCTURED_REPORTS}11",  # Basic Text
        f"{STRUCTURED_REPORTS}22",  # Enhanced
        f"{STRUCTURED_REPORTS}33",  # Comprehensive
        f"{STRUCTURED_REPORTS}34",  # Comprehensive 3D
        documents.ENCAPSULATED_PDF,
        documents.ENCAPSULATED_CDA,
    }
)
"""SOP classes of documents that can be imaging reports; dose, CAD and key objects have their own."""

_CONCLUSIONS = frozenset(
    {
        ("DCM", "121072"),  # Impressions
        ("DCM", "121076"),  # Conclusions
        ("LN", "19005-8"),  # Impressions, since LOINC has codes of headings
        ("LN", "55110-1"),  # Conclusions, likewise
        ("DCM", "121073"),  # Impression
        ("DCM", "121077"),  # Conclusion
    }
)
"""Names of conclusions: of a container, for all that it holds; of an item, for itself, wherever it stands."""
_CONTEXT = frozenset({"HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT"})
"""Relationships of items that say how another is to be understood, not what was concluded."""


def diagnostic_report(document: DocumentEvidence, frame: StudyFrame, results: Sequence[Resource], context: Context) -> Draft | None:
    """Make the DiagnosticReport of a document; None where it is no imaging report, or the operator wants no reports.

    Parameters
    ----------
    results
        References to the Observations made of the same document.
    """
    if not (context.settings.reports and is_report(document)):
        return None
    ds = document.dataset
    root = None if documents.is_encapsulated(document) else sr_document.read(ds, context.notes)
    concluding = list(_concluding(root)) if root else []
    identity = uid_identity("DiagnosticReport", document.sop_instance_uid)
    resource = compact(
        resourceType="DiagnosticReport",
        meta=context.meta(),
        text=_text(root, documents.title_text(ds, context.notes)) if root else None,
        identifier=[identity.identifier(), *frame.identifiers],
        basedOn=list(frame.based_on),
        status=documents.status(document, context.notes),
        category=categories(frame.modalities),
        code=documents.title(ds, context),
        subject=frame.subject,
        encounter=frame.encounter,
        effectiveDateTime=frame.started,
        issued=_issued(document, context),
        performer=_organizations(document, context),
        resultsInterpreter=documents.verifiers(ds, context),
        result=list(results),
        imagingStudy=[frame.study],
        conclusion=_conclusion(concluding, context),
        conclusionCode=_conclusion_codes(concluding, context),
        presentedForm=[documents.attachment(document, frame, context)],
    )
    return Draft(identity, resource)


def is_report(document: DocumentEvidence) -> bool:
    """Tell whether a document is an imaging report: by its SOP class, then its title."""
    name = document.dataset.item("ConceptNameCodeSequence")
    key = key_of(name) if document.sop_class_uid in REPORT_CLASSES else None
    meaning = name.first("CodeMeaning")
    return key is not None and is_report_title(key, values.clean(meaning) if isinstance(meaning, str) else "")


def _text(root: ContentItem, title: str | None) -> Resource:
    return {"status": "generated", "div": xhtml(root, title or "")}


def _issued(document: DocumentEvidence, context: Context) -> str | None:
    """Give when the report was verified, of the first verifier for whom that is exactly known."""
    ds = document.dataset
    verified = (item.first("VerificationDateTime") for item in ds.items("VerifyingObserverSequence"))
    exact = (moments.as_instant(moments.from_dt(value, "VerificationDateTime", ds, context)) for value in verified)
    return next(filter(None, exact), None)


def _organizations(document: DocumentEvidence, context: Context) -> list[Resource]:
    items = document.dataset.items("VerifyingObserverSequence")
    names = (values.text(item, "VerifyingOrganization", context.notes) for item in items)
    return [{"type": "Organization", "display": name} for name in dict.fromkeys(filter(None, names))]


def _concluding(root: ContentItem) -> Iterator[ContentItem]:
    """Give the items that state a conclusion, in document order."""
    stack = [(root, False)]
    while stack:
        item, inside = stack.pop()
        if item.relationship in _CONTEXT:
            continue
        named = item.key in _CONCLUSIONS
        if inside or named:
            yield item
        inside = inside or (named and item.value_type == "CONTAINER")
        stack.extend((child, inside) for child in reversed(item.children))


def _conclusion(concluding: Iterable[ContentItem], context: Context) -> str | None:
    texts = (item.text() for item in concluding if item.value_type == "TEXT")
    return documents.fitted("\n".join(filter(None, texts)), "TextValue", context.notes)


def _conclusion_codes(concluding: Iterable[ContentItem], context: Context) -> list[Resource]:
    codes: dict[object, Resource] = {}
    for item in concluding:
        code = item.code_item() if item.value_type == "CODE" else None
        found = None if code is None else concept(code, "ConceptCodeSequence", context)
        if code is not None and found is not None:
            codes.setdefault(key_of(code), found)
    return list(codes.values())
