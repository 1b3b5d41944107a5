"""What a study's instances say, gathered so that equal sayings are read once: the input of all builders.

A thousand slices of one series differ in a few attributes only. So each instance's dataset is cut into three blocks
of attributes (patient and study, series, instance), and equal blocks are counted, not repeated. The builders look at
distinct blocks. Documents (SR, PDF and the like) are kept whole.

``vote``, ``union`` and ``earliest`` (of ``moments``) are the rules for attributes in which the instances of a study or
series differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson

from shared.dicom.sop_classes import ENCAPSULATED, PRESENTATION_STATES, SEGMENTATIONS, STRUCTURED_REPORTS
from shared.fhir.dataset import Dataset, tag
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import canonical, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from shared.fhir.issues import Notes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """Attributes that ``count`` instances have in common; ``first`` and ``last`` are their places in the order of storage."""

    dataset: Dataset
    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class InstanceLine:
    """One instance as a study lists it. ``order`` is its place in the order of storage."""

    sop_instance_uid: str
    sop_class_uid: str
    order: int
    dataset: Dataset
    """Its instance-level attributes."""


@dataclass(frozen=True, slots=True)
class SeriesEvidence:
    """One series: its distinct blocks and its instances, both in the order of (first) storage."""

    series_instance_uid: str
    blocks: Sequence[Block]
    instances: Sequence[InstanceLine]


@dataclass(frozen=True, slots=True)
class DocumentEvidence:
    """One document-like instance, whole; decimals of its dataset are ``Decimal``."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    size_bytes: int
    stored_ms: int
    order: int
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class StudyEvidence:
    """A study: distinct patient-and-study blocks, series, documents, all in the order of their first storage."""

    study_instance_uid: str
    blocks: Sequence[Block]
    series: Sequence[SeriesEvidence]
    documents: Sequence[DocumentEvidence]


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What the catalog knows of an instance, beside its metadata."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    version: int
    created_ms: int
    size_bytes: int


def is_document(sop_class_uid: str) -> bool:
    """Tell whether instances of a SOP class are documents, and so read whole: SR, KO, encapsulated PDF and the like."""
    return sop_class_uid.startswith((STRUCTURED_REPORTS, ENCAPSULATED))


def is_always_listed(sop_class_uid: str) -> bool:
    """Tell whether instances are listed however large their study is: documents, presentation states, segmentations."""
    return is_document(sop_class_uid) or sop_class_uid.startswith(PRESENTATION_STATES) or sop_class_uid in SEGMENTATIONS


def vote(
    blocks: Iterable[Block],
    extract: Callable[[Dataset], T | None],
    notes: Notes,
    keyword: str,
    conflict_code: IssueCode = IssueCode.STUDY_CONFLICT,
) -> T | None:
    """Settle an attribute that has one value: what most instances say, of equals what was stored last.

    Parameters
    ----------
    extract
        Gives a block's value; None, an empty text or an empty list where it has none, which is no vote.
    keyword, conflict_code
        What is noted where instances differ.
    """
    votes: dict[bytes, tuple[int, int, T]] = {}
    for block in blocks:
        value = extract(block.dataset)
        if value is None or value in ("", [], {}):
            continue
        key = canonical(value)
        count, last, _ = votes.get(key, (0, -1, value))
        votes[key] = (count + block.count, max(last, block.last), value)
    if len(votes) > 1:
        notes.warn(keyword, conflict_code)
    return max(votes.values(), key=lambda each: each[:2])[2] if votes else None


def union(blocks: Iterable[Block], extract: Callable[[Dataset], Iterable[T]]) -> list[T]:
    """Gather an attribute that has many values: all distinct ones, in the order of first storage."""
    return distinct(value for block in blocks for value in extract(block.dataset))


def distinct(values: Iterable[T]) -> list[T]:
    """Leave out what comes again."""
    return list({canonical(value): value for value in values}.values())


def gather(study_instance_uid: str, instances: Iterable[tuple[InstanceFacts, bytes]]) -> StudyEvidence:
    """Gather what a study's instances say.

    Parameters
    ----------
    study_instance_uid
        As the catalog has it.
    instances
        What the catalog knows of each, and its metadata: one DICOM JSON object. In any order; read once and not kept.

    Raises
    ------
    ValueError
        The metadata of an instance is no JSON.
    """
    study, series = _Pile(_STUDY_TAGS), _Pile(_SERIES_TAGS)
    rows = [_row(facts, metadata, study, series) for facts, metadata in instances]
    rows.sort(key=lambda row: (row.facts.version, row.facts.created_ms, row.facts.sop_instance_uid))
    by_series: dict[str, list[tuple[int, _Row]]] = {}
    for order, row in enumerate(rows):
        by_series.setdefault(row.facts.series_instance_uid, []).append((order, row))
    return StudyEvidence(
        study_instance_uid,
        study.blocks((order, row.study) for order, row in enumerate(rows)),
        [_series(uid, members, series) for uid, members in by_series.items()],
        [_document(order, row) for order, row in enumerate(rows) if is_document(row.facts.sop_class_uid)],
    )


