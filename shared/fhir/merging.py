"""Bringing what we mean together with what others wrote: an ImagingStudy's elements, a patient's, any other resource's.

An ImagingStudy is merged in three ways: what we mean now (*ours*), what we meant before and may have written
(*bases*), what stands on the server (*theirs*). What is in theirs and neither in ours nor in a base is somebody
else's, and stays as it is. What is in a base and not in ours any more was ours, and goes.

References
----------
FHIR R4 3.1.0.5.1 "Conditional update", 3.1.0.4.2 "Managing resource contention".
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from shared.fhir.identity import origin_system
from shared.fhir.json_text import canonical, compact, means_the_same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shared.fhir.json_text import Resource

_SERVERS_OWN = frozenset({"versionId", "lastUpdated"})
_OURS_IF_ABSENT = ("description", "procedureCode", "reasonCode", "referrer")
"""Elements of an adopted study that we only fill."""
_OURS_IN_ADOPTED = frozenset({"identifier", "modality", "started", "numberOfSeries", "numberOfInstances", "series", "endpoint"})
"""Elements of an adopted study that we set, beside those; all others stay as they are."""
_SET_WHOLE = frozenset({"modality"})
_KEYS = {"identifier": ("system", "value"), "endpoint": ("reference",)}
"""By what the items of lists are matched, where not by all that they say."""
_PATIENT_ELEMENTS = ("gender", "birthDate", "_birthDate", "address", "telecom", "multipleBirthBoolean", "multipleBirthInteger")
_OVERWRITTEN = ("name", "gender")


def without_server_meta(resource: Resource) -> Resource:
    """Give a resource without what the server itself keeps in ``meta``."""
    meta = {name: value for name, value in resource.get("meta", {}).items() if name not in _SERVERS_OWN}
    rest = {name: value for name, value in resource.items() if name != "meta"}
    return {**rest, "meta": meta} if meta else rest


def same(one: Resource, other: Resource) -> bool:
    """Tell whether two versions of a resource say the same."""
    return means_the_same(without_server_meta(one), without_server_meta(other))


def base_of(study: Resource) -> Resource:
    """Give what a later merge has to know of an ImagingStudy that we write: its elements, its series by UID alone."""
    if not study:
        return {}
    return {**study, "series": [{"uid": series["uid"]} for series in study.get("series", [])]}


def merge_study(ours: Resource, bases: Sequence[Resource], theirs: Resource, *, adopted: bool) -> Resource:
    """Merge an ImagingStudy.

    Parameters
    ----------
    ours
        What the catalog says; empty where the study is gone from the catalog.
    bases
        As ``base_of`` gave it for what we wrote last, and for what we may have written since.
    theirs
        From the server.
    adopted
        Whether somebody else made the resource.

    Returns
    -------
    dict
        ``theirs`` with our elements brought up to date; without the server's own meta.
    """
    merged: Resource = {}
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        before = [base[name] for base in bases if name in base]
        value = _merge_element(name, ours.get(name), before, theirs.get(name), adopted=adopted)
        if value is not None:
            merged[name] = value
    return without_server_meta(merged)


def _merge_element(name: str, ours: Any, before: Sequence[Any], theirs: Any, *, adopted: bool) -> Any:
    if adopted and _is_theirs(name, before, theirs):
        return theirs
    if name == "meta":
        return _merge_meta(ours, before, theirs)
    if name == "series":
        return _merge_series(ours or [], _joined(before), theirs or []) or None
    if name not in _SET_WHOLE and isinstance(theirs if ours is None else ours, list):
        return _merge_list(ours or [], _joined(before), theirs or [], _KEYS.get(name)) or None
    if ours is not None:
        return ours
    return None if theirs in before else theirs


def _is_theirs(name: str, before: Sequence[Any], theirs: Any) -> bool:
    """Whether an element of an adopted study is not for us to set."""
    if name in _OURS_IF_ABSENT:
        return theirs is not None and theirs not in before
    return name not in _OURS_IN_ADOPTED


def _joined(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [item for each in lists for item in each]


def _merge_list(ours: Sequence[Any], before: Sequence[Any], theirs: Sequence[Any], keys: Sequence[str] | None = None) -> list[Any]:
    """Ours first, then what neither we nor our earlier versions said."""
    known = {_key(item, keys) for item in (*ours, *before)}
    return [*ours, *(item for item in theirs if _key(item, keys) not in known)]


def _key(item: Any, keys: Sequence[str] | None) -> object:
    """By what two items of a list are the same: some fields, or all that they say."""
    return tuple(item.get(name) for name in keys) if keys and isinstance(item, dict) else canonical(item)


def _merge_meta(ours: Resource | None, before: Sequence[Resource], theirs: Resource | None) -> Resource:
    """Tags and labels are added, and taken away where they were ours; they are not replaced."""
    mine, kept = ours or {}, theirs or {}
    merged: Resource = {**kept, **mine}
    for name in ("tag", "security"):
        merged[name] = _merge_list(mine.get(name, []), _joined([meta.get(name, []) for meta in before]), kept.get(name, []))
    return compact(**merged)


def _merge_series(ours: Sequence[Resource], before: Sequence[Resource], theirs: Sequence[Resource]) -> list[Resource]:
    """Our series with what others added to them, then those that are others' alone."""
    there = {series.get("uid"): series for series in theirs}
    written = {series["uid"] for series in (*ours, *before)}
    mine = [_merge_part(series, there.get(series["uid"], {})) for series in ours]
    return [*mine, *(series for series in theirs if series.get("uid") not in written)]


