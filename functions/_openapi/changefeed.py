"""What is said of the change feed: version 1 takes a window of sequence numbers, version 2 one of time."""

from __future__ import annotations

from functions._openapi.description import Operation, Parameter, Response, Section
from functions._openapi.parameters import INCLUDE_METADATA
from functions._openapi.schemas import MOMENT, TEXT, UID, a_list, an_object, ref
from functions.changefeed import LIMITS, MAX_OFFSET
from shared.catalog.outbox import Action
from shared.dicomweb.resources import ApiVersion

SCHEMAS = {
    "Change": {
        "description": "An event. Its state is that of its instance now; its metadata, too, while the instance is there.",
        **an_object(
            {
                "sequence": {"type": "integer", "minimum": 1},
                "partitionName": TEXT,
                "studyInstanceUid": UID,
                "seriesInstanceUid": UID,
                "sopInstanceUid": UID,
                "action": {"enum": [str(action) for action in Action]},
                "timestamp": MOMENT,
                "state": {"enum": ["Current", "Replaced", "Deleted"]},
            },
            {"metadata": ref("Dataset")},
        ),
    },
    "Changes": {"description": "Events, oldest first.", **a_list(ref("Change"))},
}


def _limit(version: ApiVersion) -> Parameter:
    limit = LIMITS[version]
    return Parameter(
        "limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": limit.highest, "default": limit.default}, only=version
    )


_OFFSET = {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}
_PARAMETERS = (
    Parameter("offset", "The sequence number after which to begin.", _OFFSET, only=ApiVersion.V1),
    Parameter("startTime", "Events of this moment and later.", MOMENT, only=ApiVersion.V2, example="2024-05-01T10:00:00Z"),
    Parameter("endTime", "Events before this moment.", MOMENT, only=ApiVersion.V2),
    Parameter("offset", "How many events of the window to skip.", _OFFSET, only=ApiVersion.V2),
    *map(_limit, ApiVersion),
    INCLUDE_METADATA,
)
_JSON = "application/json"

SECTION = Section(
    "Change feed",
    "Every stored, replaced and deleted instance, exactly once. An extension.",
    {
        ("read_change_feed", "GET"): Operation(
            "Read events of the change feed",
            (Response(200, "The events of the window; an empty list where there are none.", {_JSON: ref("Changes")}),),
            parameters=_PARAMETERS,
        ),
        ("read_latest_change", "GET"): Operation(
            "Read the newest event of the change feed",
            (Response(200, "The event.", {_JSON: ref("Change")}), Response(204, "Nothing was ever stored.")),
            parameters=(INCLUDE_METADATA,),
        ),
    },
)
