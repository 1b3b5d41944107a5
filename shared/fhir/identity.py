"""Who is who: identifier systems, deterministic ids, ownership, and the references between resources.

A resource we write is known by one *identity*: its type and an identifier. Its id is the one that the server has for
that identifier, else a deterministic one, so that two writers of the same thing write to the same place. A builder
never decides on an id: it asks ``Links``, which remembers what was asked for. The synchronisation looks that up and
has the resources built again with what was found.

References
----------
FHIR R4 2.3.0.3 "Logical References"; 2.4.6.2 "Identifier"; PS3.3 10.14 "Issuer of Patient ID Macro".
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shared.fhir.json_text import Resource, compact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAMESPACE = uuid.UUID("0c8d2a6e-3f0b-5d3c-9a55-6f7e1b1d9d41")
"""Of all our deterministic ids; never changes."""

DICOM_UID = "urn:dicom:uid"
URI = "urn:ietf:rfc:3986"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"

_UID = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+", re.ASCII)


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID: PS3.5 9.1 "UID Encoding Rules", which is also a FHIR id of a series or instance."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a resource is found: its type, and the system and value of one identifier.

    ``system`` is empty only in look-ups by value alone. ``type_code`` is the identifier's type of v2-0203, if any.
    """

    resource_type: str
    system: str
    value: str
    type_code: str = field(default="", compare=False)

    @property
    def logical_id(self) -> str:
        """The deterministic id: where nobody else has made the resource, it has this one."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.resource_type}|{self.system}|{self.value}"))

    def identifier(self, use: str | None = None) -> Resource:
        """Give the FHIR Identifier."""
        return identifier(self.system, self.value, type_code=self.type_code, use=use)


def identifier(system: str, value: str, *, type_code: str = "", use: str | None = None) -> Resource:
    """Make a FHIR Identifier."""
    kind = {"coding": [{"system": IDENTIFIER_TYPE, "code": type_code}]} if type_code else None
    return compact(use=use, type=kind, system=system, value=value)


def uid_identity(resource_type: str, uid: str) -> Identity:
    """Give the identity of a resource made of a DICOM object with a UID."""
    return Identity(resource_type, DICOM_UID, f"urn:oid:{uid}")


@dataclass(slots=True)
class Links:
    """What identities lead to.

    Attributes
    ----------
    found
        Identity → ``Type/id`` of the resource that the server has for it.
    own
        Identities that we write ourselves: where the server has none, the deterministic id serves.
    asked
        Identities that somebody asked for, in that order.
    """

    found: Mapping[Identity, str] = field(default_factory=dict)
    own: set[Identity] = field(default_factory=set)
    asked: dict[Identity, None] = field(default_factory=dict)

    def literal(self, identity: Identity) -> str | None:
        """Give ``Type/id``, or None where there is no such resource; remembers that it was asked for."""
        self.asked[identity] = None
        found = self.found.get(identity)
        if found is None and identity in self.own:
            return f"{identity.resource_type}/{identity.logical_id}"
        return found

    def reference(self, identity: Identity, display: str = "") -> Resource:
        """Refer to a resource: literally where there is one, else logically, by its identifier."""
        literal = self.literal(identity)
        if literal is not None:
            return compact(reference=literal, display=display)
        return compact(type=identity.resource_type, identifier=identity.identifier(), display=display)


@dataclass(frozen=True, slots=True)
class Draft:
    """A resource to be written, without id; ``identity`` is that of its first identifier."""

    identity: Identity
    resource: Resource


@dataclass(frozen=True, slots=True)
class Document:
    """What one SR, PDF or other document-like instance becomes: all its drafts, written and deleted together."""

    sop_instance_uid: str
    drafts: Sequence[Draft]


def origin_system(canonical: str) -> str:
    """Code system of the tag that marks what we wrote."""
    return f"{canonical}/CodeSystem/origin"


def meta(canonical: str, service_root: str, **more: Any) -> Resource:
    """Make the ``meta`` of a resource that we own."""
    return {"source": service_root, "tag": [{"system": origin_system(canonical), "code": "archive"}], **more}


def is_owned(resource: Resource, canonical: str) -> bool:
    """Tell whether we wrote a resource."""
    tags = resource.get("meta", {}).get("tag", [])
    return any(tag.get("system") == origin_system(canonical) and tag.get("code") == "archive" for tag in tags)
