"""A FHIR server that is away, refuses us or answers with nonsense: nothing is lost, given up or written twice, and other studies go on.

docs/fhir.md says what is tried again, and when.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from shared.adapters.fhir_answers import Limits
from tests.support.dicom_builders import new_uid
from tests.support.fhir import running_fhir_server
from tests.support.fhir_acceptance import LinkedArchive, Relay, image, relay, report_file
from tests.support.fhir_peer import FHIR_JSON, Reply, hang_up, raw
from tests.support.fhir_world import dose_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.fhir_acceptance import Link
    from tests.support.fhir_peer import Behaviour, Seen

IMPATIENT = Limits(connect_seconds=1, read_seconds=0.1, total_seconds=0.2, answer_bytes=5_000_000)
REFUSED = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid", "diagnostics": "Doe^Jane (P1) is wrong"}]}


async def test_an_hour_without_the_server_costs_nothing_but_the_hour(tmp_path: Path) -> None:
    """The server itself is ended, and comes back with its data on another port."""
    studies = [new_uid() for _ in range(4)]
    with running_fhir_server(tmp_path) as first, relay(first.url) as between, closing(LinkedArchive(between.url)) as archive:
        await archive.put(*(image(study) for study in studies[:3]))
        await archive.in_step()
        first.child.kill()
        await archive.put(image(studies[0], 2), *(image(study) for study in studies[3:]), dose_report(studies[3]))
        await archive.delete(studies[1])
        await archive.pass_time(3600)
        status = await archive.status()
        assert (status["dirty"], status["dead"], status["blocked"], status["paused"]) == (3, 0, 0, False)
        assert 3500 < status["lagSeconds"] <= 3600
        with running_fhir_server(tmp_path) as second:
            between.target = archive.written.client.url = second.url
            await archive.in_step()
            counts = sorted(study["numberOfInstances"] for study in archive.written.all("ImagingStudy"))
            assert counts == [1, 2, 2]
            assert (await archive.status())["lagSeconds"] == 0
            assert {issue_class for issue_class, _ in await archive.issues()} == {"value-warning"}
            assert archive.written.versions() == {"ImagingStudy": 4, "Patient": 1, "Endpoint": 1, "Observation": 3, "DocumentReference": 1}
            archive.written.check()


@pytest.mark.parametrize(("status", "hours"), [(401, 30), (403, 1)])
async def test_a_refused_token_pauses_everything_and_gives_nothing_up(link: Link, between: Relay, status: int, hours: int) -> None:
    """Not even when it lasts longer than other failures are tried."""
    archive = link(between.url)
    between.rule = lambda _: Reply(status, REFUSED)
    await archive.put(*(image(new_uid()) for _ in range(2)))
    await archive.pass_time(3600 * hours)
    told = await archive.status()
    assert (told["dirty"], told["blocked"], told["dead"], told["paused"]) == (2, 0, 0, True)
    assert len(between.seen) < 2 * hours * 3600 / 300
    health = (await archive.get("/health/check")).json()
    assert "unauthorized" in str(health)
    between.heal()
    await archive.pass_time(600)
    await archive.in_step()
    assert len(archive.written.all("ImagingStudy")) == 2
    assert {issue_class for issue_class, _ in await archive.issues()} == {"value-warning"}


async def test_an_operator_ends_the_pause(link: Link, between: Relay) -> None:
    archive = link(between.url)
    between.rule = lambda _: Reply(401)
    await archive.put(image(new_uid()))
    await archive.pass_time(60)
    between.heal()
    assert (await archive.ask("retry", {"class": "configuration"})).json() == {"queued": 1}
    await archive.put(image(new_uid()))
    await archive.pass_time(30)
    assert len(archive.written.all("ImagingStudy")) == 2


def transient(code: str = "unreachable") -> tuple[str, str]:
    return "transient", code


LOGIN_PAGE = b"<!doctype html><html><title>Sign in</title></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
BUNDLE = {"resourceType": "Bundle", "type": "transaction-response"}
HOSTILE: dict[str, tuple[Callable[[Relay], Behaviour], tuple[str, str]]] = {
    "a page instead of FHIR": (lambda _: Reply(200, LOGIN_PAGE, HTML), transient()),
    "a page of a gateway": (lambda _: Reply(502, LOGIN_PAGE, HTML), transient()),
    "too busy": (lambda _: Reply(429, REFUSED, {"Retry-After": "5"}), transient()),
    "broken off": (
        lambda _: raw(b'HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 999\r\n\r\n{"res'),
        transient(),
    ),
    "hung up": (lambda _: hang_up, transient()),
    "silent": (lambda relay: relay.silence, transient()),
    "a byte now and then": (
        lambda relay: relay.drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 99999\r\n\r\n", b" "),
        transient(),
    ),
    "a header without end": (lambda relay: relay.flood(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096), transient()),
    "no HTTP": (lambda _: raw(b"SSH-2.0-OpenSSH_9.6\r\n"), transient()),
    "10 MB of FHIR": (lambda _: Reply(200, {**BUNDLE, "id": "x" * 10_000_000}), ("fhir", "refused")),
    "a body without end": (
        lambda relay: relay.flood(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n\r\n", b" " * 65_536),
        ("fhir", "refused"),
    ),
    "no JSON": (lambda _: Reply(200, b"{not json", {"Content-Type": FHIR_JSON}), ("fhir", "refused")),
    "nested without end": (lambda _: Reply(200, b'{"a":' * 100_000, {"Content-Type": FHIR_JSON}), ("fhir", "refused")),
    "another resource": (lambda _: Reply(200, {"resourceType": "Patient", "id": "x"}), ("fhir", "refused")),
    "too few results": (lambda _: Reply(200, {**BUNDLE, "entry": []}), ("fhir", "refused")),
    "results that are none": (lambda _: Reply(200, {**BUNDLE, "entry": [None, "x"]}), ("fhir", "refused")),
    "invalid, it says": (lambda _: Reply(422, REFUSED), ("fhir", "refused")),
    "too large, it says": (lambda _: Reply(413, REFUSED), ("fhir", "refused")),
    "a redirect": (lambda _: Reply(302, b"", {"Location": "http://127.0.0.1:1/elsewhere"}), ("configuration", "wrong-server")),
    "another service": (lambda _: Reply(404, LOGIN_PAGE, HTML), ("configuration", "wrong-server")),
}
"""What the server answers to the writing of one study, and what the operator is told of it."""


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_holds_up_one_study_and_no_other(link: Link, between: Relay, name: str) -> None:
    make, told = HOSTILE[name]
    archive, bad, good = link(between.url, limits=IMPATIENT), new_uid(), new_uid()
    behaviour = make(between)
    between.rule = lambda seen: behaviour if writes(seen, bad) else None
    await archive.put(image(bad), image(good, PatientID="P2"))
    await archive.pass_time(30)
    assert told in await archive.issues(bad)
    assert "Doe" not in (text := (await archive.get("/fhir-sync/issues")).body.decode())
    assert "P1" not in text
    if told[0] == "configuration":
        await archive.pass_time(400)
    assert [study["identifier"][0]["value"] for study in archive.written.all("ImagingStudy")] == [f"urn:oid:{good}"]
    between.heal()
    if told[0] == "fhir":
        await archive.ask("retry", {"class": "fhir"})
    await archive.in_step()
    assert archive.written.versions() == {"ImagingStudy": 2, "Patient": 2, "Endpoint": 1}
    assert {issue_class for issue_class, _ in await archive.issues()} == {"value-warning"}


SHAPELESS: dict[str, tuple[str, dict[str, Any]]] = {
    "a patient with a list as meta": ("Patient", {"meta": [1]}),
    "a patient with a tag that is none": ("Patient", {"meta": {"tag": [None]}}),
    "a patient linked to nowhere": ("Patient", {"link": [{"type": "replaced-by"}]}),
    "a patient linked to another place": ("Patient", {"link": [{"type": "replaced-by", "other": {"reference": "Patient/../x"}}]}),
    "a patient with a number as name": ("Patient", {"name": 7, "birthDate": "1950-01-01"}),
    "a study with a text as series": ("ImagingStudy", {"series": "all"}),
    "a study with series without end": ("ImagingStudy", {"series": [[]]}),
    "a study with a number as endpoint": ("ImagingStudy", {"endpoint": 7}),
}


@pytest.mark.parametrize("name", SHAPELESS)
async def test_a_resource_of_no_shape_blocks_the_study_and_says_so(link: Link, between: Relay, name: str) -> None:
    archive, bad, good = link(between.url), new_uid(), new_uid()
    kind, elements = SHAPELESS[name]
    system, value = (archive.fhir_settings.patient_id_system, "P1") if kind == "Patient" else ("urn:dicom:uid", f"urn:oid:{bad}")
    resource = {"resourceType": kind, "id": "odd", "identifier": [{"system": system, "value": value}], **elements}

    def rule(seen: Seen) -> Behaviour | None:
        asked = seen.path == f"{kind}/_search" and value in unquote(seen.body.decode())
        return Reply(200, {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": resource}]}) if asked else None

    between.rule = rule
    await archive.put(image(bad), image(good, PatientID="Q2"))
    await archive.pass_time()
    assert ("fhir", "refused") in await archive.issues(bad)
    assert len(archive.written.all("ImagingStudy")) == 1
    between.heal()
    await archive.ask("retry", {"class": "fhir"})
    await archive.in_step()
    assert len(archive.written.all("ImagingStudy")) == 2


def writes(seen: Seen, study: str) -> bool:
    """Tell whether a request is the transaction that writes a study."""
    return seen.method == "POST" and not seen.path and f"urn:oid:{study}".encode() in seen.body


async def test_a_refused_study_is_sent_again_when_it_changes(link: Link, between: Relay) -> None:
    archive, study = link(between.url), new_uid()
    between.rule = lambda seen: Reply(422, REFUSED) if writes(seen, study) else None
    await archive.put(image(study))
    await archive.pass_time(86_400)
    tried = len(between.seen)
    await archive.pass_time(86_400)
    assert len(between.seen) == tried
    between.heal()
    await archive.put(image(study, 2))
    await archive.in_step()
    assert archive.written.one("ImagingStudy")["numberOfInstances"] == 2


async def test_what_was_done_although_its_answer_was_lost_is_not_done_twice(link: Link, between: Relay) -> None:
    archive, study, lost = link(between.url), new_uid(), dict[str, int]()

    def lose_the_answer(seen: Seen) -> Behaviour | None:
        if seen.method != "POST" or seen.path or lost.setdefault("answers", 0) == 2:
            return None
        lost["answers"] += 1
        between.forward(seen)
        return hang_up

    between.rule = lose_the_answer
    await archive.put(image(study), report_file(study), dose_report(study))
    await archive.in_step()
    assert lost == {"answers": 2}
    assert archive.written.versions() == EXPECTED


EXPECTED: dict[str, Any] = {
    "ImagingStudy": 1,
    "Patient": 1,
    "Endpoint": 1,
    "Observation": 3,
    "DiagnosticReport": 1,
    "DocumentReference": 2,
}
