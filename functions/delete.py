"""Delete (our extension): studies, series and instances. Not: deciding what is removed in what order."""

from __future__ import annotations

import azure.functions as func

from functions._answers import Answer
from functions._call import Call
from functions._http import Edge
from functions._routes import INSTANCE, SERIES, STUDY
from shared.access import DataAction
from shared.services.archive import Archive


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register the delete transaction."""
    bp = func.Blueprint()

    @edge.route(bp, STUDY, methods=("DELETE",), action=DataAction.DELETE)
    async def delete_study(call: Call) -> Answer:
        return await _delete(archive, call)

    @edge.route(bp, SERIES, methods=("DELETE",), action=DataAction.DELETE)
    async def delete_series(call: Call) -> Answer:
        return await _delete(archive, call)

    @edge.route(bp, INSTANCE, methods=("DELETE",), action=DataAction.DELETE)
    async def delete_instance(call: Call) -> Answer:
        return await _delete(archive, call)

    return bp


async def _delete(archive: Archive, call: Call) -> Answer:
    resource = call.resource()
    services = await archive.open()
    await services.delete.delete(resource.study_instance_uid, resource.series_instance_uid, resource.sop_instance_uid)
    return Answer(204)
