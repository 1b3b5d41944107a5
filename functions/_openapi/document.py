"""The OpenAPI document: what is said of each operation joined with the routes, and what holds for all of them.

A route and its description find each other by the function's name and the method; HEAD goes with GET and is said
once for all. Paths are whole, from the root of the service, so that those without a version stand beside the others.

References
----------
OpenAPI Specification 3.1.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions._http import STATUS
from functions._openapi import capabilities, changefeed, delete, fhir_sync, qido, schemas, stow, wado
from functions._openapi.parameters import IN_PATHS
from functions._openapi.schemas import TEXT, ref
from functions._routes import ANY_PATH
from shared.access import DataAction
from shared.dicomweb.resources import SUPPORTED_VERSIONS, ApiVersion, parse_version
from shared.errors import Category

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from functions._openapi.description import Content, Operation, Parameter, Response, Section
    from functions._routes import Route
    from shared.settings import Settings

SECTIONS: tuple[Section, ...] = (
    stow.SECTION,
    qido.SECTION,
    wado.SECTION,
    delete.SECTION,
    changefeed.SECTION,
    fhir_sync.SECTION,
    capabilities.SECTION,
)
SCHEMAS = {**schemas.SCHEMAS, **stow.SCHEMAS, **changefeed.SCHEMAS, **fhir_sync.SCHEMAS, **capabilities.SCHEMAS}

ALWAYS = (Category.INCORRECT, Category.EXCESSIVE, Category.FAULT, Category.BUSY)
WITH_A_RIGHT = (Category.UNAUTHORIZED, Category.FORBIDDEN)
WITH_NAMES = (Category.NOT_FOUND,)
"""What may be answered for any route, for one that needs a right, and for one whose path names something."""

REFUSALS: Mapping[Category, str] = {
    Category.INCORRECT: "The request cannot be understood.",
    Category.UNAUTHORIZED: "There is no token, or none that is taken.",
    Category.FORBIDDEN: "The token lacks the right.",
    Category.NOT_FOUND: "There is nothing of that name.",
    Category.NOT_ACCEPTABLE: "Nothing that the caller accepts can be given.",
    Category.TOO_LARGE: "The body, or a part of it, is over its limit.",
    Category.UNSUPPORTED: "The body is of another media type, or compressed.",
    Category.EXCESSIVE: "The caller asks too much at once.",
    Category.BUSY: "Busy, storage out of reach, or not configured.",
    Category.FAULT: "Not foreseen; the operation id finds it in the log.",
}

HEADERS: Mapping[str, str] = {
    "Content-Disposition": "For browsers: to be kept, not shown.",
    "ETag": "The version of the resource, quoted.",
    "Retry-After": "Seconds to wait.",
    "WWW-Authenticate": "What token is wanted, or what was wrong with it.",
    "Warning": 'Code 299, the host, and a text: `299 host: "text"`.',
}
_MAY_HAVE = {Category.BUSY: ("Retry-After",), Category.EXCESSIVE: ("Retry-After",), Category.UNAUTHORIZED: ("WWW-Authenticate",)}

TITLE = "DICOMweb Functions"
_ABOUT = """\
A DICOMweb archive (DICOM PS3.18) with extensions.

* HEAD goes with every GET. OPTIONS of a path names its methods, of a version's root the resources. Any other method is 405.
* Errors are problem documents (RFC 9457) with an operation id for the log; a store request's answer keeps its dataset.
* A query that holds `<` is refused, as is one of more than 200 parameters.
* The right that an operation needs stands in `x-data-action`.
"""
_SCHEME = "openid"


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a document is made for: a version, the beginning of its paths, and how callers are known."""

    version: ApiVersion
    prefix: str
    secured: bool


def document(routes: Iterable[Route], prefix: str, settings: Settings) -> dict[str, Any]:
    """Describe the service.

    Parameters
    ----------
    routes
        Of the app.
    prefix
        Version segment of the paths, in lower case, such as ``v2``.
    settings
        The public base URL, and who issues tokens.

    Raises
    ------
    KeyError
        A route is not described.
    """
    frame = _Frame(parse_version(prefix), prefix, bool(settings.identity.authority))
    security: dict[str, Any] = {"security": [{_SCHEME: []}]} if frame.secured else {}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": prefix.removeprefix("v"),
            "description": f"{_ABOUT}\nVersions of the API: {SUPPORTED_VERSIONS}. This describes {prefix.removeprefix('v')}.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": settings.public_base_url or "/"}],
        **security,
        "tags": [{"name": section.title, "description": section.about} for section in SECTIONS],
        "paths": _paths(routes, frame),
        "components": {
            "schemas": SCHEMAS,
            "headers": {name: {"description": about, "schema": TEXT} for name, about in HEADERS.items()},
            "responses": {_refusal_name(category): _refusal(category) for category in REFUSALS},
            **({"securitySchemes": {_SCHEME: _scheme(settings)}} if frame.secured else {}),
        },
    }


