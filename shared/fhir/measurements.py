"""Measurement reports → Observations: one for each measurement group, and one for each measurement and evaluation in it.

What a group says of all its members (where, how, by which algorithm, of which tracked finding) is repeated on each, so
that a member can be found and read by itself. This follows HL7's guide "DICOM SR to FHIR Resource Mapping" as far as R4
has the elements; regions and images that a measurement was made on stay in the document.

References
----------
PS3.16 TID 1500 "Measurement Report", TID 1501 "Measurement and Qualitative Evaluation Group", TID 300 "Measurement",
CID 7021 "Measurement Report Document Title"; FHIR R4 "Resource Observation".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.dicom.sop_classes import STRUCTURED_REPORTS
from shared.fhir import devices, documents, moments, sr_document, values
from shared.fhir.concepts import concept, key_of
from shared.fhir.dataset import EMPTY
from shared.fhir.identity import DCM, DICOM_UID, URI, Draft, Identity, uid_identity
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import compact
from shared.fhir.quantities import absent_reason, quantity

if TYPE_CHECKING:
    from shared.fhir.concepts import CodeKey
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

MAX_OBSERVATIONS = 500
"""Of one document; over it, only groups are written, and no more of them than this."""

_TITLES = frozenset({("DCM", "126000"), ("DCM", "126001"), ("DCM", "126002"), ("DCM", "126003")})
_GROUP: CodeKey = ("DCM", "125007")
_FINDING_CATEGORY: CodeKey = ("SCT", "276214006")
_FINDING: CodeKey = ("DCM", "121071")
_FINDING_SITE: CodeKey = ("SCT", "363698007")
_LATERALITY: CodeKey = ("SCT", "272741003")
_METHOD: CodeKey = ("SCT", "370129005")
_TRACKING_TEXT: CodeKey = ("DCM", "112039")
_TRACKING_UID: CodeKey = ("DCM", "112040")

_MODIFIER = "HAS CONCEPT MOD"
_CONTEXT = frozenset({_MODIFIER, "HAS OBS CONTEXT", "HAS ACQ CONTEXT"})
_NO_MEMBERS = frozenset({_FINDING_SITE, _METHOD})
_CATEGORY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}]}
_GROUP_CODE = {"coding": [{"system": DCM, "code": "125007", "display": "Measurement Group"}]}


def measurements(document: DocumentEvidence, frame: StudyFrame, context: Context) -> list[Draft]:
    """Make the Observations of a measurement report, members before their groups; none of other documents, or where not wanted."""
    if not (context.settings.measurements and is_measurement_report(document)):
        return []
    root = sr_document.read(document.dataset, context.notes)
    groups = [_Group(item) for item in root.find_all(_GROUP)]
    elided = len(groups) + sum(len(group.members) for group in groups) > MAX_OBSERVATIONS
    if elided:
        context.notes.warn("ContentSequence", IssueCode.MEASUREMENTS_ELIDED)
    report = _Report(document, frame, context, root)
    return [draft for group in groups[:MAX_OBSERVATIONS] for draft in report.observations(group, with_members=not elided)]


def is_measurement_report(document: DocumentEvidence) -> bool:
    """Tell whether a document is a measurement report, by its title."""
    title = document.dataset.item("ConceptNameCodeSequence")
    return document.sop_class_uid.startswith(STRUCTURED_REPORTS) and key_of(title) in _TITLES


class _Group:
    """A measurement group: its finding, what kind of finding that is, and its members."""

    def __init__(self, item: ContentItem) -> None:
        self.item = item
        self.category, self.finding = item.child(_FINDING_CATEGORY), item.child(_FINDING)
        self.members = [child for child in item.children if child not in (self.category, self.finding) and _is_member(child)]


def _is_member(item: ContentItem) -> bool:
    return item.value_type in _VALUES and item.relationship not in _CONTEXT and item.key not in _NO_MEMBERS


@dataclass(slots=True)
class _Report:
    """A measurement report whose Observations are made one after the other; ``taken`` are the identities that some have."""

    document: DocumentEvidence
    frame: StudyFrame
    context: Context
    root: ContentItem
    taken: set[Identity] = field(default_factory=set)

    def observations(self, group: _Group, *, with_members: bool) -> list[Draft]:
        """Make the Observations of a group: its members, then itself."""
        members = [self._member(item, group) for item in group.members] if with_members else []
        drafts = [draft for draft in members if draft is not None]
        members_written = [self.context.own(draft.identity) for draft in drafts]
        code = self._coded(group.category) or _GROUP_CODE
        value = {"valueCodeableConcept": self._coded(group.finding)}
        return [*drafts, self._draft((group.item,), {"code": code, "hasMember": members_written, **value})]

    def _member(self, item: ContentItem, group: _Group) -> Draft | None:
        name = item.name_item()
        code = None if name is None else concept(name, "ConceptNameCodeSequence", self.context)
        read, keyword = _VALUES[item.value_type]
        value = read(item, self.context)
        if code is None or not value:
            self.context.notes.drop("ConceptNameCodeSequence" if code is None else keyword)
            return None
        return self._draft((item, group.item), {"code": code, "component": self._modifiers(item), **value})

    def _draft(self, scopes: tuple[ContentItem, ...], elements: Resource) -> Draft:
        """Make an Observation of the first of these items; the rest say what is true of it too."""
        identity = self._identity(scopes[0])
        resource = compact(
            resourceType="Observation",
            meta=self.context.meta(),
            identifier=[identity.identifier(), *self._tracking(scopes)],
            basedOn=list(self.frame.based_on),
            partOf=[self.frame.study],
            status=self._status(),
            category=[_CATEGORY],
            subject=self.frame.subject,
            encounter=self.frame.encounter,
            effectiveDateTime=self._effective(scopes),
            bodySite=self._body_site(scopes),
            method=self._coded(_named(scopes, _METHOD)),
            device=self._device(scopes),
            derivedFrom=[self.frame.study],
            **elements,
        )
        return Draft(identity, resource)

    def _identity(self, item: ContentItem) -> Identity:
        """Identify an Observation by its UID; where it has none, or one that another has already, by its place in the document."""
        uid = values.uid(item.item, "ObservationUID")
        identity = uid_identity("Observation", uid) if uid else None
        if identity is None or identity in self.taken:
            place = f"{self.document.sop_instance_uid}#{'.'.join(map(str, item.path))}"
            identity = Identity("Observation", URI, f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, place)}")
        self.taken.add(identity)
        return identity

    def _tracking(self, scopes: tuple[ContentItem, ...]) -> list[Resource]:
        text, uid = _named(scopes, _TRACKING_TEXT), _named(scopes, _TRACKING_UID)
        tracked, tracked_uid = text and text.text(), uid and uid.uid()
        return [
            *([{"type": _dcm(_TRACKING_TEXT, "Tracking Identifier"), "value": tracked}] if tracked else []),
            *(
                [{"type": _dcm(_TRACKING_UID, "Tracking Unique Identifier"), "system": DICOM_UID, "value": f"urn:oid:{tracked_uid}"}]
                if tracked_uid
                else []
            ),
        ]

    def _status(self) -> str:
        status = documents.status(self.document, self.context.notes)
        return "preliminary" if status == "partial" else status

    def _effective(self, scopes: tuple[ContentItem, ...]) -> str | None:
        ds = self.document.dataset
        sent = (scope.item.first("ObservationDateTime") for scope in (*scopes, self.root))
        observed = (moments.from_dt(value, "ObservationDateTime", ds, self.context) for value in sent)
        return next(filter(None, observed), None) or documents.content_moment(ds, self.context)

    def _body_site(self, scopes: tuple[ContentItem, ...]) -> Resource | None:
        site = _named(scopes, _FINDING_SITE)
        found, side = self._coded(site), self._coded(site.child(_LATERALITY) if site else None)
        if found is None or side is None:
            return found
        url = f"{self.context.settings.canonical}/StructureDefinition/laterality"
        return {"extension": [{"url": url, "valueCodeableConcept": side}], **found}

    def _device(self, scopes: tuple[ContentItem, ...]) -> Resource | None:
        """Refer to the algorithm; where there is none, to the observer or the equipment."""
        equipment = devices.equipment(self.document.dataset, self.context.notes)
        return devices.algorithm(self.context, *scopes) or devices.device(self.context, devices.observer(self.root), equipment)

    def _modifiers(self, item: ContentItem) -> list[Resource]:
        """Give what narrows the concept that was measured (a mean, a phase, a plane) and has no element of its own."""
        told = {item.key, _FINDING_SITE, _METHOD}
        modifiers = (child for child in item.children if child.relationship == _MODIFIER and child.key not in told)
        pairs = ((_name(child, self.context), self._coded(child)) for child in modifiers)
        return [{"code": name, "valueCodeableConcept": value} for name, value in pairs if name and value]

    def _coded(self, item: ContentItem | None) -> Resource | None:
        code = item.code_item() if item else None
        return None if code is None else concept(code, "ConceptCodeSequence", self.context)


def _number(item: ContentItem, context: Context) -> Resource:
    measured = quantity(item.number() or EMPTY, context)
    return compact(valueQuantity=measured, dataAbsentReason=None if measured else absent_reason(item.item))


def _evaluation(item: ContentItem, context: Context) -> Resource:
    return compact(valueCodeableConcept=concept(item.code_item() or EMPTY, "ConceptCodeSequence", context))


_VALUES = {"NUM": (_number, "MeasuredValueSequence"), "CODE": (_evaluation, "ConceptCodeSequence")}
"""Value types of members → how their values are read, and from which attribute."""


def _named(scopes: tuple[ContentItem, ...], key: CodeKey) -> ContentItem | None:
    return next((child for scope in scopes if (child := scope.child(key))), None)


def _name(item: ContentItem, context: Context) -> Resource | None:
    return concept(item.name_item() or EMPTY, "ConceptNameCodeSequence", context)


def _dcm(key: CodeKey, display: str) -> Resource:
    return {"coding": [{"system": DCM, "code": key[1], "display": display}]}
