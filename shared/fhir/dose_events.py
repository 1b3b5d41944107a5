"""Observations of single irradiation events: one exposure, or one CT acquisition. Not: the totals (dose).

References
----------
PS3.16 TID 10003 "Irradiation Event X-Ray Data", TID 10013 "CT Irradiation Event Data".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir import concepts, moments
from shared.fhir.dose_components import components
from shared.fhir.dose_document import PLANE, DoseReport, Kind
from shared.fhir.dose_tables import CT_EVENT, PROJECTION_EVENT
from shared.fhir.identity import DCM, Draft, uid_identity
from shared.fhir.issues import IssueCode
from shared.fhir.json_text import compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.concepts import CodeKey
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

_EVENTS: dict[Kind, CodeKey] = {Kind.CT: ("DCM", "113819"), Kind.PROJECTION: ("DCM", "113706")}
_ROWS = {Kind.CT: CT_EVENT, Kind.PROJECTION: PROJECTION_EVENT}
_WANTED = {"ct": {Kind.CT}, "all": {Kind.CT, Kind.PROJECTION}, "none": set[Kind]()}
_EVENT_UID: CodeKey = ("DCM", "113769")
_STARTED: CodeKey = ("DCM", "111526")
_TARGET_REGION: CodeKey = ("DCM", "123014")
_CODE = {"coding": [{"system": DCM, "code": "113852", "display": "Irradiation Event"}]}


def events(report: DoseReport) -> list[tuple[Draft, str]]:
    """Make the Observations of a report's events, as far as the operator wants them, each with the code of its plane.

    An event without a UID could not be found again, and is left out.
    """
    if report.kind not in _WANTED[report.context.settings.dose_events]:
        return []
    made: dict[str, tuple[Draft, str]] = {}
    for item in report.root.find_all(_EVENTS[report.kind]):
        uid = _value_uid(item)
        if uid is None:
            report.context.notes.warn("UID", IssueCode.EVENT_WITHOUT_UID)
        elif uid not in made:
            made[uid] = _event(uid, item, report), plane_of(item)
    return list(made.values())


def plane_of(item: ContentItem) -> str:
    """Give the code of the acquisition plane of an event or a total; empty where there is none."""
    plane = item.child(PLANE)
    key = plane.code_key() if plane else None
    return key[1] if key else ""


def body_site(scopes: Sequence[ContentItem], report: DoseReport) -> Resource | None:
    """Give the target region, where these parts of the report name a single one."""
    regions = [item for scope in scopes for item in scope.find_all(_TARGET_REGION)]
    distinct = {key: code for region in regions if (code := region.code_item()) and (key := concepts.key_of(code))}
    if len(distinct) != 1:
        return None
    return concepts.concept(distinct.popitem()[1], "ConceptCodeSequence", report.context)


def _value_uid(item: ContentItem) -> str | None:
    uid = item.child(_EVENT_UID)
    return uid.uid() if uid else None


def _event(uid: str, item: ContentItem, report: DoseReport) -> Draft:
    identity = uid_identity("Observation", uid)
    started = item.child(_STARTED)
    resource = compact(
        **report.common(),
        identifier=[identity.identifier()],
        code=_CODE,
        effectiveDateTime=moments.from_dt(started.datetime(), "DateTime", report.document.dataset, report.context) if started else None,
        bodySite=body_site([item], report),
        component=components(_ROWS[report.kind], [item], report.context),
    )
    return Draft(identity, resource)
