"""The description in the forms in which it is given: JSON, YAML, a page. Not: when it is made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from functions._openapi.document import document
from functions._openapi.page import CONTENT_SECURITY_POLICY, page
from functions._openapi.yaml_text import to_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from functions._routes import Route
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Rendition:
    """The description in one form; ``etag`` is without quotes."""

    body: bytes
    etag: str
    content_type: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Form:
    write: Callable[[dict[str, Any]], bytes]
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


_FORMS: Mapping[str, _Form] = {
    "json": _Form(orjson.dumps, "application/json"),
    "yaml": _Form(lambda said: to_yaml(said).encode(), "application/yaml"),
    "html": _Form(
        lambda said: page(said).encode(),
        "text/html; charset=utf-8",
        {"content-security-policy": CONTENT_SECURITY_POLICY, "referrer-policy": "no-referrer"},
    ),
}
"""By the ending of the path. ``application/yaml`` is RFC 9512's."""


def render(routes: Iterable[Route], prefix: str, settings: Settings, ending: str) -> Rendition:
    """Describe the service in one form; the parameters are those of ``document``."""
    form = _FORMS[ending]
    body = form.write(document(routes, prefix, settings))
    return Rendition(body, hashlib.sha256(body).hexdigest()[:32], form.content_type, form.headers)
