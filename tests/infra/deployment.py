"""What a template deploys with given parameters: its resources, those of its modules, and its outputs. Not: expressions."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lark import Token, Tree

from tests.infra.expressions import Evaluator, Runtime, Scope, evaluate_text, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INFRA: Final = Path(__file__).resolve().parents[2] / "infra"
MAIN: Final = INFRA / "main.bicep"


@dataclass(frozen=True)
class Resource:
    """A resource that is deployed, with its values worked out; parents and scopes are resources too."""

    type: str
    file: str
    symbol: str
    body: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name, after its parents'."""
        parent = self.body.get("parent")
        return f"{parent.name}/{self.body['name']}" if isinstance(parent, Resource) else str(self.body["name"])

    @property
    def properties(self) -> Mapping[str, Any]:
        """What is most of it."""
        return dict(self.body.get("properties") or {})

    def access(self, key: str) -> Any:
        """Give what an expression reads of it; but for its name, only Azure knows it."""
        return self.name if key == "name" else Runtime(f"{self.type}/{self.name}.{key}")


@dataclass
class Parameter:
    """A parameter as it is declared."""

    type: str
    default: Any
    decorators: Mapping[str, Any]


class Template:
    """A file: what it declares."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self._statements = [child for child in parse(self.source).children if isinstance(child, Tree)]

    def statements(self, kind: str) -> Iterator[tuple[str, list[Any]]]:
        """Give name and parts of each statement of a kind; the decorators are the first part."""
        for statement in self._statements:
            if statement.data == kind:
                decorators, name, *rest = statement.children
                yield str(name), [decorators, *rest]

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name; a default is an expression, or None."""
        return {name: Parameter(_type(kind), default, _decorators(marks)) for name, (marks, kind, default) in self.statements("param")}

    def members(self, name: str) -> list[str]:
        """Give the names of an object type's properties."""
        (body,) = [parts[-1] for declared, parts in self.statements("custom_type") if declared == name]
        return [str(pair.children[0].children[0]) for pair in body.children if pair is not None]


def _type(node: Tree[Token]) -> str:
    return str(next(node.scan_values(lambda _: True)))


def _decorators(node: Tree[Token] | None) -> dict[str, Any]:
    marks = [child for child in node.children if isinstance(child, Tree)] if node is not None else []
    return {str(mark.children[0]): [str(token).strip("'") for token in mark.scan_values(lambda _: True)][1:] for mark in marks}


@dataclass
class _Instance:
    """A file with its parameters given: the scope that its expressions stand in."""

    template: Template
    given: Mapping[str, Any]
    resources: dict[str, Any] = field(default_factory=dict)
    modules: dict[str, Any] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)

    def lookup(self, name: str) -> Any:
        if name not in self.known:
            self.known[name] = self._find(name)
        return self.known[name]

    def inner(self, values: Mapping[str, Any]) -> Scope:
        return _Inner(self, values)

    def evaluator(self) -> Evaluator:
        return Evaluator(self.template.source, self)

    def _find(self, name: str) -> Any:
        if name in self.template.parameters:
            return self.given[name] if name in self.given else self.evaluator().value(self.template.parameters[name].default)
        for kind in ("var", "resource", "module"):
            for declared, parts in self.template.statements(kind):
                if declared == name:
                    return self._make(kind, name, parts)
        raise KeyError(f"{name} in {self.template.path.name}")

    def _make(self, kind: str, name: str, parts: list[Any]) -> Any:
        if kind == "var":
            return self.evaluator().value(parts[-1])
        body = parts[-1]
        if body.data == "deploy_condition":
            condition, body = body.children
            if not self.evaluator().value(condition):
                return Missing(name)
        make = self._resource(name, parts) if kind == "resource" else self._module(parts)
        if body.data == "loop":
            return [make(value) for _, value in self.evaluator().iterate(body)]
        return make(self.evaluator().value(body))

    def _resource(self, name: str, parts: list[Any]) -> Any:
        type_name = str(parts[1].children[0]).strip("'").partition("@")[0]
        return lambda body: Resource(type_name, self.template.path.relative_to(INFRA).as_posix(), name, body)

    def _module(self, parts: list[Any]) -> Any:
        path = self.template.path.parent / str(parts[1].children[0]).strip("'")
        return lambda body: Deployed(_Instance(template(path), body.get("params", {})))

    def declared(self, kind: str) -> Iterator[Any]:
        """Give what is deployed of the statements of a kind."""
        for name, parts in self.template.statements(kind):
            made = self.lookup(name)
            existing = kind == "resource" and parts[2] is not None
            if not existing:
                yield from [one for one in (made if isinstance(made, list) else [made]) if not isinstance(one, Missing)]


@dataclass(frozen=True)
class Missing:
    """Stands for what is not deployed; Azure would not let it be read."""

    name: str

    def access(self, key: str) -> Any:
        """Complain, but for its id, which is a text that can be made without it."""
        if key == "id":
            return Runtime(f"absent {self.name}")
        raise AssertionError(f"{self.name}.{key} is read, and not deployed")


@dataclass(frozen=True)
class _Inner:
    """A turn of a loop."""

    outer: Scope
    values: Mapping[str, Any]

    def lookup(self, name: str) -> Any:
        return self.values[name] if name in self.values else self.outer.lookup(name)

    def inner(self, values: Mapping[str, Any]) -> Scope:
        return _Inner(self, values)


@dataclass(frozen=True)
class Deployed:
    """A template, deployed."""

    instance: _Instance

    @cached_property
    def resources(self) -> list[Resource]:
        """Everything that is deployed, by modules too."""
        own = list(self.instance.declared("resource"))
        return own + [resource for module in self.instance.declared("module") for resource in module.resources]

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """Outputs by name."""
        statements = self.instance.template.statements("output")
        return {name: self.instance.evaluator().value(parts[-1]) for name, parts in statements}

    def of(self, type_name: str) -> list[Resource]:
        """Give the resources of a type."""
        return [resource for resource in self.resources if resource.type == type_name]

    def access(self, key: str) -> Any:
        """Give what an expression reads of a module."""
        return _Outputs(self) if key == "outputs" else Runtime(key)


@dataclass(frozen=True)
class _Outputs:
    """Outputs of a module; each is worked out when it is read, so that modules may wait for one another's."""

    module: Deployed

    def access(self, key: str) -> Any:
        (value,) = [parts[-1] for name, parts in self.module.instance.template.statements("output") if name == key]
        return self.module.instance.evaluator().value(value)


_TEMPLATES: dict[Path, Template] = {}


def template(path: Path = MAIN) -> Template:
    """Read a file, once."""
    return _TEMPLATES.setdefault(path, Template(path))


def deploy(path: Path = MAIN, /, **parameters: Any) -> Deployed:
    """Work out what a template deploys."""
    known = template(path).parameters
    assert parameters.keys() <= known.keys()
    missing = [name for name, parameter in known.items() if parameter.default is None and name not in parameters]
    assert not missing, missing
    return Deployed(_Instance(template(path), parameters))


class _Environment:
    """Scope of a parameter file: it knows no names."""

    def lookup(self, name: str) -> Any:
        raise KeyError(name)

    def inner(self, values: Mapping[str, Any]) -> Scope:
        return _Inner(self, values)


def parameters_of(path: Path) -> dict[str, Any]:
    """Give the parameters of a .bicepparam file of one line each, whose variables are not set in the environment."""
    lines = [line.removeprefix("param ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("param ")]
    return {name: evaluate_text(text, _Environment()) for name, _, text in (line.partition(" = ") for line in lines)}