class _Row(NamedTuple):
    """One instance: the keys of its blocks, and what is its own (all of it, if it is a document)."""

    facts: InstanceFacts
    study: bytes
    series: bytes
    dataset: Dataset


class _Pile:
    """Distinct blocks of one level, under their JSON."""

    def __init__(self, tags: tuple[str, ...]) -> None:
        self._tags = tags
        self._datasets: dict[bytes, Dataset] = {}

    def put(self, elements: dict[str, Any]) -> bytes:
        block = _cut(elements, self._tags)
        key = orjson.dumps(block)
        if key not in self._datasets:
            self._datasets[key] = Dataset(block)
        return key

    def blocks(self, places: Iterable[tuple[int, bytes]]) -> list[Block]:
        """Count blocks at ascending places in the order of storage."""
        orders: dict[bytes, list[int]] = {}
        for order, key in places:
            orders.setdefault(key, []).append(order)
        return [Block(self._datasets[key], len(found), found[0], found[-1]) for key, found in orders.items()]


def _row(facts: InstanceFacts, metadata: bytes, study: _Pile, series: _Pile) -> _Row:
    elements = orjson.loads(metadata)
    if not isinstance(elements, dict):
        elements = {}
    own = parse(metadata) if elements and is_document(facts.sop_class_uid) else _cut(elements, _INSTANCE_TAGS)
    return _Row(facts, study.put(elements), series.put(elements), Dataset(own))


def _cut(elements: dict[str, Any], tags: tuple[str, ...]) -> dict[str, Any]:
    return {tag: elements[tag] for tag in tags if tag in elements}


def _series(uid: str, members: list[tuple[int, _Row]], pile: _Pile) -> SeriesEvidence:
    lines = [InstanceLine(row.facts.sop_instance_uid, row.facts.sop_class_uid, order, row.dataset) for order, row in members]
    return SeriesEvidence(uid, pile.blocks((order, row.series) for order, row in members), lines)


def _document(order: int, row: _Row) -> DocumentEvidence:
    facts = row.facts
    uids = (facts.series_instance_uid, facts.sop_instance_uid, facts.sop_class_uid)
    return DocumentEvidence(*uids, facts.size_bytes, facts.created_ms, order, row.dataset)


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(sorted(tag(keyword) for keyword in keywords.split()))


_STUDY_TAGS = _tags(
    "TimezoneOffsetFromUTC PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence PatientBirthDate PatientBirthTime "
    "PatientSex OtherPatientNames OtherPatientIDsSequence PatientBirthName PatientAddress PatientTelephoneNumbers "
    "PatientSpeciesDescription PatientSpeciesCodeSequence PatientBreedDescription PatientBreedCodeSequence PatientIdentityRemoved "
    "StudyDate StudyTime StudyID StudyDescription AccessionNumber IssuerOfAccessionNumberSequence ProcedureCodeSequence "
    "ReferringPhysicianName ReferringPhysicianIdentificationSequence NameOfPhysiciansReadingStudy "
    "PhysiciansReadingStudyIdentificationSequence ReasonForTheRequestedProcedure ReasonForRequestedProcedureCodeSequence "
    "PlacerOrderNumberImagingServiceRequest OrderPlacerIdentifierSequence ReferencedRequestSequence RequestedProcedureDescription "
    "RequestedProcedureCodeSequence RequestingPhysician RequestingPhysicianIdentificationSequence IssueDateOfImagingServiceRequest "
    "IssueTimeOfImagingServiceRequest AdmissionID IssuerOfAdmissionIDSequence"
)
_SERIES_TAGS = _tags(
    "TimezoneOffsetFromUTC SeriesDate SeriesTime Modality SeriesNumber SeriesDescription SeriesDescriptionCodeSequence "
    "AnatomicRegionSequence BodyPartExamined Laterality ImageLaterality SpecimenDescriptionSequence PerformingPhysicianName "
    "PerformingPhysicianIdentificationSequence OperatorsName OperatorIdentificationSequence RequestAttributesSequence "
    "PerformedLocation InstitutionalDepartmentName Manufacturer ManufacturerModelName DeviceSerialNumber StationName "
    "SoftwareVersions DeviceUID UDISequence"
)
_INSTANCE_TAGS = _tags(
    "TimezoneOffsetFromUTC InstanceNumber ImageType AcquisitionDateTime AcquisitionDate AcquisitionTime ContentDate ContentTime "
    "ConceptNameCodeSequence DocumentTitle ContentLabel"
)
