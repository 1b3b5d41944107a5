"""Every path and method leads to exactly one function, and every function says which right it needs."""

from __future__ import annotations

import inspect
import typing
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from azurefunctions.extensions.http.fastapi import Request, Response

from functions._blob_name import BlobName
from functions._routes import ANY_PATH, INSTANCE, SERIES, STUDY, VERSION, Route, RouteTable
from shared.access import DataAction
from tests.support.app_client import AppClient

if TYPE_CHECKING:
    from localhost.routing import RouteTable as HostRoutes

UID = "1.2.840.10008"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

PATHS = {
    "studies": {"GET": "search_studies", "HEAD": "search_studies", "POST": "store_instances", "PUT": "store_instances"},
    "series": {"GET": "search_series", "HEAD": "search_series"},
    "instances": {"GET": "search_instances", "HEAD": "search_instances"},
    f"studies/{UID}": {
        "GET": "retrieve_study",
        "HEAD": "retrieve_study",
        "POST": "store_instances_of_study",
        "PUT": "store_instances_of_study",
        "DELETE": "delete_study",
    },
    f"studies/{UID}/metadata": {"GET": "retrieve_study_metadata", "HEAD": "retrieve_study_metadata"},
    f"studies/{UID}/series": {"GET": "search_series_of_study", "HEAD": "search_series_of_study"},
    f"studies/{UID}/instances": {"GET": "search_instances_of_study", "HEAD": "search_instances_of_study"},
    f"studies/{UID}/series/{UID}": {"GET": "retrieve_series", "HEAD": "retrieve_series", "DELETE": "delete_series"},
    f"studies/{UID}/series/{UID}/metadata": {"GET": "retrieve_series_metadata", "HEAD": "retrieve_series_metadata"},
    f"studies/{UID}/series/{UID}/instances": {"GET": "search_instances_of_series", "HEAD": "search_instances_of_series"},
    f"studies/{UID}/series/{UID}/instances/{UID}": {
        "GET": "retrieve_instance",
        "HEAD": "retrieve_instance",
        "DELETE": "delete_instance",
    },
    f"studies/{UID}/series/{UID}/instances/{UID}/metadata": {
        "GET": "retrieve_instance_metadata",
        "HEAD": "retrieve_instance_metadata",
    },
    f"studies/{UID}/series/{UID}/instances/{UID}/frames/1,2": {"GET": "retrieve_frames", "HEAD": "retrieve_frames"},
    "changefeed": {"GET": "read_change_feed", "HEAD": "read_change_feed"},
    "changefeed/latest": {"GET": "read_latest_change", "HEAD": "read_latest_change"},
    "api.json": {"GET": "describe_service_json", "HEAD": "describe_service_json"},
    "api.yaml": {"GET": "describe_service_yaml", "HEAD": "describe_service_yaml"},
    "api.html": {"GET": "describe_service_page", "HEAD": "describe_service_page"},
    "studies/$bulkUpdate": {},
    "workitems": {},
}


@pytest.fixture(scope="module")
def client() -> AppClient:
    return AppClient()


def matching(routes: HostRoutes, path: str, method: str) -> list[str]:
    """Give all functions whose template and methods fit, the fallback aside."""
    fitting = [r for r in routes.routes if (r.methods is None or method in r.methods) and r.match(path) is not None]
    return [r.function.name for r in fitting if r.template != ANY_PATH]


@pytest.mark.parametrize("version", ["v1", "v1.0", "v2", "v2.0", "v1.0-prerelease", "V2"])
@pytest.mark.parametrize(("path", "method"), list(product(PATHS, METHODS)))
def test_a_path_and_method_lead_to_exactly_one_function(client: AppClient, version: str, path: str, method: str) -> None:
    expected = PATHS[path].get(method)
    assert matching(client.routes, f"{version}/{path}", method) == ([expected] if expected else [])
    found = client.routes.find(f"{version}/{path}", method)
    assert found is not None
    assert found[0].name == (expected or "zz_fallback")


