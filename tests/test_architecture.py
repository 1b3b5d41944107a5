"""Import rules and habits that import-linter cannot see: which file may do what, read from the syntax tree."""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent
DEPLOYED: Final = ("function_app.py", "functions", "shared")
OURS: Final = (*DEPLOYED, "localhost", "samples", "tools", "tests")

HANDLERS_MAY_IMPORT: Final = (
    "azure.functions",
    "azurefunctions.extensions",
    "fastapi",  # the types behind the streaming extension's names, for the type checker alone
    "functions",
    "orjson",
    "shared.access",
    "shared.audit",
    "shared.limits",
    "shared.catalog.keys",  # names of containers and queues that triggers bind to
    "shared.catalog.outbox.Action",  # words that the description of the service lists, as are those of issues
    "shared.dicom",  # values that services take: levels, rules
    "shared.dicomweb",
    "shared.errors",
    "shared.fhir.issues",
    "shared.ports",  # the type of a body's pieces
    "shared.services",
    "shared.settings",
    "shared.telemetry",
)
CATCH_ALL_STANDS_IN: Final = {
    "functions/_http.py",  # the edge: what was not foreseen becomes 500
    "shared/services/stow.py",  # the loop over instances: one must not fail the others
    "shared/adapters/worker_threads.py",  # a thread hands the error to whoever awaits its result
}
ENVIRONMENT_IS_READ_IN: Final = "shared/settings.py"

FHIR_MODEL: Final = re.compile(r"fhir\.resources\.R4B\.[a-z]+(\.[A-Z]\w*)?")
"""The models of the library's root are of R5, whose elements differ."""
SLOW_TO_IMPORT: Final = ("azure.identity", "cryptography", "fhir", "jwt", "requests", "urllib3")
MAY_BE_SLOW: Final = {"shared/adapters/bounded_http.py", "shared/adapters/fhir_exchange.py", "shared/adapters/openid_documents.py"}
"""Imported by others when the first request is sent."""

REASONED_IGNORE: Final = re.compile(r"# (type: ignore\[[a-z, -]+\]|noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*)\s+(# |--? )?\w")

LARGEST_MODULE_LINES: Final = 450
LARGEST_FUNCTION_LINES: Final = 70


def source_files(*places: str) -> list[str]:
    """Name the Python files under the places, relative to the root of the project."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [path.relative_to(ROOT).as_posix() for path in found]


def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Give every module that is imported anywhere below the node, with its line."""
    for statement in ast.walk(node):
        if isinstance(statement, ast.Import):
            yield from ((alias.name, statement.lineno) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            yield from ((f"{statement.module}.{alias.name}", statement.lineno) for alias in statement.names)


def begins_with(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("name", source_files("functions"))
def test_a_handler_imports_only_the_functions_library_and_services(name: str) -> None:
    strangers = {
        module
        for module, _ in imports(tree(name))
        if module.split(".")[0] not in sys.stdlib_module_names and not begins_with(module, HANDLERS_MAY_IMPORT)
    }
    assert not strangers


def swallows_everything(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches what it cannot know, and does not raise it again."""
    catches_all = handler.type is None or (isinstance(handler.type, ast.Name) and handler.type.id in {"Exception", "BaseException"})
    last = handler.body[-1]
    return catches_all and not (isinstance(last, ast.Raise) and last.exc is None)


@pytest.mark.parametrize("name", source_files(*DEPLOYED, "localhost", "samples", "tools"))
def test_exceptions_are_caught_by_name(name: str) -> None:
    handlers = [node for node in ast.walk(tree(name)) if isinstance(node, ast.ExceptHandler)]
    assert sum(map(swallows_everything, handlers)) <= (name in CATCH_ALL_STANDS_IN)


@pytest.mark.parametrize("name", source_files(*DEPLOYED))
def test_the_environment_is_read_in_settings_alone(name: str) -> None:
    readers = [
        node.lineno
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    ]
    assert not readers or name == ENVIRONMENT_IS_READ_IN


@pytest.mark.parametrize("name", source_files(*DEPLOYED, "localhost"))
def test_an_import_inside_a_function_says_what_it_avoids(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    functions = [node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inner = {line for function in functions for _, line in imports(function)}
    assert not [line for line in inner if "#" not in lines[line - 1] and not lines[line - 2].lstrip().startswith("#")]


@pytest.mark.parametrize("name", source_files(*OURS))
def test_fhir_models_are_those_of_r4(name: str) -> None:
    models = [module for module, _ in imports(tree(name)) if begins_with(module, ("fhir",))]
    assert all(map(FHIR_MODEL.fullmatch, models))


def imports_at_once(node: ast.AST) -> Iterator[str]:
    """Give every module that is imported when the module is, unless only for the type checker."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from (module for module, _ in imports(child))
        yield from imports_at_once(child)


@pytest.mark.parametrize("name", source_files(*DEPLOYED))
def test_what_is_slow_to_import_waits_until_it_is_needed(name: str) -> None:
    slow = [module for module in imports_at_once(tree(name)) if begins_with(module, SLOW_TO_IMPORT)]
    assert not slow or name in MAY_BE_SLOW


@pytest.mark.parametrize("name", source_files(*DEPLOYED, "localhost", "samples", "tools"))
def test_an_ignored_finding_names_its_code_and_reason(name: str) -> None:
    with (ROOT / name).open("rb") as file:
        comments = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT]
    ignored = [comment for comment in comments if re.match(r"#\s*(type:\s*ignore|noqa)", comment)]
    assert not [comment for comment in ignored if not REASONED_IGNORE.match(comment)]


@pytest.mark.parametrize("name", [name for name in source_files(*OURS) if name.endswith("__init__.py")])
def test_a_package_is_one_line_of_docstring(name: str) -> None:
    body = tree(name).body
    assert len(body) == 1
    assert ast.get_docstring(tree(name))


@pytest.mark.parametrize("name", source_files(*DEPLOYED, "localhost"))
def test_a_module_says_what_it_is_and_stays_readable(name: str) -> None:
    """Not a limit to design by: beyond it a module or function has a second reason to change."""
    module = tree(name)
    assert ast.get_docstring(module)
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= LARGEST_MODULE_LINES
    functions = (node for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    assert not [f.name for f in functions if (f.end_lineno or f.lineno) - f.lineno >= LARGEST_FUNCTION_LINES]


def test_deployed_code_is_small_in_the_middle() -> None:
    """The median module fits on a few screens."""
    sizes = sorted(
        len((ROOT / name).read_text(encoding="utf-8").splitlines()) for name in source_files(*DEPLOYED) if "__init__" not in name
    )
    assert sizes[len(sizes) // 2] <= 250
