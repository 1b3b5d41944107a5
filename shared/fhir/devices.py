"""Device: the equipment that made a dataset, the one that irradiated, and the algorithm that measured. Not: who operated it.

A device that can be told from all others (a UID, or manufacturer, model and serial number) is a resource of its own,
which studies share. One that cannot is named in the reference, and nothing more.

References
----------
PS3.3 C.7.5.1 "General Equipment Module"; PS3.16 TID 1004 "Device Observer Identifying Attributes", TID 1021 "Device
Participant", TID 4019 "Algorithm Identification"; FHIR R4 8.15 "Resource Device".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.fhir import concepts, values
from shared.fhir.identity import DCM, Draft, Identity, uid_identity
from shared.fhir.json_text import compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from shared.fhir.concepts import CodeKey
    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.issues import Notes
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

_OBSERVER_UID: CodeKey = ("DCM", "121012")
_ROLE, _IRRADIATING_DEVICE = ("DCM", "113876"), ("DCM", "113859")
_OBSERVER_TEXTS = ("121014", "121015", "121016", "121013")
"""Where a device observer's manufacturer, model, serial number and name stand."""
_PARTICIPANT_TEXTS = ("113878", "113879", "113880", "113877")
_ALGORITHM_NAME, _ALGORITHM_VERSION = ("DCM", "111001"), ("DCM", "111003")
_ALGORITHM_FAMILY, _ALGORITHM_MANUFACTURER = ("DCM", "111000"), ("DCM", "122405")

