"""Search (QIDO-RS): studies, series and instances that match, a page at a time.

Order
    Studies: newest study date first, then newest stored, undated last. Series and instances: by study, and
    within it newest stored first. Ties by UID.

Cost
    Studies: one read of a list, and one of each study row. Series and instances: besides, a range read of each
    study they come from; of studies before the page only the counts, where these decide. An ``offset`` costs a
    read for each study it skips. Attributes that no row keeps cost one more read for each result.

References
----------
PS3.18 10.6 "Search Transaction".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import orjson

from shared.catalog.descent import Descent
from shared.catalog.finding import StudyFinder
from shared.catalog.keys import DEFAULT_PARTITION, ArchiveKey
from shared.catalog.members import Match, MemberFinder
from shared.catalog.planner import plan_search
from shared.catalog.reading import CatalogReader
from shared.dicom.attributes import RETRIEVE_URL, SERIES_INSTANCE_COUNT, STUDY_INSTANCE_COUNT, STUDY_SERIES_COUNT, Level
from shared.dicomweb.resources import retrieve_url
from shared.dicomweb.search_result import INSTANCE_AVAILABILITY, SERIES_UID, SOP_UID, STUDY_UID, return_set
from shared.services.metadata import MetadataService

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from shared.dicomweb.matching import Element
    from shared.dicomweb.resources import ApiVersion
    from shared.dicomweb.search_query import SearchQuery
    from shared.ports import Stores

Elements: TypeAlias = "Mapping[str, Element]"


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some results of a search, each a DICOM JSON object.

    ``more``: there are further ones. ``incomplete``: the search gave up before it had looked everywhere.
    """

    datasets: list[bytes]
    more: bool
    incomplete: bool


class QidoService:
    """Searches one data partition."""

    def __init__(self, stores: Stores, key: ArchiveKey, data_partition: str = DEFAULT_PARTITION) -> None:
        self._studies = StudyFinder(stores.tables, key, data_partition)
        self._members = MemberFinder(stores.tables, key)
        self._metadata = MetadataService(CatalogReader(stores.tables, key, data_partition), stores.blobs)

    async def search(self, query: SearchQuery, version: ApiVersion, service_url: str) -> SearchPage:
        """Answer a search.

        Parameters
        ----------
        query
            What to find.
        version
            Decides which attributes are returned.
        service_url
            What Retrieve URLs begin with, version included.
        """
        study_filters = [f for f in query.filters if f.level is Level.STUDY]
        studies = await self._studies.find(plan_search(query), study_filters, query.offset + query.limit + 1)
        if query.level is Level.STUDY:
            await studies.skip(query.offset)
            found, gave_up = [Match(study) for study in await studies.take(query.limit + 1)], False
        else:
            found, gave_up = await Descent(self._members, query).run(studies)
        page = await self._members.complete(found[: query.limit])
        returned = return_set(query, version)
        extra = await self._extra(page, returned.from_metadata)
        datasets = [returned.dataset(*_layers(match, service_url), more) for match, more in zip(page, extra, strict=True)]
        return SearchPage(datasets, len(found) > query.limit, gave_up or studies.incomplete)

    async def _extra(self, page: Sequence[Match], tags: frozenset[str]) -> Sequence[Elements]:
        """Give what no row keeps, from the metadata of each result or of its newest instance."""
        if not tags:
            return [{}] * len(page)
        return await asyncio.gather(*(self._from_metadata(match, tags) for match in page))

    async def _from_metadata(self, match: Match, tags: frozenset[str]) -> Elements:
        instance = await self._members.metadata_row(match)
        if instance is None:
            return {}
        metadata = await self._metadata.of_instance(instance)
        dataset: Elements = orjson.loads(metadata) if metadata else {}
        return {tag: dataset[tag] for tag in tags if tag in dataset}


def _layers(match: Match, service_url: str) -> Iterator[Elements]:
    """Give what the rows of a match say, and what follows from them, from the study down."""
    study, series, instance = match.study, match.series, match.instance
    made: dict[str, Element] = {
        STUDY_UID: _element("UI", study.study_instance_uid),
        STUDY_SERIES_COUNT: _element("IS", study.series_count),
        STUDY_INSTANCE_COUNT: _element("IS", study.instance_count),
        INSTANCE_AVAILABILITY: _element("CS", "ONLINE"),
    }
    path = [study.study_instance_uid]
    yield study.dataset
    if series:
        yield series.dataset()
        made[SERIES_UID] = _element("UI", series.series_instance_uid)
        made[SERIES_INSTANCE_COUNT] = _element("IS", series.instance_count)
        path.append(series.series_instance_uid)
    if instance:
        yield instance.dataset()
        made[SOP_UID] = _element("UI", instance.sop_instance_uid)
        path.append(instance.sop_instance_uid)
    made[RETRIEVE_URL] = _element("UR", retrieve_url(service_url, *path))
    yield made


def _element(vr: str, value: str | int) -> Element:
    return {"vr": vr, "Value": [value]}
