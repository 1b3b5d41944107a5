"""Audit records in their two forms: FHIR AuditEvent, as stored, and the message of PS3.15 A.5, made from it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from shared.access import ANYBODY, Caller, DataAction
from shared.audit import AccessRecord
from shared.services.audit_messages import UNKNOWN, audit_event, event_of
from tests.support.app_client import AppClient
from tests.support.audit import details, studies
from tests.support.audit_schema import violations
from tests.support.virtual_time import EPOCH
from tools.audit_to_dicom import audit_message, main

if TYPE_CHECKING:
    from pathlib import Path

ADA = Caller("0aa1-ada", "Ada <& Co>")
READ = AccessRecord(EPOCH, ADA, "retrieve_study", "GET", DataAction.READ, ("1.2.3",), 200, "ab" * 16)


def recorded(access: AccessRecord) -> Any:
    return json.loads(audit_event(access, "01h455vb4pex5vsknk084sn02q", "archive.test"))


def message(access: AccessRecord) -> Element:
    return fromstring(audit_message(recorded(access)))  # noqa: S314 -- our own


STORE = replace(READ, transaction="store_instances", method="POST", action=DataAction.WRITE)
EXPECTED = [
    # method, transaction, status → event, action, outcome, caller's role
    ("POST", "store_instances", 200, "110104", "C", "0", "110153"),
    ("POST", "store_instances_of_study", 409, "110104", "C", "4", "110153"),
    ("PUT", "store_instances", 202, "110104", "U", "0", "110153"),
    ("", "ingest_blob", 200, "110107", "C", "0", None),
    ("GET", "retrieve_study", 200, "110104", "R", "0", "110152"),
    ("HEAD", "retrieve_frames", 404, "110104", "R", "4", "110152"),
    ("GET", "retrieve_study_metadata", 200, "110103", "R", "0", None),
    ("GET", "retrieve_instance_metadata", 503, "110103", "R", "8", None),
    ("GET", "search_series_of_study", 200, "110112", "E", "0", "110153"),
    ("DELETE", "delete_study", 204, "110105", "D", "0", None),
    ("DELETE", "delete_series", 204, "110103", "D", "0", None),
    ("DELETE", "delete_instance", 404, "110103", "D", "4", None),
    ("GET", "read_change_feed", 200, "110112", "E", "0", "110153"),
    ("GET", "preview_fhir_study", 200, "110103", "R", "0", None),
    ("POST", "rebuild_fhir_studies", 202, "110106", "R", "0", None),
    ("GET", "retrieve_study", 401, "110114", "E", "4", None),
    ("POST", "store_instances", 403, "110113", "E", "4", None),
    ("GET", "search_studies", 429, "110112", "E", "4", "110153"),
]


@pytest.mark.parametrize(("method", "transaction", "status", "event", "action", "outcome", "role"), EXPECTED)
def test_a_transaction_has_its_event(
    method: str, transaction: str, status: int, event: str, action: str, outcome: str, role: str | None
) -> None:
    document = recorded(replace(READ, method=method, transaction=transaction, status=status))
    assert (document["type"]["code"], document["action"], document["outcome"]) == (event, action, outcome)
    assert document["outcomeDesc"] == f"HTTP {status}"
    codings = document["agent"][0].get("type", {}).get("coding", [{"code": None}])
    assert [coding["code"] for coding in codings] == [role]


@pytest.mark.parametrize(("status", "subtype"), [(401, "110122"), (403, "110132")])
def test_a_refusal_says_of_what_kind_it_is(status: int, subtype: str) -> None:
    assert [coding["code"] for coding in recorded(replace(READ, status=status))["subtype"]] == [subtype]


def test_every_route_has_an_event_of_its_own() -> None:
    handlers: list[Any] = [f.get_user_function() for f in AppClient().functions.values() if f.is_http_function()]
    routes = [handler.route for handler in handlers]
    asked = {(method, route.name) for route in routes for method in route.methods if route.action is not DataAction.PUBLIC}
    assert len(asked) > 30
    assert {(method, name) for method, name in asked if event_of(method, name, 200) is UNKNOWN} == set()


def test_a_record_says_who_what_when_how_and_by_which_right() -> None:
    document = recorded(READ)
    who, archive = document["agent"]
    assert (who["who"]["identifier"]["value"], who["name"], who["requestor"]) == ("0aa1-ada", "Ada <& Co>", True)
    assert (archive["who"]["display"], archive["requestor"]) == ("archive.test", False)
    assert studies(document) == ["1.2.3"]
    assert document["recorded"] == "2026-01-01T00:00:00.000Z"
    assert details(document) == {"method": "GET", "transaction": "retrieve_study", "right": "read"}
    assert document["entity"][-1]["what"]["identifier"]["value"] == "ab" * 16
    assert document["source"]["observer"]["display"] == "archive.test"


def test_nobody_in_particular_is_anonymous() -> None:
    assert recorded(replace(READ, caller=ANYBODY))["agent"][0]["who"] == {"display": "anonymous"}


@pytest.mark.parametrize("value", ["Doe^Jane", "", "1.2.", "1" * 65, "1.2.3 "])
def test_what_is_no_uid_is_not_recorded(value: str) -> None:
    assert studies(recorded(replace(READ, studies=("1.2.3", value)))) == ["1.2.3"]


VARIANTS = [
    READ,
    STORE,
    replace(READ, caller=ANYBODY, studies=()),
    replace(READ, studies=("1.2.3", "1.2.4", "2.25.1")),
    replace(READ, status=401, caller=ANYBODY),
    replace(READ, status=403),
    replace(READ, status=500),
    replace(STORE, transaction="ingest_blob", method="", caller=Caller("inbox")),
    replace(READ, caller=Caller("a\x00b", "c\x0bd\ud7ff\n<script>")),
]


@pytest.mark.parametrize("access", VARIANTS, ids=range(len(VARIANTS)))
def test_a_record_is_one_line_and_a_valid_audit_event(access: AccessRecord) -> None:
    line = audit_event(access, "01h455vb4pex5vsknk084sn02q", "archive.test")
    assert b"\n" not in line
    AuditEvent.model_validate_json(line)


@pytest.mark.parametrize("access", VARIANTS, ids=range(len(VARIANTS)))
def test_its_message_is_one_line_and_keeps_the_schema(access: AccessRecord) -> None:
    assert b"\n" not in audit_message(recorded(access))
    assert violations(message(access)) == []


@pytest.mark.parametrize(
    ("pattern", "broken"),
    [("<EventID [^>]*>", ""), ("UserIsRequestor", "UserIsRequester"), ("<ParticipantObjectName>.*?</ParticipantObjectName>", "")],
)
def test_the_check_of_the_schema_sees_what_is_wrong(pattern: str, broken: str) -> None:
    text = re.sub(pattern, broken, audit_message(recorded(READ)).decode())
    assert violations(fromstring(text.encode())) != []  # noqa: S314 -- our own


def test_the_message_says_the_same_as_the_record() -> None:
    xml = message(replace(READ, studies=("1.2.3", "1.2.4")))
    event, coded = xml.find("EventIdentification"), xml.find("EventIdentification/EventID")
    assert event is not None
    assert coded is not None
    assert event.attrib == {"EventActionCode": "R", "EventDateTime": "2026-01-01T00:00:00.000Z", "EventOutcomeIndicator": "0"}
    assert coded.attrib == {"csd-code": "110104", "codeSystemName": "DCM", "originalText": "DICOM Instances Transferred"}
    participants = [(p.get("UserID"), p.get("UserName"), p.get("UserIsRequestor")) for p in xml.findall("ActiveParticipant")]
    assert participants == [("0aa1-ada", "Ada <& Co>", "true"), ("archive.test", None, "false")]
    assert [role.get("csd-code") for role in xml.findall("ActiveParticipant/RoleIDCode")] == ["110152", "110153"]
    objects = xml.findall("ParticipantObjectIdentification")
    assert [each.get("ParticipantObjectID") for each in objects] == ["1.2.3", "1.2.4", "ab" * 16]
    assert [each.get("csd-code") for each in xml.findall(".//ParticipantObjectIDTypeCode")] == ["110180", "110180", "operation"]
    said = {d.get("type"): base64.b64decode(d.get("value", "")).decode() for d in objects[-1].findall("ParticipantObjectDetail")}
    assert said == {"method": "GET", "transaction": "retrieve_study", "right": "read"}


def test_the_tool_writes_a_message_a_line_and_passes_over_repeats_and_rests(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    first, second = (audit_event(READ, name, "archive.test") for name in ("first", "second"))
    file = tmp_path / "trail.ndjson"
    file.write_bytes(b"\n".join((first, second, first, second[:-20])))
    assert main([str(file), str(file)]) == 0
    written, said = capfdbinary.readouterr()
    messages = written.splitlines()
    assert messages == [audit_message(json.loads(first)), audit_message(json.loads(second))]
    assert b"2 lines were cut off" in said
