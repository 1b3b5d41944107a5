"""A request that an operation takes, made of the description's examples, and the command that sends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from shared.dicomweb.media_types import DICOM, DICOM_JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = {DICOM_JSON, "application/json", "application/yaml", "text/html"}
"""Media types that a terminal can show."""


@dataclass(frozen=True, slots=True)
class Example:
    """A request: ``path`` with its query; ``content_type`` is empty where it has no body, ``body`` where that is a file."""

    method: str
    path: str
    content_type: str = ""
    body: str = ""

    def curl(self, server: str, *, secured: bool, shown: bool) -> str:
        """Give the command; what is not ``shown`` goes into a file."""
        words = ["curl", *([] if self.method == "GET" else ["-X", self.method])]
        if secured:
            words += ["-H", '"Authorization: Bearer $TOKEN"']
        if self.content_type:
            words += ["-H", quote(f"Content-Type: {self.content_type}")]
            words += ["-d", quote(self.body)] if self.body else ["--data-binary", "@instance.dcm"]
        return " ".join([*words, *([] if shown else ["-o", "answer"]), f'"{server}{self.path}"'])


def example_of(path: str, method: str, operation: Mapping[str, Any]) -> Example:
    """Make the example of an operation of the document."""
    given = [parameter for parameter in operation.get("parameters", ()) if "example" in parameter]
    for parameter in given:
        path = path.replace(f"{{{parameter['name']}}}", _simple(parameter["example"]))
    query = urlencode({parameter["name"]: parameter["example"] for parameter in given if parameter["in"] == "query"})
    url = f"{path}?{query}" if query else path
    content = operation.get("requestBody", {}).get("content", {})
    if DICOM in content:
        return Example(method.upper(), url, DICOM)
    if content:
        ((media_type, media),) = content.items()
        return Example(method.upper(), url, media_type, json.dumps(media["example"]))
    return Example(method.upper(), url)


def is_shown(operation: Mapping[str, Any]) -> bool:
    """Tell whether a terminal can show what an operation answers."""
    content = operation["responses"].get("200", {}).get("content", {})
    return not content or bool(_SHOWN & content.keys())


def _simple(value: object) -> str:
    """Write a value as it stands in a path (OpenAPI Specification 3.1.0, 4.8.12.4 "Style Examples": simple)."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
