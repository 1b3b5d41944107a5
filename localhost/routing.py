r"""Which function answers a path and a method, by the rules of ASP.NET's route templates as the real host uses them.

There is no precedence among routes: they are tried in the order of the functions' names and the first one whose template,
constraints *and* methods fit is taken; so a wrong method is a 404, as is HEAD or OPTIONS where it is not listed.

A template is a path of segments: literals (any case), ``{name}``, ``{name?}``, mixtures such as ``{name}.{suffix}``, and at the
end ``{*rest}``, which takes any number of segments, none included. Constraints follow the name after colons:
``{id:int:min(1)}``, ``{uid:regex(^[\d.]+$)}``; doubled braces stand for single ones. A final slash of the path is ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from localhost.bindings import Function, HttpTrigger
from localhost.problems import StartupProblem
from localhost.route_constraints import Constraint, parse_constraint

if TYPE_CHECKING:
    from collections.abc import Iterable

RouteValues: TypeAlias = dict[str, str]

RESERVED = ("admin", "runtime")
"""First segments that belong to the host itself."""

_MAX_SEGMENTS = 32
_PARAMETER = re.compile(r"\{((?:[^{}]|\{\{|\}\})*)\}(?!\})")
_CONSTRAINT = re.compile(r":(\w+(?:\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\))?)")
_ENCODED_SLASH = re.compile("(%2f)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Route:
    """A compiled template, and whom it leads to."""

    function: Function
    template: str
    methods: frozenset[str] | None
    pattern: re.Pattern[str]
    constraints: tuple[tuple[str, Constraint], ...]
    min_segments: int
    max_segments: int

    def match(self, path: str) -> RouteValues | None:
        """Give the route values; None where the path does not fit."""
        found = self.pattern.fullmatch(path)
        if found is None:
            return None
        values = {name: value for name, value in found.groupdict().items() if value}
        for name, fits in self.constraints:
            if name in values and not fits(values[name]):
                return None
        return values


class RouteTable:
    """All routes of an app.

    Parameters
    ----------
    functions
        The app's functions; those without an HTTP trigger are left aside.
    prefix
        ``routePrefix`` of ``host.json``, without slashes.

    Raises
    ------
    StartupProblem
        A template is not understood, is reserved, or is used twice for the same method.
    """

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        ordered = sorted(functions, key=lambda function: function.name.lower())
        self.routes = [_compile(function, function.trigger, prefix) for function in ordered if isinstance(function.trigger, HttpTrigger)]
        _refuse_duplicates(self.routes)
        self._by_segments = [
            tuple(route for route in self.routes if route.min_segments <= count <= route.max_segments) for count in range(_MAX_SEGMENTS + 1)
        ]

    def find(self, path: str, method: str) -> tuple[Function, RouteValues] | None:
        """Find who answers; None is a 404.

        Parameters
        ----------
        path
            Decoded but for ``%2F``, as ``decode_path`` gives it, without its first slash.
        method
            In upper case.
        """
        path = path.removesuffix("/")
        for route in self._by_segments[min(path.count("/") + 1 if path else 0, _MAX_SEGMENTS)]:
            if (route.methods is None or method in route.methods) and (values := route.match(path)) is not None:
                return route.function, values
        return None


def decode_path(raw_path: bytes) -> str:
    """Decode a request path as the real host's web server does, without its first slash.

    ``%2F`` stays as it was sent; dot segments are resolved.
    """
    path = raw_path.decode("latin-1")
    if "%" in path:
        path = "".join(piece if piece.lower() == "%2f" else unquote(piece) for piece in _ENCODED_SLASH.split(path))
    path = path.removeprefix("/")
    return _resolve_dots(path) if path.startswith(".") or "/." in path else path


def is_reserved(path: str) -> bool:
    """Tell whether a path, as ``decode_path`` gives it, belongs to the host itself."""
    return path.partition("/")[0].lower() in RESERVED


def _resolve_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/".join(kept)


def _compile(function: Function, trigger: HttpTrigger, prefix: str) -> Route:
    template = trigger.route.strip("/")
    if is_reserved(template):
        raise StartupProblem(f"Function {function.name}: routes below {' and '.join(RESERVED)} belong to the host; choose another one.")
    full = f"{prefix}/{template}".strip("/")
    constraints: list[tuple[str, Constraint]] = []
    try:
        pieces = [_compile_segment(segment, constraints) for segment in _split(full)]
        pattern = re.compile(_join(pieces), re.IGNORECASE | re.DOTALL)
    except (ValueError, re.error) as error:
        raise StartupProblem(f"Function {function.name}: its route is not understood: {error}") from error
    required = sum(1 for piece in pieces if not piece.optional)
    open_ended = any(piece.catch_all for piece in pieces)
    return Route(
        function, full, trigger.methods, pattern, tuple(constraints), required, max_segments=_MAX_SEGMENTS if open_ended else len(pieces)
    )


@dataclass(frozen=True, slots=True)
class _Segment:
    pattern: str
    optional: bool = False
    catch_all: bool = False


def _split(template: str) -> list[str]:
    """Split at slashes, but for those inside braces."""
    return re.findall(r"(?:\{(?:[^{}]|\{\{|\}\})*\}|[^/])+", template)


def _join(segments: list[_Segment]) -> str:
    pattern = ""
    for index, segment in enumerate(segments):
        slash = "/" if index else ""
        whole = f"{slash}{segment.pattern}"
        pattern += f"(?:{whole})?" if segment.optional else whole
    return pattern


def _compile_segment(segment: str, constraints: list[tuple[str, Constraint]]) -> _Segment:
    parameters = list(_PARAMETER.finditer(segment))
    if len(parameters) == 1 and parameters[0].span() == (0, len(segment)):
        return _compile_parameter(parameters[0][1], constraints)
    pattern = ""
    position = 0
    for parameter in parameters:
        pattern += re.escape(segment[position : parameter.start()]) + _compile_parameter(parameter[1], constraints).pattern
        position = parameter.end()
    return _Segment(pattern + re.escape(segment[position:]))


def _compile_parameter(text: str, constraints: list[tuple[str, Constraint]]) -> _Segment:
    text = text.replace("{{", "{").replace("}}", "}")
    stars = len(text) - len(text.lstrip("*"))
    optional = text.endswith("?")
    name, colon, rest = text.strip("*").removesuffix("?").partition(":")
    if not name.isidentifier():
        raise ValueError("a parameter needs a name, of letters, digits and underscores, and defaults are not supported")
    found = _CONSTRAINT.findall(colon + rest)
    if "".join(f":{one}" for one in found) != colon + rest:
        raise ValueError(f"the constraints of {{{name}}} are not balanced")
    constraints.extend((name, parse_constraint(one)) for one in found)
    return _Segment(f"(?P<{name}>.*)" if stars else f"(?P<{name}>[^/]+)", optional=optional or bool(stars), catch_all=bool(stars))


def _refuse_duplicates(routes: list[Route]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for route in routes:
        for method in route.methods or {"any method"}:
            other = taken.setdefault((route.template.lower(), method), route.function.name)
            if other != route.function.name:
                raise StartupProblem(f"Functions {other} and {route.function.name} have the same route for {method}.")
