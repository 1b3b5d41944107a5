"""What the service is: health, capability description; ``zz_fallback`` for all that has no route. Not: per-request state."""

from __future__ import annotations

import azure.functions as func

from functions._answers import Answer, json_answer, problem
from functions._call import Call
from functions._http import Edge
from functions._routes import ANY_PATH
from shared.access import DataAction
from shared.dicomweb.resources import SUPPORTED_VERSIONS, parse_version
from shared.errors import NotAcceptable, NotFound
from shared.services.archive import Archive

_EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_RENDERED = "/rendered"


def blueprint(archive: Archive, edge: Edge) -> func.Blueprint:
    """Register health and the fallback."""
    bp = fallback(edge)

    @edge.route(bp, "health/check", methods=("GET",), action=DataAction.PUBLIC)
    async def check_health(call: Call) -> Answer:
        checks = await archive.health.report()
        healthy = all(check.healthy for check in checks)
        document: dict[str, object] = {"overallStatus": _word(healthy=healthy)}
        if await edge.permits(call, DataAction.READ):  # a stranger learns up or down
            document["details"] = [
                {"name": check.name, "status": _word(healthy=check.healthy), "description": check.problem or ""} for check in checks
            ]
        return json_answer(document, 200 if healthy else 503)

    return bp


def fallback(edge: Edge) -> func.Blueprint:
    """Register what answers every request that no other function takes; its name makes it the host's last choice."""
    bp = func.Blueprint()

    @edge.route(bp, ANY_PATH, methods=_EVERY_METHOD, action=DataAction.PUBLIC)
    async def zz_fallback(call: Call) -> Answer:
        path = (call.path_parameters.get("path") or "").strip("/")
        methods = edge.routes.methods_for(path)
        return _options(call, edge, path, methods) if call.method == "OPTIONS" else _refusal(edge, path, methods)

    return bp


def _word(*, healthy: bool) -> str:
    return "Healthy" if healthy else "Unhealthy"


def _refusal(edge: Edge, path: str, methods: tuple[str, ...]) -> Answer:
    """Say 405 where the path takes other methods; else why there is no such resource."""
    if methods:
        answer = problem(405, f"This resource takes {', '.join(methods)}.")
        answer.headers["allow"] = ", ".join((*methods, "OPTIONS"))
        return answer
    parse_version(path.split("/", maxsplit=1)[0])
    if path.endswith(_RENDERED) and edge.routes.methods_for(path.removesuffix(_RENDERED)):
        raise NotAcceptable("Rendering is not offered yet; retrieve the instance or its frames as they are stored.")
    raise NotFound("There is no such resource; OPTIONS of the version's root lists those there are.")


def _options(call: Call, edge: Edge, path: str, methods: tuple[str, ...]) -> Answer:
    """Answer a preflight request, and a request for the capabilities of the service or a resource.

    References
    ----------
    PS3.18 8.9 "Retrieve Capabilities Transaction".
    """
    if methods:
        answer = Answer(204, headers={"allow": ", ".join((*methods, "OPTIONS"))})
    elif path == "" or "/" not in path:
        if path:
            parse_version(path)
        answer = json_answer(_description(edge))
    else:
        raise NotFound("There is no such resource.")
    if "access-control-request-method" in call.headers and edge.cors.allows(call.headers.get("origin")):
        answer.headers.update(edge.cors.preflight(methods))
    return answer


def _description(edge: Edge) -> dict[str, object]:
    resources: dict[str, set[str]] = {}
    for route in edge.routes:
        if route.template != ANY_PATH:
            resources.setdefault(route.readable, set()).update(route.methods)
    return {
        "versions": SUPPORTED_VERSIONS.split(", "),
        "resources": [{"path": path, "methods": sorted(methods)} for path, methods in sorted(resources.items())],
    }
