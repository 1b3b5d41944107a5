"""What every builder of resources needs beside the DICOM values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.fhir.identity import Document, Draft, Identity, Links, meta
from shared.fhir.issues import Notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from shared.fhir.json_text import Resource
    from shared.fhir_settings import FhirSettings


@dataclass(slots=True)
class Context:
    """The operator's settings, the public root of our DICOMweb service (with its version, no slash at the end), today's date."""

    settings: FhirSettings
    service_root: str
    today: date
    notes: Notes = field(default_factory=Notes)
    links: Links = field(default_factory=Links)
    shared: dict[Identity, Draft] = field(default_factory=dict)
    """Devices, practitioners and orders of ours that the resources refer to: written before them, never deleted."""

    def meta(self, **more: object) -> Resource:
        """Make the ``meta`` of a resource that we own."""
        return meta(self.settings.canonical, self.service_root, **more)

    def own(self, identity: Identity) -> Resource:
        """Refer literally to a resource that we write ourselves; to be called for each of them, in any order."""
        self.links.own.add(identity)
        return self.links.reference(identity)

    def share(self, draft: Draft, display: str = "") -> Resource:
        """Have a resource written that many studies share, and refer to it."""
        self.shared[draft.identity] = draft
        self.links.own.add(draft.identity)
        return self.links.reference(draft.identity, display)


@dataclass(frozen=True, slots=True)
class StudyFrame:
    """What the resources made of a study's documents take from the study.

    Attributes
    ----------
    study
        Reference to the ImagingStudy.
    subject
        Reference to the Patient.
    identifiers
        The study's: UID (``urn:dicom:uid``), then accession numbers.
    documents
        SOP Instance UIDs of the study's instances that become a DocumentReference.
    superseded
        Those of them that another one names as its predecessor.
    """

    study: Resource
    subject: Resource
    based_on: Sequence[Resource]
    encounter: Resource | None
    identifiers: Sequence[Resource]
    started: str | None
    modalities: Sequence[str]
    documents: frozenset[str] = frozenset()
    superseded: frozenset[str] = frozenset()


@dataclass(slots=True)
class Projection:
    """What should stand on the FHIR server for one study.

    Attributes
    ----------
    study_date
        ``YYYY-MM-DD`` or empty: tells which of a patient's studies is the newest.
    asked, own
        Identities that the resources refer to, and those of them that we write ourselves.
    """

    study: Draft
    patient: Draft | None
    documents: Sequence[Document]
    shared: Sequence[Draft]
    study_date: str
    asked: Sequence[Identity]
    own: frozenset[Identity]
