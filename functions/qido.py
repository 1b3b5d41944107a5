"""Search (QIDO-RS): GET of studies, series and instances. Not: matching, paging rules.

References
----------
PS3.18 10.6 "Search Transaction".
"""

from __future__ import annotations

import azure.functions as func

from functions._answers import Answer
from functions._call import Call
from functions._http import Edge
from functions._routes import SERIES, STUDIES, STUDY, VERSION
from shared.access import DataAction
from shared.dicom.attributes import Level
from shared.dicomweb.media_types import DICOM_JSON, require_json
from shared.dicomweb.resources import Resource
from shared.dicomweb.search_query import parse_search
from shared.services.archive import Archive

_MORE = "There are additional results that can be requested."
_INCOMPLETE = "The search ended before everything was looked at; narrow it by another key."


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register the six search resources."""
    bp = func.Blueprint()

    @edge.route(bp, STUDIES, methods=("GET",), action=DataAction.READ)
    async def search_studies(call: Call) -> Answer:
        return await _search(archive, call, Level.STUDY)

    @edge.route(bp, VERSION + "/series", methods=("GET",), action=DataAction.READ)
    async def search_series(call: Call) -> Answer:
        return await _search(archive, call, Level.SERIES)

    @edge.route(bp, VERSION + "/instances", methods=("GET",), action=DataAction.READ)
    async def search_instances(call: Call) -> Answer:
        return await _search(archive, call, Level.INSTANCE)

    @edge.route(bp, STUDY + "/series", methods=("GET",), action=DataAction.READ)
    async def search_series_of_study(call: Call) -> Answer:
        return await _search(archive, call, Level.SERIES, call.resource())

    @edge.route(bp, STUDY + "/instances", methods=("GET",), action=DataAction.READ)
    async def search_instances_of_study(call: Call) -> Answer:
        return await _search(archive, call, Level.INSTANCE, call.resource())

    @edge.route(bp, SERIES + "/instances", methods=("GET",), action=DataAction.READ)
    async def search_instances_of_series(call: Call) -> Answer:
        return await _search(archive, call, Level.INSTANCE, call.resource())

    return bp


async def _search(archive: Archive, call: Call, level: Level, within: Resource | None = None) -> Answer:
    require_json(call.accept)
    study, series = (within.study_instance_uid, within.series_instance_uid) if within else (None, None)
    query = parse_search(level, call.query, study=study, series=series)
    page = await (await archive.open()).qido.search(query, call.version, call.service_url)
    warnings = [*query.warnings, *([_MORE] if page.more else []), *([_INCOMPLETE] if page.incomplete else [])]
    headers = call.warnings(warnings)
    if not page.datasets:
        return Answer(204, headers=headers)
    return Answer(body=b"[" + b",".join(page.datasets) + b"]", content_type=DICOM_JSON, headers=headers)
