"""Person names as FHIR ``HumanName``.

References
----------
PS3.5 6.2.1 "Person Name (PN) Value Representation"; FHIR R4 2.24.0.10 "HumanName".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.fhir.issues import IssueCode, Notes
from shared.fhir.json_text import Resource, compact
from shared.fhir.values import clean, cleaned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.dataset import Dataset

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
"""Extension that says in which script a name is written."""

_GROUPS = (("Alphabetic", "ABC"), ("Ideographic", "IDE"), ("Phonetic", "SYL"))
_COMPONENTS = 5


def human_names(ds: Dataset, keyword: str, notes: Notes) -> list[Resource]:
    """Give the first name of a PN attribute: one ``HumanName`` for each script in which it is written."""
    value = ds.first(keyword)
    return [] if value is None else names_of(value, keyword, notes)


def names_of(value: Any, keyword: str, notes: Notes) -> list[Resource]:
    """Give one PN value, a name object of DICOM JSON or a DICOM text, as ``HumanName`` for each script; the first is ``usual``."""
    names = [(script, name) for script, group in _groups(value, keyword, notes) if (name := _human_name(script, group, keyword, notes))]
    for number, (script, name) in enumerate(names):
        if number == 0:
            name["use"] = "usual"
        if len(names) > 1:
            name["extension"] = [{"url": REPRESENTATION, "valueCode": script}]
    return [name for _, name in names]


def display(ds: Dataset, keyword: str, notes: Notes) -> str | None:
    """Give the first name of a PN attribute as plain text, or None."""
    names = human_names(ds, keyword, notes)
    return names[0]["text"] if names else None


def display_of(value: Any) -> str | None:
    """Give one PN value as plain text; None where it says nothing. Whoever reads the name itself notes what is odd about it."""
    names = names_of(value, "", Notes())
    return names[0]["text"] if names else None


def _groups(value: Any, keyword: str, notes: Notes) -> list[tuple[str, str]]:
    """Give script and text of the groups that are there."""
    if isinstance(value, str):
        groups: Sequence[Any] = value.split("=")
        if len(groups) > len(_GROUPS):
            notes.warn(keyword, IssueCode.PN_TOO_LONG)
    elif isinstance(value, dict):
        groups = [value.get(name) for name, _ in _GROUPS]
    else:
        notes.drop(keyword)
        groups = []
    known = [(script, group) for (_, script), group in zip(_GROUPS, groups, strict=False) if group is not None]
    return [(script, text) for script, group in known if (text := cleaned(group, keyword, notes))]


def _human_name(script: str, group: str, keyword: str, notes: Notes) -> Resource:
    if "^" not in group and ("," in group or len(group.split()) > 1):
        notes.warn(keyword, IssueCode.PN_UNSTRUCTURED)
        return {"text": group}
    components = [clean(component) for component in group.split("^")]
    if any(components[_COMPONENTS:]):
        notes.warn(keyword, IssueCode.PN_TOO_LONG)
    family, given, middle, prefix, suffix = (components + [""] * _COMPONENTS)[:_COMPONENTS]
    return compact(
        text=_shown(script, family, given, middle, prefix, suffix),
        family=family,
        given=[each for each in (given, middle) if each],
        prefix=[prefix] if prefix else None,
        suffix=[suffix] if suffix else None,
    )


def _shown(script: str, family: str, given: str, middle: str, prefix: str, suffix: str) -> str:
    if script == "IDE":
        return " ".join(filter(None, (prefix, family + given + middle, suffix)))
    return " ".join(filter(None, (prefix, given, middle, family, suffix)))