def _merge_part(ours: Resource, theirs: Resource) -> Resource:
    """Our fields of a series or instance, and the foreign ones of theirs."""
    foreign = {name: value for name, value in theirs.items() if name not in _OUR_SERIES_FIELDS}
    merged = {**foreign, **ours}
    if "instance" in ours and "instance" in theirs:
        there = {instance.get("uid"): instance for instance in theirs["instance"]}
        merged["instance"] = [_merge_instance(instance, there.get(instance["uid"], {})) for instance in ours["instance"]]
    return merged


_OUR_INSTANCE_FIELDS = frozenset({"uid", "sopClass", "number", "title"})
_OUR_SERIES_FIELDS = frozenset(
    {"uid", "number", "modality", "description", "numberOfInstances", "bodySite", "laterality", "started", "performer", "instance"}
)


def _merge_instance(ours: Resource, theirs: Resource) -> Resource:
    return {**{name: value for name, value in theirs.items() if name not in _OUR_INSTANCE_FIELDS}, **ours}


def merge_patient(current: Resource, said: Sequence[Mapping[str, Any]], canonical_root: str) -> Resource:
    """Bring a Patient of ours up to what its studies say.

    Parameters
    ----------
    current
        From the server; the draft itself where there is none yet.
    said
        What the studies say, newest last: each element is set by the newest that has it, and none is emptied. The order in
        which they came makes no difference.
    canonical_root
        Root of our own code systems.
    """
    merged = without_server_meta(current)
    for elements in said:
        for name in _PATIENT_ELEMENTS:
            if name in elements:
                merged[name] = elements[name]
        if security := elements.get("meta", {}).get("security"):
            merged["meta"] = {**merged.get("meta", {}), "security": _merge_list(merged.get("meta", {}).get("security", []), [], security)}
    for name, key in _KEYS_OF_LISTS.items():
        merged[name] = _set_by_key(merged.get(name, []), [elements.get(name, []) for elements in said], key)
    return compact(**_activated(merged, canonical_root))


def deactivated(patient: Resource, canonical_root: str) -> Resource:
    """Make a Patient of ours inactive whom no study refers to any more, and mark that it was us."""
    kept = without_server_meta(patient)
    meta = kept.get("meta", {})
    return {**kept, "meta": {**meta, "tag": [*meta.get("tag", []), _left_tag(canonical_root)]}, "active": False}


def _activated(patient: Resource, canonical_root: str) -> Resource:
    """Take back what ``deactivated`` did; a Patient whom somebody else made inactive stays so."""
    tags = patient.get("meta", {}).get("tag", [])
    if _left_tag(canonical_root) not in tags:
        return patient
    rest = {name: value for name, value in patient.items() if name != "active"}
    return {**rest, "meta": {**rest["meta"], "tag": [tag for tag in tags if tag != _left_tag(canonical_root)]}}


def _left_tag(canonical_root: str) -> Resource:
    return {"system": origin_system(canonical_root), "code": "left"}


def overwrite_patient(current: Resource, elements: Mapping[str, Any]) -> Resource:
    """Set name and gender of somebody else's Patient (policy ``overwrite``)."""
    return {**without_server_meta(current), **{name: elements[name] for name in _OVERWRITTEN if name in elements}}


_OURS_IN_DOCUMENTS = {
    "Observation": "identifier basedOn partOf status category code subject focus encounter effectiveDateTime performer "
    "valueQuantity valueCodeableConcept valueInteger valueString dataAbsentReason bodySite method device hasMember "
    "derivedFrom component",
    "DocumentReference": "masterIdentifier identifier status docStatus type category subject date author authenticator "
    "relatesTo description content context",
    "DiagnosticReport": "identifier basedOn status category code subject encounter effectiveDateTime issued performer "
    "resultsInterpreter result imagingStudy conclusion conclusionCode presentedForm text",
    "Basic": "identifier code subject created extension",
}
"""Elements that we set in the resources of documents: one that is there and not in ours any more was ours."""


def refresh(ours: Resource, theirs: Resource) -> Resource:
    """Set our elements in a resource of ours, and keep what others added."""
    always_ours = _OURS_IN_DOCUMENTS.get(ours["resourceType"], "").split()
    kept = {name: value for name, value in without_server_meta(theirs).items() if name not in always_ours}
    return {**kept, **ours, "meta": _merge_meta(ours.get("meta"), (), kept.get("meta"))}


def _set_by_key(current: Sequence[Resource], said: Sequence[Sequence[Resource]], key: Callable[[Resource], object]) -> list[Resource]:
    """Give the newest items of each key in the order in which the keys were first said, then the others that are there."""
    mine: dict[object, list[Resource]] = {}
    for items in said:
        mine |= _grouped(items, key)
    return list(chain(*mine.values(), *(items for name, items in _grouped(current, key).items() if name not in mine)))


def _grouped(items: Sequence[Resource], key: Callable[[Resource], object]) -> dict[object, list[Resource]]:
    groups: dict[object, list[Resource]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


_KEYS_OF_LISTS: Mapping[str, Callable[[Resource], object]] = {
    "identifier": lambda each: (each.get("system"), each.get("value")),
    "name": lambda each: each.get("use", "usual"),  # the ideographic and phonetic groups have no use of their own
    "extension": lambda each: each.get("url"),
}
