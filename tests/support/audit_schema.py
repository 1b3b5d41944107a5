"""The structure of PS3.15 A.5.1 "DICOM Audit Message Schema" as a table, and a check against it.

The schema is given in Relax NG; this is the part of it that archives use: elements in their order, attributes and their values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TOKEN, TEXT, BOOLEAN, BASE64 = r"\S(.*\S)?", r"[\s\S]*", "true|false", r"[A-Za-z0-9+/]*={0,2}"
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
CODED = {"csd-code": TOKEN, "codeSystemName": TOKEN, "displayName?": TOKEN, "originalText": TOKEN}


@dataclass(frozen=True)
class Rule:
    """What an element may have; a name with a question mark may be missing.

    Attributes
    ----------
    children
        Names of the children, each with a blank after it, as a regular expression.
    """

    attributes: dict[str, str] = field(default_factory=dict)
    children: str = ""
    text: str = r"\s*"


RULES = {
    "AuditMessage": Rule(
        children="EventIdentification (ActiveParticipant )+AuditSourceIdentification (ParticipantObjectIdentification )*",
    ),
    "EventIdentification": Rule(
        {"EventActionCode?": "[CRUDE]", "EventDateTime": MOMENT, "EventOutcomeIndicator": "0|4|8|12"},
        "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "EventID": Rule(CODED),
    "EventTypeCode": Rule(CODED),
    "EventOutcomeDescription": Rule(text=TEXT),
    "ActiveParticipant": Rule(
        {
            "UserID": TEXT,
            "AlternativeUserID?": TEXT,
            "UserName?": TEXT,
            "UserIsRequestor": BOOLEAN,
            "NetworkAccessPointID?": TOKEN,
            "NetworkAccessPointTypeCode?": "[1-5]",
        },
        "(RoleIDCode )*(MediaIdentifier )?",
    ),
    "RoleIDCode": Rule(CODED),
    "AuditSourceIdentification": Rule({"AuditEnterpriseSiteID?": TOKEN, "AuditSourceID": TOKEN}, "(AuditSourceTypeCode )*"),
    "AuditSourceTypeCode": Rule({"csd-code": "[1-9]"}),
    "ParticipantObjectIdentification": Rule(
        {
            "ParticipantObjectID": TOKEN,
            "ParticipantObjectTypeCode?": "[1-4]",
            "ParticipantObjectTypeCodeRole?": r"[1-9]|1\d|2[0-6]",
            "ParticipantObjectDataLifeCycle?": r"[1-9]|1[0-5]",
            "ParticipantObjectSensitivity?": TOKEN,
        },
        "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
        "(ParticipantObjectDetail )*(ParticipantObjectDescription )*",
    ),
    "ParticipantObjectIDTypeCode": Rule(CODED),
    "ParticipantObjectName": Rule(text=TOKEN),
    "ParticipantObjectDetail": Rule({"type": TOKEN, "value": BASE64}),
}


def violations(element: Element) -> list[str]:
    """Give what is wrong with an element and all below it."""
    rule = RULES.get(element.tag)
    if rule is None:
        return [f"{element.tag} is not known"]
    wrong = [f"{element.tag} lacks {name}" for name in rule.attributes if not name.endswith("?") and name not in element.attrib]
    for name, value in element.attrib.items():
        pattern = rule.attributes.get(name, rule.attributes.get(name + "?"))
        if pattern is None or not re.fullmatch(pattern, value):
            wrong.append(f"{element.tag} has {name}={value!r}")
    if not re.fullmatch(rule.children, "".join(f"{child.tag} " for child in element)):
        wrong.append(f"{element.tag} has {[child.tag for child in element]}")
    if not re.fullmatch(rule.text, element.text or ""):
        wrong.append(f"{element.tag} has the text {element.text!r}")
    return wrong + [each for child in element for each in violations(child)]
