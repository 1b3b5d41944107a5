"""DICOM into the running host, FHIR out of it: by STOW-RS and through the inbox, over kills and restarts of either side."""

from __future__ import annotations

import random
import re
import shlex
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import pytest
import requests

from localhost.fhir_server import FhirServer
from localhost.node import start_node
from tests.conftest import DEFAULT_HOSTS, HOSTS
from tests.support.dicom_builders import new_uid
from tests.support.dicomweb import Caller
from tests.support.fhir import PATIENCE_SECONDS, FhirClient, reference
from tests.support.fhir_acceptance import WrittenResources, image, report_file
from tests.support.fhir_world import dose_report
from tests.support.host import PROJECT_FOLDER, RunningHost, running_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.fhir import Json

T = TypeVar("T")
CANONICAL = "http://dicomweb.localhost/fhir"
QUICK = {"FHIR_SYNC_DEBOUNCE": "0.3", "SETTLE_DELAY": "0.5"}
SENDERS = 8
LISTENING = re.compile(r"listening (\S+)$")
INBOXES = {"embedded", "worker-core"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    kinds: list[str] = metafunc.config.getoption("--host") or list(DEFAULT_HOSTS)
    if "linked_host" in metafunc.fixturenames:
        chosen = [kind for kind in kinds if kind in INBOXES or not any(word in metafunc.function.__name__ for word in ("inbox", "deleted"))]
        metafunc.parametrize("linked_host", chosen, indirect=True, scope="module")


@pytest.fixture(scope="module")
def linked_host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """Start the real host with a FHIR server of its own; what it wrote in all tests of its kind is checked in the end."""
    kind, folder = HOSTS[request.param], tmp_path_factory.mktemp("linked")
    more = ["--inbox", str(folder / "inbox")] if request.param in INBOXES else []
    with running_host(folder / "data", store=kind.store, engine=kind.engine, fhir=True, settings=QUICK, more=more) as running:
        yield running
        written(running).check()


def written(host: RunningHost) -> WrittenResources:
    return WrittenResources(host.fhir_url, CANONICAL)


def store(host: RunningHost, *files: bytes) -> None:
    answer = Caller(host.url).store(*files, method="PUT")
    assert answer.status_code == 200, answer.text


def eventually(ask: Callable[[], T | None], seconds: float = 30) -> T:
    """Ask until there is an answer."""
    latest = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < latest, "it did not happen"
        time.sleep(0.05)
    return found


def study_in(fhir_url: str, study: str) -> Json:
    """Find a study as any client does; None where it is not there."""
    found = FhirClient(fhir_url).find("ImagingStudy", identifier=f"urn:dicom:uid|urn:oid:{study}")
    assert len(found) <= 1
    return found[0] if found else None


def with_instances(host: RunningHost, study: str, count: int) -> Json:
    """Wait for a study with so many instances."""

    def look() -> Json:
        resource = study_in(host.fhir_url, study)
        return resource if resource and resource["numberOfInstances"] == count else None

    return eventually(look)


def status(host: RunningHost) -> dict[str, Any]:
    return dict(requests.get(f"{host.url}/fhir-sync/status", timeout=PATIENCE_SECONDS).json())


def test_what_is_stored_is_in_fhir_within_seconds_and_leads_back_to_the_archive(linked_host: RunningHost) -> None:
    study, fhir = new_uid(), FhirClient(linked_host.fhir_url)
    store(linked_host, image(study, 1), image(study, 2), report_file(study), dose_report(study))
    resource = with_instances(linked_host, study, 4)
    for kind, count in (("DiagnosticReport", 1), ("Observation", 1), ("DocumentReference", 2)):
        parameter = "identifier" if kind == "DiagnosticReport" else {"Observation": "focus", "DocumentReference": "related"}[kind]
        value = f"urn:dicom:uid|urn:oid:{study}" if parameter == "identifier" else reference(resource)
        assert len(fhir.find(kind, **{parameter: value})) == count
    (endpoint,) = resource["endpoint"]
    address = fhir.call("GET", endpoint["reference"]).json()["address"]
    assert address == f"{linked_host.url}/v2"
    found = requests.get(f"{address}/studies/{study}/metadata", timeout=PATIENCE_SECONDS).json()
    assert {each["00080018"]["Value"][0] for each in found} == {
        instance["uid"] for series in resource["series"] for instance in series["instance"]
    }


def test_a_file_laid_into_the_inbox_is_in_fhir(linked_host: RunningHost) -> None:
    study, inbox = new_uid(), linked_host.data_folder.parent / "inbox"
    (inbox / "scanner").mkdir(parents=True, exist_ok=True)
    for number in (1, 2):
        (inbox / "scanner" / f"{study}.{number}.dcm").write_bytes(image(study, number))
    assert with_instances(linked_host, study, 2)["series"][0]["numberOfInstances"] == 2


def test_what_is_deleted_leaves_fhir(linked_host: RunningHost) -> None:
    study = new_uid()
    store(linked_host, image(study, 1), image(study, 2), dose_report(study))
    resource = with_instances(linked_host, study, 3)
    caller, fhir = Caller(linked_host.url), FhirClient(linked_host.fhir_url)
    assert caller.call("DELETE", f"/studies/{study}/series/{study}.88").status_code == 204
    with_instances(linked_host, study, 2)
    assert fhir.find("Observation", focus=reference(resource)) == []
    assert caller.call("DELETE", f"/studies/{study}").status_code == 204
    eventually(lambda: fhir.call("GET", reference(resource)).status_code == 410)


def test_operators_see_and_steer_the_synchronisation(linked_host: RunningHost) -> None:
    study = new_uid()
    store(linked_host, image(study))
    before = with_instances(linked_host, study, 1)
    root = f"{linked_host.url}/fhir-sync"
    preview = requests.get(f"{root}/preview/{study}", timeout=PATIENCE_SECONDS).json()
    assert {change["action"] for change in preview["changes"]} == {"none"}
    assert requests.post(f"{root}/rebuild", json={"scope": [study]}, timeout=PATIENCE_SECONDS).json() == {"queued": 1}
    told = eventually(lambda: (now := status(linked_host))["dirty"] == 0 and now)
    assert (told["enabled"], told["blocked"], told["dead"], told["paused"]) == (True, 0, 0, False)
    assert study_in(linked_host.fhir_url, study)["meta"]["versionId"] == before["meta"]["versionId"]


def test_1000_instances_in_any_order_over_8_senders_cost_at_most_10_writes(tmp_path: Path) -> None:
    study = new_uid()
    files = [image(study, number, series, PixelData=None) for series in range(1, 11) for number in range(1, 101)]
    with running_host(tmp_path, fhir=True) as host:
        send(host, random.sample(files, len(files)))
        resource = with_instances(host, study, 1000)
        eventually(lambda: status(host)["dirty"] == 0)
        assert resource["numberOfSeries"] == 10
        assert {len(series["instance"]) for series in resource["series"]} == {100}
        assert sum(written(host).versions().values()) <= 10, written(host).versions()
        written(host).check()


def send(host: RunningHost, files: list[bytes]) -> None:
    """Send files one by one, over several connections at the same time."""

    def one_after_the_other(mine: list[bytes]) -> None:
        caller = Caller(host.url)
        answers.extend(caller.store(file).status_code for file in mine)

    answers: list[int] = []
    senders = [threading.Thread(target=one_after_the_other, args=(files[number::SENDERS],)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers == [200] * len(files)


def test_a_host_that_is_killed_and_started_again_writes_what_it_had_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    """With the sample study, as ``make run`` starts it."""
    with running_host(tmp_path, fhir=True, settings=QUICK, more=["--when-ready", "samples.welcome"]) as host:
        command = shown_command(host)
        sample = eventually(lambda: entries(command))[0]["resource"]
        eventually(lambda: status(host)["dirty"] == 0)
        store(host, image(late := new_uid()))
        host.kill()
    with running_host(tmp_path, fhir=True, settings=QUICK, port=host.port) as host:
        with_instances(host, late, 1)
        eventually(lambda: status(host)["dirty"] == 0)
        assert written(host).versions() == {"ImagingStudy": 2, "Patient": 2, "Endpoint": 1}
        assert study_in(host.fhir_url, sample["identifier"][0]["value"].removeprefix("urn:oid:")) == sample


def test_without_a_fhir_server_the_archive_is_as_good_as_ever(host: RunningHost) -> None:
    """All other tests of a running host are without, too."""
    assert host.fhir_url == ""
    store(host, image(new_uid()))
    assert status(host)["enabled"] is False
    assert requests.get(f"{host.url}/fhir-sync/issues", timeout=PATIENCE_SECONDS).status_code == 404


def shown_command(host: RunningHost) -> list[str]:
    """Read what the host says until it shows how to see the sample study in FHIR."""
    for line in host.process.stdout or ():
        if "see it in FHIR" in line:
            return shlex.split(line[line.index("curl") :])
    raise AssertionError("it does not show it")


def entries(command: list[str]) -> list[Json]:
    assert command[0] == "curl"
    return list(requests.get(command[1], timeout=PATIENCE_SECONDS).json().get("entry", []))


def test_a_fhir_server_that_is_killed_and_comes_back_is_brought_in_step(tmp_path: Path) -> None:
    one, other = new_uid(), new_uid()
    with ExitStack() as stack:
        first = fhir_server_at(tmp_path / "fhir")
        stack.callback(first.stop)
        settings = {**QUICK, "FHIR_BASE_URL": first.url}
        host = stack.enter_context(running_host(tmp_path / "data", fhir=True, settings=settings))
        store(host, image(one))
        with_instances(host, one, 1)
        first.child.kill()
        store(host, image(one, 2), image(other))
        eventually(lambda: status(host)["dirty"] == 2)
        again = fhir_server_at(tmp_path / "fhir", int(urlsplit(first.url).port or 0))
        stack.callback(again.stop)
        assert again.url == first.url
        with_instances(host, one, 2)
        with_instances(host, other, 1)
        assert written(host).versions() == {"ImagingStudy": 3, "Patient": 1, "Endpoint": 1}


def fhir_server_at(folder: Path, port: int = 0) -> FhirServer:
    """Start a FHIR server on this port, or on any."""
    script = PROJECT_FOLDER / "localhost" / "fhir" / "server.mjs"
    child = start_node([str(script), "--data", str(folder), "--port", str(port)], folder, quiet=False)
    return FhirServer(next(child.matches(LISTENING))[1], child)
