"""DICOM documents → DocumentReference, and what the reports and measurements made of them have in common with it.

References
----------
PS3.3 C.17.2 "SR Document General Module", C.17.6.2 "Key Object Document Module", C.24.2 "Encapsulated Document Module";
FHIR R4 "Resource DocumentReference".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from shared.dicom.sop_classes import ENCAPSULATED, KEY_OBJECT_SELECTION, name_of
from shared.fhir import devices, moments, sr_document, values
from shared.fhir.concepts import concept
from shared.fhir.dataset import Dataset, tag
from shared.fhir.identity import LOINC, URI, Draft, uid_identity
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import compact
from shared.fhir.names import human_names
from shared.fhir.practitioners import practitioner

if TYPE_CHECKING:
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.issues import Notes
    from shared.fhir.json_text import Resource

ENCAPSULATED_PDF, ENCAPSULATED_CDA = f"{ENCAPSULATED}1", f"{ENCAPSULATED}2"

MAX_STRING = 1024 * 1024
"""Characters of a FHIR string (R4 2.24.0.1, string); a DICOM text can have four thousand times as many."""

_CONTENT_TYPES = {
    ENCAPSULATED_PDF: "application/pdf",
    ENCAPSULATED_CDA: "text/xml",
    f"{ENCAPSULATED}3": "model/stl",
    f"{ENCAPSULATED}4": "model/obj",
    f"{ENCAPSULATED}5": "model/mtl",
}
_DICOM = "application/dicom"
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*", re.ASCII)

_UNTITLED = {"coding": [{"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}]}
_CATEGORY = {"coding": [{"system": LOINC, "code": "18726-0", "display": "Radiology studies (set)"}]}
_KEY_OBJECT_DESCRIPTION = ("DCM", "113012")

_FLAGS = {
    "CompletionFlag": {"PARTIAL", "COMPLETE"},
    "VerificationFlag": {"UNVERIFIED", "VERIFIED"},
    "PreliminaryFlag": {"PRELIMINARY", "FINAL"},
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def document_reference(document: DocumentEvidence, frame: StudyFrame, context: Context) -> Draft:
    """Make the DocumentReference of a document. It points into the archive and holds none of the document's bytes."""
    ds, sop_instance_uid = document.dataset, document.sop_instance_uid
    identity = uid_identity("DocumentReference", sop_instance_uid)
    resource = compact(
        resourceType="DocumentReference",
        meta=context.meta(),
        masterIdentifier=identity.identifier(),
        identifier=[identity.identifier()],
        status="superseded" if sop_instance_uid in frame.superseded else "current",
        docStatus=_doc_status(document, context.notes),
        type=title(ds, context) or _UNTITLED,
        category=[_CATEGORY],
        subject=frame.subject,
        date=moments.as_instant(content_moment(ds, context)) or _instant(document.stored_ms),
        author=authors(ds, context),
        authenticator=next(iter(verifiers(ds, context)), None),
        relatesTo=[{"code": "replaces", "target": target} for target in _replaced(document, frame, context)],
        description=_description(document, context),
        content=[{"attachment": attachment(document, frame, context), "format": _format(document.sop_class_uid)}],
        context=compact(
            encounter=[frame.encounter] if frame.encounter else None,
            related=[frame.study, *frame.based_on],
        ),
    )
    return Draft(identity, resource)


def predecessors(document: DocumentEvidence) -> list[str]:
    """Give the SOP Instance UIDs of the other documents that this one names as its predecessors."""
    references = [
        reference
        for study in document.dataset.items("PredecessorDocumentsSequence")
        for series in study.items("ReferencedSeriesSequence")
        for reference in series.items("ReferencedSOPSequence")
    ]
    uids = (values.uid(reference, "ReferencedSOPInstanceUID") for reference in references)
    return list(dict.fromkeys(uid for uid in uids if uid and uid != document.sop_instance_uid))


def status(document: DocumentEvidence, notes: Notes) -> str:
    """Give the ``DiagnosticReport.status`` that a document's flags amount to.

    An encapsulated document is complete; unless its Verification Flag tells whether somebody stands for it, that is unknown.
    """
    ds, encapsulated = document.dataset, is_encapsulated(document)
    completion, verification, preliminary = (_flag(ds, keyword, notes) for keyword in _FLAGS)
    if preliminary == "PRELIMINARY":
        return "preliminary"
    if predecessors(document):
        return "amended"
    if completion == "PARTIAL":
        return "partial"
    if verification == "VERIFIED" and (completion or encapsulated):
        return "final"
    return "unknown" if encapsulated and verification is None else "preliminary"


def is_encapsulated(document: DocumentEvidence) -> bool:
    """Tell whether a document is a PDF or another foreign format in DICOM clothes, rather than a content tree."""
    return document.sop_class_uid.startswith(ENCAPSULATED)


def title(ds: Dataset, context: Context) -> Resource | None:
    """Give a document's title code."""
    return concept(ds.item("ConceptNameCodeSequence"), "ConceptNameCodeSequence", context)


