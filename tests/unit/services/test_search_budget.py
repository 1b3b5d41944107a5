"""The most expensive searches there are stay within a budget of storage requests (threat T18).

The limits are made small, so that an archive of 150 studies is far beyond them; what they really are is checked at the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from shared.catalog import descent, finding
from shared.dicom.attributes import Level
from shared.dicomweb import search_query, search_values
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.search_query import parse_search
from shared.services.qido import QidoService
from tests.support.catalog_rows import KEY, Series, write_study
from tests.support.counting import counting
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections import Counter

    from shared.ports import Stores
    from shared.services.qido import SearchPage

STUDIES: Final = 150
TERM_PAGE, IN_VAIN, READ, ROWS_IN_VAIN = 20, 38, 60, 2000
AT_ONCE: Final = descent.STUDIES_AT_ONCE
FAR: Final = 10**12

WALK: Final = IN_VAIN + TERM_PAGE + IN_VAIN // TERM_PAGE + 2
"""A list walked in vain: a page of it is always looked at to its end; the pages themselves."""
SKIP: Final = READ + TERM_PAGE + READ // TERM_PAGE + 2
LOST: Final = ROWS_IN_VAIN // descent.ROWS_OF_A_READ + AT_ONCE
"""Studies whose series or instances are read in vain."""


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MAX_TERM_PAGE", TERM_PAGE)
    monkeypatch.setattr(finding, "MAX_IN_VAIN", IN_VAIN)
    monkeypatch.setattr(finding, "MAX_READ", READ)
    monkeypatch.setattr(descent, "MAX_ROWS_IN_VAIN", ROWS_IN_VAIN)


@pytest.fixture(scope="module")
def counted() -> tuple[Stores, Counter[str]]:
    stores, counts = counting(memory_stores())
    asyncio.run(fill(stores))
    return stores, counts


async def fill(stores: Stores) -> None:
    for n in range(STUDIES):
        about: dict[str, Any] = {"PatientID": f"P{n}", "PatientName": f"Name{n}^A", "StudyID": f"S{n}", "StudyDescription": "x" * 300}
        await write_study(stores.tables, Series(instances=2), Series(instances=2), metadata={"BodyPartExamined": "HEAD"}, **about)


async def search(counted: tuple[Stores, Counter[str]], level: Level, params: dict[str, Any]) -> tuple[SearchPage, int]:
    """Search; give the page, and how many requests to storage it took."""
    stores, counts = counted
    query = parse_search(level, [(name, str(value)) for name, value in params.items()])
    counts.clear()
    page = await QidoService(stores, KEY).search(query, ApiVersion.V2, "https://pacs.example/v2")
    return page, counts.total()


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize(
    ("level", "params", "budget"),
    [
        pytest.param(Level.STUDY, {"StudyID": "nobody"}, WALK, id="an attribute without an index"),
        pytest.param(Level.STUDY, {"PatientName": "*zz"}, WALK, id="a leading wildcard"),
        pytest.param(Level.STUDY, {"PatientName": "?*?*?*?*?*?*zz"}, WALK, id="many wildcards"),
        pytest.param(Level.STUDY, {"StudyDescription": "*y"}, WALK, id="a value that the list's rows do not hold"),
        pytest.param(Level.STUDY, {"PatientName": "*", "PatientID": "*", "StudyID": "?"}, WALK, id="wildcards for everything"),
        pytest.param(Level.STUDY, {"offset": FAR}, SKIP, id="an offset beyond the end"),
        pytest.param(Level.STUDY, {"StudyID": "S*", "offset": FAR}, SKIP, id="an offset beyond all matches"),
        pytest.param(Level.SERIES, {"SeriesNumber": 9}, WALK + LOST, id="series that nobody has"),
        pytest.param(Level.INSTANCE, {"InstanceNumber": 9}, WALK + 2 * LOST, id="instances that nobody has"),
        pytest.param(Level.SERIES, {"offset": FAR}, SKIP, id="an offset beyond all series"),
        pytest.param(Level.SERIES, {"Modality": "CT", "offset": FAR}, 2 * SKIP, id="an offset beyond all matching series"),
        pytest.param(Level.INSTANCE, {"Modality": "CT", "offset": FAR}, 3 * SKIP, id="an offset beyond all matching instances"),
    ],
)
async def test_a_search_that_could_go_on_for_ever_gives_up_and_says_so(
    counted: tuple[Stores, Counter[str]], level: Level, params: dict[str, Any], budget: int
) -> None:
    page, requests = await search(counted, level, params)
    assert page.incomplete
    assert requests <= budget


UIDS: Final = ",".join(f"1.9.{n}" for n in range(search_values.MAX_LIST))


@pytest.mark.parametrize(
    ("level", "params", "budget"),
    [
        pytest.param(Level.STUDY, {"StudyInstanceUID": UIDS}, 1000, id="a thousand studies"),
        pytest.param(Level.SERIES, {"SeriesInstanceUID": UIDS}, 1000, id="a thousand series"),
        pytest.param(Level.INSTANCE, {"SOPInstanceUID": UIDS}, 1000, id="a thousand instances"),
        pytest.param(Level.STUDY, {"limit": 100, "includefield": "BodyPartExamined"}, 1 + 101 + 100, id="what no row keeps"),
        pytest.param(Level.INSTANCE, {"limit": 100}, 1 + 3 * 101, id="instances of many studies"),
    ],
)
async def test_a_page_costs_what_its_size_says(
    counted: tuple[Stores, Counter[str]], level: Level, params: dict[str, Any], budget: int
) -> None:
    page, requests = await search(counted, level, params)
    assert not page.incomplete
    assert requests <= budget + finding.SPARE_ROWS


def test_the_budget_is_what_the_documents_say() -> None:
    """With these a search costs at most some 3,000 requests, or 100,000 small ones for an offset that skips as many studies."""
    assert finding.MAX_IN_VAIN + finding.MAX_TERM_PAGE <= 3000
    assert finding.MAX_READ <= 100_000
    assert descent.MAX_ROWS_IN_VAIN // descent.ROWS_OF_A_READ <= 200
    assert search_query.MAX_LIMIT <= 200
    assert search_values.MAX_LIST <= 1000
