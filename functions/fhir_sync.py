"""The synchronisation with FHIR, for operators: how it stands, retry, rebuild, preview. Not: what is written, and when.

Looking needs the right to read. Retry and rebuild need the right to write: they change no DICOM object, but have
patients' data sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import azure.functions as func
import orjson

from functions._answers import Answer, json_answer
from functions._call import Call
from functions._http import Edge
from shared.access import DataAction
from shared.dicom.uids import MAX_UID_LENGTH, is_valid_uid
from shared.errors import InvalidRequest, NotFound, TooLarge, UnsupportedMediaType
from shared.services.archive import Archive

if TYPE_CHECKING:
    from shared.services.fhir import FhirServices
    from shared.services.fhir_requeue import FhirRequeue, Queued

MAX_BODY_BYTES = 1024 * 1024
MAX_STUDIES = 10_000
_ROOT = "fhir-sync"
_JSON = "application/json"
_OFF = {"enabled": False, "paused": False, "dirty": 0, "blocked": 0, "dead": 0, "lagSeconds": 0, "lastSync": None}
_ISSUE_PARAMETERS = ("class", "code", "study", "resolved", "next")


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register what operators ask of the synchronisation, and have it do."""
    bp = func.Blueprint()

    @edge.route(bp, _ROOT + "/status", methods=("GET",), action=DataAction.READ)
    async def read_fhir_status(call: Call) -> Answer:
        del call
        fhir = (await archive.open()).fhir
        return json_answer(await fhir.operations.status() if fhir else _OFF)

    @edge.route(bp, _ROOT + "/issues", methods=("GET",), action=DataAction.READ)
    async def read_fhir_issues(call: Call) -> Answer:
        return await _list_issues(await _configured(archive), call)

    @edge.route(bp, _ROOT + "/preview/{study}", methods=("GET",), action=DataAction.READ)
    async def preview_fhir_study(call: Call) -> Answer:
        fhir, study = await _configured(archive), call.path_parameters["study"]
        _check_uid(study, "The study in the path")
        return Answer(body=await fhir.preview.preview(study), content_type=_JSON)

    @edge.route(bp, _ROOT + "/retry", methods=("POST",), action=DataAction.WRITE)
    async def retry_fhir_studies(call: Call) -> Answer:
        fhir = await _configured(archive)
        return _queued(await _retry(fhir.requeue, call, await _read_json(call, ("studies", "class"))))

    @edge.route(bp, _ROOT + "/rebuild", methods=("POST",), action=DataAction.WRITE)
    async def rebuild_fhir_studies(call: Call) -> Answer:
        fhir = await _configured(archive)
        return _queued(await _rebuild(fhir.requeue, call, await _read_json(call, ("scope", "dryRun"))))

    return bp


async def _configured(archive: Archive) -> FhirServices:
    fhir = (await archive.open()).fhir
    if fhir is None:
        raise NotFound("FHIR is not configured: set FHIR_BASE_URL.")
    return fhir


async def _list_issues(fhir: FhirServices, call: Call) -> Answer:
    given = _parameters(call)
    study, resolved = given.get("study"), given.get("resolved", "false")
    if study is not None:
        _check_uid(study, "study")
        call.studies.append(study)
    if resolved not in {"true", "false"}:
        raise InvalidRequest("resolved must be true or false.")
    wanted = {"issue_class": given.get("class"), "code": given.get("code"), "study": study, "after": given.get("next")}
    return json_answer(await fhir.operations.issues(**wanted, resolved=resolved == "true"))


async def _retry(requeue: FhirRequeue, call: Call, document: Mapping[str, object]) -> Queued:
    if len(document) != 1:
        raise InvalidRequest("The body must have either studies or class.")
    if "studies" in document:
        call.studies.extend(_uids(document["studies"], "studies"))
        return await requeue.retry_studies(call.studies)
    return await requeue.retry_class(str(document["class"]))


async def _rebuild(requeue: FhirRequeue, call: Call, document: Mapping[str, object]) -> Queued:
    scope, dry_run = document.get("scope"), document.get("dryRun", False)
    if not isinstance(dry_run, bool):
        raise InvalidRequest("dryRun must be true or false.")
    if scope == "all":
        return await requeue.rebuild_all(dry_run=dry_run)
    call.studies.extend(_uids(scope, 'scope, if not "all",'))
    return await requeue.rebuild_studies(call.studies, dry_run=dry_run)


def _queued(queued: Queued) -> Answer:
    return json_answer({"queued": queued.studies} | ({"continues": True} if queued.continues else {}), 202)


def _parameters(call: Call) -> Mapping[str, str]:
    given: dict[str, str] = {}
    for name, value in call.query:
        if name not in _ISSUE_PARAMETERS or name in given:
            raise InvalidRequest(f"The parameters are {', '.join(_ISSUE_PARAMETERS)}, each at most once.")
        given[name] = value
    return given


def _check_uid(value: str, name: str) -> None:
    if not is_valid_uid(value):
        raise InvalidRequest(f"{name} must be a UID: digits and dots, at most {MAX_UID_LENGTH} characters, a digit at the end.")


def _uids(value: object, name: str) -> Sequence[str]:
    if not isinstance(value, list) or not all(isinstance(uid, str) and is_valid_uid(uid) for uid in value):
        raise InvalidRequest(f"{name} must be a list of Study Instance UIDs.")
    if len(value) > MAX_STUDIES:
        raise TooLarge(f"{name} must list at most {MAX_STUDIES} studies.")
    return value


async def _read_json(call: Call, members: Sequence[str]) -> Mapping[str, object]:
    """Read a body that is a JSON object with some of these members."""
    if call.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedMediaType(f"The body must be {_JSON}.")
    body = bytearray()
    async for chunk in call.body(interrupted=InvalidRequest):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(f"The body must have at most {MAX_BODY_BYTES} bytes.")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("The body must be JSON.") from error
    if not isinstance(document, dict) or not document.keys() <= set(members):
        raise InvalidRequest(f"The body must be a JSON object with no members but {' and '.join(members)}.")
    return document
