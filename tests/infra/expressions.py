"""Values of Bicep expressions. Not: files, parameters, resources.

A PyPI parser reads the templates. Its tree leans to the right whatever binds tighter (``a == b && c`` is ``a == (b && c)`` to it), so
that a chain of operators is taken apart and put together again here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

from lark import Token, Tree
from pycep import BicepParser

Node: TypeAlias = Tree[Token] | Token | None

_PARSER: Final = BicepParser(cache=False)


class Runtime(str):
    """A value that only Azure knows; its text tells where it comes from."""

    __slots__ = ()


class Scope(Protocol):
    """Where names have their values."""

    def lookup(self, name: str) -> Any: ...

    def inner(self, values: Mapping[str, Any]) -> Scope: ...


@cache
def parse(text: str) -> Tree[Token]:
    """Read a file."""
    return _PARSER.lark_parser.parse(text)


@cache
def _parse_expression(text: str) -> tuple[Node, str]:
    source = f"var it = {text}"
    return parse(source).children[0].children[-1], source  # type: ignore[union-attr]  # a var statement has children


def evaluate_text(text: str, scope: Scope) -> Any:
    """Give the value of an expression that stands alone."""
    node, source = _parse_expression(text)
    return Evaluator(source, scope).value(node)


_PRECEDENCE: Final = (("??",), ("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="), ("-",))
_OPERATORS: Final = {
    "coalesce": "??", "or_op": "||", "and_op": "&&", "equals": "==", "not_equals": "!=", "greater_than": ">",
    "greater_than_or_equals": ">=", "less_than": "<", "less_than_or_equals": "<=", "substract": "-", "property_accessor": ".",
}  # fmt: skip
_BINARY: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "-": lambda a, b: a - b,
}


class Evaluator:
    """Works out expressions of one file in one scope."""

    def __init__(self, source: str, scope: Scope) -> None:
        self._source, self._scope = source, scope

    def value(self, node: Node) -> Any:
        """Give the value of an expression, an object, an array or a loop."""
        if node is None:
            return None
        if isinstance(node, Token):
            return self._word(node)
        return _HANDLERS[node.data](self, node)

    def string(self, node: Tree[Token]) -> Any:
        return self.value(node.children[0])

    def _word(self, token: Token) -> Any:
        return self._text(str(token)) if token.startswith("'") else self._scope.lookup(str(token))

    def _text(self, quoted: str) -> str:
        pieces, runtime = [], False
        for literal, expression in _pieces(quoted[1:-1]):
            pieces.append(literal)
            if expression is not None:
                value = evaluate_text(expression, self._scope)
                runtime = runtime or isinstance(value, Runtime)
                pieces.append(str(value))
        return Runtime("".join(pieces)) if runtime else "".join(pieces)

    def object(self, node: Tree[Token]) -> dict[str, Any]:
        pairs = [child for child in node.children if isinstance(child, Tree)]
        return {self._key(pair.children[0]): self.value(pair.children[1]) for pair in pairs}

    def _key(self, node: Any) -> str:
        token = node.children[0]
        return self._text(token) if token.startswith("'") else str(token)

    def array(self, node: Tree[Token]) -> list[Any]:
        return [self.value(child) for child in node.children]

    def loop(self, node: Tree[Token]) -> list[Any]:
        return [value for _, value in self.iterate(node)]

    def iterate(self, node: Tree[Token]) -> list[tuple[Scope, Any]]:
        """Give scope and value of each turn of a loop whose condition holds."""
        parts: list[Any] = [*node.children]
        head, condition, body = parts
        names = [str(child) for child in head.children[:-1]]
        turns = []
        for index, item in enumerate(self.value(head.children[-1])):
            scope = self._scope.inner(dict(zip(names, (item, index), strict=False)))
            inside = Evaluator(self._source, scope)
            if condition is None or inside.value(condition.children[1]):
                turns.append((scope, inside.value(body)))
        return turns

    def function(self, node: Tree[Token]) -> Any:
        name = str(node.children[0]).removesuffix("(").removeprefix("sys.").removeprefix("az.")
        return FUNCTIONS[name](*(self.value(child) for child in node.children[1:]))

    def operator(self, node: Tree[Token]) -> Any:
        return self._reduce(self._flatten(node))

    def _flatten(self, node: Node) -> list[Any]:
        """Take a chain apart: operands, and between them operators; ``?`` with its two branches comes last."""
        inner = node.children[0] if isinstance(node, Tree) and node.data == "operator" else None
        if not isinstance(inner, Tree):
            return [node]
        if inner.data in {"not_op", "minus"}:
            return ["!" if inner.data == "not_op" else "-", *self._right(inner.children[0])]
        if inner.data == "conditional":
            condition, yes, no = inner.children
            return [condition, "?", yes, no]
        if inner.data == "index_accessor":
            return [*self._left(inner.children[0]), "[", inner.children[1]]
        left, right = inner.children
        return [*self._left(left), _OPERATORS[inner.data], *self._right(right)]

    def _left(self, node: Any) -> list[Any]:
        indexed = isinstance(node, Tree) and node.data == "operator" and node.children[0].data == "index_accessor"
        return self._flatten(node) if indexed else [node]

    def _right(self, node: Any) -> list[Any]:
        grouped = isinstance(node, Tree) and self._source[: node.meta.start_pos].rstrip().endswith("(")
        return [node] if grouped else self._flatten(node)

    def _reduce(self, chain: list[Any]) -> Any:
        if "?" in chain:
            at = chain.index("?")
            return self.value(chain[at + 1] if self._reduce(chain[:at]) else chain[at + 2])
        for operators in _PRECEDENCE:
            for at, item in enumerate(chain[1:], 1):
                if isinstance(item, str) and not isinstance(item, Token) and item in operators:
                    return self._binary(item, chain[:at], chain[at + 1 :])
        return self._unary(chain)

    def _binary(self, operator: str, left: list[Any], right: list[Any]) -> Any:
        first = self._reduce(left)
        if operator == "??":
            return self._reduce(right) if first is None else first
        if operator == "||":
            return bool(first or self._reduce(right))
        if operator == "&&":
            return bool(first and self._reduce(right))
        return _BINARY[operator](first, self._reduce(right))

    def _unary(self, chain: list[Any]) -> Any:
        if chain[0] in {"!", "-"}:
            value = self._unary(chain[1:])
            return not value if chain[0] == "!" else -value
        value, rest = self.value(chain[0]), chain[1:]
        while rest:
            mark, name, *rest = rest
            key = self.value(name) if mark == "[" else str(name.children[0])
            value = access(value, key)
        return value


def access(value: Any, key: Any) -> Any:
    """Give a property or element; of what only Azure knows, a value that only Azure knows."""
    if isinstance(value, Runtime):
        return Runtime(f"{value}.{key}")
    if isinstance(value, Mapping):
        return value.get(key)
    if isinstance(value, list):
        return value[key]
    return value.access(key)


def _pieces(text: str) -> list[tuple[str, str | None]]:
    """Split the inside of a string into what is written, and what is to be put in after it."""
    pieces: list[tuple[str, str | None]] = []
    while (start := _opening(text)) is not None:
        end = _closing(text, start)
        pieces.append((_unescape(text[:start]), text[start + 2 : end]))
        text = text[end + 1 :]
    return [*pieces, (_unescape(text), None)]


def _opening(text: str) -> int | None:
    match = re.search(r"(?<!\\)\$\{", text)
    return match.start() if match else None


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start + 1, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    raise ValueError(text)


def _unescape(text: str) -> str:
    return str(ast.literal_eval('"' + text.replace('"', '\\"').replace("\\'", "'").replace("\\$", "$") + '"'))


_HANDLERS: Final[Mapping[Any, Callable[[Evaluator, Tree[Token]], Any]]] = {
    "string": Evaluator.string,
    "object": Evaluator.object,
    "array": Evaluator.array,
    "loop": Evaluator.loop,
    "function": Evaluator.function,
    "operator": Evaluator.operator,
    "int_type": lambda _, node: int(str(node.children[0])),
    "true": lambda *_: True,
    "false": lambda *_: False,
    "null": lambda *_: None,
}


def _union(*values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for mapping in values for name, value in mapping.items()}


def _id(kind: str) -> Callable[..., Runtime]:
    return lambda *parts: Runtime(f"{kind}:{'/'.join(map(str, parts))}")


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "bool": lambda text: text is True or str(text).lower() == "true",
    "concat": lambda *lists: [item for items in lists for item in items],
    "empty": lambda value: not value,
    "endsWith": lambda text, end: text.endswith(end),
    "environment": lambda: {"authentication": {"loginEndpoint": "https://login.example/"}, "suffixes": {"storage": "core.example"}},
    "guid": lambda *parts: "guid:" + "|".join(map(str, parts)),
    "join": lambda parts, between: between.join(parts),
    "last": lambda items: items[-1],
    "listKeys": _id("keys"),
    "max": max,
    "readEnvironmentVariable": lambda _, default: default,
    "replace": lambda text, old, new: text.replace(old, new),
    "resourceGroup": lambda: {"id": "group", "location": "here"},
    "resourceId": _id("id"),
    "split": lambda text, mark: text.split(mark),
    "string": str,
    "subscriptionResourceId": _id("role"),
    "take": lambda text, count: text[:count],
    "tenant": lambda: {"tenantId": "tenant"},
    "union": _union,
    "uniqueString": lambda *_: "0123456789abc",
}
