"""What is said of an operation, as values in OpenAPI's own words. Not: how a document is made of them.

References
----------
OpenAPI Specification 3.1.0, 4.8.10 "Operation Object".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.dicomweb.resources import ApiVersion
    from shared.errors import Category

Schema: TypeAlias = "Mapping[str, object]"
Content: TypeAlias = "Mapping[str, Schema]"
"""Media type → schema; an empty schema stands for bytes."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``only`` names the version that has it, where the other has not."""

    name: str
    about: str
    schema: Schema
    where: Literal["path", "query", "header"] = "query"
    only: ApiVersion | None = None
    example: object = None


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent with a request; the example is JSON."""

    content: Content
    example: object = None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. ``headers`` are always sent with it, ``may_have`` where they apply."""

    status: int
    about: str
    content: Content = field(default_factory=dict)
    headers: tuple[str, ...] = ()
    may_have: tuple[str, ...] = ()
    only: ApiVersion | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One function under one method.

    Attributes
    ----------
    refuses
        With what kinds of error, beside those that every operation may give.
    name
        Of the operation, where one function has several; else the function's.
    """

    summary: str
    responses: tuple[Response, ...]
    about: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    refuses: tuple[Category, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Operations that belong together, by the names of their function and method."""

    title: str
    about: str
    operations: Mapping[tuple[str, str], Operation]
