"""What is said of health and of the description itself."""

from __future__ import annotations

from functions._openapi.description import Operation, Response, Section
from functions._openapi.parameters import IF_NONE_MATCH
from functions._openapi.schemas import TEXT, a_list, an_object, ref

_STATE = {"enum": ["Healthy", "Unhealthy"]}

SCHEMAS = {
    "Health": {
        "description": "Up or down; for callers who may read, what of it and why.",
        **an_object({"overallStatus": _STATE}, {"details": a_list(an_object({"name": TEXT, "status": _STATE, "description": TEXT}))}),
    },
    "Description": {
        "description": "A document as the OpenAPI specification, 3.1, has it.",
        "type": "object",
        "properties": {"openapi": {"const": "3.1.0"}},
        "required": ["openapi", "info", "paths"],
    },
}

_REPORT = {"application/json": ref("Health")}
_UNCHANGED = Response(304, "What the caller has is current.", headers=("ETag",))


def _description(summary: str, media_type: str) -> Operation:
    schema = TEXT if media_type == "text/html" else ref("Description")
    responses = (Response(200, "The description.", {media_type: schema}, headers=("ETag",)), _UNCHANGED)
    return Operation(summary, responses, parameters=(IF_NONE_MATCH,))


SECTION = Section(
    "Service",
    "What the service is, and how it does.",
    {
        ("check_health", "GET"): Operation(
            "Say whether the service works", (Response(200, "All of it works.", _REPORT), Response(503, "Some of it does not.", _REPORT))
        ),
        ("describe_service_json", "GET"): _description("Describe the service, in JSON", "application/json"),
        ("describe_service_yaml", "GET"): _description("Describe the service, in YAML", "application/yaml"),
        ("describe_service_page", "GET"): _description("Describe the service, as a page to read", "text/html"),
    },
)
