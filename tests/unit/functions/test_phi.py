"""No value of a patient in any log, error text, key, name or message (threat T13): a canary in every text, failed in every way."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from functions._http import Guards
from shared.access import Caller
from shared.adapters.names import CONTAINERS, TABLES
from shared.services.audit import AuditService
from shared.telemetry.guard import install_guard
from tests.support.app_client import SETTINGS, AppClient
from tests.support.audit import EverybodyIs, read_trail, studies
from tests.support.dicom_builders import make_instance
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_world import FHIR
from tests.support.phi_watch import CANARY, CANARY_UID, watching
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.app_client import Reply

TEXTS = {
    keyword: f"{CANARY}^{keyword}"[:16]
    for keyword in (
        "PatientName",
        "PatientID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "SeriesDescription",
        "StudyID",
        "Manufacturer",
        "InstitutionName",
        "PatientComments",
    )
}
UIDS = {keyword: f"{CANARY_UID}.{n}" for n, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))}
GOOD = make_instance(**TEXTS, **UIDS)
INVALID = {
    "date": make_instance(**TEXTS, **UIDS | {"SOPInstanceUID": CANARY_UID + ".7"}, StudyDate=CANARY),
    "number": make_instance(**TEXTS, **UIDS | {"SOPInstanceUID": CANARY_UID + ".8"}).replace(b"IS\x02\x001 ", b"IS\x02\x00C^", 1),
    "uid": make_instance(**TEXTS, **UIDS | {"StudyInstanceUID": CANARY}),
    "truncated": GOOD[:500],
    "lying": GOOD.replace(b"LO", b"SQ"),
}
STUDY = "/v2/studies/" + UIDS["StudyInstanceUID"]
INSTANCE = f"{STUDY}/series/{UIDS['SeriesInstanceUID']}/instances/{UIDS['SOPInstanceUID']}"


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    install_guard()
    yield
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(capture=False)


WITH_FHIR = replace(SETTINGS, fhir=replace(FHIR, debounce_seconds=0.001), settle_delay_seconds=0)


def open_client(**more: Any) -> tuple[AppClient, AuditService]:
    """Open an app with everything that could tell: a trail, a FHIR server, an inbox."""
    stores = memory_stores()
    trail = AuditService(stores.blobs, stores.clock, "archive.test")
    access = EverybodyIs(Caller("0aa1-ada"))  # somebody who is known, so that records are written one by one
    return AppClient(stores, WITH_FHIR, **{"access": access, "fhir": FakeFhirServer(), "guards": Guards(audit=trail), **more}), trail


async def use_every_transaction(client: AppClient) -> None:
    """Store the canary, by either door, and use what is offered; let what follows a store follow."""
    await client.store(GOOD)
    await client.stores.blobs.put("inbox", "1.dcm", GOOD)
    await client.stores.blobs.put("inbox", "2.dcm", INVALID["uid"])
    for name in ("1.dcm", "2.dcm"):
        await client.handler("ingest_blob")(SimpleNamespace(container_name="inbox", blob_name=name))
    for url in (
        STUDY,
        f"{STUDY}/metadata",
        INSTANCE,
        f"{INSTANCE}/frames/1",
        f"/v2/studies?PatientName={CANARY}*&PatientID={TEXTS['PatientID'].replace('^', '%5E')}",
        f"/v2/instances?StudyInstanceUID={UIDS['StudyInstanceUID']}",
        f"{STUDY}/series?includefield=all",
        "/v2/changefeed",
        "/v2/changefeed/latest",
        "/fhir-sync/status",
        f"/fhir-sync/issues?study={UIDS['StudyInstanceUID']}",
        f"/fhir-sync/preview/{UIDS['StudyInstanceUID']}",
    ):
        assert (await client.get(url)).status == 200, url
    for name, body in (("retry", f'{{"studies": ["{CANARY_UID}.0"]}}'), ("rebuild", f'{{"scope": ["{CANARY_UID}.0"]}}')):
        assert (await client.post(f"/fhir-sync/{name}", "application/json", body.encode())).status == 202
    await settle(client)


async def settle(client: AppClient) -> None:
    """Deliver what waits, some rounds of it."""
    for _ in range(6):
        for message in await client.stores.queues.receive("settle"):
            body = message.body.encode()
            await client.handler("settle_study")(SimpleNamespace(get_body=lambda body=body: body))
            await client.stores.queues.delete("settle", message)
        await asyncio.sleep(0.002)
    await client.handler("sweep_archive")(None)
    await client.handler("sweep_fhir")(None)


async def fail_in_every_way(client: AppClient) -> list[Reply]:
    """Store the canary and make all sorts of mistakes with it; give the answers that are errors."""
    replies = [await client.store(file) for file in (GOOD, GOOD, *INVALID.values())]
    replies += [await client.store(file, method="PUT", url=STUDY + ".9") for file in (GOOD, *INVALID.values())]
    for url in (
        f"/v2/studies?PatientName={CANARY}&limit={CANARY}",
        f"/v2/studies?StudyDate={CANARY}",
        f"/v2/studies?{CANARY}={CANARY}",
        f"/v2/studies?includefield={CANARY}",
        f"/v2/studies?PatientName=%3C{CANARY}",
        f"/v2/studies/{CANARY}",
        f"{STUDY}.{CANARY}",
        f"{STUDY}9/metadata",
        f"{INSTANCE}/frames/{CANARY}",
        f"{INSTANCE}/frames/99",
        f"/v9/{CANARY}",
        f"/{CANARY}",
        f"/v2/changefeed?startTime={CANARY}",
        f"/fhir-sync/preview/{CANARY}",
        f"/fhir-sync/preview/{CANARY_UID}.9",
        f"/fhir-sync/issues?study={CANARY}",
        f"/fhir-sync/issues?next={CANARY}",
        f"/fhir-sync/issues?{CANARY}=1",
    ):
        replies.append(await client.get(url))
    replies.append(await client.get(STUDY, accept=f"{CANARY}/{CANARY}"))
    replies.append(await client.post("/v2/studies", f"multipart/related; boundary={CANARY}\x7f", b""))
    for document in (f'{{"{CANARY}": 1}}', f'{{"studies": ["{CANARY}"]}}', f'{{"scope": "{CANARY}"}}', CANARY):
        replies += [await client.post(f"/fhir-sync/{name}", "application/json", document.encode()) for name in ("retry", "rebuild")]
    replies += [await client.send("DELETE", STUDY) for _ in range(2)]
    return [reply for reply in replies if reply.status >= 400]


async def test_the_canary_is_in_no_log_and_no_error_text(caplog: pytest.LogCaptureFixture) -> None:
    client, trail = open_client()
    with caplog.at_level(logging.DEBUG):
        errors = await fail_in_every_way(client)
        await trail.close()
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert CANARY not in logged
    assert CANARY_UID not in logged
    problems = [reply for reply in errors if reply.headers["content-type"] == "application/problem+json"]
    assert len(problems) > 25
    assert not [p.body for p in problems if CANARY.encode() in p.body or CANARY_UID.encode() in p.body]


async def test_a_store_report_repeats_no_value_but_the_identifiers() -> None:
    client = AppClient()
    for file in (GOOD, GOOD, *INVALID.values()):
        report = (await client.store(file)).body.replace(b'"00081155":{"vr":"UI","Value":["' + CANARY.encode(), b"")
        assert CANARY.encode() not in report


async def test_the_canary_is_in_no_key_name_or_message() -> None:
    client, trail = open_client()
    with watching() as watch:
        await use_every_transaction(client)
        await fail_in_every_way(client)
        await settle(client)
        await trail.close()
    assert watch.found == []
    assert {what for what, times in watch.seen.items() if times > 3} == {
        "key",
        "blob name",
        "queue message",
        "audit record",
        "error body",
        "log",
    }


async def test_the_audit_trail_names_studies_and_no_patient() -> None:
    client, trail = open_client()
    await use_every_transaction(client)
    await fail_in_every_way(client)
    await trail.close()
    events = await read_trail(client.stores.blobs)
    assert len(events) > 50
    assert CANARY not in str(events)
    assert UIDS["StudyInstanceUID"] in {study for event in events for study in studies(event)}


async def test_the_canary_is_in_no_row_that_waits_in_a_queue_or_names_a_blob() -> None:
    """What lies in the stores at the end, told from what was sent on the way."""
    client, _ = open_client()
    await use_every_transaction(client)
    database: Any = client.stores.tables
    read = database._database.read
    keys = [row for table in TABLES for row in read(f"SELECT pk, rk FROM table_{table}")]  # noqa: S608 -- our own
    names = [b.name for c in CONTAINERS for page in [p async for p in client.stores.blobs.list(c)] for b in page]
    assert len(keys) > 20
    assert len(names) > 2
    text = str((keys, list(read("SELECT body FROM messages")), names)).lower()
    assert CANARY.lower() not in text
    assert CANARY_UID not in text
