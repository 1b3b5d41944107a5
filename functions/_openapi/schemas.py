"""What bodies look like: JSON schemas by name. Those of one transaction alone stand with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions._openapi.description import Schema

_VRS = "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
MOMENT: Schema = {"type": "string", "format": "date-time"}
UID: Schema = {"type": "string", "pattern": r"^[0-9.]*[0-9]$", "maxLength": 64}


def ref(name: str) -> Schema:
    """Point to a schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def a_list(items: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": items}


def an_object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Describe an object that has these members and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def or_null(schema: Schema) -> Schema:
    """Describe what may be null instead."""
    return {"anyOf": [schema, {"type": "null"}]}


_PERSON_NAME = an_object({}, {"Alphabetic": TEXT, "Ideographic": TEXT, "Phonetic": TEXT})
_VALUE: Schema = {"anyOf": [TEXT, {"type": "number"}, ref("PersonName"), ref("Dataset"), {"type": "null"}]}

SCHEMAS: Mapping[str, Schema] = {
    "Dataset": {
        "description": "A dataset in the DICOM JSON model (PS3.18 Annex F): attributes by their tags.",
        "type": "object",
        "patternProperties": {"^[0-9A-F]{8}$": ref("Attribute")},
        "additionalProperties": False,
    },
    "Attribute": {
        "description": "An attribute's VR, and its values: in a list, or inline in base64.",
        **an_object(
            {"vr": {"enum": _VRS.split()}},
            {"Value": a_list(_VALUE), "InlineBinary": {"type": "string", "contentEncoding": "base64"}},
        ),
    },
    "PersonName": {"description": "A name's groups of components (PS3.18 F.2.2).", **_PERSON_NAME},
    "Datasets": {"description": "One dataset for each study, series or instance.", **a_list(ref("Dataset"))},
    "Problem": {
        "description": "Why a request was refused (RFC 9457); it repeats no value of the request. The operation id finds it in the log.",
        **an_object(
            {"type": TEXT, "title": TEXT, "status": {"type": "integer", "minimum": 400, "maximum": 599}, "detail": TEXT},
            {"operationId": TEXT},
        ),
    },
}
