"""Store (STOW-RS): POST and PUT of studies. Not: parsing multipart, choosing reason codes.

References
----------
PS3.18 10.5 "Store Transaction".
"""

from __future__ import annotations

import azure.functions as func

from functions._answers import Answer
from functions._call import Call
from functions._http import Edge
from functions._routes import STUDIES, STUDY
from shared.access import DataAction
from shared.dicom.instance import Rules
from shared.dicomweb.media_types import DICOM_JSON, parse_store_content_type, require_json
from shared.dicomweb.store_report import build_report
from shared.services.archive import Archive
from shared.services.store_body import read_parts
from shared.services.stow import BodyCutOff


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register the store transaction. PUT is our extension: what is stored already is replaced."""
    bp = func.Blueprint()

    @edge.route(bp, STUDIES, methods=("POST", "PUT"), action=DataAction.WRITE)
    async def store_instances(call: Call) -> Answer:
        return await _store(archive, call, study=None)

    @edge.route(bp, STUDY, methods=("POST", "PUT"), action=DataAction.WRITE)
    async def store_instances_of_study(call: Call) -> Answer:
        return await _store(archive, call, study=call.resource().study_instance_uid)

    return bp


async def _store(archive: Archive, call: Call, study: str | None) -> Answer:
    require_json(call.accept)
    body = parse_store_content_type(call.headers.get("content-type"))
    service_url = call.service_url
    stow = (await archive.open()).stow
    parts = read_parts(body, call.body(interrupted=BodyCutOff))
    replace, rules = call.method == "PUT", Rules(call.version)
    result = await stow.store(parts, study_instance_uid=study, rules=rules, replace=replace, studies=call.studies)
    report = build_report(result.outcomes, version=call.version, service_url=service_url, study_instance_uid=study, cut_off=result.cut_off)
    if report.body is None:
        return Answer(report.status)
    return Answer(report.status, report.body, DICOM_JSON, headers=call.warnings(report.warnings))
