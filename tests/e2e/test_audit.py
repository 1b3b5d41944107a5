"""The audit trail of the running host: there before the answer, five seconds later for reads, whole after a stop and after a kill."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Literal

import pytest
import requests

from tests.support.audit import details, parse_lines, status, studies
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.dicomweb import STORE_TYPE, related
from tests.support.host import read_tokens, running_host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.audit import Json
    from tests.support.host import RunningHost

READS_WITHIN_SECONDS = 5.0
SLACK_SECONDS = 2.0
"""For a busy machine, and for looking."""


def trail(data_folder: Path) -> list[Json]:
    """Read the trail of the embedded store, as an operator would."""
    files = sorted((data_folder / "blobs" / "audit").rglob("*.ndjson"))
    return [event for file in files for event in parse_lines(file.read_text(encoding="utf-8").splitlines())]


def transactions(data_folder: Path) -> list[str]:
    return [details(event)["transaction"] for event in trail(data_folder)]


class Caller:
    """Somebody with every right at a closed host: what an open one records knows nobody, and may wait."""

    def __init__(self, host: RunningHost) -> None:
        self._url, self._authorization = host.url, f"Bearer {read_tokens(host)['all']}"

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        every = {"Authorization": self._authorization, **headers}
        return requests.request(method, f"{self._url}/v2/studies{path}", data=body, headers=every, timeout=30).status_code

    def store(self, study: str) -> int:
        return self.send("POST", "", related([make_instance(StudyInstanceUID=study)]), **{"Content-Type": STORE_TYPE})


@pytest.mark.parametrize("engine", ["direct", "runtime"])
def test_the_trail_is_written_in_time(tmp_path: Path, engine: Literal["direct", "runtime"]) -> None:
    study = new_uid()
    with running_host(tmp_path, engine=engine, more=["--auth"]) as host:
        caller, path = Caller(host), f"/{study}"
        assert caller.store(study) == 200
        assert transactions(tmp_path) == ["store_instances"]
        assert caller.send("GET", f"{path}/metadata") == 200
        asked = time.monotonic()
        while len(trail(tmp_path)) < 2 and time.monotonic() < asked + READS_WITHIN_SECONDS + SLACK_SECONDS:
            time.sleep(0.1)
        assert transactions(tmp_path) == ["store_instances", "retrieve_study_metadata"]
        assert caller.send("GET", path) == 200
        assert caller.send("DELETE", path) == 204
        assert transactions(tmp_path)[2:] == ["retrieve_study", "delete_study"]
        assert caller.send("GET", "") == 204
    events = trail(tmp_path)
    assert [details(event)["transaction"] for event in events[4:]] == ["search_studies"]  # written at the stop
    assert [studies(event) for event in events] == [[study]] * 4 + [[]]


def test_what_was_answered_before_a_kill_is_recorded(tmp_path: Path) -> None:
    answered: list[str] = []
    with running_host(tmp_path, more=["--auth"]) as host:
        caller = Caller(host)

        def send() -> None:
            while True:
                study = new_uid()
                try:
                    assert caller.store(study) == 200
                    answered.append(study)
                    assert caller.send("GET", "/nothing") == 400
                    assert caller.send("DELETE", f"/{study}") == 204
                except requests.RequestException:
                    return

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        time.sleep(1.5)  # work goes on meanwhile
        host.kill()
        for sender in senders:
            sender.join()
    events = trail(tmp_path)
    stored = [studies(event) for event in events if details(event)["transaction"] == "store_instances" and status(event) == 200]
    assert len(answered) > 10
    assert {study for (study,) in stored} >= set(answered)
    assert len(stored) == len({study for (study,) in stored})
    with running_host(tmp_path) as host:  # open: nobody is known, the record may wait, and is there after the stop
        assert requests.get(f"{host.url}/v2/studies", timeout=30).status_code in {200, 204}
    assert len(trail(tmp_path)) > len(events)