_NO_EQUIPMENT = frozenset(
    {"ANN", "ASMT", "DOC", "FID", "KO", "M3D", "OT", "PLAN", "PR", "REG", "RTDOSE", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV", "SEG", "SR"}
)
"""Modalities that name a kind of object rather than a kind of equipment."""

_GS1_DEVICE_IDENTIFIER = re.compile(r"\(?01\)?(\d{14})")
"""The device identifier within a UDI as GS1 writes it: application identifier 01."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a dataset or a report says of a device."""

    uid: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial: str | None = None
    name: str | None = None
    modality: str | None = None
    versions: Sequence[str] = ()
    udis: Sequence[str] = ()

    @property
    def display(self) -> str:
        """How a reference names it; empty where nothing is known."""
        return self.name or " ".join(part for part in (self.manufacturer, self.model) if part)

    def identity(self, canonical: str) -> Identity | None:
        """By what it is told from all other devices; None where it cannot be."""
        if self.uid:
            return uid_identity("Device", self.uid)
        if self.manufacturer and self.model and self.serial:
            return Identity("Device", f"{canonical}/device", _joined(self.manufacturer, self.model, self.serial))
        return None


def equipment(dataset: Dataset, notes: Notes) -> DeviceFacts:
    """Read the General Equipment module of a dataset."""
    modality = values.code(dataset, "Modality", notes)
    udis = [values.first_text(item, "UniqueDeviceIdentifier", notes) for item in dataset.items("UDISequence")]
    return DeviceFacts(
        uid=values.uid(dataset, "DeviceUID"),
        manufacturer=values.first_text(dataset, "Manufacturer", notes),
        model=values.first_text(dataset, "ManufacturerModelName", notes),
        serial=values.first_text(dataset, "DeviceSerialNumber", notes),
        name=values.first_text(dataset, "StationName", notes),
        modality=None if modality in _NO_EQUIPMENT else modality,
        versions=tuple(values.texts(dataset, "SoftwareVersions", notes)),
        udis=tuple(udi for udi in udis if udi),
    )


def observer(root: ContentItem, modality: str | None = None) -> DeviceFacts:
    """Read the device observer of a report; ``modality`` is what the caller knows of it."""
    return _content_facts(root, _OBSERVER_TEXTS, modality)


def irradiating(root: ContentItem, modality: str | None = None) -> DeviceFacts:
    """Read the irradiating device that a dose report names, wherever it does."""
    roles = [item for item in root.find_all(_ROLE) if item.code_key() == _IRRADIATING_DEVICE]
    found = next(iter([*roles, *root.find_all(_IRRADIATING_DEVICE)]), None)
    return DeviceFacts() if found is None else _content_facts(found, _PARTICIPANT_TEXTS, modality)


def device(context: Context, *candidates: DeviceFacts) -> Resource | None:
    """Refer to the first candidate that can be told from other devices, else name the first that has a name.

    None where there is no such candidate, or the operator wants no devices.
    """
    return _reference(context, candidates) if context.settings.devices else None


def series_device(dataset: Dataset, context: Context) -> Resource | None:
    """Refer to the equipment of a series, where the operator wants that."""
    return _reference(context, [equipment(dataset, context.notes)]) if context.settings.series_devices else None


def algorithm(context: Context, *scopes: ContentItem) -> Resource | None:
    """Refer to the algorithm that one of these content items identifies by its children: the first that does so.

    Without a version an algorithm is only named.
    """
    if not context.settings.devices:
        return None
    scope = next((scope for scope in scopes if _text(scope, _ALGORITHM_NAME)), None)
    return None if scope is None else _algorithm(scope, context)


def _content_facts(scope: ContentItem, texts: tuple[str, str, str, str], modality: str | None) -> DeviceFacts:
    uid = scope.child(_OBSERVER_UID)
    manufacturer, model, serial, name = [_text(scope, ("DCM", code)) for code in texts]
    return DeviceFacts(uid.uid() if uid else None, manufacturer, model, serial, name, modality)


def _text(scope: ContentItem, key: CodeKey) -> str | None:
    item = scope.child(key)
    return item.text() if item else None


def _joined(*parts: str) -> str:
    return "|".join(quote(part.lower(), safe="") for part in parts)


def _reference(context: Context, candidates: Iterable[DeviceFacts]) -> Resource | None:
    known = [facts for facts in candidates if facts.display or facts.uid]
    for facts in known:
        identity = facts.identity(context.settings.canonical)
        if identity is not None:
            return _share(_draft(identity, facts, context), facts.display, context)
    return next((_named(facts.display) for facts in known), None)


def _named(display: str) -> Resource:
    return {"type": "Device", "display": display}


def _share(draft: Draft, display: str, context: Context) -> Resource:
    """Share a device; what another dataset of the study has said of it already stays, and is added to."""
    known = context.shared.get(draft.identity)
    if known is not None:
        draft = Draft(draft.identity, {**draft.resource, **known.resource})
    return context.share(draft, display)


def _draft(identity: Identity, facts: DeviceFacts, context: Context) -> Draft:
    resource = compact(
        resourceType="Device",
        meta=context.meta(),
        identifier=[identity.identifier()],
        udiCarrier=[_udi_carrier(udi) for udi in facts.udis],
        manufacturer=facts.manufacturer,
        serialNumber=facts.serial,
        deviceName=[{"name": facts.name, "type": "user-friendly-name"}] if facts.name else None,
        modelNumber=facts.model,
        type={"coding": [{"system": DCM, "code": facts.modality}]} if facts.modality else None,
        version=[{"value": version} for version in facts.versions],
    )
    return Draft(identity, resource)


def _udi_carrier(udi: str) -> Resource:
    found = _GS1_DEVICE_IDENTIFIER.match(udi)
    return {"deviceIdentifier": found[1] if found else udi, "carrierHRF": udi}


def _algorithm(scope: ContentItem, context: Context) -> Resource:
    name, version = _text(scope, _ALGORITHM_NAME) or "", _text(scope, _ALGORITHM_VERSION)
    if version is None:
        return _named(name)
    family = scope.child(_ALGORITHM_FAMILY)
    family_code = family.code_item() if family else None
    identity = Identity("Device", f"{context.settings.canonical}/ai-model", _joined(name, version))
    resource = compact(
        resourceType="Device",
        meta=context.meta(),
        identifier=[identity.identifier()],
        manufacturer=_text(scope, _ALGORITHM_MANUFACTURER),
        deviceName=[{"name": name, "type": "model-name"}],
        type=concepts.concept(family_code, "ConceptCodeSequence", context) if family_code else None,
        version=[{"value": version}],
    )
    return _share(Draft(identity, resource), name, context)
