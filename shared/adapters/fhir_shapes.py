"""Whether a resource from a server has lists, objects and texts where its reader counts on them. Not: whether it is valid.

References
----------
FHIR R4 2.6.2 "JSON Representation of Resources"; 8.1 "Resource Patient"; 10.4 "Resource ImagingStudy".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.fhir.json_text import Resource

_TEXT: Final = ""
_OBJECTS: Final[list[Any]] = [{}]
_META = {"tag": _OBJECTS, "security": _OBJECTS, "versionId": _TEXT}
_INSTANCE = {"uid": _TEXT}
_LISTS = "modality basedOn interpreter endpoint procedureCode reasonCode reasonReference note extension"

_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "Patient": {
        "identifier": _OBJECTS,
        "name": [{"family": _TEXT}],
        "birthDate": _TEXT,
        "link": [{"type": _TEXT, "other": {"reference": _TEXT}}],
        "extension": _OBJECTS,
    },
    "ImagingStudy": {
        "identifier": _OBJECTS,
        "series": [{"uid": _TEXT, "instance": [_INSTANCE]}],
        **dict.fromkeys(_LISTS.split(), _OBJECTS),
    },
}
"""Of what is read, not only handed back: a list of one shape, an object of members that may be missing, a text."""


def is_readable(resource: Resource) -> bool:
    """Tell whether what is read of a resource has its shape."""
    return _fits(resource, {"meta": _META, **_SHAPES.get(resource["resourceType"], {})})


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_fits(value[name], inner) for name, inner in shape.items() if name in value)
    return isinstance(value, str)
