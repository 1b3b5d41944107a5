"""What is said of the store transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions._openapi.description import Body, Operation, Response, Section
from functions._openapi.schemas import a_list, an_object, ref
from shared.dicomweb.media_types import DICOM, DICOM_JSON, MULTIPART
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.store_report import FailureReason, WarningReason
from shared.errors import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from functions._openapi.description import Schema


def _one(vr: str, value: Schema) -> Schema:
    return an_object({"vr": {"const": vr}, "Value": {**a_list(value), "minItems": 1, "maxItems": 1}})


def _reasons(reasons: Iterable[FailureReason | WarningReason]) -> Schema:
    return {"enum": [int(reason) for reason in reasons], "description": "; ".join(f"{r:04X} {r.name.lower()}" for r in reasons)}


def _sequence(item: Schema, at_least: int = 0) -> Schema:
    values: Mapping[str, Schema] = {"Value": {**a_list(item), "minItems": 1}}
    return an_object({"vr": {"const": "SQ"}, **(values if at_least else {})}, {} if at_least else values)


_UI, _UR, _LO = _one("UI", {"type": "string"}), _one("UR", {"type": "string", "format": "uri"}), _one("LO", {"type": "string"})
_FAILED_ATTRIBUTES = _sequence(an_object({"00000902": _LO}))

SCHEMAS: Mapping[str, Schema] = {
    "StoreReport": {
        "description": "PS3.18 I.2: RetrieveURL where all that was stored is of one study, what failed, what was stored.",
        **an_object(
            {},
            {
                "00081190": _UR,
                "00081198": _sequence(ref("FailedInstance"), at_least=1),
                "00081199": _sequence(ref("StoredInstance"), at_least=1),
            },
        ),
    },
    "StoredInstance": {
        "description": "Item of ReferencedSOPSequence: class, instance, URL; version 2: a warning reason, and the attributes left out.",
        **an_object(
            {"00081150": _UI, "00081155": _UI, "00081190": _UR},
            {"00081196": _one("US", _reasons(WarningReason)), "00741048": _FAILED_ATTRIBUTES},
        ),
    },
    "FailedInstance": {
        "description": "Item of FailedSOPSequence: class and instance as far as they could be read, and why.",
        **an_object(
            {"00081197": _one("US", _reasons(FailureReason))},
            {"00081150": _UI, "00081155": _UI, "00741048": _FAILED_ATTRIBUTES},
        ),
    },
}

_BODY = Body({MULTIPART: {}, DICOM: {}})
_REPORT = {DICOM_JSON: ref("StoreReport")}
_RESPONSES = (
    Response(200, "All instances are stored.", _REPORT, may_have=("Warning",)),
    Response(202, "Some instances are not stored, or the body ended early.", _REPORT, may_have=("Warning",), only=ApiVersion.V1),
    Response(
        202,
        "Some instances are not stored or are stored with warnings, or the body ended early.",
        _REPORT,
        may_have=("Warning",),
        only=ApiVersion.V2,
    ),
    Response(204, "The body had no part."),
    Response(409, "No instance is stored; the dataset says why.", _REPORT, may_have=("Warning",)),
)
_REFUSES = (Category.NOT_ACCEPTABLE, Category.TOO_LARGE, Category.UNSUPPORTED)
_ABOUT = 'Send PS3.10 files as parts of `multipart/related; type="application/dicom"`, or one file as `application/dicom`. '
_DUPLICATES_FAIL = _ABOUT + "An instance that is stored already fails (B00E)."
_REPLACES = _ABOUT + "An instance that is stored already is replaced; identical bytes change nothing. An extension."


def _operation(summary: str, about: str, name: str = "") -> Operation:
    return Operation(summary, _RESPONSES, about, body=_BODY, refuses=_REFUSES, name=name)


SECTION = Section(
    "Store",
    'STOW-RS, PS3.18 10.5 "Store Transaction".',
    {
        ("store_instances", "POST"): _operation("Store instances of any study", _DUPLICATES_FAIL),
        ("store_instances", "PUT"): _operation("Store or replace instances of any study", _REPLACES, "replace_instances"),
        ("store_instances_of_study", "POST"): _operation(
            "Store instances of one study", _DUPLICATES_FAIL + " One of another study fails, too (A901)."
        ),
        ("store_instances_of_study", "PUT"): _operation("Store or replace instances of one study", _REPLACES, "replace_instances_of_study"),
    },
)
