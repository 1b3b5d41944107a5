"""A preview says what would be written, and writes nothing: no row, no message, no resource. In virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from shared.adapters.fhir_bundles import transaction
from shared.errors import Busy, NotFound
from shared.fhir.server import Capabilities, FhirConfiguration, FhirError, FhirRefused, FhirTransient, Write
from shared.services.fhir_preview import _entry
from shared.services.fhir_study_reader import StudyChanged
from tests.support.counting import counting
from tests.support.fhir_studies import QUIET, SERIES, STUDY, failing, foreign_study, image, virtually, world_with
from tests.support.fhir_world import FHIR, dose_report, open_world
from tests.support.stores import memory_stores
from tests.support.virtual_time import VirtualClock

if TYPE_CHECKING:
    from tests.support.fhir_world import FhirWorld


async def preview(world: FhirWorld, study: str = STUDY) -> Any:
    return orjson.loads(await world.fhir.preview.preview(study))


def actions(previewed: Any) -> dict[str, str]:
    """Give what happens to which type of resource."""
    return {change["resource"].partition("/")[0]: change["action"] for change in previewed["changes"]}


@virtually
async def test_of_a_new_study_it_shows_the_transaction_that_creates_everything() -> None:
    world = await open_world()
    await world.store(image())
    shown = await preview(world)
    assert actions(shown) == {"Endpoint": "create", "Patient": "create", "ImagingStudy": "create"}
    assert (shown["bundle"]["resourceType"], shown["bundle"]["type"]) == ("Bundle", "transaction")
    for entry, change in zip(shown["bundle"]["entry"], shown["changes"], strict=True):
        assert entry["request"] == {"method": "PUT", "url": change["resource"]}
        assert entry["fullUrl"] == f"{FHIR.base_url}/{change['resource']}"
        assert f"{entry['resource']['resourceType']}/{entry['resource']['id']}" == change["resource"]


@virtually
async def test_what_it_shows_is_what_is_then_written() -> None:
    world = await open_world()
    await world.store(image(), dose_report(STUDY))
    shown = {entry["request"]["url"]: entry["resource"] for entry in (await preview(world))["bundle"]["entry"]}
    await world.pass_time(QUIET)
    written = {f"{r['resourceType']}/{r['id']}": r for r in world.server.all()}
    assert shown.keys() == written.keys()
    for reference, resource in shown.items():
        del written[reference]["meta"]["versionId"]
        assert resource == orjson.loads(orjson.dumps(written[reference], default=float))


@virtually
async def test_it_writes_nothing_anywhere() -> None:
    counted, counts = counting(memory_stores(VirtualClock()))
    world = await open_world(stores=counted)
    await world.store(image(), dose_report(STUDY))
    for _ in range(2):
        counts.clear()
        world.server.requests.clear()
        await preview(world)
        assert {label.partition(" ")[0] for label in counts} <= {"get", "page", "read"}
        assert world.server.requests["search"]
        assert not world.server.requests["write"]
        await world.pass_time(QUIET)


@virtually
async def test_of_a_study_in_step_nothing_changes() -> None:
    shown = await preview(await world_with(image()))
    assert shown["bundle"] == {"resourceType": "Bundle", "type": "transaction"}
    assert actions(shown) == {"Endpoint": "none", "Patient": "none", "ImagingStudy": "none"}


@virtually
async def test_it_does_not_rely_on_what_was_written_but_looks() -> None:
    world = await world_with(image())
    world.server.history.pop(f"ImagingStudy/{world.server.one('ImagingStudy')['id']}")
    assert actions(await preview(world))["ImagingStudy"] == "create"


@virtually
async def test_of_a_changed_study_it_shows_the_update_over_the_version_that_stands() -> None:
    world = await world_with(image(1))
    await world.store(image(2))
    (entry,) = (await preview(world))["bundle"]["entry"]
    assert entry["request"]["ifMatch"] == 'W/"1"'
    assert entry["resource"]["numberOfInstances"] == 2


@virtually
async def test_of_a_study_that_somebody_else_made_it_shows_the_merge() -> None:
    world = await open_world()
    world.server.put(foreign_study())
    await world.store(image())
    shown = await preview(world)
    study = next(e["resource"] for e in shown["bundle"]["entry"] if e["resource"]["resourceType"] == "ImagingStudy")
    assert study["note"] == foreign_study()["note"]
    assert [series["uid"] for series in study["series"]] == [SERIES, "9.9.9"]


@virtually
async def test_of_a_deleted_study_it_shows_what_goes() -> None:
    world = await world_with(image(), dose_report(STUDY))
    await world.delete(STUDY)
    shown = await preview(world)
    assert {change["action"] for change in shown["changes"]} == {"delete"}
    assert all(entry.keys() == {"request"} for entry in shown["bundle"]["entry"])
    assert "ImagingStudy" in actions(shown)
    assert "Patient" not in actions(shown)


@virtually
async def test_where_the_server_makes_the_ids_entries_refer_to_each_other() -> None:
    world = await open_world()
    world.server.abilities = Capabilities(no_update_create=frozenset({"Patient"}))
    await world.store(image())
    entries = {e["resource"]["resourceType"]: e for e in (await preview(world))["bundle"]["entry"]}
    assert entries["Patient"]["request"]["url"].startswith("Patient?identifier=")
    assert entries["ImagingStudy"]["resource"]["subject"]["reference"] == entries["Patient"]["fullUrl"]


@pytest.mark.parametrize(
    "write",
    [
        Write("PUT", "Patient/1", {"resourceType": "Patient", "id": "1"}),
        Write("PUT", "Patient/1", {"resourceType": "Patient", "id": "1"}, if_match='W/"7"'),
        Write("PUT", "Patient?identifier=a%7Cb", {"resourceType": "Patient"}, full_url="urn:uuid:1"),
        Write("DELETE", "Patient/1"),
        Write("DELETE", "Patient/1", if_match='W/"7"'),
    ],
)
def test_an_entry_is_shown_as_it_is_sent(write: Write) -> None:
    assert [_entry(write, FHIR.base_url)] == transaction([write], FHIR.base_url)["entry"]


@virtually
async def test_of_a_study_that_cannot_be_written_it_says_why() -> None:
    world = await open_world()
    await world.store(image(PatientID=None))
    shown = await preview(world)
    assert (shown["bundle"], shown["changes"]) == (None, [])
    told = {name: shown["issue"][name] for name in ("class", "code", "keyword", "tag")}
    assert told == {"class": "dicom", "code": "missing-patient-id", "keyword": "PatientID", "tag": "00100020"}


@virtually
async def test_a_search_that_the_server_refuses_is_told_as_an_issue() -> None:
    world = await open_world()
    await world.store(image())
    world.server.before = failing(FhirRefused("no", 400, "not-supported", "unknown parameter"), verbs="search")
    issue = (await preview(world))["issue"]
    assert (issue["class"], issue["httpStatus"], issue["diagnostics"]) == ("fhir", 400, "unknown parameter")


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (FhirTransient("down", 503), 5),
        (FhirTransient("busy", 429, retry_after_seconds=7.2), 8),
        (FhirTransient("busy", 429, retry_after_seconds=1e9), 3600),
        (FhirConfiguration("no token", 401), 5),
    ],
)
@virtually
async def test_a_server_that_does_not_answer_means_later(error: FhirError, seconds: int) -> None:
    world = await open_world()
    await world.store(image())
    world.server.before = failing(error, verbs="search")
    with pytest.raises(Busy, match=str(error)) as raised:
        await preview(world)
    assert raised.value.retry_after_seconds == seconds


@virtually
async def test_a_study_that_was_never_stored_is_not_found() -> None:
    with pytest.raises(NotFound):
        await preview(await open_world())


@virtually
async def test_a_study_that_changes_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await world_with(image())
    studies = world.fhir.preview._studies
    read, changes = studies.read, [1, 1]

    async def changing(study: str) -> Any:
        if changes:
            changes.pop()
            raise StudyChanged
        return await read(study)

    monkeypatch.setattr(studies, "read", changing)
    assert (await preview(world))["changes"]
    changes += [1, 1, 1]
    with pytest.raises(Busy, match="changes"):
        await preview(world)