OPERATORS_PATHS = {
    "health/check": {"GET": "check_health", "HEAD": "check_health"},
    "fhir-sync/status": {"GET": "read_fhir_status", "HEAD": "read_fhir_status"},
    "fhir-sync/issues": {"GET": "read_fhir_issues", "HEAD": "read_fhir_issues"},
    f"fhir-sync/preview/{UID}": {"GET": "preview_fhir_study", "HEAD": "preview_fhir_study"},
    "fhir-sync/retry": {"POST": "retry_fhir_studies"},
    "fhir-sync/rebuild": {"POST": "rebuild_fhir_studies"},
    "fhir-sync/preview": {},
    "fhir-sync": {},
}


@pytest.mark.parametrize(("path", "method"), list(product(OPERATORS_PATHS, METHODS)))
def test_a_path_without_a_version_leads_to_exactly_one_function_too(client: AppClient, path: str, method: str) -> None:
    expected = OPERATORS_PATHS[path].get(method)
    assert matching(client.routes, path, method) == ([expected] if expected else [])


@pytest.mark.parametrize(
    "path",
    [
        "",
        "v3/studies",
        "v20/studies",
        "v2.1/studies",
        "v2x0/studies",
        "studies",
        "v2",
        "xv2/studies",
        "v1x0-prerelease/studies",
        "favicon.ico",
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_resource_goes_to_the_fallback(client: AppClient, path: str, method: str) -> None:
    found = client.routes.find(path, method)
    assert found is not None
    assert found[0].name == "zz_fallback"


def http_handlers(client: AppClient) -> dict[str, Any]:
    return {name: f.get_user_function() for name, f in client.functions.items() if f.is_http_function()}


def test_every_http_function_declares_a_right_and_few_are_public(client: AppClient) -> None:
    routes = {name: getattr(handler, "route", None) for name, handler in http_handlers(client).items()}
    assert {name for name, route in routes.items() if not isinstance(route, Route)} == set()
    public = {name for name, route in routes.items() if route is not None and route.action is DataAction.PUBLIC}
    assert public == {"check_health", "describe_service_json", "describe_service_yaml", "describe_service_page", "zz_fallback"}


@pytest.mark.parametrize(
    ("prefix", "action"),
    [
        ("store_", "write"),
        ("search_", "read"),
        ("retrieve_", "read"),
        ("delete_", "delete"),
        ("read_", "read"),
        ("preview_", "read"),
        ("retry_", "write"),
        ("rebuild_", "write"),
    ],
)
def test_a_function_asks_for_the_right_of_its_transaction(client: AppClient, prefix: str, action: str) -> None:
    actions = {handler.route.action for name, handler in http_handlers(client).items() if name.startswith(prefix)}
    assert actions == {DataAction(action)}


def test_every_http_function_has_the_signature_that_the_streaming_worker_checks(client: AppClient) -> None:
    for name, handler in http_handlers(client).items():
        assert inspect.iscoroutinefunction(handler)
        assert typing.get_type_hints(handler) == {"req": Request, "return": Response}
        assert handler.__name__ == name


def test_the_blob_trigger_gets_names_only_and_is_announced_by_event_grid(client: AppClient) -> None:
    function = client.functions["ingest_blob"]
    assert typing.get_type_hints(function.get_user_function())["blob"] is BlobName
    trigger: Any = function.get_trigger()
    assert (trigger.path, trigger.connection, trigger.source) == ("inbox/{name}", "STORAGE", "EventGrid")


def test_our_own_matcher_of_templates_agrees_with_the_hosts(client: AppClient) -> None:
    ours = RouteTable()
    for handler in http_handlers(client).values():
        ours.add(handler.route)
    for path in (*(f"v2/{p}" for p in PATHS), *OPERATORS_PATHS, "v2/studies/1/2", "v9/studies", "Health/Check"):
        expected = tuple(sorted(m for m in METHODS if matching(client.routes, path, m)))
        assert ours.methods_for(path) == expected


def test_a_readable_template_has_no_constraints() -> None:
    templates = (VERSION, STUDY, SERIES, INSTANCE)
    assert [Route("f", t, ("GET",), DataAction.READ).readable for t in templates] == [
        "/{version}",
        "/{version}/studies/{study}",
        "/{version}/studies/{study}/series/{series}",
        "/{version}/studies/{study}/series/{series}/instances/{instance}",
    ]
