"""The change feed: GET of windows and of the newest event. Not: sequence numbers.

Version 1 takes a window of sequence numbers, version 2 one of time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import azure.functions as func

from functions._answers import Answer
from functions._call import Call
from functions._http import Edge
from functions._routes import VERSION
from shared.access import DataAction
from shared.dicomweb.resources import ApiVersion
from shared.errors import InvalidRequest
from shared.services.archive import Archive
from shared.services.changefeed import TimeWindow

MAX_OFFSET = 2**63 - 1
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Limit:
    """How many events a request gets: without saying, and at most."""

    default: int
    highest: int


LIMITS = {ApiVersion.V1: Limit(10, 100), ApiVersion.V2: Limit(100, 200)}


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register the change feed."""
    bp = func.Blueprint()

    @edge.route(bp, VERSION + "/changefeed", methods=("GET",), action=DataAction.READ)
    async def read_change_feed(call: Call) -> Answer:
        parameters, limit = _once(call), LIMITS[call.version]
        offset = _whole_number(parameters, "offset", 0, 0, MAX_OFFSET)
        count = _whole_number(parameters, "limit", limit.default, 1, limit.highest)
        include_metadata = _flag(parameters, "includemetadata")
        window = _window(parameters) if call.version is ApiVersion.V2 else None
        feed = (await archive.open()).changefeed
        if window is None:
            return Answer(body=await feed.read_sequence(offset, count, include_metadata=include_metadata), content_type=_JSON)
        return Answer(body=await feed.read_window(window, offset, count, include_metadata=include_metadata), content_type=_JSON)

    @edge.route(bp, VERSION + "/changefeed/latest", methods=("GET",), action=DataAction.READ)
    async def read_latest_change(call: Call) -> Answer:
        include_metadata = _flag(_once(call), "includemetadata")
        entry = await (await archive.open()).changefeed.latest(include_metadata=include_metadata)
        return Answer(204) if entry is None else Answer(body=entry, content_type=_JSON)

    return bp


def _once(call: Call) -> Mapping[str, str]:
    parameters: dict[str, str] = {}
    for name, value in call.query:
        if name.lower() in parameters:
            raise InvalidRequest("A parameter of the change feed is given at most once.")
        parameters[name.lower()] = value
    return parameters


def _whole_number(parameters: Mapping[str, str], name: str, default: int, lowest: int, highest: int) -> int:
    text = parameters.get(name)
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1
    if not lowest <= value <= highest:
        raise InvalidRequest(f"The parameter {name} must be a whole number from {lowest} to {highest}.")
    return value


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    text = parameters.get(name, "true").lower()
    if text not in {"true", "false"}:
        raise InvalidRequest(f"The parameter {name} must be true or false.")
    return text == "true"


def _window(parameters: Mapping[str, str]) -> TimeWindow:
    window = TimeWindow(_moment(parameters, "starttime"), _moment(parameters, "endtime"))
    if window.start is not None and window.end is not None and window.end <= window.start:
        raise InvalidRequest("endTime must be after startTime.")
    return window


def _moment(parameters: Mapping[str, str], name: str) -> datetime | None:
    """Read an ISO date-time with its zone; a plus that nobody escaped arrives as a blank."""
    text = parameters.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest("startTime and endTime are ISO 8601 date-times with a zone, such as 2024-05-01T10:00:00Z.")
    return moment
