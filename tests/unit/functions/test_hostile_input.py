"""What strangers put into paths and files: odd ids on every route (T4), scripts and line breaks in every text (T10)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.support.app_client import AppClient
from tests.support.counting import counting
from tests.support.dicom_builders import make_dataset, make_instance, new_uid, write
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

_BASE = "1.2.840.10008.1"
_PIECES = (
    "..", "../..", "..%2f", "%2e%2e/", "\\", "..\\", "/etc/passwd", "\x00", "%00", "\r\nx: y", "\n", "\t", " ", "'", "' or '1'='1",
    '"', ";--", "$filter=1", "*", "?", "#", "&", "+", "%", "%25", "|", ",", "~", "`", "<script>", "{{7*7}}", "${jndi:x}", "\u0661",
    "\uff11", "\u0660.2", "\u202e", "\ufeff", "e\u0301", "\U0001f480", "-1", "1e9", "0x1", "nan", "None", "null", "true", "[]", "()", "$x",
    "1;drop", "\u00b2", "\u2460", "\ud7ff", "@", "^", "=", ":", "!",
)  # fmt: skip
HOSTILE = sorted(
    {*_PIECES, *(_BASE + piece for piece in _PIECES), *(piece + _BASE for piece in _PIECES), *(f"{_BASE}{p}{_BASE}" for p in _PIECES)}
)
HOSTILE = [text for text in HOSTILE if not re.fullmatch(r"[0-9.]{1,64} ?", text)]  # the grammar of routes; padding is trimmed
HOSTILE += ["1" * 65, "1" * 1000, "1." * 33 + "1", "9" * 20_000]


def templates(client: AppClient) -> Iterator[tuple[str, str]]:
    """Give every route that names a study, series or instance, and each of its methods."""
    for function in client.functions.values():
        route = getattr(function.get_user_function(), "route", None)
        if route is not None and "{study" in route.template:
            for method in route.methods:
                yield method, route.readable


def test_there_are_two_hundred_of_them() -> None:
    assert len(HOSTILE) >= 200


async def test_a_hostile_id_on_any_route_is_refused_before_storage_is_asked_and_never_repeated() -> None:
    stores, counts = counting(memory_stores())
    client = AppClient(stores)
    await client.get("/v2/studies?limit=1")  # reads the archive's key, which the first request does
    counts.clear()
    wrong = []
    for method, template in templates(client):
        for hostile in HOSTILE:
            path = (
                re.sub(r"\{(study|series|instance)\}", quote(hostile, safe=""), template)
                .replace("{version}", "v2")
                .replace("{frames}", "1")
            )
            reply = await client.send(method, path, {"content-type": "application/dicom"}, b"")
            told = len(hostile) > 4 and hostile.encode() in reply.body
            if reply.status not in {400, 404, 405, 415} or told or counts.total():
                wrong.append((method, template, hostile, reply.status, dict(counts)))
                counts.clear()
    assert not wrong


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
async def test_a_hostile_uid_inside_a_file_names_nothing_and_breaks_nothing(keyword: str) -> None:
    client, wrong = AppClient(), []
    for hostile in HOSTILE:
        if hostile.isascii() and 0 < len(hostile) <= 1000 and "\\" not in hostile:
            reply = await client.store(make_instance(**{keyword: hostile}))
            names = [blob.name async for page in client.stores.blobs.list("dicom") for blob in page]
            if reply.status >= 500 or any(hostile in name for name in names if len(hostile) > 2):
                wrong.append((hostile, reply.status))
    assert not wrong


SCRIPT = "<script>alert(1)</script>"
BREAK = "a\r\nSet-Cookie: x=1"
TEXTS = (
    "PatientName", "PatientID", "AccessionNumber", "StudyDescription", "SeriesDescription", "ReferringPhysicianName", "InstitutionName",
    "PatientComments", "ProtocolName", "StationName", "StudyID", "ImageComments", "DerivationDescription", "Manufacturer",
)  # fmt: skip


async def stored_scripts() -> tuple[AppClient, list[str]]:
    """Store an instance with a script and a line break in every text; give where it can be asked for."""
    client = AppClient()
    uids = {"StudyInstanceUID": new_uid(), "SeriesInstanceUID": new_uid(), "SOPInstanceUID": new_uid()}
    dataset = make_dataset(**uids)
    for number, keyword in enumerate(TEXTS):
        setattr(dataset, keyword, SCRIPT if number % 2 else SCRIPT[:12])
    dataset.TextValue = f"{SCRIPT} {BREAK}"
    reply = await client.store(write(dataset))
    assert reply.status in {200, 202}
    study = f"/v2/studies/{uids['StudyInstanceUID']}"
    series = f"{study}/series/{uids['SeriesInstanceUID']}"
    instance = f"{series}/instances/{uids['SOPInstanceUID']}"
    asked = quote(SCRIPT)
    return client, [
        *(study, f"{study}/metadata", series, f"{series}/metadata", instance, f"{instance}/metadata", f"{instance}/frames/1"),
        *("/v2/changefeed", "/v2/studies?includefield=all", f"{study}/instances?includefield=all"),
        *(f"/v2/studies?PatientID={asked}", f"/v2/studies?{asked}={asked}", f"/v2/studies/{asked}", f"/{asked}"),
        *(f"{instance}/frames/{asked}", f"{study}?accept={asked}"),
    ]


async def test_no_output_that_holds_a_script_is_a_page() -> None:
    client, urls = await stored_scripts()
    for url in urls:
        reply = await client.get(url)
        kind = reply.headers.get("content-type", "")
        assert reply.headers["x-content-type-options"] == "nosniff", url
        assert not re.match(r"text/html|image/svg|application/xhtml|text/xml|application/xml", kind), url


async def test_no_text_of_an_instance_or_a_request_becomes_a_header() -> None:
    client, urls = await stored_scripts()
    for url in [*urls, f"/v2/studies?PatientName={quote(BREAK)}"]:
        reply = await client.send("GET", url, {"accept": BREAK.replace("\r\n", " "), "origin": f"https://{SCRIPT}"})
        held: Any = [(name, value) for name, value in reply.headers.items() if "script" in value or "\n" in value or name == "set-cookie"]
        assert not held, url
