"""Encounter: the admission during which a study was made. Found by its identifier, or left out.

References
----------
PS3.3 C.3.2 "Visit Identification Module"; FHIR R4 8.11 "Resource Encounter".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir import values
from shared.fhir.authorities import system_for
from shared.fhir.evidence import vote
from shared.fhir.identity import Identity

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import StudyEvidence
    from shared.fhir.json_text import Resource


def encounter(evidence: StudyEvidence, context: Context) -> Resource | None:
    """Refer to the Encounter; None where the server has none for the Admission ID."""
    identity = vote(evidence.blocks, lambda ds: _identity(ds, context), context.notes, "AdmissionID")
    literal = context.links.literal(identity) if identity else None
    return {"reference": literal} if literal else None


def _identity(ds: Dataset, context: Context) -> Identity | None:
    """Without an issuer the system is empty: any Encounter with this identifier's value is meant."""
    value = values.first_text(ds, "AdmissionID", context.notes)
    return Identity("Encounter", system_for(None, ds.item("IssuerOfAdmissionIDSequence"), "", context), value) if value else None
