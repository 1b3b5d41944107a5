"""Audit records as FHIR AuditEvents, the form they are stored in. Not: keeping them; ``tools/audit_to_dicom.py`` makes PS3.15 messages.

Both forms stem from the same message, so nothing is lost between them: event, participants, source and participant objects of PS3.15 are
``type``, ``agent``, ``source`` and ``entity``. A record names studies and the caller, and no patient. What a caller calls a study and is no
UID is left out: it may be anything.

References
----------
FHIR R4 "AuditEvent"; PS3.15 A.5.3 "DICOM Specific Audit Messages"; PS3.16 CID 400 "Audit Event ID", CID 401 "Audit Event Type Code",
CID 402 "Audit Active Participant Role ID Code".
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

import orjson

from shared.dicom.uids import is_valid_uid

if TYPE_CHECKING:
    from shared.access import Caller
    from shared.audit import AccessRecord

Json: TypeAlias = dict[str, object]

_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ENTITY_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE_TYPE: Final = "http://terminology.hl7.org/CodeSystem/security-source-type"
ANONYMOUS: Final = "anonymous"
"""Who calls where nobody says who it is."""


@dataclass(frozen=True, slots=True)
class _Code:
    code: str
    display: str

    def coding(self, system: str = _DCM) -> Json:
        return {"system": system, "code": self.code, "display": self.display}


@dataclass(frozen=True, slots=True)
class Event:
    """What kind of event a transaction is.

    Attributes
    ----------
    action
        Of DICOM and FHIR alike: C, R, U, D, E.
    caller, archive
        Their roles, where the event gives them any.
    """

    code: _Code
    action: str
    caller: _Code | None = None
    archive: _Code | None = None
    subtype: _Code | None = None


_SOURCE, _DESTINATION = _Code("110153", "Source Role ID"), _Code("110152", "Destination Role ID")
_ACCESSED, _TRANSFERRED = _Code("110103", "DICOM Instances Accessed"), _Code("110104", "DICOM Instances Transferred")
_QUERY = Event(_Code("110112", "Query"), "E", _SOURCE, _DESTINATION)
_EXPORT = Event(_Code("110106", "Export"), "R", archive=_SOURCE)

UNKNOWN: Final = Event(_ACCESSED, "E")
"""Of a transaction without a row: it is recorded all the same."""

_EVENTS: Final = (
    ("PUT store_*", Event(_TRANSFERRED, "U", _SOURCE, _DESTINATION)),
    ("* store_*", Event(_TRANSFERRED, "C", _SOURCE, _DESTINATION)),
    ("* ingest_*", Event(_Code("110107", "Import"), "C", archive=_DESTINATION)),
    ("* retrieve_*_metadata", Event(_ACCESSED, "R")),
    ("* retrieve_*", Event(_TRANSFERRED, "R", _DESTINATION, _SOURCE)),
    ("* search_*", _QUERY),
    ("* delete_study", Event(_Code("110105", "DICOM Study Deleted"), "D")),
    ("* delete_*", Event(_ACCESSED, "D")),
    ("* read_*", _QUERY),  # the change feed, and what operators look at
    ("* preview_*", Event(_ACCESSED, "R")),
    ("* retry_*", _EXPORT),  # have patients' data sent to the FHIR server
    ("* rebuild_*", _EXPORT),
    ("*", UNKNOWN),
)
"""Method and transaction → event; the first that fits."""

_REFUSED: Final = {
    401: Event(_Code("110114", "User Authentication"), "E", subtype=_Code("110122", "Login")),
    403: Event(_Code("110113", "Security Alert"), "E", subtype=_Code("110132", "Use of Restricted Function")),
}
"""A refusal is an event of its own, whatever was asked for."""

_SUCCESS, _MINOR_FAILURE, _SERIOUS_FAILURE = "0", "4", "8"

_SYSTEM_OBJECT, _OTHER = _Code("2", "System Object").coding(_ENTITY_TYPE), _Code("4", "Other").coding(_ENTITY_TYPE)
_REPORT, _JOB = _Code("3", "Report").coding(_ENTITY_ROLE), _Code("20", "Job").coding(_ENTITY_ROLE)
_WEB_SERVER: Final = _Code("3", "Web Server").coding(_SOURCE_TYPE)


def audit_event(access: AccessRecord, event_id: str, source: str) -> bytes:
    """Encode an access as a FHIR AuditEvent: one line of JSON, without its end.

    Parameters
    ----------
    event_id
        Of the record: no other has it.
    source
        Name of this archive.
    """
    event = event_of(access.method, access.transaction, access.status)
    document = {
        "resourceType": "AuditEvent",
        "id": event_id,
        "type": event.code.coding(),
        **({"subtype": [event.subtype.coding()]} if event.subtype else {}),
        "action": event.action,
        "recorded": access.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": _outcome(access.status),
        "outcomeDesc": f"HTTP {access.status}",
        "agent": [
            _agent(_who(access.caller), event.caller, access.caller.name, requestor=True),
            _agent({"display": source}, event.archive, "", requestor=False),
        ],
        "source": {"observer": {"display": source}, "type": [_WEB_SERVER]},
        "entity": [*(_study(uid) for uid in access.studies if is_valid_uid(uid)), _request(access)],
    }
    return orjson.dumps(document)


@lru_cache(maxsize=1024)
def event_of(method: str, transaction: str, status: int) -> Event:
    """Give the event that an access is."""
    name = f"{method} {transaction}"
    return _REFUSED.get(status) or next(event for pattern, event in _EVENTS if fnmatchcase(name, pattern))


def _outcome(status: int) -> str:
    if status < 400:
        return _SUCCESS
    return _MINOR_FAILURE if status < 500 else _SERIOUS_FAILURE


def _who(caller: Caller) -> Json:
    return {"identifier": {"value": caller.subject}} if caller.subject else {"display": ANONYMOUS}


def _agent(who: Json, role: _Code | None, name: str, *, requestor: bool) -> Json:
    agent: Json = {"who": who, "requestor": requestor}
    if role:
        agent["type"] = {"coding": [role.coding()]}
    if name:
        agent["name"] = name
    return agent


def _study(uid: str) -> Json:
    return {"what": {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}}, "type": _SYSTEM_OBJECT, "role": _REPORT}


def _request(access: AccessRecord) -> Json:
    details = {"method": access.method, "transaction": access.transaction, "right": str(access.action)}
    return {
        "what": {"identifier": {"value": access.operation}},
        "type": _OTHER,
        "role": _JOB,
        "detail": [{"type": name, "valueString": value} for name, value in details.items() if value],
    }
