"""No log, name, key, message or error text of the running host learns of a patient called CANARY (threat T13).

The canary comes in by every door and is led into every failure we know. ``running_host`` looks at what a host leaves, here as in all
tests; this one looks at answers, too.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.support.dicom_builders import make_instance
from tests.support.dicomweb import AS_STORED, STORE_TYPE, related
from tests.support.fhir_peer import CAPABILITIES, FhirPeer, Reply, received, serving
from tests.support.host import running_host
from tests.support.phi_watch import CANARY, CANARY_UID, NAMES, UIDS, watch_host

if TYPE_CHECKING:
    from http.server import BaseHTTPRequestHandler
    from pathlib import Path

    from tests.support.host import RunningHost

STUDY, SERIES, INSTANCE = (f"{CANARY_UID}.{n}" for n in range(3))
TEXTS = {
    keyword: f"{CANARY}^{keyword}"[:16]
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName", "StudyDescription", "StudyID")
}
GOOD = make_instance(**TEXTS, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=INSTANCE)
BAD = [
    make_instance(**TEXTS, StudyInstanceUID=STUDY, StudyDate=CANARY),
    make_instance(**TEXTS, StudyInstanceUID=CANARY),
    GOOD[:500],
    GOOD.replace(b"LO", b"SQ"),
    CANARY.encode() * 100,
]
STUDY_PATH = f"/v2/studies/{STUDY}"
INSTANCE_PATH = f"{STUDY_PATH}/series/{SERIES}/instances/{INSTANCE}"
GOOD_PATHS = [
    STUDY_PATH,
    f"{STUDY_PATH}/metadata",
    f"{STUDY_PATH}/series",
    INSTANCE_PATH,
    f"{INSTANCE_PATH}/frames/1",
    f"/v2/studies?PatientName={CANARY}*",
    f"/v2/series?StudyInstanceUID={STUDY}",
    "/v2/instances",
    "/v2/changefeed",
    "/v2/changefeed/latest",
    f"/fhir-sync/preview/{STUDY}",
    f"/fhir-sync/issues?study={STUDY}",
    "/fhir-sync/status",
    "/health/check",
]
BAD_PATHS = [
    f"/v2/studies/{CANARY}",
    f"/v2/studies/{CANARY_UID}.99",
    f"{INSTANCE_PATH}/frames/{CANARY}",
    f"/v2/studies?PatientName={CANARY}&limit={CANARY}",
    f"/v2/studies?StudyDate={CANARY}",
    f"/v2/studies?{CANARY}=1",
    f"/v2/studies?PatientName=%3C{CANARY}",
    f"/v2/changefeed?startTime={CANARY}",
    f"/fhir-sync/preview/{CANARY}",
    f"/fhir-sync/preview/{CANARY_UID}.99",
    f"/fhir-sync/issues?study={CANARY}",
    f"/{CANARY}/{CANARY}",
]
PATIENCE_SECONDS = 60


class GossipingPeer(FhirPeer):
    """Finds nobody, and refuses what it is sent in the words it was sent."""

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        seen = received(handler)
        self.seen.append(seen)
        if seen.path == "metadata":
            answer = Reply(body=CAPABILITIES)
        elif seen.method == "GET" and "?" in seen.path:
            answer = Reply(body={"resourceType": "Bundle", "type": "searchset", "entry": []})
        elif seen.method == "GET":
            answer = Reply(404, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]})
        else:
            words = f"Refused: Patient {CANARY} of study {STUDY}. You sent {seen.body.decode()[:2000]}"
            issue = {"severity": "error", "code": "invalid", "diagnostics": words, "details": {"text": words}}
            answer = Reply(422, {"resourceType": "OperationOutcome", "issue": [issue]})
        answer(handler)


class Caller:
    """Sends requests to the host, and remembers what errors said."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors: list[str] = []

    def ask(self, method: str, path: str, data: bytes = b"", **headers: str) -> requests.Response:
        every = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = requests.request(method, self.url + path, data=data, headers=every, timeout=30)
        if answer.status_code >= 400 and answer.headers.get("Content-Type") != "application/dicom+json":
            self.errors.append(answer.text)
        return answer

    def store(self, file: bytes, method: str = "POST", path: str = "/v2/studies") -> requests.Response:
        return self.ask(method, path, related([file]), content_type=STORE_TYPE)