def title_text(ds: Dataset, notes: Notes) -> str | None:
    """Give a document's title as text."""
    return values.text(ds, "DocumentTitle", notes) or values.text(ds.item("ConceptNameCodeSequence"), "CodeMeaning", notes)


def content_moment(ds: Dataset, context: Context) -> str | None:
    """Tell when a document's content was made."""
    return moments.moment(ds, "ContentDate", "ContentTime", context)


def authors(ds: Dataset, context: Context) -> list[Resource]:
    """Refer to who made a document: its author observers, persons or devices; else who verified it."""
    found = [_author(item, context) for item in ds.items("AuthorObserverSequence")]
    return [each for each in found if each is not None] or verifiers(ds, context)


def verifiers(ds: Dataset, context: Context) -> list[Resource]:
    """Refer to who verified a document."""
    found = [_verifier(item, context) for item in ds.items("VerifyingObserverSequence")]
    return [each for each in found if each is not None]


def attachment(document: DocumentEvidence, frame: StudyFrame, context: Context) -> Resource:
    """Point to a document in the archive: a PDF as it is, everything else as the DICOM instance."""
    ds, notes = document.dataset, context.notes
    is_pdf = document.sop_class_uid == ENCAPSULATED_PDF
    study_instance_uid = frame.identifiers[0]["value"].removeprefix("urn:oid:")
    instance = f"studies/{study_instance_uid}/series/{document.series_instance_uid}/instances/{document.sop_instance_uid}"
    size = values.uint(ds, "EncapsulatedDocumentLength", notes) if is_pdf else document.size_bytes
    return compact(
        contentType=_content_type(document, notes),
        url=f"{context.service_root}/{instance}{'/rendered' if is_pdf else ''}",
        title=title_text(ds, notes),
        creation=content_moment(ds, context),
        size=size if size and size <= values.MAX_UINT else None,
    )


def fitted(text: str, keyword: str, notes: Notes) -> str:
    """Cut a text to what a FHIR string can hold."""
    if len(text) <= MAX_STRING:
        return text
    notes.warn(keyword, IssueCode.BAD_VALUE)
    return text[: MAX_STRING - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _doc_status(document: DocumentEvidence, notes: Notes) -> str | None:
    """Give the status where the document's module has one; a composition is never partial."""
    if is_encapsulated(document) or document.sop_class_uid == KEY_OBJECT_SELECTION:
        return None
    found = status(document, notes)
    return "preliminary" if found == "partial" else found


def _flag(ds: Dataset, keyword: str, notes: Notes) -> str | None:
    value = values.code(ds, keyword, notes)
    if value is None or value in _FLAGS[keyword]:
        return value
    notes.drop(keyword)
    return None


def _instant(epoch_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=epoch_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _author(item: Dataset, context: Context) -> Resource | None:
    if values.code(item, "ObserverType", context.notes) == "DEV":
        return devices.device(context, devices.equipment(item, context.notes))
    return _person(item, item, "PersonName", context)


def _verifier(item: Dataset, context: Context) -> Resource | None:
    """Refer to a verifying observer, whose identification stands under an attribute of its own."""
    code = item.elements.get(tag("VerifyingObserverIdentificationCodeSequence"))
    identification = Dataset({tag("PersonIdentificationCodeSequence"): code} if code else {})
    return _person(item, identification, "VerifyingObserverName", context)


def _person(item: Dataset, identification: Dataset, name_keyword: str, context: Context) -> Resource | None:
    names = human_names(item, name_keyword, context.notes)
    return practitioner(identification, names[0]["text"] if names else None, context, names)


def _replaced(document: DocumentEvidence, frame: StudyFrame, context: Context) -> list[Resource]:
    uids = [uid for uid in predecessors(document) if uid in frame.documents]
    return [context.own(uid_identity("DocumentReference", uid)) for uid in uids]


def _description(document: DocumentEvidence, context: Context) -> str | None:
    described = None
    if document.sop_class_uid == KEY_OBJECT_SELECTION:
        item = sr_document.read(document.dataset).find(_KEY_OBJECT_DESCRIPTION)
        described = item and item.text()
    text = described or title_text(document.dataset, context.notes)
    return text and fitted(text, "TextValue", context.notes)


def _content_type(document: DocumentEvidence, notes: Notes) -> str:
    known = _CONTENT_TYPES.get(document.sop_class_uid, _DICOM)
    if not is_encapsulated(document):
        return known
    sent = values.first_text(document.dataset, "MIMETypeOfEncapsulatedDocument", notes)
    if sent is None:
        return known
    if _MEDIA_TYPE.fullmatch(sent.lower()):
        return sent.lower()
    notes.drop("MIMETypeOfEncapsulatedDocument")
    return known


def _format(sop_class_uid: str) -> Resource:
    return compact(system=URI, code=f"urn:oid:{sop_class_uid}", display=name_of(sop_class_uid))
