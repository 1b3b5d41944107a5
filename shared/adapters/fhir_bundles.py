"""Bundles both ways: matches of a search, a transaction and what became of its entries. Not: sending them.

References
----------
FHIR R4 3.1.0.11 "batch/transaction"; 3.1.0.9 "Search"; 2.36 "Resource Bundle".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from shared.adapters.fhir_answers import failure, objects, wrong_answer
from shared.adapters.fhir_shapes import is_readable
from shared.fhir.json_text import Resource, compact
from shared.fhir.server import Capabilities, FhirConfiguration, Written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.fhir.server import Write

_TYPE = "[A-Z][A-Za-z]{1,63}"
_ID = r"(?!\.+(?![A-Za-z0-9.-]))[A-Za-z0-9.-]{1,64}"  # no id of dots alone: in a path it would mean another place
_REFERENCE = re.compile(rf"{_TYPE}/{_ID}", re.ASCII)
_LOCATION = re.compile(rf"(?:.*/)?({_TYPE}/{_ID})(?:/_history/([A-Za-z0-9.-]{{1,64}}))?", re.ASCII | re.DOTALL)
_LONGEST_END = 400
_VERSION = re.compile(r'(?:W/)?"?([A-Za-z0-9._:+/=-]{1,64})"?', re.ASCII)
_VERSION_NUMBER = re.compile(r"[0-9.]{1,20}", re.ASCII)
_AS_WANTED = {"DELETE": (404, 410), "PUT": (304,)}


def is_reference(text: str) -> bool:
    """Tell whether a text is ``Type/id``, and so safe in a path."""
    return _REFERENCE.fullmatch(text) is not None


def matches(bundle: Resource, resource_type: str, what: str) -> list[Resource]:
    """Give a search's matches: not what was included, not outcomes.

    Raises
    ------
    FhirRefused
        A match has no id that could be one, or not the shape of what it says that it is.
    """
    found = [
        entry["resource"]
        for entry in objects(bundle.get("entry"))
        if _mode(entry) in (None, "match") and _type(entry.get("resource")) == resource_type
    ]
    if not all(_own_reference(resource) and is_readable(resource) for resource in found):
        raise wrong_answer(what)
    return found


def _mode(entry: Resource) -> Any:
    search = entry.get("search")
    return search.get("mode") if isinstance(search, dict) else None


def _type(resource: Any) -> Any:
    return resource.get("resourceType") if isinstance(resource, dict) else None


def _own_reference(resource: Any) -> str:
    """Give ``Type/id`` of a resource; empty where it has none that could be one."""
    logical_id = resource.get("id") if isinstance(resource, dict) else None
    reference = f"{_type(resource)}/{logical_id}" if isinstance(logical_id, str) else ""
    return reference if is_reference(reference) else ""


def transaction(writes: Sequence[Write], base_url: str) -> Resource:
    """Make the Bundle that does all writes or none."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(write, base_url) for write in writes]}


def _entry(write: Write, base_url: str) -> Resource:
    own_url = f"{base_url}/{write.url}" if write.method == "PUT" and is_reference(write.url) else ""
    request = compact(method=write.method, url=write.url, ifMatch=write.if_match)
    return compact(fullUrl=write.full_url or own_url, resource=write.resource, request=request)


def results(answer: Resource, writes: Sequence[Write], what: str) -> list[Written]:
    """Read what became of a transaction's entries.

    Raises
    ------
    FhirError
        An entry did not succeed, or the answer does not tell.
    """
    entries = answer.get("entry")
    if not isinstance(entries, list) or len(entries) != len(writes):
        raise wrong_answer(f"{what}, as many results as entries")
    return [_result(entry, write, what) for entry, write in zip(entries, writes, strict=True)]


def _result(entry: Any, write: Write, what: str) -> Written:
    response = entry.get("response") if isinstance(entry, dict) else None
    if not isinstance(response, dict):
        raise wrong_answer(what)
    status = _status(response.get("status"))
    if not is_success(write, status):
        outcome = response.get("outcome")
        outcome = outcome if isinstance(outcome, dict) and outcome else {"issue": []}  # not empty: a FHIR server did say this status
        raise failure(status, f"{what}, one entry", outcome=outcome, headers={}, sent=sent_in([write]))
    return written(write, status, _text(response.get("etag")), _text(response.get("location")), entry.get("resource"))


def sent_in(writes: Sequence[Write]) -> list[Any]:
    """Give all that stands in writes and could be a patient's."""
    return [(write.resource, unquote(write.url.partition("?")[2])) for write in writes]


def is_success(write: Write, status: int) -> bool:
    """Tell whether things are as wanted: what is to be deleted may be gone already, what is to be written may stand there."""
    return 200 <= status < 300 or status in _AS_WANTED[write.method]


def written(write: Write, status: int, etag: str, location: str, resource: Any) -> Written:
    """Say where a write went and which version it made, of what the server tells: location, ETag, the resource itself.

    Raises
    ------
    FhirRefused
        The server chose the id, and does not tell it.
    """
    found = _LOCATION.fullmatch(location[-_LONGEST_END:])
    meta = resource.get("meta") if isinstance(resource, dict) else None
    versions = (etag, found[2] if found else "", meta.get("versionId") if isinstance(meta, dict) else "")
    version = next((f'W/"{match[1]}"' for text in versions if text and (match := _VERSION.fullmatch(_text(text)))), "")
    if is_reference(write.url):
        return Written(status, write.url, "" if write.method == "DELETE" else version)
    resource_type = write.url.partition("?")[0]
    named = (found[1] if found else "", _own_reference(resource))
    reference = next((name for name in named if name.startswith(f"{resource_type}/")), "")
    if not reference and write.method == "PUT":
        raise wrong_answer(f"conditional update of {resource_type}, where it went")
    return Written(status, reference, version)


def _status(text: Any) -> int:
    head = _text(text)[:3]
    return int(head) if head.isascii() and head.isdigit() else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """Copy a resource, its references ``urn:uuid:…`` replaced by ``Type/id``: for servers without transactions."""
    if isinstance(value, dict):
        return {
            name: ids.get(inner, inner) if name == "reference" and isinstance(inner, str) else with_ids(inner, ids)
            for name, inner in value.items()
        }
    return [with_ids(item, ids) for item in value] if isinstance(value, list) else value


def capabilities_of(statement: Resource) -> Capabilities:
    """Read a CapabilityStatement.

    Raises
    ------
    FhirConfiguration
        The server does not speak FHIR R4 in JSON.
    """
    version = _text(statement.get("fhirVersion"))
    if not version.startswith("4.0"):
        known = f" {version}" if _VERSION_NUMBER.fullmatch(version) else ""
        raise FhirConfiguration(f"the server speaks FHIR{known}, and R4 (4.0) is needed")
    formats = statement.get("format")
    if isinstance(formats, list) and formats and not any("json" in _text(name).lower() for name in formats):
        raise FhirConfiguration("the server speaks no FHIR JSON")
    servers = [rest for rest in objects(statement.get("rest")) if rest.get("mode") == "server"]
    interactions = [item.get("code") for rest in servers for item in objects(rest.get("interaction"))]
    types = [resource for rest in servers for resource in objects(rest.get("resource"))]
    fixed = (_text(resource.get("type")) for resource in types if resource.get("updateCreate") is False)
    return Capabilities("transaction" in interactions, frozenset(fixed))
