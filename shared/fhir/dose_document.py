"""Radiation dose reports among the structured reports: which there are, and what all Observations made of one share.

References
----------
PS3.16 TID 10001 "Projection X-Ray Radiation Dose", TID 10011 "CT Radiation Dose", TID 10021 "Radiopharmaceutical
Radiation Dose".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.fhir import sr_document, values
from shared.fhir.concepts import key_of

if TYPE_CHECKING:
    from shared.fhir.concepts import CodeKey
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

PROCEDURE: CodeKey = ("DCM", "121058")
CT_TOTAL: CodeKey = ("DCM", "113811")
PROJECTION_TOTAL: CodeKey = ("DCM", "113702")
PLANE: CodeKey = ("DCM", "113764")

_X_RAY: CodeKey = ("DCM", "113701")
_RADIOPHARMACEUTICAL: CodeKey = ("DCM", "113500")
_ROOTS = {
    "1.2.840.10008.5.1.4.1.1.88.67": _X_RAY,  # X-Ray Radiation Dose SR
    "1.2.840.10008.5.1.4.1.1.88.22": _X_RAY,  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33": _X_RAY,  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.68": _RADIOPHARMACEUTICAL,  # Radiopharmaceutical Radiation Dose SR
}
"""SOP class → concept name of the root by which an object of that class is a dose report."""


class Kind(StrEnum):
    """What irradiated."""

    CT = "ct"
    PROJECTION = "projection"
    RADIOPHARMACEUTICAL = "radiopharmaceutical"


_KINDS: dict[CodeKey, Kind] = {
    ("SCT", "77477000"): Kind.CT,
    ("DCM", "113704"): Kind.PROJECTION,
    ("SCT", "71651007"): Kind.PROJECTION,
}
"""Procedure reported → kind."""


@dataclass(frozen=True, slots=True)
class DoseReport:
    """A dose report, and what its Observations take from the study."""

    document: DocumentEvidence
    root: ContentItem
    kind: Kind
    procedure: CodeKey | None
    frame: StudyFrame
    context: Context

    def common(self) -> Resource:
        """Give the elements that all Observations of this report have alike."""
        return {
            "resourceType": "Observation",
            "meta": self.context.meta(),
            "partOf": [self.frame.study],
            "status": self._status(),
            "subject": self.frame.subject,
        }

    def _status(self) -> str:
        dataset = self.document.dataset
        if dataset.items("PredecessorDocumentsSequence"):
            return "amended"
        return "final" if values.code(dataset, "CompletionFlag", self.context.notes) == "COMPLETE" else "preliminary"


def is_dose_report(document: DocumentEvidence) -> bool:
    """Tell whether a document is a radiation dose report: by its root's name, whatever other SR its class allows."""
    wanted = _ROOTS.get(document.sop_class_uid)
    if wanted is None:
        return False
    return key_of(document.dataset.item("ConceptNameCodeSequence")) == wanted


def read(document: DocumentEvidence, frame: StudyFrame, context: Context) -> DoseReport | None:
    """Read a dose report; None where the document is none."""
    if not is_dose_report(document):
        return None
    root = sr_document.read(document.dataset, context.notes)
    procedure = root.child(PROCEDURE)
    key = procedure.code_key() if procedure else None
    return DoseReport(document, root, _kind(document, root, key), key, frame, context)


def _kind(document: DocumentEvidence, root: ContentItem, procedure: CodeKey | None) -> Kind:
    """Tell what irradiated; where the procedure does not say, by which totals the report has."""
    if _ROOTS[document.sop_class_uid] == _RADIOPHARMACEUTICAL:
        return Kind.RADIOPHARMACEUTICAL
    if procedure in _KINDS:
        return _KINDS[procedure]
    return Kind.CT if root.find(CT_TOTAL) else Kind.PROJECTION
