"""Routes answer as the real host's do: by ASP.NET's templates, in the order of the functions' names."""

from __future__ import annotations

import pytest

from localhost.bindings import Function, HttpTrigger
from localhost.problems import StartupProblem
from localhost.routing import RouteTable, decode_path, is_reserved


def table(*routes: tuple[str, str, str], prefix: str = "") -> RouteTable:
    """Make a table of (function name, template, methods)."""
    return RouteTable([Function(name, HttpTrigger("req", template, _methods(methods))) for name, template, methods in routes], prefix)


def _methods(text: str) -> frozenset[str] | None:
    return None if text == "*" else frozenset(text.split())


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("studies", "studies", {}),
        ("studies", "STUDIES", {}),
        ("studies", "studies/", {}),
        ("studies", "studiesx", None),
        ("studies", "studies//", None),
        ("studies/{study}", "studies/1.2", {"study": "1.2"}),
        ("studies/{study}", "studies/a%2Fb", {"study": "a%2Fb"}),
        ("studies/{study}", "studies/", None),
        ("studies/{study}", "studies/1/2", None),
        ("studies/{study?}", "studies", {}),
        ("studies/{study?}", "studies/1", {"study": "1"}),
        ("{*rest}", "", {}),
        ("{*rest}", "a/b", {"rest": "a/b"}),
        ("files/{*rest}", "files", {}),
        ("files/{*rest}", "files/a//b", {"rest": "a//b"}),
        ("files/{*rest}", "filesystem", None),
        ("files/{**rest}", "files/a/b", {"rest": "a/b"}),
        ("{name}.{suffix}", "picture.tar.png", {"name": "picture.tar", "suffix": "png"}),
        ("v1.0-prerelease/x", "v1x0-prerelease/x", None),
        ("a/{x:int}", "a/12", {"x": "12"}),
        ("a/{x:int}", "a/b", None),
        ("a/{x:int?}", "a", {}),
        (r"a/{uid:regex(^[\d.]{{1,4}}$)}", "a/1.2", {"uid": "1.2"}),
        (r"a/{uid:regex(^[\d.]{{1,4}}$)}", "a/1.2.3", None),
        ("a/{x:regex(^(b|c(d|e))$):length(2)}/f", "a/cd/f", {"x": "cd"}),
        ("a/{x:regex(^[^/$]+$)}", "a/$b", None),
        ("a/$bulk", "a/$bulk", {}),
    ],
)
def test_a_template_takes_what_asp_net_would(template: str, path: str, expected: dict[str, str] | None) -> None:
    found = table(("f", template, "GET")).find(path, "GET")
    assert (found and found[1]) == expected


@pytest.mark.parametrize(
    ("constraint", "fitting", "unfitting"),
    [
        ("int", "-7", "2147483648"),
        ("long", "2147483648", "1.5"),
        ("bool", "True", "yes"),
        ("alpha", "abc", "ab1"),
        ("guid", "c56a4180-65aa-42ec-a945-5fd21dec0538", "c56a"),
        ("required", "x", ""),
        ("min(3)", "3", "2"),
        ("max(3)", "3", "4"),
        ("range(1,3)", "2", "4"),
        ("length(3)", "abc", "ab"),
        ("length(2,3)", "ab", "abcd"),
        ("minlength(2)", "ab", "a"),
        ("maxlength(2)", "ab", "abc"),
        ("regex(^a)", "ABC", "ba"),
    ],
)
def test_a_constraint_decides(constraint: str, fitting: str, unfitting: str) -> None:
    routes = table(("f", f"x/{{value:{constraint}}}", "GET"))
    assert routes.find(f"x/{fitting}", "GET") is not None
    assert routes.find(f"x/{unfitting}", "GET") is None


def test_the_first_function_by_name_wins_whatever_is_more_precise() -> None:
    routes = table(("b_literal", "order/literal", "GET"), ("A_parameter", "order/{name}", "GET"))
    found = routes.find("order/literal", "GET")
    assert found is not None
    assert found[0].name == "A_parameter"


def test_a_wrong_method_falls_through_to_the_next_route() -> None:
    routes = table(("a", "order/{name}", "GET"), ("b", "order/literal", "DELETE"))
    found = routes.find("order/literal", "DELETE")
    assert found is not None
    assert found[0].name == "b"


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
def test_a_method_that_is_not_listed_finds_nobody(method: str) -> None:
    assert table(("a", "x", "GET")).find("x", method) is None


def test_a_function_without_methods_takes_any() -> None:
    assert table(("a", "x", "*")).find("x", "PATCH") is not None


def test_the_prefix_stands_before_every_route() -> None:
    routes = table(("a", "/x", "GET"), prefix="base")
    assert routes.find("base/x", "GET") is not None
    assert routes.find("x", "GET") is None


def test_paths_longer_than_any_template_reach_the_catch_all_only() -> None:
    routes = table(("a", "{x}", "GET"), ("b", "{*rest}", "GET"))
    found = routes.find("/".join("x" * 100), "GET")
    assert found is not None
    assert found[0].name == "b"


@pytest.mark.parametrize("template", ["admin", "Admin/x", "runtime/webhooks"])
def test_routes_of_the_hosts_own_are_refused(template: str) -> None:
    with pytest.raises(StartupProblem, match="belong to the host"):
        table(("a", template, "GET"))


def test_a_route_used_twice_for_a_method_is_refused() -> None:
    with pytest.raises(StartupProblem, match="same route for GET"):
        table(("a", "x/{y}", "GET POST"), ("b", "X/{Y}", "GET"))


def test_a_route_may_be_shared_by_method() -> None:
    routes = table(("a", "x", "GET"), ("b", "x", "POST"))
    assert [route.function.name for route in routes.routes] == ["a", "b"]


@pytest.mark.parametrize("template", ["{x:nonsense}", "{x:int(}", "{x=1}", "{1x}", "{x:regex([)}", "{x:length(a)}"])
def test_a_template_that_is_not_understood_is_refused(template: str) -> None:
    with pytest.raises(StartupProblem, match="not understood"):
        table(("a", template, "GET"))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/", ""),
        (b"/a/b", "a/b"),
        (b"/a%20b", "a b"),
        (b"/a%2Fb%2fc", "a%2Fb%2fc"),
        (b"/%C3%BC", "ü"),
        (b"/%252F", "%2F"),
        (b"/a/./b/../c", "a/c"),
        (b"/a/%2E%2E/b", "b"),
        (b"/../../a", "a"),
        (b"/a/..", ""),
        (b"/a/b/.", "a/b/"),
        (b"/.well-known", ".well-known"),
    ],
)
def test_a_path_is_decoded_as_the_real_host_decodes_it(raw: bytes, path: str) -> None:
    assert decode_path(raw) == path


@pytest.mark.parametrize(
    ("path", "reserved"), [("admin", True), ("ADMIN/x", True), ("runtime/x", True), ("administration", False), ("", False)]
)
def test_paths_of_the_hosts_own_are_known(path: str, reserved: bool) -> None:
    assert is_reserved(path) is reserved
