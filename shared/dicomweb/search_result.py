"""What a search returns of each match: the set of attributes, and the dataset made of them. Not: finding values.

References
----------
PS3.18 10.6.3.3 "Response Payload", Tables 10.6.3-3 to 10.6.3-5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from shared.dicom import attributes
from shared.dicom.attributes import Level, tag_of, vr_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.dicomweb.matching import Element
    from shared.dicomweb.resources import ApiVersion
    from shared.dicomweb.search_query import SearchQuery

STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00080018"
INSTANCE_AVAILABILITY = "00080056"
_MADE = (INSTANCE_AVAILABILITY, attributes.RETRIEVE_URL, *(tag for tags in attributes.COMPUTED.values() for tag in tags))

_LEVELS = (Level.STUDY, Level.SERIES, Level.INSTANCE)

_TYPE_R = (
    "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName PatientID PatientBirthDate "
    "PatientSex StudyID Modality SeriesNumber"
)
_RETURNED_EMPTY = {tag: {"vr": vr_of(tag) or "UN"} for tag in map(tag_of, _TYPE_R.split()) if tag}
"""Attributes of type R in Tables 10.6.3-3 and 10.6.3-4: without a value where it is not known (PS3.4 C.2.2.1.2)."""


@dataclass(frozen=True, slots=True)
class ReturnSet:
    """Which attributes each match of a search is returned with.

    ``tags`` are in ascending order; ``empty`` is what stands for those that are returned even without a value;
    ``from_metadata`` are those that no row keeps.
    """

    tags: tuple[str, ...]
    empty: Mapping[str, Element]
    from_metadata: frozenset[str]

    def dataset(self, *layers: Mapping[str, Element]) -> bytes:
        """Write the DICOM JSON object of a match; of its attributes, those of the later layers count."""
        known = dict(self.empty)
        for layer in layers:
            known.update(layer)
        return orjson.dumps({tag: known[tag] for tag in self.tags if tag in known})


def return_set(query: SearchQuery, version: ApiVersion) -> ReturnSet:
    """Decide what the matches of a search are returned with.

    That is the default attributes of the levels that the resource includes (or all that rows keep), those that
    were filtered on or asked for, and the UIDs of the path.
    """
    levels = _LEVELS[: _LEVELS.index(query.level) + 1]
    in_path = [uid is not None for uid in (query.study_instance_uid, query.series_instance_uid)]
    chosen = (attributes.ALL_RETURN if query.include_all else attributes.DEFAULT_RETURN)[version]
    tags = {tag for level in levels[sum(in_path) :] for tag in chosen[level]}
    tags.update(uid for uid, given in zip((STUDY_UID, SERIES_UID), in_path, strict=True) if given)
    tags.update(f.top_tag for f in query.filters)
    tags.update(query.include_fields)
    tags.update(creator for tag in query.include_fields if (creator := _private_creator(tag)))
    empty = {tag: element for tag, element in _RETURNED_EMPTY.items() if version == attributes.V2 and tag in tags}
    return ReturnSet(
        tuple(sorted(tags)), empty, frozenset(tags).difference(_MADE, *(attributes.LEVEL_ATTRIBUTES[level] for level in levels))
    )


def _private_creator(tag: str) -> str | None:
    """Give the tag of the private creator of a private attribute (PS3.5 7.8.1 "Private Data Element Tags")."""
    private = int(tag[3], 16) % 2 == 1 and tag[4:6] != "00"
    return f"{tag[:4]}00{tag[4:6]}" if private else None
