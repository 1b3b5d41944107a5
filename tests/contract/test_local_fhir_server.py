"""What a FHIR R4 server has to do for us to keep in step with it, asked of the local one over HTTP.

FHIR R4 3.1.0 "RESTful API".
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import pytest
import requests

from localhost.problems import StartupProblem
from tests.support.fhir import (
    FHIR_JSON,
    PATIENCE_SECONDS,
    SYSTEM,
    FhirClient,
    delete,
    is_outcome,
    new_id,
    patient,
    put,
    reference,
    running_fhir_server,
    study,
)

if TYPE_CHECKING:
    from pathlib import Path

    from localhost.fhir_server import FhirServer
    from tests.support.fhir import Json


@pytest.fixture(scope="module")
def fhir(fhir_server: FhirServer) -> FhirClient:
    return FhirClient(fhir_server.url)


def statuses(answer: requests.Response) -> list[str]:
    return [entry["response"]["status"] for entry in answer.json()["entry"]]


# What the server says of itself


def test_it_says_what_it_can(fhir: FhirClient) -> None:
    statement = fhir.call("GET", "metadata").json()
    assert (statement["fhirVersion"], statement["format"]) == ("4.0.1", ["json"])
    (rest,) = statement["rest"]
    assert {"code": "transaction"} in rest["interaction"]
    (imaging_study,) = [entry for entry in rest["resource"] if entry["type"] == "ImagingStudy"]
    assert (imaging_study["updateCreate"], imaging_study["conditionalUpdate"]) == (True, True)
    assert {"name": "identifier", "type": "token"} in imaging_study["searchParam"]


def test_what_it_says_is_valid(fhir: FhirClient) -> None:
    statement = fhir.call("GET", "metadata").json()
    assert fhir.call("POST", "CapabilityStatement", statement).status_code == 201


# Read and write


def test_a_put_creates_and_a_changed_one_makes_a_version(fhir: FhirClient) -> None:
    first = patient()
    created = fhir.put(first)
    assert (created.status_code, created.headers["ETag"]) == (201, 'W/"1"')
    assert created.headers["Location"] == f"{fhir.url}/{reference(first)}/_history/1"
    assert created.headers["Content-Type"].startswith(FHIR_JSON)
    assert created.headers["Last-Modified"].endswith("GMT")
    updated = fhir.put({**first, "active": True})
    assert (updated.status_code, updated.headers["ETag"]) == (200, 'W/"2"')
    read = fhir.call("GET", reference(first))
    assert (read.status_code, read.headers["ETag"], read.json()["active"]) == (200, 'W/"2"', True)


def test_the_same_content_again_makes_no_version(fhir: FhirClient) -> None:
    resource = patient(meta={"source": "http://x/y"})
    stored = fhir.put(resource).json()
    for again in (resource, stored):
        answer = fhir.put(again)
        assert (answer.status_code, answer.headers["ETag"]) == (200, 'W/"1"')
    assert len(fhir.versions(reference(resource))) == 1


def test_other_tags_are_other_content(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    assert fhir.put({**resource, "meta": {"source": "http://x/y"}}).headers["ETag"] == 'W/"2"'


def test_a_post_creates_under_an_id_of_the_server(fhir: FhirClient) -> None:
    resource = patient()
    created = fhir.call("POST", "Patient", resource)
    assert created.status_code == 201
    assert created.json()["id"] != resource["id"]
    assert fhir.call("GET", reference(created.json())).json() == created.json()


def test_versions_are_kept(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    fhir.put({**resource, "active": True})
    fhir.call("DELETE", reference(resource))
    assert [entry["request"]["method"] for entry in fhir.versions(reference(resource))] == ["DELETE", "PUT", "PUT"]
    assert "active" not in fhir.call("GET", f"{reference(resource)}/_history/1").json()
    assert fhir.call("GET", f"{reference(resource)}/_history/2").json()["active"] is True
    assert fhir.call("GET", f"{reference(resource)}/_history/3").status_code == 410
    assert fhir.call("GET", f"{reference(resource)}/_history/4").status_code == 404


def test_what_never_was_is_not_found_and_what_was_is_gone(fhir: FhirClient) -> None:
    resource = patient()
    assert fhir.call("GET", reference(resource)).status_code == 404
    assert fhir.call("GET", f"{reference(resource)}/_history").status_code == 404
    fhir.put(resource)
    assert fhir.call("DELETE", reference(resource)).status_code == 204
    gone = fhir.call("GET", reference(resource))
    assert (gone.status_code, is_outcome(gone)) == (410, True)


def test_a_delete_succeeds_again_and_of_what_never_was(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    for _ in range(2):
        assert fhir.call("DELETE", reference(resource)).status_code == 204
    assert len(fhir.versions(reference(resource))) == 2
    assert fhir.call("DELETE", reference(patient())).status_code == 204


def test_what_was_deleted_can_be_put_again(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    fhir.call("DELETE", reference(resource))
    assert fhir.find("Patient", _id=resource["id"]) == []
    again = fhir.put(resource)
    assert (again.status_code, again.headers["ETag"]) == (201, 'W/"3"')


@pytest.mark.parametrize(
    ("prefer", "found"), [("return=minimal", ""), ("return=representation", "Patient"), ("return=OperationOutcome", "Oper")]
)
def test_the_client_says_what_comes_back(fhir: FhirClient, prefer: str, found: str) -> None:
    created = fhir.put(patient(), Prefer=prefer)
    assert (created.status_code, created.headers["ETag"]) == (201, 'W/"1"')
    assert created.text.startswith(f'{{"resourceType":"{found}') if found else created.text == ""


# Versions that a client expects


@pytest.mark.parametrize(("if_match", "status"), [('W/"1"', 200), ('"1"', 200), ("*", 200), ('W/"2"', 412), ('W/"x"', 412), ("1", 400)])
def test_an_update_may_expect_a_version(fhir: FhirClient, if_match: str, status: int) -> None:
    resource = patient()
    fhir.put(resource)
    answer = fhir.put({**resource, "active": True}, If_Match=if_match)
    assert answer.status_code == status
    assert len(fhir.versions(reference(resource))) == (2 if status == 200 else 1)


@pytest.mark.parametrize("if_match", ['W/"1"', "*"])
def test_what_is_not_there_has_no_expected_version(fhir: FhirClient, if_match: str) -> None:
    never, deleted = patient(), patient()
    fhir.put(deleted)
    fhir.call("DELETE", reference(deleted))
    for resource in (never, deleted):
        assert fhir.put(resource, If_Match=if_match).status_code == 412
        assert fhir.call("DELETE", reference(resource), If_Match=if_match).status_code == 412


def test_a_delete_may_expect_a_version(fhir: FhirClient) -> None:
    resource = patient()
    fhir.put(resource)
    assert fhir.call("DELETE", reference(resource), If_Match='W/"2"').status_code == 412
    assert fhir.call("DELETE", reference(resource), If_Match='W/"1"').status_code == 204


# Conditional writes


def test_a_conditional_update_creates_then_updates(fhir: FhirClient) -> None:
    resource = patient()
    resource.pop("id")
    url = "Patient?" + urlencode({"identifier": f"{SYSTEM}|{resource['identifier'][0]['value']}"})
    created = fhir.call("PUT", url, resource)
    assert created.status_code == 201
    updated = fhir.call("PUT", url, {**resource, "active": True})
    assert (updated.status_code, updated.headers["ETag"], updated.json()["id"]) == (200, 'W/"2"', created.json()["id"])
    assert fhir.call("PUT", url, {**resource, "active": True}).headers["ETag"] == 'W/"2"'


def test_a_conditional_update_of_several_fails(fhir: FhirClient) -> None:
    one = patient()
    other = {**one, "id": new_id()}
    fhir.put(one)
    fhir.put(other)
    one.pop("id")
    answer = fhir.call("PUT", "Patient?" + urlencode({"identifier": f"{SYSTEM}|{one['identifier'][0]['value']}"}), one)
    assert (answer.status_code, is_outcome(answer)) == (412, True)


def test_a_conditional_update_needs_criteria(fhir: FhirClient) -> None:
    assert fhir.call("PUT", "Patient", patient()).status_code == 400
    assert fhir.call("PUT", "Patient?nonsense=1", patient()).status_code == 400
    assert fhir.call("PUT", "Patient?identifier=", patient()).status_code == 400


def test_a_conditional_create_creates_once(fhir: FhirClient) -> None:
    resource = patient()
    resource.pop("id")
    criteria = urlencode({"identifier": f"{SYSTEM}|{resource['identifier'][0]['value']}"})
    first = fhir.call("POST", "Patient", resource, If_None_Exist=criteria)
    second = fhir.call("POST", "Patient", resource, If_None_Exist=criteria)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


# Transactions and batches


def test_a_transaction_writes_all_and_says_what_became_of_each(fhir: FhirClient) -> None:
    new, old, gone = patient(), patient(), patient()
    fhir.put(old)
    fhir.put(gone)
    answer = fhir.transact(put(new), put({**old, "active": True}), delete(gone), delete(patient()))
    assert (answer.status_code, answer.json()["type"]) == (200, "transaction-response")
    assert statuses(answer) == ["201", "200", "204", "204"]
    updated = answer.json()["entry"][1]
    assert updated["response"]["etag"] == 'W/"2"'
    assert updated["response"]["location"] == f"{reference(old)}/_history/2"
    assert updated["response"]["lastModified"] == updated["resource"]["meta"]["lastUpdated"]
    assert fhir.call("GET", reference(gone)).status_code == 410


def test_a_transaction_leaves_out_what_the_client_does_not_want(fhir: FhirClient) -> None:
    one = patient()
    answer = fhir.transact(put(one), {"request": {"method": "GET", "url": f"Patient?_id={one['id']}"}}, Prefer="return=minimal")
    written, found = answer.json()["entry"]
    assert "resource" not in written
    assert written["response"]["etag"] == 'W/"1"'
    assert found["resource"]["total"] == 1


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (put({"resourceType": "ImagingStudy", "id": "x", "subject": {"reference": "Patient/p"}}), 422),
        (put(patient(), ifMatch='W/"1"'), 412),
        (put({"resourceType": "Nothing", "id": "x"}), 404),
        ({"resource": patient()}, 400),
    ],
)
def test_a_transaction_that_fails_leaves_nothing(fhir: FhirClient, bad: Json, status: int) -> None:
    new, old, kept = patient(), patient(), patient()
    fhir.put(old)
    fhir.put(kept)
    answer = fhir.transact(put(new), put({**old, "active": True}), delete(kept), bad)
    assert (answer.status_code, is_outcome(answer)) == (status, True)
    assert fhir.call("GET", reference(new)).status_code == 404
    assert fhir.call("GET", reference(old)).headers["ETag"] == 'W/"1"'
    assert fhir.call("GET", reference(kept)).status_code == 200


def test_entries_may_expect_versions(fhir: FhirClient) -> None:
    one, other = patient(), patient()
    fhir.put(one)
    fhir.put(other)
    assert fhir.transact(delete(one, ifMatch='W/"2"'), put(other, ifMatch='W/"1"')).status_code == 412
    answer = fhir.transact(delete(one, ifMatch='W/"1"'), put({**other, "active": True}, ifMatch='W/"1"'))
    assert statuses(answer) == ["204", "200"]


def test_references_to_entries_become_ids(fhir: FhirClient) -> None:
    somebody, value = patient(), new_id()
    somebody.pop("id")
    full_url = f"urn:uuid:{new_id()}"
    imaging = study(identifier=[{"system": SYSTEM, "value": value}], subject={"reference": full_url})
    conditional = {"fullUrl": full_url, **put(somebody, f"Patient?identifier=urn:test:mrn%7C{value}")}
    first = fhir.transact(put(imaging), conditional)
    assert statuses(first) == ["201", "201"]
    (found,) = fhir.find("ImagingStudy", identifier=f"{SYSTEM}|{value}")
    assert found["subject"]["reference"] == reference(first.json()["entry"][1]["resource"])


def test_a_transaction_updates_by_condition(fhir: FhirClient) -> None:
    old = patient()
    fhir.put(old)
    criteria = urlencode({"identifier": f"{SYSTEM}|{old['identifier'][0]['value']}"})
    changed = {key: value for key, value in old.items() if key != "id"} | {"active": True}
    entry = put(changed, f"Patient?{criteria}")
    answer = fhir.transact(entry)
    assert statuses(answer) == ["200"]
    assert fhir.call("GET", reference(old)).headers["ETag"] == 'W/"2"'


@pytest.mark.parametrize(("count", "condition", "status"), [(50, "", 200), (51, "", 400), (8, "?_id=none", 200), (9, "?_id=none", 400)])
def test_a_transaction_is_limited(fhir: FhirClient, count: int, condition: str, status: int) -> None:
    resources = [patient() for _ in range(count)]
    entries = [put(resource) for resource in resources]
    if condition:
        entries[0] = put({key: value for key, value in resources[0].items() if key != "id"}, f"Patient{condition}")
    answer = fhir.transact(*entries)
    assert answer.status_code == status
    assert fhir.call("GET", reference(resources[-1])).status_code == (200 if status == 200 else 404)


def test_the_entries_of_a_batch_stand_alone(fhir: FhirClient) -> None:
    good = patient()
    bad = put({**patient(), "gender": "M"})
    answer = fhir.transact(put(good), bad, put(patient(), ifMatch='W/"7"'), kind="batch")
    assert (answer.status_code, answer.json()["type"]) == (200, "batch-response")
    assert statuses(answer) == ["201", "422", "412"]
    assert answer.json()["entry"][1]["response"]["outcome"]["issue"][0]["code"] == "code-invalid"
    assert fhir.call("GET", reference(good)).status_code == 200


@pytest.mark.parametrize("body", [patient(), {"resourceType": "Bundle", "type": "collection", "entry": [put(patient())]}])
def test_only_a_bundle_to_be_processed_is_posted_to_the_base(fhir: FhirClient, body: Json) -> None:
    assert fhir.call("POST", "", body).status_code == 400


# HTTP


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("PUT", "Patient/a", b"{", FHIR_JSON, 400),
        ("PUT", "Patient/a", b"[]", FHIR_JSON, 400),
        ("PUT", "Patient/a", b"", FHIR_JSON, 400),
        ("PUT", "Patient/a", b"<Patient/>", "application/fhir+xml", 415),
        ("PUT", "Patient/a", b'{"resourceType":"Patient","id":"b"}', FHIR_JSON, 400),
        ("PUT", "Patient/a", b'{"resourceType":"Observation","id":"a"}', FHIR_JSON, 400),
        ("PUT", "Patient/a_b", b'{"resourceType":"Patient","id":"a_b"}', FHIR_JSON, 400),
        ("PUT", "Nothing/a", b'{"resourceType":"Nothing","id":"a"}', FHIR_JSON, 404),
        ("POST", "Patient", b'{"resourceType":"Observation"}', FHIR_JSON, 400),
        ("GET", "Nothing/a", None, "", 404),
        ("GET", "Nothing?_id=a", None, "", 404),
        ("GET", "a/b/c/d/e", None, "", 404),
        ("PATCH", "Patient/a", b"[]", "application/json-patch+json", 404),
        ("POST", "$graphql", b"{}", FHIR_JSON, 404),
    ],
)
def test_what_cannot_be_is_answered_with_an_outcome(
    fhir: FhirClient, method: str, path: str, body: bytes | None, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = requests.request(method, f"{fhir.url}/{path}", data=body, headers=headers, timeout=PATIENCE_SECONDS)
    assert (answer.status_code, is_outcome(answer)) == (status, True)


def test_plain_json_is_taken_too(fhir: FhirClient) -> None:
    assert fhir.put(patient(), Content_Type="application/json; charset=utf-8").status_code == 201


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_limited_and_the_connection_stays(fhir: FhirClient, chunked: bool) -> None:
    pieces = [b" " * 1024 * 1024] * 80
    with requests.Session() as session:
        url, data = f"{fhir.url}/Patient/a", iter(pieces) if chunked else b"".join(pieces)
        answer = session.put(url, data=data, headers={"Content-Type": FHIR_JSON}, timeout=PATIENCE_SECONDS)
        assert (answer.status_code, is_outcome(answer)) == (413, True)
        assert session.get(f"{fhir.url}/metadata", timeout=PATIENCE_SECONDS).status_code == 200


def test_only_names_of_this_machine_are_answered(fhir: FhirClient) -> None:
    port = urlsplit(fhir.url).port
    assert fhir.call("GET", "metadata", Host=f"localhost:{port}").status_code == 200
    assert fhir.call("GET", "metadata", Host="rebound.example").status_code == 421
    assert fhir.call("GET", "metadata", Host=f"127.0.0.1.rebound.example:{port}").status_code == 421
    assert not [name for name in fhir.call("GET", "metadata", Origin="http://page.example").headers if name.startswith("Access-Control")]


def test_it_listens_on_loopback_alone(fhir: FhirClient) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        assert other.connect_ex(("127.0.0.2", urlsplit(fhir.url).port)) != 0


def test_writes_of_many_clients_come_one_after_the_other(fhir: FhirClient) -> None:
    resource = patient()
    resource.pop("id")
    url = "Patient?" + urlencode({"identifier": f"{SYSTEM}|{resource['identifier'][0]['value']}"})
    headers = {"Content-Type": FHIR_JSON}
    bodies = [json.dumps({**resource, "multipleBirthInteger": number}) for number in range(1, 41)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: requests.put(f"{fhir.url}/{url}", body, headers=headers, timeout=PATIENCE_SECONDS), bodies))
    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [201]
    assert {answer.headers["ETag"] for answer in answers} == {f'W/"{number}"' for number in range(1, 41)}


# What is kept


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, list[Json]]:
    """Give a folder in which a server left four patients: one as it was, one updated, one deleted, one from a transaction."""
    resources = [patient() for _ in range(4)]
    with running_fhir_server(tmp_path) as server:
        fhir = FhirClient(server.url)
        for resource in resources[:3]:
            fhir.put(resource)
        fhir.put({**resources[1], "active": True})
        fhir.call("DELETE", reference(resources[2]))
        fhir.transact(put(resources[3]), put({**resources[0], "gender": "M"}))  # fails wholly
        fhir.transact(put(resources[3]), put(resources[0]))
    return tmp_path, resources


def test_a_restart_finds_everything_and_counts_on(written: tuple[Path, list[Json]]) -> None:
    folder, (same, updated, deleted, transacted) = written
    with running_fhir_server(folder) as server:
        fhir = FhirClient(server.url)
        assert fhir.call("GET", reference(same)).json().items() >= same.items()
        assert [entry["response"]["etag"] for entry in fhir.versions(reference(updated))] == ['W/"2"', 'W/"1"']
        assert fhir.call("GET", reference(deleted)).status_code == 410
        assert fhir.put(transacted).headers["ETag"] == 'W/"1"'
        assert fhir.put({**updated, "active": False}).headers["ETag"] == 'W/"3"'


@pytest.mark.parametrize("torn", ["[{", '[{"method":"PUT","resource":{"resourceType":"Patient","id":"torn","meta":{}}}]'])
def test_a_line_that_a_crash_cut_short_is_left_out(written: tuple[Path, list[Json]], torn: str) -> None:
    folder, (same, *_) = written
    journal = folder / "journal.ndjson"
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn.encode())
    another = patient()
    with running_fhir_server(folder) as server:
        assert FhirClient(server.url).call("GET", "Patient/torn").status_code == 404
        FhirClient(server.url).put(another)
    assert journal.read_bytes().startswith(whole)
    with running_fhir_server(folder) as server:
        for resource in (same, another):
            assert FhirClient(server.url).call("GET", reference(resource)).status_code == 200


def test_a_transaction_is_one_line(written: tuple[Path, list[Json]]) -> None:
    folder, resources = written
    last = json.loads((folder / "journal.ndjson").read_text(encoding="utf-8").splitlines()[-1])
    assert [version["resource"]["id"] for version in last] == [resources[3]["id"]]


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    resource = patient()
    with running_fhir_server(tmp_path) as server:
        FhirClient(server.url).put(resource)
        server.child.kill()
    with running_fhir_server(tmp_path) as server:
        assert FhirClient(server.url).call("GET", reference(resource)).status_code == 200


def test_a_damaged_journal_stops_the_start(written: tuple[Path, list[Json]], capfd: pytest.CaptureFixture[str]) -> None:
    folder, _ = written
    journal = folder / "journal.ndjson"
    journal.write_bytes(b"{\n" + journal.read_bytes())
    with pytest.raises(StartupProblem, match="--no-fhir"), running_fhir_server(folder):
        pass
    assert "Line 1 of the journal is damaged" in capfd.readouterr().err


def test_two_servers_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localhost.node._STOP_SECONDS", 0.2)
    with running_fhir_server(tmp_path), pytest.raises(StartupProblem, match="same folder"), running_fhir_server(tmp_path):
        pass


# Its life


def test_it_ends_on_sigterm(tmp_path: Path) -> None:
    with running_fhir_server(tmp_path) as server:
        server.child.process.terminate()
        assert server.child.process.wait(PATIENCE_SECONDS) == 0


def test_it_ends_when_its_parent_is_gone() -> None:
    code = "import os; from localhost.fhir_server import start_fhir_server as s; f = s(None); print(f.url, flush=True); os._exit(9)"
    parent = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=PATIENCE_SECONDS)  # noqa: S603
    assert parent.returncode == 9
    assert becomes_silent(parent.stdout.strip())


def becomes_silent(url: str) -> bool:
    for _ in range(100):
        try:
            requests.get(f"{url}/metadata", timeout=PATIENCE_SECONDS)
        except requests.ConnectionError:
            return True
    return False
