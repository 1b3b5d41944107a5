"""The way from found studies to a page of their series or instances. Not: finding studies, reading rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shared.dicom.attributes import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.catalog.finding import FoundStudies, FoundStudy
    from shared.catalog.members import Match, MemberFinder
    from shared.dicomweb.search_query import SearchQuery

STUDIES_AT_ONCE = 16
"""Studies whose series or instances are read at the same time."""
MAX_ROWS_IN_VAIN = 20_000
"""Series and instances that a search may read without a match before it gives up."""
ROWS_OF_A_READ = 100
"""What a study without a match counts at least: a request takes its time, however little it reads."""


class Descent:
    """One search for series or instances; ``run`` it once.

    Without filters below the study level the exact counts of a study tell how many results it has. So those
    before the page are passed over unread, and none is read beyond it.
    """

    def __init__(self, members: MemberFinder, query: SearchQuery) -> None:
        self._members, self._level = members, query.level
        self._series_filters = [f for f in query.filters if f.level is Level.SERIES]
        self._instance_filters = [f for f in query.filters if f.level is Level.INSTANCE]
        self._skip, self._missing = query.offset, query.limit + 1
        self._rows_in_vain = 0

    async def run(self, studies: FoundStudies) -> tuple[list[Match], bool]:
        """Give the matches of the page and one more if there is, and whether the search gave up."""
        found: list[Match] = []
        while self._missing and (batch := await studies.take(min(STUDIES_AT_ONCE, self._skip + self._missing))):
            for portion in self._portions(batch):
                for study, matches in zip(portion, await asyncio.gather(*map(self._matches, portion)), strict=True):
                    found += self._of_page(study, matches)
            if self._rows_in_vain >= MAX_ROWS_IN_VAIN:
                return found, True
        return found, False

    def _portions(self, studies: list[FoundStudy]) -> Iterator[list[FoundStudy]]:
        """Give the studies that must be read, as many at once as are needed to fill the page."""
        portion: list[FoundStudy] = []
        covered = 0
        for study in studies:
            count = self._count(study) if self._counts_decide(study) else 0
            if count and not portion and count <= self._skip:
                self._skip -= count
                continue
            portion.append(study)
            covered += count
            if covered >= self._skip + self._missing:
                yield portion
                portion, covered = [], 0
                if not self._missing:
                    return
        if portion:
            yield portion

    async def _matches(self, study: FoundStudy) -> list[Match]:
        wanted = self._skip + self._missing
        if self._level is Level.SERIES:
            return (await self._members.series(study, self._series_filters))[:wanted]
        return await self._members.instances(study, self._series_filters, self._instance_filters, wanted)

    def _of_page(self, study: FoundStudy, matches: list[Match]) -> list[Match]:
        if not matches:
            self._rows_in_vain += max(ROWS_OF_A_READ, self._count(study))
        part = matches[self._skip : self._skip + self._missing]
        self._skip = max(0, self._skip - len(matches))
        self._missing -= len(part)
        return part

    def _count(self, study: FoundStudy) -> int:
        return study.series_count if self._level is Level.SERIES else study.instance_count

    def _counts_decide(self, study: FoundStudy) -> bool:
        return not (self._series_filters or self._instance_filters or study.targets)
