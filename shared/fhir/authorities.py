"""Who assigned an identifier: Issuer of Patient ID, of Accession Number and the like as ``Identifier.system``.

References
----------
PS3.3 10.14 "Issuer of Patient ID Macro"; 10.13 "HL7v2 Hierarchic Designator Macro"; FHIR R4 2.24.0.9 "Identifier".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.fhir.identity import is_uid
from shared.fhir.values import clean, first_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URI = re.compile(r"(urn:|[A-Za-z][A-Za-z0-9+.-]*://)[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def system_for(issuer: str | None, qualifiers: Dataset, fallback: str, context: Context) -> str:
    """Give the system of an identifier.

    Parameters
    ----------
    issuer
        Text that names the issuer, if any.
    qualifiers
        Item with the issuer's Universal Entity ID or Local Namespace Entity ID; an empty dataset where there is none.
    fallback
        System of identifiers that name no issuer.
    """
    universal = _universal(qualifiers, context)
    if universal:
        return universal
    local = first_text(qualifiers, "LocalNamespaceEntityID", context.notes)
    names = [name for name in (clean(issuer or ""), local) if name]
    if not names:
        return fallback
    mapped = next((system for name in names if (system := _mapped(name, context))), None)
    return mapped or _globally_unique(names[0]) or f"{context.settings.canonical}/issuer/{quote(names[0], safe='')}"


def _universal(qualifiers: Dataset, context: Context) -> str | None:
    value = first_text(qualifiers, "UniversalEntityID", context.notes)
    kind = first_text(qualifiers, "UniversalEntityIDType", context.notes)
    read = _BY_TYPE.get((kind or "").upper())
    return read(value) if value and read else None


def _mapped(name: str, context: Context) -> str | None:
    """Look a name up among the operator's, as it is written, then regardless of case."""
    known = context.settings.issuer_map
    return known.get(name) or {each.casefold(): system for each, system in known.items()}.get(name.casefold())


def _globally_unique(name: str) -> str | None:
    return _oid(name) or _uuid(name) or _uri(name)


def _oid(value: str) -> str | None:
    return f"urn:oid:{value}" if is_uid(value) else None


def _uuid(value: str) -> str | None:
    return f"urn:uuid:{value.lower()}" if _UUID.fullmatch(value) else None


def _uri(value: str) -> str | None:
    return value if _URI.fullmatch(value) else None


def _host(value: str) -> str | None:
    return f"https://{value}" if _HOST.fullmatch(value) else None


_BY_TYPE: dict[str, Callable[[str], str | None]] = {"ISO": _oid, "UUID": _uuid, "URI": _uri, "DNS": _host}
