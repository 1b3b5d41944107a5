"""Retrieve (WADO-RS): instances, metadata and frames. Not: reading blobs.

References
----------
PS3.18 10.4 "Retrieve Transaction".
"""

from __future__ import annotations

import azure.functions as func

from functions._answers import Answer, not_modified
from functions._call import Call
from functions._headers import quote_etag
from functions._http import Edge
from functions._routes import INSTANCE, SERIES, STUDY
from shared.access import DataAction
from shared.dicomweb.media_types import require_json
from shared.dicomweb.resources import parse_frame_numbers
from shared.services.archive import Archive
from shared.services.wado import Retrieved

_LEFT_OUT = "Instances stored in another transfer syntax than the ones asked for are left out; ask for transfer-syntax=*."


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register the retrieve transaction; frames and instances as they are stored."""
    bp = func.Blueprint()

    @edge.route(bp, STUDY, methods=("GET",), action=DataAction.READ)
    async def retrieve_study(call: Call) -> Answer:
        return await _retrieve_instances(archive, call)

    @edge.route(bp, SERIES, methods=("GET",), action=DataAction.READ)
    async def retrieve_series(call: Call) -> Answer:
        return await _retrieve_instances(archive, call)

    @edge.route(bp, INSTANCE, methods=("GET",), action=DataAction.READ)
    async def retrieve_instance(call: Call) -> Answer:
        return await _retrieve_instances(archive, call)

    @edge.route(bp, STUDY + "/metadata", methods=("GET",), action=DataAction.READ)
    async def retrieve_study_metadata(call: Call) -> Answer:
        return await _retrieve_metadata(archive, call)

    @edge.route(bp, SERIES + "/metadata", methods=("GET",), action=DataAction.READ)
    async def retrieve_series_metadata(call: Call) -> Answer:
        return await _retrieve_metadata(archive, call)

    @edge.route(bp, INSTANCE + "/metadata", methods=("GET",), action=DataAction.READ)
    async def retrieve_instance_metadata(call: Call) -> Answer:
        return await _retrieve_metadata(archive, call)

    @edge.route(bp, INSTANCE + "/frames/{frames}", methods=("GET",), action=DataAction.READ)
    async def retrieve_frames(call: Call) -> Answer:
        numbers = parse_frame_numbers(call.path_parameters["frames"])
        frames = (await archive.open()).frames
        selection = await frames.select(call.resource())
        if call.has(selection.etag):
            return not_modified(selection.etag)
        return _answer(call, selection.etag, await frames.open(selection, numbers, call.accept, body=call.wants_body))

    return bp


async def _retrieve_instances(archive: Archive, call: Call) -> Answer:
    wado = (await archive.open()).wado
    selection = await wado.select(call.resource())
    if call.has(selection.etag):
        return not_modified(selection.etag)
    return _answer(call, selection.etag, await wado.open(selection, call.accept, body=call.wants_body))


async def _retrieve_metadata(archive: Archive, call: Call) -> Answer:
    require_json(call.accept)
    metadata = (await archive.open()).metadata
    selection = await metadata.select(call.resource())
    if call.has(selection.etag):
        return not_modified(selection.etag)
    return _answer(call, selection.etag, await metadata.open(selection, body=call.wants_body))


def _answer(call: Call, etag: str, retrieved: Retrieved) -> Answer:
    headers = call.warnings([_LEFT_OUT] if retrieved.left_out else [])
    headers["etag"] = quote_etag(etag)
    if retrieved.content_type.startswith("application/dicom;"):
        headers["content-disposition"] = 'attachment; filename="instance.dcm"'  # a browser keeps it and does not show it
    return Answer(206 if retrieved.left_out else 200, retrieved.body, retrieved.content_type, retrieved.length, headers)
