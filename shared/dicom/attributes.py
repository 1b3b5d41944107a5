"""Which attributes the catalog keeps at each level, which can be searched for, which a search returns.

Tables only; each names the standard's table it follows. Tags are eight upper-case hex digits; an attribute inside a
sequence is a path of tags joined by a dot, as in an ``includefield`` or a search key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from shared.dicom.dictionary import entry_of, tag_of_keyword


class Level(StrEnum):
    """A level of the information model; each search resource stands at one."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One row of the search table: where an attribute lives and how its values are typed."""

    tag: str
    keyword: str
    vr: str
    level: Level


def tag_of(keyword: str) -> str | None:
    """Give the tag of a standard keyword (case-sensitive), or None."""
    return tag_of_keyword(keyword)


def keyword_of(tag: str) -> str:
    """Give the keyword of a tag, or an empty text where the dictionary has none (private, unknown)."""
    entry = entry_of(int(tag, 16))
    return entry.keyword if entry else ""


def vr_of(tag: str) -> str | None:
    """Give the VR of a tag from the dictionary (its first where there are several), or None."""
    entry = entry_of(int(tag, 16))
    return entry.vrs[:2] if entry else None


def _tags(keywords: str) -> tuple[str, ...]:
    return tuple(tag_of(keyword) or keyword for keyword in keywords.split())


STUDY_ATTRIBUTES = _tags(
    "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability AnatomicRegionsInStudyCodeSequence "
    "ReferringPhysicianName TimezoneOffsetFromUTC StudyDescription ProcedureCodeSequence NameOfPhysiciansReadingStudy "
    "AdmittingDiagnosesDescription ReferencedStudySequence PatientName PatientID PatientBirthDate PatientSex PatientAge "
    "PatientSize PatientWeight Occupation AdditionalPatientHistory StudyInstanceUID StudyID"
)
SERIES_ATTRIBUTES = _tags(
    "SpecificCharacterSet SeriesDate SeriesTime Modality TimezoneOffsetFromUTC SeriesDescription ManufacturerModelName "
    "SeriesInstanceUID SeriesNumber Laterality PerformedProcedureStepStartDate PerformedProcedureStepStartTime "
    "RequestAttributesSequence"
)
INSTANCE_ATTRIBUTES = _tags(
    "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC InstanceNumber "
    "NumberOfFrames Rows Columns BitsAllocated"
)
"""What rows keep: the union of the reference's defaults, its ``all`` and PS3.18 Tables 10.6.3-3 to 10.6.3-5."""

LEVEL_ATTRIBUTES: dict[Level, tuple[str, ...]] = {
    Level.STUDY: STUDY_ATTRIBUTES,
    Level.SERIES: SERIES_ATTRIBUTES,
    Level.INSTANCE: INSTANCE_ATTRIBUTES,
}

MODALITIES_IN_STUDY = "00080061"
RETRIEVE_URL = "00081190"
STUDY_SERIES_COUNT, STUDY_INSTANCE_COUNT, SERIES_INSTANCE_COUNT = "00201206", "00201208", "00201209"

COMPUTED: dict[Level, tuple[str, ...]] = {
    Level.STUDY: (MODALITIES_IN_STUDY, STUDY_SERIES_COUNT, STUDY_INSTANCE_COUNT),
    Level.SERIES: (SERIES_INSTANCE_COUNT,),
    Level.INSTANCE: (),
}
"""Attributes of a search answer that no stored file holds."""

V1, V2 = "v1", "v2"

_REQUIRED: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy "
        "ReferringPhysicianName TimezoneOffsetFromUTC RetrieveURL PatientName PatientID PatientBirthDate PatientSex "
        "StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
    ),
    Level.SERIES: _tags(
        "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL SeriesInstanceUID SeriesNumber "
        "NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate PerformedProcedureStepStartTime "
        "RequestAttributesSequence"
    ),
    Level.INSTANCE: _tags(
        "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL "
        "InstanceNumber NumberOfFrames Rows Columns BitsAllocated"
    ),
}
"""PS3.18 Tables 10.6.3-3, 10.6.3-4 and 10.6.3-5: the attributes that a search returns at each level."""

_V2_OF_THE_REFERENCE: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags("StudyDescription"),
    Level.SERIES: _tags("ManufacturerModelName"),
    Level.INSTANCE: (),
}

_V1: dict[Level, tuple[str, ...]] = {
    Level.STUDY: _tags(
        "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability ReferringPhysicianName "
        "TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID StudyID"
    ),
    Level.SERIES: _tags(
        "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID "
        "PerformedProcedureStepStartDate PerformedProcedureStepStartTime RequestAttributesSequence"
    ),
    Level.INSTANCE: _tags(
        "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC InstanceNumber "
        "NumberOfFrames Rows Columns BitsAllocated"
    ),
}


def _union(*sets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*sets)))


DEFAULT_RETURN: dict[str, dict[Level, tuple[str, ...]]] = {
    V1: {level: _union(_V1[level]) for level in Level},
    V2: {level: _union(_V2_OF_THE_REFERENCE[level], _REQUIRED[level]) for level in Level},
}
"""What a search returns without ``includefield``: version → level → tags, ascending."""

ALL_RETURN: dict[str, dict[Level, tuple[str, ...]]] = {
    version: {level: _union(DEFAULT_RETURN[version][level], LEVEL_ATTRIBUTES[level], COMPUTED[level]) for level in Level}
    for version in (V1, V2)
}
"""What a search returns with ``includefield=all``: the defaults, all that rows keep, and the counts."""


def _search_row(level: Level, keyword: str) -> Attribute:
    tags = [tag_of(part) or part for part in keyword.split(".")]
    return Attribute(".".join(tags), keyword, vr_of(tags[-1]) or "UN", level)


_SEARCH_KEYWORDS: dict[Level, str] = {
    Level.STUDY: "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName StudyDescription PatientName "
    "PatientID PatientBirthDate StudyInstanceUID StudyID",
    Level.SERIES: "Modality ManufacturerModelName SeriesInstanceUID SeriesNumber PerformedProcedureStepStartDate "
    "PerformedProcedureStepStartTime RequestAttributesSequence.ScheduledProcedureStepID "
    "RequestAttributesSequence.RequestedProcedureID",
    Level.INSTANCE: "SOPClassUID SOPInstanceUID InstanceNumber",
}

SEARCHABLE: dict[str, Attribute] = {
    row.tag: row for level, keywords in _SEARCH_KEYWORDS.items() for row in (_search_row(level, k) for k in keywords.split())
}
"""Search keys by tag (path): the reference's, and those of PS3.18 Table 10.6.1-5 "Required IE Attributes"."""

INDEXED = _tags(
    "StudyInstanceUID PatientName PatientID PatientBirthDate AccessionNumber ReferringPhysicianName StudyDate "
    "StudyDescription SeriesInstanceUID Modality PerformedProcedureStepStartDate ManufacturerModelName SOPInstanceUID"
)
"""The predecessor's indexed attributes: v1 checks these and no others."""

PIXEL_DESCRIPTION = _tags("SamplesPerPixel PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated ExtendedOffsetTable")
"""What is needed to tell the frames of pixel data apart (PS3.3 C.7.6.3 "Image Pixel Module")."""

KEPT: frozenset[int] = frozenset(int(tag, 16) for tags in (*LEVEL_ATTRIBUTES.values(), INDEXED, PIXEL_DESCRIPTION) for tag in tags)
"""Tags whose top-level values are used beside the metadata."""