def _scheme(settings: Settings) -> dict[str, str]:
    return {
        "type": "openIdConnect",
        "openIdConnectUrl": f"{settings.identity.authority}/.well-known/openid-configuration",
        "description": f"A bearer token of this issuer for the audience `{'` or `'.join(settings.identity.audiences)}`.",
    }


def _paths(routes: Iterable[Route], frame: _Frame) -> dict[str, dict[str, Any]]:
    described = {key: (section, operation) for section in SECTIONS for key, operation in section.operations.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.template != ANY_PATH:
            item = paths.setdefault(route.readable.replace("{version}", frame.prefix), {})
            for method in route.methods:
                if method != "HEAD":
                    item[method.lower()] = _operation(route, *described[route.name, method], frame)
    return paths


def _operation(route: Route, section: Section, operation: Operation, frame: _Frame) -> dict[str, Any]:
    public = route.action is DataAction.PUBLIC
    names = [IN_PATHS[name] for name in route.parameters if name != "version"]
    parameters = [*names, *(p for p in operation.parameters if p.only in {None, frame.version})]
    refusals = (*ALWAYS, *(() if public else WITH_A_RIGHT), *(WITH_NAMES if names else ()), *operation.refuses)
    said: dict[str, Any] = {"operationId": operation.name or route.name, "tags": [section.title], "summary": operation.summary}
    if operation.about:
        said["description"] = operation.about
    if not public:
        said["x-data-action"] = str(route.action)
    elif frame.secured:
        said["security"] = []
    if parameters:
        said["parameters"] = [_parameter(parameter) for parameter in parameters]
    if operation.body:
        example = {} if operation.body.example is None else {"example": operation.body.example}
        said["requestBody"] = {"required": True, "content": {name: {**_schema(s), **example} for name, s in operation.body.content.items()}}
    said["responses"] = _responses([r for r in operation.responses if r.only in {None, frame.version}], refusals)
    return said


def _parameter(parameter: Parameter) -> dict[str, Any]:
    always = {"name": parameter.name, "in": parameter.where, "description": parameter.about, "required": parameter.where == "path"}
    example = {} if parameter.example is None else {"example": parameter.example}
    return {**always, "schema": parameter.schema, **example}


def _responses(responses: Iterable[Response], refusals: Iterable[Category]) -> dict[str, Any]:
    """Put an operation's own answers and refusals together; of one status they are one, with several media types."""
    said = {str(response.status): _response(response) for response in responses}
    for category in refusals:
        status = str(STATUS[category])
        if status in said:
            said[status]["content"] = {**said[status].get("content", {}), **_PROBLEM}
        else:
            said[status] = {"$ref": f"#/components/responses/{_refusal_name(category)}"}
    return dict(sorted(said.items()))


def _response(response: Response) -> dict[str, Any]:
    headers = {**_headers(response.headers, always=True), **_headers(response.may_have, always=False)}
    said: dict[str, Any] = {"description": response.about}
    if headers:
        said["headers"] = headers
    if response.content:
        said["content"] = _content(response.content)
    return said


def _headers(names: Iterable[str], *, always: bool) -> dict[str, Any]:
    if always:
        return {name: {"description": HEADERS[name], "required": True, "schema": TEXT} for name in names}
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _content(content: Content) -> dict[str, Any]:
    return {media_type: _schema(schema) for media_type, schema in content.items()}


def _schema(schema: Mapping[str, object]) -> dict[str, Any]:
    """Bytes have no schema (OpenAPI Specification 3.1.0, 4.8.14.2 "Considerations for File Uploads")."""
    return {"schema": schema} if schema else {}


_PROBLEM = {"application/problem+json": {"schema": ref("Problem")}}


def _refusal_name(category: Category) -> str:
    return category.name.title().replace("_", "")


def _refusal(category: Category) -> dict[str, Any]:
    headers = _headers(_MAY_HAVE.get(category, ()), always=False)
    return {"description": REFUSALS[category], **({"headers": headers} if headers else {}), "content": _PROBLEM}
