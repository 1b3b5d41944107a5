"""The description of the service: OpenAPI 3.1 as JSON and as YAML, and a page to read. Not: what is said of an operation.

It holds nothing of what is stored, so whoever reaches the service may read it. It is made when it is first asked for,
and kept: a few documents, one for each spelling of the version and each form.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import azure.functions as func

from functions._answers import Answer, not_modified
from functions._call import Call
from functions._headers import quote_etag
from functions._http import Edge
from functions._routes import VERSION
from shared.access import DataAction
from shared.settings import Settings

if TYPE_CHECKING:
    from functions._openapi.renditions import Rendition


def blueprint(edge: Edge, settings: Settings) -> func.Blueprint:
    """Register the description; it tells of all routes that the edge has when it is first asked for."""
    bp = func.Blueprint()

    @cache
    def rendition(prefix: str, ending: str) -> Rendition:
        from functions._openapi.renditions import render  # noqa: PLC0415 -- tables that no cold start should wait for

        return render(edge.routes, prefix, settings, ending)

    def answer(call: Call, ending: str) -> Answer:
        kept = rendition(call.path_parameters["version"].lower(), ending)
        if call.has(kept.etag):
            return not_modified(kept.etag)
        return Answer(body=kept.body, content_type=kept.content_type, headers={"etag": quote_etag(kept.etag), **kept.headers})

    @edge.route(bp, VERSION + "/api.json", methods=("GET",), action=DataAction.PUBLIC)
    async def describe_service_json(call: Call) -> Answer:
        return answer(call, "json")

    @edge.route(bp, VERSION + "/api.yaml", methods=("GET",), action=DataAction.PUBLIC)
    async def describe_service_yaml(call: Call) -> Answer:
        return answer(call, "yaml")

    @edge.route(bp, VERSION + "/api.html", methods=("GET",), action=DataAction.PUBLIC)
    async def describe_service_page(call: Call) -> Answer:
        return answer(call, "html")

    return bp
