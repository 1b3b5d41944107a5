"""Code sequence items as FHIR ``Coding`` and ``CodeableConcept``.

Old objects write SNOMED in its former notation (SNOMED-RT: ``T-12710``), newer ones as SNOMED CT identifiers
(``71341001``). Both mean the same, so both are read as SNOMED CT.

References
----------
PS3.3 8.8 "Standard Attribute Sets for Code Sequence Attributes"; PS3.16 8 "Coding Schemes"; FHIR R4 2.24.0.5 "Coding".
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import quote

from shared.fhir.identity import DCM, LOINC, SCT, UCUM, URI
from shared.fhir.issues import IssueCode, Notes
from shared.fhir.json_text import Resource, compact
from shared.fhir.values import first_text, text, uid

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset

CodeKey: TypeAlias = tuple[str, str]
"""Designator and value of a code; SNOMED-RT codes are given as SNOMED CT."""

SNOMED_RT = Path(__file__).with_name("snomed_rt.txt")
"""SNOMED-RT code and SNOMED CT identifier, one pair a line; written by ``tools/make_snomed_rt.py``."""

SNM = "http://terminology.hl7.org/CodeSystem/snm"

_RT_DESIGNATORS = frozenset({"SRT", "SNM3", "99SDM"})
_SYSTEMS = {
    "DCM": DCM,
    "SCT": SCT,
    "SRT": SNM,
    "LN": LOINC,
    "UCUM": UCUM,
    "RADLEX": "http://radlex.org",
    "RADELEMENT": "http://radelement.org",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "I10C": "http://hl7.org/fhir/sid/icd-10-cm",
    "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
    "UMLS": "http://terminology.hl7.org/CodeSystem/umls",
    "NCIt": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "FMA": "http://sig.biostr.washington.edu/projects/fm/AboutFM.html",
}
_SPELLINGS = {designator.upper(): designator for designator in _SYSTEMS} | dict.fromkeys(_RT_DESIGNATORS, "SRT")
_DESIGNATORS = {system: designator for designator, system in _SYSTEMS.items()} | {"http://snomed.info/id": "SCT"}


class _Code(NamedTuple):
    """``system`` is set where the code itself names it; ``translated`` where it is not the one that was sent."""

    designator: str
    value: str
    system: str = ""
    translated: bool = False


def key_of(item: Dataset) -> CodeKey | None:
    """Give what a code is compared by; None where the item has no code."""
    code = _code(item)
    return None if code is None else (code.designator, code.value)


def coding(item: Dataset, keyword: str, context: Context) -> Resource | None:
    """Give a code sequence item as ``Coding``.

    Parameters
    ----------
    keyword
        The sequence's, under which a bad item is noted. An empty item is none.
    """
    code = _code(item)
    system = None if code is None else code.system or system_of(code.designator, uid(item, "CodingSchemeUID"), context.settings.canonical)
    if code is None or system is None:
        if item:
            context.notes.drop(keyword)
        return None
    if system == SNM:
        context.notes.warn(keyword, IssueCode.UNMAPPED_CODE)
    version = None if code.translated else first_text(item, "CodingSchemeVersion", context.notes)
    return compact(system=system, version=version, code=code.value, display=text(item, "CodeMeaning", context.notes))


def concept(item: Dataset, keyword: str, context: Context) -> Resource | None:
    """Give a code sequence item as ``CodeableConcept``."""
    found = coding(item, keyword, context)
    return None if found is None else {"coding": [found]}


def concepts(ds: Dataset, keyword: str, context: Context) -> list[Resource]:
    """Give the items of a code sequence as ``CodeableConcept``, bad ones left out."""
    found = [concept(item, keyword, context) for item in ds.items(keyword)]
    return [each for each in found if each is not None]


def system_of(designator: str, scheme_uid: str | None, canonical: str) -> str | None:
    """Give the system of a Coding Scheme Designator; None where neither it nor a Coding Scheme UID is there.

    Parameters
    ----------
    canonical
        Root of the systems that we make for private designators.
    """
    known = _SYSTEMS.get(_SPELLINGS.get(designator.upper(), ""))
    if known is not None:
        return known
    if scheme_uid is not None:
        return f"urn:oid:{scheme_uid}"
    return f"{canonical}/code-system/{quote(designator, safe='')}" if designator else None


def _code(item: Dataset) -> _Code | None:
    unheard = Notes()  # what is odd about an item is noted when it is written, not when it is compared
    value = first_text(item, "CodeValue", unheard) or first_text(item, "LongCodeValue", unheard)
    if value is None:
        urn = first_text(item, "URNCodeValue", unheard)
        return None if urn is None else _urn_code(urn)
    designator = _collapsed(first_text(item, "CodingSchemeDesignator", unheard) or "")
    return _as_sct(_SPELLINGS.get(designator.upper(), designator), _collapsed(value))


def _as_sct(designator: str, value: str) -> _Code:
    identifier = _snomed_rt().get(value.upper()) if designator == "SRT" else None
    return _Code(designator, value) if identifier is None else _Code("SCT", identifier, translated=True)


def _urn_code(urn: str) -> _Code | None:
    """Split a web address into code system and code; another URI is the code, and the system that of all URIs."""
    if len(urn.split()) > 1:
        return None
    system, _, value = urn.rpartition("#" if "#" in urn else "/")
    if not value or not system.startswith(("http://", "https://")):
        return _Code("", urn, URI)
    designator = _DESIGNATORS.get(system, "")
    return _Code(designator, value, _SYSTEMS.get(designator, system))


def _collapsed(sent: str) -> str:
    return " ".join(sent.split())


@cache
def _snomed_rt() -> dict[str, str]:
    lines = SNOMED_RT.read_text(encoding="ascii").splitlines()[1:]
    return dict(line.split(" ", 1) for line in lines)
