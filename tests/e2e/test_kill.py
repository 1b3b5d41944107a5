"""The host is killed in the middle of stores and deletes, again and again: what it had acknowledged is there, once and whole."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import requests

from tests.support.dicom_builders import make_instance, new_uid
from tests.support.dicomweb import AS_STORED, DICOM_JSON, STORE_TYPE, SentInstance, received_parts, related
from tests.support.host import RunningHost, running_host

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS, SENDERS, STUDIES = 4, 4, 3
SOP_INSTANCE_UID, INSTANCES_IN_STUDY = "00080018", "00201208"


class Senders:
    """Store into a few studies, one or several instances a request, until the host is gone; keep what it acknowledged."""

    def __init__(self, url: str, studies: list[str]) -> None:
        self.url, self.studies = url, studies
        self.acknowledged: dict[str, SentInstance] = {}
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def have_reached(self, studies: list[str]) -> bool:
        """Tell whether something of each study was acknowledged."""
        return {sent.study for sent in list(self.acknowledged.values())} >= set(studies)

    def _send(self) -> None:
        while True:
            study = random.choice(self.studies)
            sent = [SentInstance.of(make_instance(StudyInstanceUID=study, PatientID="KILL")) for _ in range(random.choice([1, 1, 5]))]
            try:
                answer = store(self.url, sent)
            except requests.RequestException:
                return
            assert answer.status_code == 200
            self.acknowledged.update({s.instance: s for s in sent})


def store(url: str, sent: list[SentInstance]) -> requests.Response:
    headers = {"Content-Type": STORE_TYPE, "Accept": DICOM_JSON}
    return requests.post(f"{url}/v2/studies", data=related(s.data for s in sent), headers=headers, timeout=30)


def search(url: str, path: str) -> list[dict[str, dict[str, list[str | int]]]]:
    found: list[dict[str, dict[str, list[str | int]]]] = []
    while True:
        answer = requests.get(f"{url}/v2{path}", params={"limit": "200", "offset": str(len(found))}, timeout=30)
        page = answer.json() if answer.status_code == 200 else []
        found += page
        if len(page) < 200:
            return found


def announced(url: str) -> Counter[str]:
    """Count the announcements of each instance in the whole feed, whose sequence must have no holes."""
    events: list[dict[str, object]] = []
    while page := requests.get(f"{url}/v2/changefeed", params={"limit": "200", "offset": str(len(events))}, timeout=30).json():
        events += page
    assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))
    return Counter(str(e["sopInstanceUid"]) for e in events)


@pytest.mark.parametrize("merge", ["true", "false"], ids=["merged writes", "unmerged writes"])
def test_what_was_acknowledged_survives_the_kills(tmp_path: Path, merge: str) -> None:
    studies = [new_uid() for _ in range(STUDIES)]
    acknowledged: dict[str, SentInstance] = {}
    for _ in range(ROUNDS):
        with running_host(tmp_path, settings={"STORAGE_MERGE_WRITES": merge}) as host:
            kill_amid_stores(host, studies, acknowledged)
    with running_host(tmp_path, settings={"STORAGE_MERGE_WRITES": merge}) as host:
        check(host.url, studies, acknowledged)


def kill_amid_stores(host: RunningHost, studies: list[str], acknowledged: dict[str, SentInstance]) -> None:
    """Let senders work for a moment, kill the host, and remember what was acknowledged."""
    senders = Senders(host.url, studies)
    senders.start()
    latest = time.monotonic() + 30
    while not senders.have_reached(studies) and time.monotonic() < latest:
        time.sleep(0.01)
    time.sleep(random.uniform(0.1, 1.0))  # the moment of the kill is what varies, not what is waited for
    host.kill()
    senders.join()
    assert senders.acknowledged
    acknowledged.update(senders.acknowledged)


def check(url: str, studies: list[str], acknowledged: dict[str, SentInstance]) -> None:
    listed: set[str] = set()
    for study in studies:
        instances = [str(i[SOP_INSTANCE_UID]["Value"][0]) for i in search(url, f"/studies/{study}/instances")]
        (row,) = search(url, f"/studies?StudyInstanceUID={study}")
        assert len(instances) == len(set(instances)) == row[INSTANCES_IN_STUDY]["Value"][0]
        listed.update(instances)
    assert set(acknowledged) <= listed
    for sent in random.sample(list(acknowledged.values()), min(40, len(acknowledged))):
        answer = requests.get(f"{url}/v2{sent.path}", headers={"Accept": AS_STORED}, timeout=30)
        assert received_parts(answer)[0].content[128:] == sent.without_preamble
    wait_until_announced(url, listed)
    again = SentInstance.of(make_instance(StudyInstanceUID=studies[0], PatientID="KILL"))
    assert store(url, [again]).status_code == 200


def wait_until_announced(url: str, listed: set[str]) -> None:
    """Every listed instance is in the feed exactly once; what a killed process left is settled within seconds."""
    deadline = time.monotonic() + 30
    while set(counts := announced(url)) != listed and time.monotonic() < deadline:
        time.sleep(0.5)
    assert set(counts) == listed
    assert set(counts.values()) == {1}


def test_azurite_saves_what_was_acknowledged_when_its_host_is_killed(tmp_path: Path) -> None:
    studies = [new_uid() for _ in range(STUDIES)]
    acknowledged: dict[str, SentInstance] = {}
    with running_host(tmp_path, store="azurite") as host:
        kill_amid_stores(host, studies, acknowledged)
    with running_host(tmp_path, store="azurite") as host:
        check(host.url, studies, acknowledged)
