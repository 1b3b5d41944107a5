"""Routes as values: what is registered, and which methods a path takes. Not: requests and responses.

The Functions host gives routes no precedence: it tries them in the order of the functions' names, the first
whose template and method fit wins, and a wrong method is a 404. So our templates never overlap, every route
says which right it needs, and ``zz_fallback``, last by its name, asks ``RouteTable`` for what the host leaves open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.access import DataAction

VERSION = "{version:regex(^(v1|v1[.]0|v2|v2[.]0|v1[.]0-prerelease)$)}"
STUDIES = VERSION + "/studies"
STUDY = STUDIES + "/{study:regex(^[^$]+$)}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
"""Beginnings of our templates. A literal that may once stand in a study's place begins with ``$``."""

ANY_PATH = "{*path}"

_PARAMETER = re.compile(r"\{(?P<name>\w+)(?::regex\((?P<pattern>.*)\))?\}")


@dataclass(frozen=True)
class Route:
    """One HTTP function: its name, template, methods and the right it needs."""

    name: str
    template: str
    methods: tuple[str, ...]
    action: DataAction

    @cached_property
    def readable(self) -> str:
        """The template without constraints, to be logged and shown."""
        return "/" + re.sub(r":regex\([^/]*\)\}", "}", self.template)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the template's parameters, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.readable))

    @cached_property
    def _segments(self) -> tuple[re.Pattern[str], ...]:
        return tuple(_segment_pattern(segment) for segment in self.template.split("/"))

    def fits(self, path: str) -> bool:
        """Tell whether a path, without its leading slash, is of this template."""
        parts = path.split("/")
        return len(parts) == len(self._segments) and all(p.fullmatch(s) for p, s in zip(self._segments, parts, strict=True))


def _segment_pattern(segment: str) -> re.Pattern[str]:
    parameter = _PARAMETER.fullmatch(segment)
    if parameter is None:
        return re.compile(re.escape(segment), re.IGNORECASE)
    anything, constraint = "[^/]+", parameter["pattern"]
    return re.compile(f"(?={constraint.removesuffix('$')}\\Z){anything}" if constraint else anything, re.IGNORECASE)


class RouteTable:
    """All routes of the app, as they are registered."""

    def __init__(self) -> None:
        self._routes: list[Route] = []

    def add(self, route: Route) -> None:
        """Take up a route."""
        self._routes.append(route)

    def __iter__(self) -> Iterator[Route]:
        """Give the routes in the order of their registration."""
        return iter(self._routes)

    def methods_for(self, path: str) -> tuple[str, ...]:
        """Give the methods that a path (without its leading slash) takes; none where there is no such resource."""
        methods = {m for r in self._routes if r.template != ANY_PATH and r.fits(path) for m in r.methods}
        return tuple(sorted(methods))
