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
from tests.support.host import running_host

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.audit import Json

READS_WITHIN_SECONDS = 5.0
SLACK_SECONDS = 2.0
"""For a busy machine, and for looking."""


def trail(data_folder: Path) -> list[Json]:
    """Read the trail of the embedded store, as an operator would."""
    files = sorted((data_folder / "blobs" / "audit").rglob("*.ndjson"))
    return [event for file in files for event in parse_lines(file.read_text(encoding="utf-8").splitlines())]


def transactions(data_folder: Path) -> list[str]:
    return [details(event)["transaction"] for event in trail(data_folder)]


def store(url: str, study: str) -> int:
    body = related([make_instance(StudyInstanceUID=study)])
    return requests.post(f"{url}/v2/studies", data=body, headers={"Content-Type": STORE_TYPE}, timeout=30).status_code


@pytest.mark.parametrize("engine", ["direct", "runtime"])
def test_the_trail_is_written_in_time(tmp_path: Path, engine: Literal["direct", "runtime"]) -> None:
    study = new_uid()
    with running_host(tmp_path, engine=engine) as host:
        path = f"{host.url}/v2/studies/{study}"
        assert store(host.url, study) == 200
        assert transactions(tmp_path) == ["store_instances"]
        assert requests.get(f"{path}/metadata", timeout=30).status_code == 200
        asked = time.monotonic()
        while len(trail(tmp_path)) < 2 and time.monotonic() < asked + READS_WITHIN_SECONDS + SLACK_SECONDS:
            time.sleep(0.1)
        assert transactions(tmp_path) == ["store_instances", "retrieve_study_metadata"]
        assert requests.get(path, timeout=30).status_code == 200
        assert requests.delete(path, timeout=30).status_code == 204
        assert transactions(tmp_path)[2:] == ["retrieve_study", "delete_study"]
        assert requests.get(f"{host.url}/v2/studies", timeout=30).status_code == 204
    events = trail(tmp_path)
    assert [details(event)["transaction"] for event in events[4:]] == ["search_studies"]  # written at the stop
    assert [studies(event) for event in events] == [[study]] * 4 + [[]]


def test_what_was_answered_before_a_kill_is_recorded(tmp_path: Path) -> None:
    answered: list[str] = []
    with running_host(tmp_path) as host:

        def send() -> None:
            while True:
                study = new_uid()
                try:
                    assert store(host.url, study) == 200
                    answered.append(study)
                    assert requests.get(f"{host.url}/v2/studies/nothing", timeout=30).status_code == 400
                    assert requests.delete(f"{host.url}/v2/studies/{study}", timeout=30).status_code == 204
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
    with running_host(tmp_path) as host:
        assert store(host.url, new_uid()) == 200
    assert len(trail(tmp_path)) > len(events)