def use(caller: Caller) -> None:
    assert caller.store(GOOD).status_code == 200
    assert caller.store(GOOD, "PUT", STUDY_PATH).status_code == 200
    for path in GOOD_PATHS:
        answer = caller.ask("GET", path, accept=AS_STORED if path in {STUDY_PATH, INSTANCE_PATH} else "*/*")
        assert answer.status_code == 200, path


def misuse(caller: Caller) -> None:
    for file in (GOOD, *BAD):
        caller.store(file)
        caller.store(file, "PUT", f"/v2/studies/{CANARY_UID}.99")
    for path in BAD_PATHS:
        assert 400 <= caller.ask("GET", path).status_code < 500, path
    caller.ask("GET", STUDY_PATH, accept=f"{CANARY}/{CANARY}")
    caller.ask("POST", "/v2/studies", CANARY.encode(), content_type=f"multipart/related; boundary={CANARY}")
    caller.ask("POST", "/v2/studies", CANARY.encode(), content_type=CANARY)
    for name in ("retry", "rebuild"):
        for document in ({CANARY: 1}, {"studies": [CANARY]}, {"scope": CANARY}, CANARY):
            caller.ask("POST", f"/fhir-sync/{name}", json.dumps(document).encode(), content_type="application/json")
    caller.ask("PATCH", STUDY_PATH)


def drop_into_inbox(host: RunningHost) -> None:
    inbox = host.data_folder / "blobs" / "inbox"
    for number, file in enumerate((GOOD, *BAD)):
        (inbox / f"{number}.tmp").write_bytes(file)
    latest = time.monotonic() + PATIENCE_SECONDS
    while any(path.is_file() for path in inbox.iterdir()) and time.monotonic() < latest:
        time.sleep(0.2)
    assert [path for path in inbox.iterdir() if path.is_file()] == []


def wait_for_issue(caller: Caller) -> list[dict[str, Any]]:
    """Wait until the FHIR server has refused the study, and it is on the operators' list."""
    latest = time.monotonic() + PATIENCE_SECONDS
    issues: list[dict[str, Any]] = []
    while not issues and time.monotonic() < latest:
        time.sleep(0.3)
        issues = caller.ask("GET", f"/fhir-sync/issues?study={STUDY}").json()["issues"]
    return issues


@pytest.mark.timeout(300)
def test_the_canary_is_nowhere(tmp_path: Path) -> None:
    with serving(GossipingPeer()) as peer:
        with running_host(tmp_path, fhir=True, settings={"FHIR_BASE_URL": peer.url}) as host:
            caller = Caller(host.url)
            use(caller)
            misuse(caller)
            drop_into_inbox(host)
            issues = wait_for_issue(caller)
            for name, document in (("retry", {"studies": [STUDY]}), ("rebuild", {"scope": [STUDY]})):
                assert (
                    caller.ask("POST", f"/fhir-sync/{name}", json.dumps(document).encode(), content_type="application/json").status_code
                    == 202
                )
            assert caller.ask("DELETE", STUDY_PATH).status_code == 204
            assert caller.ask("DELETE", STUDY_PATH).status_code == 404
        assert any(CANARY in seen.body.decode() for seen in peer.seen)
    assert len(caller.errors) > 20
    assert not [text for text in caller.errors if NAMES.search(text) or UIDS.search(text)]
    assert issues
    assert not NAMES.search(json.dumps(issues))
    looked_at = watch_host(host.log, tmp_path)
    assert looked_at.found == []
    assert {what for what, times in looked_at.seen.items() if times} >= {"log of the host", "blob name", "key", "audit record"}
