"""No value of a patient in any log, error text, key, name or message (threat T13): a canary in every text, failed in every way."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.names import TABLES
from shared.telemetry import install_guard
from tests.support.app_client import AppClient
from tests.support.dicom_builders import make_instance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.app_client import Reply

CANARY = "CANARY"
CANARY_UID = "2.25.73138713"
"""Stands in every UID."""

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
    ):
        replies.append(await client.get(url))
    replies.append(await client.get(STUDY, accept=f"{CANARY}/{CANARY}"))
    replies.append(await client.post("/v2/studies", f"multipart/related; boundary={CANARY}\x7f", b""))
    replies += [await client.send("DELETE", STUDY) for _ in range(2)]
    return [reply for reply in replies if reply.status >= 400]


async def test_the_canary_is_in_no_log_and_no_error_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        errors = await fail_in_every_way(AppClient())
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert CANARY not in logged
    assert CANARY_UID not in logged
    problems = [reply for reply in errors if reply.headers["content-type"] == "application/problem+json"]
    assert len(problems) > 12
    assert not [p.body for p in problems if CANARY.encode() in p.body or CANARY_UID.encode() in p.body]


async def test_a_store_report_repeats_no_value_but_the_identifiers() -> None:
    client = AppClient()
    for file in (GOOD, GOOD, *INVALID.values()):
        report = (await client.store(file)).body.replace(b'"00081155":{"vr":"UI","Value":["' + CANARY.encode(), b"")
        assert CANARY.encode() not in report


async def test_the_canary_is_in_no_key_name_or_message() -> None:
    client = AppClient()
    await client.store(GOOD)
    database: Any = client.stores.tables
    read = database._database.read
    keys = [row for table in TABLES for row in read(f"SELECT pk, rk FROM table_{table}")]  # noqa: S608 -- our own
    messages = list(read("SELECT body FROM messages"))
    names = [b.name for c in ("dicom", "metadata") async for page in client.stores.blobs.list(c) for b in page]
    assert len(keys) > 20
    assert messages
    assert names
    assert CANARY not in str((keys, messages, names))
    assert CANARY_UID not in str((keys, messages, names))
    assert CANARY.lower() not in str((keys, messages, names))
