"""What operators learn of the synchronisation: counts, lag, pauses, issues page by page. In virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import Busy, InvalidRequest
from shared.fhir.issues import Issue, IssueClass, IssueCode
from shared.fhir.server import FhirConfiguration, FhirRefused, FhirTransient
from shared.services import fhir_operations
from tests.support.fhir_studies import QUIET, SERIES, STUDY, failing, image, virtually, world_with
from tests.support.fhir_world import open_world

if TYPE_CHECKING:
    from tests.support.fhir_world import FhirWorld

REFUSED = Issue(IssueClass.FHIR, IssueCode.REFUSED, "PatientID", SERIES, f"{SERIES}.1", 422, "invalid", "cannot be")
WARNING = Issue(IssueClass.VALUE_WARNING, IssueCode.BAD_VALUE, "PatientBirthDate")
UNREACHABLE = Issue(IssueClass.TRANSIENT, IssueCode.UNREACHABLE)


async def status_of(world: FhirWorld) -> dict[str, Any]:
    return await world.fhir.operations.status()


async def record(world: FhirWorld, *issues: Issue, study: str = STUDY, at_ms: int = 1_767_225_600_500) -> None:
    await world.fhir.operations._issues.record(world.partition(study), study, issues, at_ms)


async def pages_of(world: FhirWorld, **wanted: Any) -> list[list[Any]]:
    """Read all pages; give study and code of each issue."""
    pages: list[list[Any]] = []
    after = None
    while not pages or after:
        page: Any = await world.fhir.operations.issues(**wanted, after=after)
        pages.append([(issue["study"], issue["code"]) for issue in page["issues"]])
        after = page["next"]
    return pages


@virtually
async def test_an_archive_without_studies_is_in_step() -> None:
    nothing = {"dirty": 0, "blocked": 0, "dead": 0, "lagSeconds": 0, "lastSync": None}
    assert await status_of(await open_world()) == {"enabled": True, "paused": False, **nothing}


@virtually
async def test_a_study_that_was_written_is_counted_nowhere_and_the_time_is_kept() -> None:
    status = await status_of(await world_with(image()))
    assert (status["dirty"], status["lagSeconds"]) == (0, 0)
    assert status["lastSync"].startswith("2026-01-01T00:00:")
    assert status["lastSync"].endswith("+00:00")


@virtually
async def test_lag_is_counted_from_the_study_that_has_waited_longest() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("down", 503), verbs="search write")
    await world.store(image())
    await world.pass_time(600)
    await world.store(image(StudyInstanceUID=f"{STUDY}.2"))
    await world.pass_time(100)
    status = await status_of(world)
    assert status["dirty"] == 2
    assert 690 <= status["lagSeconds"] <= 700


@virtually
async def test_studies_that_wait_for_an_operator_are_counted_and_do_not_lag() -> None:
    world = await open_world(retry_window_seconds=60)
    world.server.before = failing(FhirRefused("no", 422))
    await world.store(image())
    await world.pass_time(QUIET)
    world.server.before = failing(FhirTransient("down", 503))
    await world.store(image(StudyInstanceUID=f"{STUDY}.2"))
    await world.pass_time(600)
    status = await status_of(world)
    assert (status["dirty"], status["blocked"], status["dead"], status["lagSeconds"]) == (0, 1, 1, 0)


@virtually
async def test_a_pause_is_told_until_it_ends() -> None:
    world = await open_world()
    world.server.before = failing(FhirConfiguration("token", 401), times=1)
    await world.store(image())
    await world.pass_time(QUIET)
    assert (await status_of(world))["paused"]
    with pytest.raises(Busy, match=r"^writing to FHIR is paused: unauthorized$"):
        await world.fhir.operations.check()
    await world.pass_time(400)
    assert not (await status_of(world))["paused"]
    await world.fhir.operations.check()


@virtually
async def test_a_wrong_server_is_found_before_the_first_study_and_health_asks_no_server() -> None:
    world = await open_world()
    world.server.before = failing(FhirConfiguration("the server speaks FHIR 5.0"), verbs="capabilities")
    await world.fhir.operations.check_server()
    world.server.requests.clear()
    with pytest.raises(Busy, match="wrong-server"):
        await world.fhir.operations.check()
    assert not world.server.requests


@virtually
async def test_a_server_that_does_not_answer_is_no_wrong_one() -> None:
    world = await open_world()
    world.server.before = failing(FhirTransient("down", 503), verbs="capabilities")
    await world.fhir.operations.check_server()
    await world.fhir.operations.check()


@virtually
async def test_an_issue_is_told_whole_but_for_values() -> None:
    world = await open_world()
    await record(world, REFUSED)
    page: Any = await world.fhir.operations.issues()
    assert page == {
        "issues": [
            {
                "study": STUDY,
                "class": "fhir",
                "code": "refused",
                "keyword": "PatientID",
                "tag": "00100020",
                "httpStatus": 422,
                "series": SERIES,
                "instance": f"{SERIES}.1",
                "outcomeCode": "invalid",
                "diagnostics": "cannot be",
                "count": 1,
                "firstSeen": "2026-01-01T00:00:00.500+00:00",
                "lastSeen": "2026-01-01T00:00:00.500+00:00",
                "resolved": False,
            }
        ],
        "next": None,
    }


@virtually
async def test_what_an_issue_has_not_is_null_or_left_out() -> None:
    world = await open_world()
    await record(world, UNREACHABLE)
    page: Any = await world.fhir.operations.issues()
    (issue,) = page["issues"]
    assert (issue["keyword"], issue["tag"], issue["httpStatus"]) == (None, None, None)
    assert not {"series", "instance", "outcomeCode", "diagnostics"} & issue.keys()


@pytest.mark.parametrize(
    ("wanted", "codes"),
    [
        ({}, {"refused", "bad-value"}),
        ({"issue_class": "fhir"}, {"refused"}),
        ({"issue_class": "value-warning"}, {"bad-value"}),
        ({"issue_class": "dead"}, set()),
        ({"code": "bad-value"}, {"bad-value"}),
        ({"code": "bad-value", "issue_class": "fhir"}, set()),
        ({"study": STUDY}, {"refused", "bad-value"}),
        ({"study": f"{STUDY}.7"}, set()),
        ({"resolved": True}, {"refused", "bad-value", "unreachable"}),
        ({"resolved": True, "issue_class": "transient"}, {"unreachable"}),
        ({"resolved": True, "study": STUDY}, {"refused", "bad-value", "unreachable"}),
    ],
)
@virtually
async def test_issues_are_chosen_by_class_code_study_and_whether_they_are_open(wanted: dict[str, Any], codes: set[str]) -> None:
    world = await open_world()
    await record(world, UNREACHABLE)
    await record(world, REFUSED, WARNING)
    assert {code for page in await pages_of(world, **wanted) for _, code in page} == codes


@virtually
async def test_pages_lose_and_repeat_no_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_operations, "ISSUES_PER_PAGE", 7)
    world = await open_world()
    studies = [f"{STUDY}.{n}" for n in range(60)]
    for study in studies:
        await record(world, REFUSED, WARNING, study=study)
    pages = await pages_of(world)
    assert sorted(each for page in pages for each in page) == sorted(
        (study, code) for study in studies for code in ("bad-value", "refused")
    )
    assert {len(page) for page in pages[:-1]} == {8}


@virtually
async def test_a_page_ends_where_it_has_looked_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir_operations, "STUDIES_PER_PAGE", 20)
    world = await open_world()
    for n in range(50):
        await record(world, WARNING, study=f"{STUDY}.{n}")
    await record(world, REFUSED, study=STUDY)
    pages = await pages_of(world, issue_class="fhir")
    assert len(pages) == 3
    assert [each for page in pages for each in page] == [(STUDY, "refused")]


@pytest.mark.parametrize("wanted", [{"issue_class": "bad"}, {"code": "Refused"}, {"issue_class": ""}])
@virtually
async def test_a_class_or_code_that_there_is_not_is_refused_and_not_repeated(wanted: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest, match="must be one of") as raised:
        await (await open_world()).fhir.operations.issues(**wanted)  # type: ignore[arg-type]  # a row of a table
    assert "Refused" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "x", "!!!!", "MTYxfmFi", "LTExfmE", "MDAvLi4v", "w6TDpMOk", "MDA", "a" * 500])
@virtually
async def test_a_token_that_no_page_gave_is_refused(token: str) -> None:
    with pytest.raises(InvalidRequest, match="next"):
        await (await open_world()).fhir.operations.issues(after=token)
