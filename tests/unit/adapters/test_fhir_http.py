"""The FHIR server by HTTP, held against a peer that answers well, badly, late, without end or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import threading
import tracemalloc
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from shared.adapters.fhir_answers import Limits
from shared.adapters.fhir_http import HttpFhirServer, open_fhir
from shared.fhir.server import (
    Capabilities,
    FhirConfiguration,
    FhirConflict,
    FhirError,
    FhirRefused,
    FhirTransient,
    Write,
    Written,
    escape_token,
)
from shared.fhir_settings import FhirSettings
from tests.support.certificates import server_context
from tests.support.fhir_peer import CAPABILITIES, FhirPeer, Reply, fhir_peer, hang_up, raw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from shared.fhir.json_text import Resource
    from tests.support.fhir_peer import Behaviour

PATIENT = {"resourceType": "Patient", "id": "p1"}
PUT = Write("PUT", "Patient/p1", PATIENT)
EMPTY = {"resourceType": "Bundle", "type": "searchset"}
NAME = "Yamada"
QUICK = Limits(total_seconds=0.3)
SMALL = Limits(answer_bytes=100_000)


def settings(base_url: str, **more: Any) -> FhirSettings:
    return FhirSettings(base_url, "https://a.test/fhir", "urn:oid:1.2", "urn:oid:1.3", "https://a.test/v2", **more)


@pytest.fixture
def peer() -> Iterator[FhirPeer]:
    with fhir_peer() as running:
        yield running


@pytest.fixture
def opened(peer: FhirPeer) -> Iterator[Callable[..., HttpFhirServer]]:
    """Give a function that opens a client of the peer, to be closed after the test."""
    with ExitStack() as stack:

        def open_client(limits: Limits | None = None, **more: Any) -> HttpFhirServer:
            client = HttpFhirServer(settings(peer.url), limits, **more)
            stack.callback(client.close)
            stack.callback(peer.over.set)
            return client

        yield open_client


@pytest.fixture
def server(opened: Callable[..., HttpFhirServer]) -> HttpFhirServer:
    return opened()


def outcome(code: str = "invalid", diagnostics: str = "") -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": code, "diagnostics": diagnostics}]}


def searchset(*entries: Any) -> Reply:
    return Reply(body={**EMPTY, "entry": list(entries)})


def found(resource: Any, mode: str | None = "match") -> Resource:
    return {"resource": resource} | ({"search": {"mode": mode}} if mode else {})


def done(status: str = "200 OK", **more: Any) -> Resource:
    return {"response": {"status": status, **more}}


def results(*entries: Any) -> Reply:
    return Reply(body={"resourceType": "Bundle", "type": "transaction-response", "entry": list(entries)})


# Searching


@pytest.mark.parametrize("value", ["A,1", "A|1", "A$1", "A\\1", "A&1=2", "A+1", "A#1", "A 1", "A%31", "Ä山", '"; DROP', "\r\nX: 1"])
async def test_any_identifier_arrives_as_it_was_written(server: HttpFhirServer, peer: FhirPeer, value: str) -> None:
    peer.answers(searchset())
    written = f"urn:oid:1.2|{escape_token(value)}"
    assert await server.search("Patient", {"identifier": written}) == []
    assert peer.last.form() == {"identifier": written, "_count": "2"}
    assert (peer.last.method, peer.last.path) == ("POST", "Patient/_search")


async def test_a_search_asks_for_its_count_and_that_nothing_be_ignored(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(searchset())
    await server.search("Patient", {"identifier": "a"}, count=7)
    assert peer.last.form()["_count"] == "7"
    assert peer.last.headers["prefer"] == "handling=strict"
    assert peer.last.headers["accept"] == "application/fhir+json"


async def test_a_search_gives_matches_of_its_type_only(server: HttpFhirServer, peer: FhirPeer) -> None:
    included, unmarked = {"resourceType": "Patient", "id": "p2"}, {"resourceType": "Patient", "id": "p3"}
    peer.answers(
        searchset(
            found(PATIENT),
            found(included, "include"),
            found(unmarked, None),
            found({"resourceType": "Device", "id": "d"}, None),
            found(outcome(), "outcome"),
            {"fullUrl": "x"},
            "junk",
        )
    )
    assert await server.search("Patient", {}) == [PATIENT, unmarked]


@pytest.mark.parametrize("body", [EMPTY, {**EMPTY, "entry": []}, {**EMPTY, "entry": "junk"}])
async def test_a_bundle_without_entries_is_no_match(server: HttpFhirServer, peer: FhirPeer, body: Any) -> None:
    peer.answers(Reply(body=body))
    assert await server.search("Patient", {}) == []


@pytest.mark.parametrize("logical_id", ["../Device/1", "", "..", None, 7, "a b", "x" * 65, "p?a=1", "p\n"])
async def test_a_match_whose_id_is_none_is_refused(server: HttpFhirServer, peer: FhirPeer, logical_id: Any) -> None:
    peer.answers(searchset(found({"resourceType": "Patient", "id": logical_id})))
    with pytest.raises(FhirRefused, match="wrong answer"):
        await server.search("Patient", {})


async def test_decimals_keep_their_digits(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(body=b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"p1","x":1.50}}]}'))
    assert str((await server.search("Patient", {}))[0]["x"]) == "1.50"


# Reading


async def test_reading_gives_the_resource(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(body=PATIENT))
    assert await server.read("Patient/p1") == PATIENT
    assert (peer.last.method, peer.last.path) == ("GET", "Patient/p1")


@pytest.mark.parametrize("status", [404, 410])
async def test_reading_what_is_not_there_gives_none(server: HttpFhirServer, peer: FhirPeer, status: int) -> None:
    peer.answers(Reply(status, outcome("not-found")))
    assert await server.read("Patient/p1") is None


@pytest.mark.parametrize("body", [{**PATIENT, "id": "p2"}, {**PATIENT, "resourceType": "Device"}])
async def test_another_resource_than_the_one_that_was_read_is_refused(server: HttpFhirServer, peer: FhirPeer, body: Any) -> None:
    peer.answers(Reply(body=body))
    with pytest.raises(FhirRefused):
        await server.read("Patient/p1")


@pytest.mark.parametrize(
    "reference", ["https://evil.test/Patient/1", "Patient/..", "Patient/a/b", "Patient", "../x/y", "Patient/1?a=b", ""]
)
async def test_a_reference_to_elsewhere_is_not_followed(server: HttpFhirServer, peer: FhirPeer, reference: str) -> None:
    with pytest.raises(FhirRefused):
        await server.read(reference)
    assert not peer.seen


# Writing


async def test_writes_are_one_transaction(server: HttpFhirServer, peer: FhirPeer) -> None:
    device = {"resourceType": "Device", "identifier": [{"value": "x"}]}
    conditional = Write("PUT", "Device?identifier=urn%3Aa%7Cx", device, full_url="urn:uuid:0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41")
    writes = [Write("PUT", "Patient/p1", PATIENT, if_match='W/"7"'), conditional, Write("DELETE", "Basic/b", if_match='W/"1"')]
    peer.answers(
        results(done(etag='W/"8"', location=f"{peer.url}/Patient/p1/_history/8"), done("201", location="Device/d9/_history/1"), done("204"))
    )
    assert await server.write(writes) == [
        Written(200, "Patient/p1", 'W/"8"'),
        Written(201, "Device/d9", 'W/"1"'),
        Written(204, "Basic/b", ""),
    ]
    assert (peer.last.method, peer.last.path) == ("POST", "")
    assert peer.last.json() == {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"{peer.url}/Patient/p1",
                "resource": PATIENT,
                "request": {"method": "PUT", "url": "Patient/p1", "ifMatch": 'W/"7"'},
            },
            {
                "fullUrl": "urn:uuid:0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41",
                "resource": device,
                "request": {"method": "PUT", "url": "Device?identifier=urn%3Aa%7Cx"},
            },
            {"request": {"method": "DELETE", "url": "Basic/b", "ifMatch": 'W/"1"'}},
        ],
    }


async def test_a_write_says_what_it_is_and_wants_nothing_back(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(results(done()), results(done()))
    await server.write([PUT])
    await server.write([PUT])
    first, second = (seen.headers for seen in peer.seen)
    assert first["content-type"] == "application/fhir+json"
    assert first["prefer"] == "return=minimal"
    assert first["x-request-id"] != second["x-request-id"]


async def test_nothing_to_write_asks_nothing(server: HttpFhirServer, peer: FhirPeer) -> None:
    assert await server.write([]) == []
    assert (peer.seen, peer.metadata_asked) == ([], 0)


@pytest.mark.parametrize(
    ("entry", "version"),
    [
        (done(etag='W/"8"'), 'W/"8"'),
        (done(etag='"8"'), 'W/"8"'),
        (done(etag="8"), 'W/"8"'),
        (done(location="https://other.test/x/Patient/p1/_history/8"), 'W/"8"'),
        (done() | {"resource": {**PATIENT, "meta": {"versionId": "8"}}}, 'W/"8"'),
        (done(), ""),
        (done(etag='W/"8"\r\nX-Evil: 1'), ""),
        (done(etag=8, location=["x"]) | {"resource": "junk"}, ""),
    ],
)
async def test_the_version_is_where_the_server_says_it(server: HttpFhirServer, peer: FhirPeer, entry: Resource, version: str) -> None:
    peer.answers(results(entry))
    assert await server.write([PUT]) == [Written(200, "Patient/p1", version)]


async def test_an_id_that_the_server_chose_can_come_with_the_resource(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(results(done("201") | {"resource": PATIENT}))
    assert (await server.write([Write("PUT", "Patient?identifier=a", PATIENT)]))[0].reference == "Patient/p1"


@pytest.mark.parametrize("location", ["", "Device/d1", "Patient/..", "Patient/a b"])
async def test_an_id_that_the_server_chose_and_does_not_tell_is_a_wrong_answer(
    server: HttpFhirServer, peer: FhirPeer, location: str
) -> None:
    peer.answers(results(done("201", location=location)))
    with pytest.raises(FhirRefused, match="where it went"):
        await server.write([Write("PUT", "Patient?identifier=a", {"resourceType": "Patient"})])


@pytest.mark.parametrize("status", ["404", "410 Gone"])
async def test_what_is_gone_already_counts_as_deleted(server: HttpFhirServer, peer: FhirPeer, status: str) -> None:
    peer.answers(results(done(status)))
    assert (await server.write([Write("DELETE", "Basic/b")]))[0].reference == "Basic/b"


async def test_what_stands_there_already_counts_as_written(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(results(done("304", etag='W/"8"')))
    assert await server.write([PUT]) == [Written(304, "Patient/p1", 'W/"8"')]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("412 Precondition Failed", FhirConflict),
        ("503", FhirTransient),
        ("422", FhirRefused),
        ("404", FhirRefused),
        ("", FhirRefused),
        (None, FhirRefused),
    ],
)
@pytest.mark.parametrize("said", [{"outcome": outcome("processing")}, {}, {"outcome": "junk"}], ids=["outcome", "none", "junk"])
async def test_an_entry_that_failed_fails_the_transaction(
    server: HttpFhirServer, peer: FhirPeer, status: Any, said: Resource, kind: type[FhirError]
) -> None:
    peer.answers(results(done(), {"response": {"status": status, **said}}))
    with pytest.raises(kind):
        await server.write([PUT, PUT])


@pytest.mark.parametrize("entries", [[], [done(), done()], ["junk"], [{}], [{"response": "junk"}]])
async def test_results_that_do_not_fit_the_entries_are_refused(server: HttpFhirServer, peer: FhirPeer, entries: list[Any]) -> None:
    peer.answers(results(*entries))
    with pytest.raises(FhirRefused, match="wrong answer"):
        await server.write([PUT])


# Writing to a server without transactions

ONE_BY_ONE = Reply(body={**CAPABILITIES, "rest": [{"mode": "server", "interaction": [{"code": "search-system"}]}]})


async def test_without_transactions_writes_go_one_by_one(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.metadata = ONE_BY_ONE
    peer.answers(
        Reply(201, headers={"ETag": 'W/"1"', "Location": f"{peer.url}/Patient/p1/_history/1"}), Reply(200, PATIENT), Reply(404, outcome())
    )
    writes = [Write("PUT", "Patient/p1", PATIENT, if_match='W/"7"'), PUT, Write("DELETE", "Basic/b", if_match='W/"3"')]
    assert await server.write(writes) == [Written(201, "Patient/p1", 'W/"1"'), Written(200, "Patient/p1", ""), Written(404, "Basic/b", "")]
    assert [(seen.method, seen.path, seen.headers.get("if-match")) for seen in peer.seen] == [
        ("PUT", "Patient/p1", 'W/"7"'),
        ("PUT", "Patient/p1", None),
        ("DELETE", "Basic/b", 'W/"3"'),
    ]
    assert [seen.body for seen in peer.seen][2] == b""
    assert peer.seen[0].json() == PATIENT


async def test_without_transactions_later_resources_refer_to_the_ids_that_the_server_chose(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.metadata = ONE_BY_ONE
    uuid = "urn:uuid:0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41"
    peer.answers(Reply(201, headers={"Location": "Device/d9"}), Reply(200))
    refers = {"resourceType": "Basic", "id": "b", "subject": {"reference": uuid}, "author": [{"reference": "Patient/p1"}], "note": uuid}
    await server.write([Write("PUT", "Device?identifier=a%20b", {}, full_url=uuid), Write("PUT", "Basic/b", refers)])
    assert peer.seen[0].path == "Device?identifier=a%20b"
    assert peer.last.json() == {**refers, "subject": {"reference": "Device/d9"}}
    assert refers["subject"] == {"reference": uuid}


async def test_without_transactions_a_failure_ends_the_sequence(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.metadata = ONE_BY_ONE
    peer.answers(Reply(412, outcome("conflict")))
    with pytest.raises(FhirConflict, match="PUT of Patient: status 412"):
        await server.write([PUT, PUT])
    assert len(peer.seen) == 1


# What the server is


async def test_capabilities_are_asked_for_once_a_day(opened: Callable[..., HttpFhirServer], peer: FhirPeer) -> None:
    now = [0.0]
    server = opened(clock=lambda: now[0])
    assert await server.capabilities() == Capabilities(transactions=True)
    now[0] = 24 * 3600 - 1
    await server.capabilities()
    assert peer.metadata_asked == 1
    now[0] += 1
    await server.capabilities()
    assert peer.metadata_asked == 2


def statement(**more: Any) -> Reply:
    return Reply(body={**CAPABILITIES, **more})


@pytest.mark.parametrize(
    ("reply", "known"),
    [
        (ONE_BY_ONE, Capabilities(transactions=False)),
        (statement(rest="junk"), Capabilities(transactions=False)),
        (statement(rest=[{"mode": "client", "interaction": [{"code": "transaction"}]}]), Capabilities(transactions=False)),
        (
            statement(
                rest=[
                    {
                        "mode": "server",
                        "interaction": [{"code": "transaction"}, 7],
                        "resource": [
                            {"type": "Patient", "updateCreate": False},
                            {"type": "Device", "updateCreate": True},
                            {"type": "Basic"},
                            "junk",
                        ],
                    }
                ]
            ),
            Capabilities(no_update_create=frozenset({"Patient"})),
        ),
    ],
)
async def test_the_capability_statement_says_what_can_be_done(
    server: HttpFhirServer, peer: FhirPeer, reply: Reply, known: Capabilities
) -> None:
    peer.metadata = reply
    assert await server.capabilities() == known


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (statement(fhirVersion="5.0.0"), "speaks FHIR 5.0.0"),
        (statement(fhirVersion="4.3.0"), "speaks FHIR 4.3.0"),
        (statement(fhirVersion="<b>5</b>"), "speaks FHIR, and R4"),
        (statement(fhirVersion=None), "R4"),
        (statement(format=["application/fhir+xml"]), "no FHIR JSON"),
        (Reply(404, outcome("not-found")), "FHIR_BASE_URL"),
        (Reply(200, b"<html>", {"Content-Type": "text/html"}), "FHIR_BASE_URL"),
        (Reply(200, PATIENT), "FHIR_BASE_URL"),
        (Reply(401), "FHIR_AUTH"),
    ],
)
async def test_a_server_that_is_none_of_ours_is_the_operators_to_see_to(
    server: HttpFhirServer, peer: FhirPeer, reply: Reply, message: str
) -> None:
    peer.metadata = reply
    with pytest.raises(FhirConfiguration, match=message):
        await server.capabilities()
    peer.metadata = statement()
    assert await server.capabilities() == Capabilities()


# Failures

HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(status, FhirTransient) for status in (408, 425, 429, 500, 502, 503, 504, 507)],
        *[(status, FhirConflict) for status in (409, 412)],
        *[(status, FhirConfiguration) for status in (301, 302, 304, 307, 308, 401, 403, 404, 406, 415)],
        *[(status, FhirRefused) for status in (400, 405, 413, 418, 422, 501, 600)],
    ],
)
async def test_a_status_says_what_kind_of_failure_it_is(server: HttpFhirServer, peer: FhirPeer, status: int, kind: type[FhirError]) -> None:
    peer.answers(Reply(status, b"<html>", {**HTML, "Location": "http://127.0.0.1:9/"}))
    with pytest.raises(FhirError, match=f"transaction of 1: status {status}") as raised:
        await server.write([PUT])
    assert (type(raised.value), raised.value.status) == (kind, status)


async def test_not_found_by_a_fhir_server_is_no_wrong_address(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(404, outcome("not-supported")))
    with pytest.raises(FhirRefused):
        await server.search("Encounter", {})


async def test_a_redirect_is_named_and_not_followed(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(307, b"", {"Location": f"{peer.url}/elsewhere"}))
    with pytest.raises(FhirConfiguration, match=r"redirect.*FHIR_BASE_URL") as raised:
        await server.write([PUT])
    assert "elsewhere" not in str(raised.value)
    assert len(peer.seen) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "7", "x-ms-retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "999999999"}, 3600.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 99999 07:28:00 GMT"}, None),
    ],
)
async def test_the_servers_hint_when_to_come_again_is_kept(
    server: HttpFhirServer, peer: FhirPeer, headers: Mapping[str, str], seconds: float | None
) -> None:
    peer.answers(Reply(429, outcome("throttled"), headers))
    with pytest.raises(FhirTransient) as raised:
        await server.search("Patient", {})
    assert raised.value.retry_after_seconds == seconds


async def test_a_hint_may_be_a_date(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(503, b"", {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)}))
    with pytest.raises(FhirTransient) as raised:
        await server.search("Patient", {})
    assert raised.value.retry_after_seconds is not None
    assert 500 < raised.value.retry_after_seconds <= 600


async def test_an_outcome_is_kept_without_what_was_sent(server: HttpFhirServer, peer: FhirPeer) -> None:
    said = f"Patient.name: {NAME} is no valid value, see 'A-1001' and ImagingStudy.series[0].uid"
    peer.answers(Reply(422, outcome("invariant", said)))
    with pytest.raises(FhirRefused) as raised:
        await server.write([Write("PUT", "Patient/p1", {**PATIENT, "name": [{"family": NAME}]})])
    assert raised.value.outcome_code == "invariant"
    assert raised.value.diagnostics == "Patient.name: … is no valid value, see … and ImagingStudy.series[0].uid"


@pytest.mark.parametrize(
    "body",
    [
        outcome("Not A Code", "text"),
        {"resourceType": "OperationOutcome", "issue": [{"code": 7, "details": {"text": "text"}}]},
        {"resourceType": "OperationOutcome", "issue": [{"code": None, "diagnostics": None, "details": "junk"}]},
        {"resourceType": "OperationOutcome", "issue": "junk"},
        {"resourceType": "OperationOutcome", "issue": [7]},
    ],
)
async def test_an_outcome_may_be_junk(server: HttpFhirServer, peer: FhirPeer, body: Any) -> None:
    peer.answers(Reply(400, body))
    with pytest.raises(FhirRefused) as raised:
        await server.write([PUT])
    assert raised.value.outcome_code == ""
    assert raised.value.diagnostics in ("", "text")


async def test_diagnostics_are_cut(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(400, outcome("invalid", "word " * 100_000)))
    with pytest.raises(FhirRefused) as raised:
        await server.write([PUT])
    assert len(raised.value.diagnostics) == 500


BUNDLE = b'{"resourceType":"Bundle","x":%s}'


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>", id="html-that-says-json"),
        pytest.param(b"[]", id="a-list"),
        pytest.param(b'{"resourceType":"Bundle"', id="cut-off"),
        pytest.param(b"{}", id="no-resource"),
        pytest.param(json.dumps(PATIENT).encode(), id="another-resource"),
        pytest.param(b"\xff\xfe{}", id="no-utf-8"),
        pytest.param(BUNDLE % b"NaN", id="nan"),
        pytest.param(BUNDLE % b'"\\ud800"', id="half-a-surrogate-pair"),
        pytest.param(BUNDLE % (b"[" * 100_000), id="deep-and-open"),
        pytest.param(BUNDLE % (b"[" * 500 + b"]" * 500), id="deep"),
        pytest.param(BUNDLE % (b"[" * 64 + b"]" * 64), id="deeper-than-can-be-written"),
        pytest.param(BUNDLE % b"99999999999999999999", id="an-integer-that-cannot-be-written"),
        pytest.param(BUNDLE % b"1e999999999", id="a-decimal-that-fills-the-memory"),
        pytest.param(BUNDLE % b"1e-999999999", id="a-small-decimal-that-does-too"),
    ],
)
async def test_success_without_fhir_json_is_a_wrong_answer(server: HttpFhirServer, peer: FhirPeer, body: bytes) -> None:
    peer.answers(Reply(200, body))
    with pytest.raises(FhirRefused, match="wrong answer"):
        await server.search("Patient", {})


async def test_success_with_html_may_pass(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(200, json.dumps(EMPTY).encode(), HTML))
    with pytest.raises(FhirTransient, match="stand in between"):
        await server.search("Patient", {})


@pytest.mark.parametrize("value", [b"9223372036854775807", b"1e100", b"0.10", b"[" * 60 + b"]" * 60])
async def test_what_can_be_written_is_taken(server: HttpFhirServer, peer: FhirPeer, value: bytes) -> None:
    peer.answers(Reply(200, b"\xef\xbb\xbf" + BUNDLE % value))
    assert await server.search("Patient", {}) == []


# Limits

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"


def large_reply(size: int) -> Reply:
    return Reply(body=json.dumps({**EMPTY, "x": "x" * size}).encode())


async def test_an_answer_that_is_too_large_is_refused(opened: Callable[..., HttpFhirServer], peer: FhirPeer) -> None:
    peer.answers(large_reply(50_000), large_reply(12_000_000), searchset())
    server = opened(SMALL)
    await server.search("Patient", {})
    with pytest.raises(FhirRefused, match="too large"):
        await server.search("Patient", {})
    assert await server.search("Patient", {}) == []


async def test_a_compressed_answer_is_unpacked(server: HttpFhirServer, peer: FhirPeer) -> None:
    body = gzip.compress(json.dumps({**EMPTY, "entry": [found(PATIENT)]}).encode())
    peer.answers(Reply(200, body, {"Content-Encoding": "gzip"}))
    assert await server.search("Patient", {}) == [PATIENT]
    assert peer.last.headers["accept-encoding"] == "gzip"


async def test_a_bomb_is_not_unpacked(opened: Callable[..., HttpFhirServer], peer: FhirPeer) -> None:
    bomb = gzip.compress(bytes(300_000_000), 1)
    chunked = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
    peer.answers(Reply(200, bomb, {"Content-Encoding": "gzip"}), raw(chunked))
    server = opened(SMALL)
    for _ in range(2):
        tracemalloc.start()
        with pytest.raises(FhirRefused, match="too large"):
            await server.search("Patient", {})
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
        tracemalloc.stop()


async def test_a_redirects_body_is_not_read_to_its_end(opened: Callable[..., HttpFhirServer], peer: FhirPeer) -> None:
    peer.answers(peer.flood(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", b"x" * 65_536))
    with pytest.raises(FhirRefused, match="too large"):
        await opened(Limits(answer_bytes=100_000, total_seconds=3)).search("Patient", {})


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(HEAD + b"Content-Length: 9999\r\n\r\n", b"x", id="body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", id="chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x", id="chunk-size"),
        pytest.param(HEAD + b"X: ", b"x", id="header"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", id="continue"),
    ],
)
async def test_a_drip_is_not_waited_for(opened: Callable[..., HttpFhirServer], peer: FhirPeer, start: bytes, piece: bytes) -> None:
    peer.answers(peer.drip(start, piece))
    with pytest.raises(FhirTransient):
        await opened(QUICK).search("Patient", {})


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(HEAD + b"Content-Length: 999999999999\r\n\r\n", id="body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", id="chunk-size"),
        pytest.param(HEAD + b"X: ", id="header"),
        pytest.param(HEAD + b"\r\n", id="no-length"),
    ],
)
async def test_a_flood_is_dammed(opened: Callable[..., HttpFhirServer], peer: FhirPeer, start: bytes) -> None:
    peer.answers(peer.flood(start, b"x" * 65_536))
    with pytest.raises((FhirTransient, FhirRefused)):
        await opened(SMALL).search("Patient", {})


@pytest.mark.parametrize("limits", [Limits(read_seconds=0.2), QUICK], ids=["one-receive", "everything"])
async def test_silence_is_not_waited_for(opened: Callable[..., HttpFhirServer], peer: FhirPeer, limits: Limits) -> None:
    peer.answers(peer.silence)
    with pytest.raises(FhirTransient):
        await opened(limits).search("Patient", {})


async def test_a_write_whose_answer_was_lost_may_have_happened(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(hang_up, results(done(etag='W/"1"')))
    with pytest.raises(FhirTransient) as raised:
        await server.write([PUT])
    assert raised.value.status == 0
    assert len(peer.seen) == 1
    assert (await server.write([PUT]))[0].version == 'W/"1"'


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(HEAD + b"Content-Length: 50\r\n\r\n{}", id="body-cut-off"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="no-chunk"),
        pytest.param(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", id="no-gzip"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="headers-without-end"),
    ],
)
async def test_an_answer_that_is_not_whole_may_come_whole_later(server: HttpFhirServer, peer: FhirPeer, content: bytes) -> None:
    peer.answers(raw(content))
    with pytest.raises(FhirTransient):
        await server.search("Patient", {})


async def test_nobody_there_is_transient() -> None:
    server = HttpFhirServer(settings("http://127.0.0.1:9/fhir"))
    with pytest.raises(FhirTransient):
        await server.capabilities()
    server.close()


async def test_four_requests_at_most_run_at_once_and_never_on_the_loop(server: HttpFhirServer, peer: FhirPeer) -> None:
    four_are_here = Barrier(4, timeout=20)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        four_are_here.wait()
        searchset()(handler)

    peer.answers(*[answer] * 12)
    await asyncio.gather(*(server.search("Patient", {}) for _ in range(12)))
    assert sum(thread.name.startswith("fhir-") for thread in threading.enumerate()) == 4


# What is not sent, kept or said


async def test_the_environment_does_not_lead_elsewhere(
    server: HttpFhirServer, peer: FhirPeer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    peer.answers(searchset())
    await server.search("Patient", {})
    assert "authorization" not in peer.last.headers


async def test_cookies_are_not_kept(server: HttpFhirServer, peer: FhirPeer) -> None:
    peer.answers(Reply(200, EMPTY, {"Set-Cookie": "a=b"}), searchset())
    await server.search("Patient", {})
    await server.search("Patient", {})
    assert "cookie" not in peer.last.headers


@pytest.mark.parametrize(
    "reply", [Reply(400, b"", {**HTML, "X": NAME}), Reply(302, b"", {"Location": f"/{NAME}"}), Reply(422, outcome(NAME, NAME))]
)
async def test_no_value_is_logged_or_said(
    server: HttpFhirServer, peer: FhirPeer, reply: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    peer.metadata = ONE_BY_ONE
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: server.search("Patient", {"name": NAME}),
        lambda: server.write([Write("PUT", f"Patient?name={NAME}", {"resourceType": "Patient", "name": [{"family": NAME}]})]),
    ]
    for ask in asks:
        peer.answers(reply)
        with pytest.raises(FhirError) as raised:
            await ask()
        assert NAME.lower() not in f"{raised.value} {raised.value.outcome_code} {raised.value.diagnostics}".lower()
    assert NAME not in caplog.text


def test_without_settings_there_is_no_server() -> None:
    assert open_fhir(None) is None
    assert isinstance(open_fhir(settings("http://fhir.test")), HttpFhirServer)


# TLS


@pytest.fixture
def safe_peer(tmp_path: Path) -> Iterator[FhirPeer]:
    with fhir_peer(server_context(tmp_path)) as running:
        yield running


async def test_a_certificate_is_checked(safe_peer: FhirPeer) -> None:
    server = HttpFhirServer(settings(safe_peer.url))
    with pytest.raises(FhirTransient, match="SSLError"):
        await server.capabilities()
    server.close()


async def test_a_trusted_server_is_spoken_to_and_its_drip_not_waited_for(
    safe_peer: FhirPeer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(tmp_path / "certificate.pem"))
    patient, hasty = HttpFhirServer(settings(safe_peer.url)), HttpFhirServer(settings(safe_peer.url), QUICK)
    safe_peer.answers(Reply(200, EMPTY), safe_peer.drip(HEAD + b"X: ", b"x"))
    assert await patient.search("Patient", {}) == []
    with pytest.raises(FhirTransient):
        await hasty.search("Patient", {})
    patient.close()
    hasty.close()
