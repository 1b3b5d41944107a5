"""The description of the service: complete, valid, alike in its three forms, and a page that brings everything along."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape
from typing import Any, Final

import pytest
import schemathesis
import yaml
from hypothesis import given
from hypothesis import strategies as st

from functions._http import STATUS
from functions._openapi.document import REFUSALS, SCHEMAS, SECTIONS, document
from functions._openapi.page import page
from functions._openapi.yaml_text import to_yaml
from functions._routes import ANY_PATH, Route
from shared.access import DataAction
from shared.errors import Category
from shared.identity_settings import IdentitySettings
from shared.settings import Settings, StorageSettings
from tests.support.app_client import AppClient

Json = Any

STORAGE: Final = StorageSettings(kind="embedded")
CLOSED: Final = Settings(
    storage=STORAGE,
    identity=IdentitySettings(authority="https://issuer.example/v2.0", audiences=("api://archive",)),
    public_base_url="https://archive.example",
)


@pytest.fixture(scope="module")
def client() -> AppClient:
    return AppClient()


@pytest.fixture(scope="module")
def routes(client: AppClient) -> list[Route]:
    entries: list[Any] = [function.get_user_function() for function in client.functions.values() if function.is_http_function()]
    return [entry.route for entry in entries if entry.route.template != ANY_PATH]


def described(routes: list[Route], prefix: str = "v2", settings: Settings = CLOSED) -> Json:
    return json.loads(json.dumps(document(routes, prefix, settings)))


def operations(said: Json) -> dict[str, Json]:
    return {operation["operationId"]: operation for item in said["paths"].values() for operation in item.values()}


# complete


def test_every_route_and_method_is_described_and_nothing_else(routes: list[Route]) -> None:
    keys = [key for section in SECTIONS for key in section.operations]
    assert len(keys) == len(set(keys))
    assert set(keys) == {(route.name, method) for route in routes for method in route.methods if method != "HEAD"}


def test_a_route_that_nobody_described_has_no_document() -> None:
    with pytest.raises(KeyError, match="retrieve_thumbnail"):
        document([Route("retrieve_thumbnail", "v2/thumbnail", ("GET",), DataAction.READ)], "v2", CLOSED)


def test_every_category_of_error_that_becomes_a_problem_is_described() -> None:
    assert set(REFUSALS) == STATUS.keys() - {Category.CONFLICT}  # only a store request has it, and answers with its dataset


def test_operations_have_names_of_their_own(routes: list[Route]) -> None:
    assert len(operations(described(routes))) == sum(len(section.operations) for section in SECTIONS)


@pytest.mark.parametrize("category", [Category.INCORRECT, Category.EXCESSIVE, Category.FAULT, Category.BUSY])
def test_what_the_edge_may_answer_is_said_of_every_operation(routes: list[Route], category: Category) -> None:
    assert {str(STATUS[category]) in operation["responses"] for operation in operations(described(routes)).values()} == {True}


def test_a_refusal_is_a_problem_document_but_for_a_store_requests(routes: list[Route]) -> None:
    said = described(routes)
    others = set()
    for name, operation in operations(said).items():
        for status, response in operation["responses"].items():
            whole = said["components"]["responses"][response["$ref"].rpartition("/")[2]] if "$ref" in response else response
            if status >= "400" and "application/problem+json" not in whole["content"]:
                others.add((status, name.partition("_")[0]))
    assert others == {("409", "store"), ("409", "replace")}


def test_an_operation_names_its_right_and_the_answers_to_those_who_lack_it(routes: list[Route]) -> None:
    said = operations(described(routes))
    for route in routes:
        operation = said[route.name]
        assert operation.get("x-data-action", "public") == route.action
        assert ({"401", "403"} <= operation["responses"].keys()) == (route.action is not DataAction.PUBLIC)


# valid


@pytest.mark.parametrize("prefix", ["v1", "v1.0", "v1.0-prerelease", "v2", "v2.0"])
@pytest.mark.parametrize("settings", [CLOSED, Settings(storage=STORAGE)], ids=["closed", "open"])
def test_it_is_openapi(routes: list[Route], prefix: str, settings: Settings) -> None:
    said = described(routes, prefix, settings)
    schemathesis.openapi.from_dict(said).validate()
    assert {path for path in said["paths"] if path.startswith("/v")} == {path for path in said["paths"] if path.startswith(f"/{prefix}/")}


def references(value: Json) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_references_lead_somewhere_and_no_schema_is_left_over(routes: list[Route]) -> None:
    said = described(routes)
    targets = {f"#/components/{kind}/{name}" for kind in ("schemas", "headers", "responses") for name in said["components"][kind]}
    assert references(said) <= targets
    assert {f"#/components/schemas/{name}" for name in SCHEMAS} <= references(said)


# versions and settings


def test_the_versions_differ_where_the_service_does(routes: list[Route]) -> None:
    windows = {}
    for prefix in ("v1", "v2"):
        parameters = operations(described(routes, prefix))["read_change_feed"]["parameters"]
        windows[prefix] = {p["name"]: p["schema"].get("maximum") for p in parameters}
    assert windows["v1"] == {"offset": 2**63 - 1, "limit": 100, "includeMetadata": None}
    assert windows["v2"] == {"startTime": None, "endTime": None, "offset": 2**63 - 1, "limit": 200, "includeMetadata": None}


def test_a_search_has_the_keys_of_the_levels_below_its_path(routes: list[Route]) -> None:
    keys = {p["name"] for p in operations(described(routes))["search_instances_of_study"]["parameters"]}
    assert {"Modality", "SOPClassUID"} <= keys
    assert "PatientID" not in keys


def test_callers_learn_whose_tokens_are_taken(routes: list[Route]) -> None:
    said = described(routes)
    (scheme,) = said["components"]["securitySchemes"].values()
    assert scheme["openIdConnectUrl"] == "https://issuer.example/v2.0/.well-known/openid-configuration"
    assert "`api://archive`" in scheme["description"]
    assert said["security"]
    assert said["servers"] == [{"url": "https://archive.example"}]
    assert [name for name, operation in operations(said).items() if operation.get("security") == []] == [
        "check_health",
        "describe_service_json",
        "describe_service_yaml",
        "describe_service_page",
    ]


def test_an_open_service_asks_for_no_token(routes: list[Route]) -> None:
    said = described(routes, settings=Settings(storage=STORAGE))
    assert "security" not in said
    assert "securitySchemes" not in said["components"]
    assert said["servers"] == [{"url": "/"}]


# given


async def test_json_and_yaml_say_the_same(client: AppClient) -> None:
    as_json, as_yaml = await client.get("/v2/api.json"), await client.get("/v2/api.yaml")
    assert (as_json.headers["content-type"], as_yaml.headers["content-type"]) == ("application/json", "application/yaml")
    assert yaml.safe_load(as_yaml.body) == as_json.json()
    assert as_yaml.body.startswith(b'openapi: "3.1.0"\n')


async def test_a_version_is_described_in_its_own_spelling(client: AppClient) -> None:
    assert "/v1.0-prerelease/studies" in (await client.get("/V1.0-Prerelease/api.json")).json()["paths"]


@pytest.mark.parametrize("ending", ["json", "yaml", "html"])
async def test_who_has_it_already_gets_nothing(client: AppClient, ending: str) -> None:
    first = await client.get(f"/v2/api.{ending}")
    again = await client.get(f"/v2/api.{ending}", if_none_match=first.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", first.headers["etag"])


# the page


def test_the_page_brings_everything_along_and_allows_nothing_else(routes: list[Route]) -> None:
    html = page(described(routes))
    assert not re.search(r"<(script|link|img|iframe|form)|style=|\son\w+=|url\(", html)
    assert set(re.findall(r'(?:src|href)="([^"#][^"]*)"', html)) == {"api.json", "api.yaml"}


async def test_the_policy_of_the_page_allows_its_own_style_alone(client: AppClient) -> None:
    reply = await client.get("/v2/api.html")
    (style,) = re.findall(r"<style>(.*?)</style>", reply.body.decode(), re.DOTALL)
    own = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert reply.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_the_page_shows_every_operation_and_schema_and_its_links_lead_somewhere(routes: list[Route]) -> None:
    said = described(routes)
    html = page(said)
    anchors = re.findall(r' id="([^"]+)"', html)
    assert sorted(anchors) == sorted([*operations(said), *SCHEMAS])
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(anchors)


def test_the_page_has_a_command_for_each_operation(routes: list[Route]) -> None:
    commands = [unescape(text) for text in re.findall(r"<pre>(curl .*?)</pre>", page(described(routes)))]
    assert len(commands) == len(operations(described(routes)))
    assert not [command for command in commands if "{" in command.rpartition('"https://')[2]]
    assert 'curl -H "Authorization: Bearer $TOKEN" "https://archive.example/v2/studies?limit=10"' in commands
    assert 'curl "https://archive.example/health/check"' in commands


def test_the_page_takes_no_text_for_markup(routes: list[Route]) -> None:
    said = described(routes)
    said["info"]["title"] = "<b>&"
    said["paths"]["/health/check"]["get"]["summary"] = "<script>"
    html = page(said)
    assert "&lt;b&gt;&amp;, API version 2" in html
    assert "<script" not in html


# YAML

TEXTS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])) | st.sampled_from(
    ["yes", "Off", "null", "~", "1.0", "a: b", "- a"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=20
)


@given(VALUES)
def test_yaml_is_read_as_what_was_written(value: Json) -> None:
    assert yaml.safe_load(to_yaml(value)) == value
