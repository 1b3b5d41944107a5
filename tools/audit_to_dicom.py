"""Turn the audit trail into audit messages of DICOM: ``python -m tools.audit_to_dicom FILE… > messages.xml``.

The files are blobs of the container ``audit``, in which each line is a FHIR AuditEvent. Each becomes one message of one line. A line that
comes twice counts once; one that a crash has cut off is left out, and counted on the error stream.

What the standard asks for and the archive does not know, its messages do not say: the patients whose studies they name, a query's text,
where the caller's machine stands. What went partly well is one message, of success, with the status of the answer as description.

References
----------
PS3.15 A.5.1 "DICOM Audit Message Schema", A.5.2 "General Message Format Conventions".
"""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from xml.etree.ElementTree import Element, SubElement, tostring

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Json: TypeAlias = dict[str, Any]

_STUDY_UID: Final = "urn:oid:"
_STUDY_ID_TYPE: Final = {"csd-code": "110180", "codeSystemName": "DCM", "originalText": "Study Instance UID"}
_OPERATION_ID_TYPE: Final = {"csd-code": "operation", "codeSystemName": "dicomweb-functions", "originalText": "Operation id"}
_NOT_IN_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def audit_message(event: Json) -> bytes:
    """Make the audit message of an AuditEvent, as XML on one line."""
    message = Element("AuditMessage")
    _add_event(message, event)
    for agent in event["agent"]:
        _add_participant(message, agent)
    source = SubElement(message, "AuditSourceIdentification", AuditSourceID=_text(event["source"]["observer"]["display"]))
    for kind in event["source"]["type"]:
        SubElement(source, "AuditSourceTypeCode", {"csd-code": kind["code"]})
    for entity in event["entity"]:
        _add_object(message, entity)
    return b'<?xml version="1.0" encoding="UTF-8"?>' + tostring(message, encoding="unicode").encode()


def _add_event(message: Element, event: Json) -> None:
    said = {
        "EventActionCode": event["action"],
        "EventDateTime": event["recorded"],
        "EventOutcomeIndicator": event["outcome"],
    }
    identification = SubElement(message, "EventIdentification", said)
    SubElement(identification, "EventID", _coded(event["type"]))
    for subtype in event.get("subtype", ()):
        SubElement(identification, "EventTypeCode", _coded(subtype))
    SubElement(identification, "EventOutcomeDescription").text = event["outcomeDesc"]


def _add_participant(message: Element, agent: Json) -> None:
    who = agent["who"]
    said = {"UserID": _text(who["identifier"]["value"] if "identifier" in who else who["display"])}
    if "name" in agent:
        said["UserName"] = _text(agent["name"])
    participant = SubElement(message, "ActiveParticipant", {**said, "UserIsRequestor": str(agent["requestor"]).lower()})
    for role in agent.get("type", {}).get("coding", ()):
        SubElement(participant, "RoleIDCode", _coded(role))


def _add_object(message: Element, entity: Json) -> None:
    value = entity["what"]["identifier"]["value"]
    is_study = value.startswith(_STUDY_UID)
    said = {
        "ParticipantObjectID": value.removeprefix(_STUDY_UID),
        "ParticipantObjectTypeCode": entity["type"]["code"],
        "ParticipantObjectTypeCodeRole": entity["role"]["code"],
    }
    participant = SubElement(message, "ParticipantObjectIdentification", said)
    SubElement(participant, "ParticipantObjectIDTypeCode", _STUDY_ID_TYPE if is_study else _OPERATION_ID_TYPE)
    SubElement(participant, "ParticipantObjectName").text = "Study" if is_study else "Request"
    for detail in entity.get("detail", ()):
        encoded = base64.b64encode(detail["valueString"].encode()).decode()
        SubElement(participant, "ParticipantObjectDetail", type=detail["type"], value=encoded)


def _coded(coding: Json) -> dict[str, str]:
    return {"csd-code": coding["code"], "codeSystemName": "DCM", "originalText": coding["display"]}


def _text(value: str) -> str:
    """Replace characters that XML cannot hold: the name in a token is its issuer's choice."""
    return _NOT_IN_XML.sub("\ufffd", value)


def read_events(lines: Iterable[bytes]) -> Iterator[Json | None]:
    """Give the events of a trail, each once; None for a line that is none."""
    seen: set[str] = set()
    for line in lines:
        try:
            event: Json = json.loads(line)
        except ValueError:
            yield None
            continue
        if event["id"] not in seen:
            seen.add(event["id"])
            yield event


def _lines(files: Sequence[str]) -> Iterator[bytes]:
    for name in files:
        with Path(name).open("rb") as file:
            yield from file


def main(files: Sequence[str]) -> int:
    """Write the messages of the files to the output stream; give the exit code."""
    cut_off = 0
    for event in read_events(_lines(files)):
        if event is None:
            cut_off += 1
        else:
            sys.stdout.buffer.write(audit_message(event) + b"\n")
    if cut_off:
        print(f"{cut_off} lines were cut off and are left out.", file=sys.stderr)  # noqa: T201 -- a command line's way to speak
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
