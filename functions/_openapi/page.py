"""The description as a page: all of it in one file, without script, so that it works offline and under the strictest policy.

Operations are folded; a browser's own search unfolds them. Texts of the description are CommonMark of which only
`code` is used here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

from functions._openapi.example import example_of, is_shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
:root { --soft: color-mix(in srgb, currentColor 6%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
h1 { margin-bottom: 0; } h2 { margin: 2.5rem 0 .25rem; } h2 + p { margin-top: 0; }
code, pre, summary b { font-family: ui-monospace, Consolas, monospace; font-size: .9em; }
pre { background: var(--soft); padding: .75rem; overflow-x: auto; border-radius: .4rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; }
summary { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline; padding: .45rem .75rem; cursor: pointer; }
summary:hover, details[open] > summary { background: var(--soft); }
summary b { min-width: 4.5em; } summary code { flex: 1 1 24rem; overflow-wrap: anywhere; } summary span { opacity: .8; }
details > div { padding: .25rem .75rem .75rem; }
table { border-collapse: collapse; width: 100%; margin: .75rem 0; } th { text-align: left; font-weight: 600; }
td, th { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word; }
td:first-child { white-space: nowrap; }
@media print { details { break-inside: avoid; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(document: Mapping[str, Any]) -> str:
    """Write the page; ``document`` is as ``functions._openapi.document`` makes it."""
    info, schemas = document["info"], document["components"]["schemas"]
    title = escape(f"{info['title']}, API version {info['version']}")
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
        '<p>The same for programs: <a href="api.json">api.json</a>, <a href="api.yaml">api.yaml</a> (OpenAPI 3.1).</p>',
        *_text(info["description"]),
        *_text(_how_to_try(document)),
        *(part for tag in document["tags"] for part in _section(document, tag)),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in schemas.items()),
        "</body></html>",
    ]
    return "\n".join(parts)


def _how_to_try(document: Mapping[str, Any]) -> str:
    archive = "" if _server(document) else " `ARCHIVE` is the address of this page up to the version."
    token = " `TOKEN` is an access token." if "security" in document else ""
    return f"The commands below are about the sample study.{archive}{token}"


def _server(document: Mapping[str, Any]) -> str:
    return str(document["servers"][0]["url"]).rstrip("/")


def _section(document: Mapping[str, Any], tag: Mapping[str, str]) -> Iterator[str]:
    yield f"<h2>{escape(tag['name'])}</h2><p>{_inline(tag['description'])}</p>"
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if tag["name"] in operation["tags"]:
                yield from _operation(document, path, method, operation)


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    right = operation.get("x-data-action")
    yield f'<details id="{escape(operation["operationId"])}"><summary><b>{method.upper()}</b> <code>{escape(path)}</code> '
    yield f"<span>{escape(operation['summary'])}</span></summary><div>"
    yield from _text(operation.get("description", ""))
    yield f"<p>{f'Needs the right <code>{escape(right)}</code>.' if right else 'Needs no right.'}</p>"
    yield from _table("Parameter|In|Type|", map(_parameter, operation.get("parameters", ())))
    if body := operation.get("requestBody"):
        yield f"<p>Body: {_content(body['content'])}</p>"
    yield from _table("Status|Meaning|Body|Headers", (_response(document, *each) for each in operation["responses"].items()))
    yield f"<pre>{escape(_command(document, path, method, operation))}</pre></div></details>"


def _command(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    secured = "security" in document and operation.get("security") != []
    return example_of(path, method, operation).curl(_server(document) or "$ARCHIVE", secured=secured, shown=is_shown(operation))


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"<code>{escape(parameter['name'])}</code>",
        escape(parameter["in"]),
        _type(parameter["schema"]),
        _inline(parameter["description"]),
    )


def _response(document: Mapping[str, Any], status: str, response: Mapping[str, Any]) -> tuple[str, ...]:
    if "$ref" in response:
        response = document["components"]["responses"][_target(response)]
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in response.get("headers", ()))
    return status, _inline(response["description"]), _content(response.get("content", {})), headers


def _content(content: Mapping[str, Any]) -> str:
    return "<br>".join(f"<code>{escape(name)}</code> {_type(media.get('schema', {}))}" for name, media in content.items())


def _type(schema: Mapping[str, Any]) -> str:
    """Say in a word or two what a value is; a named schema is linked to."""
    if "$ref" in schema:
        name = escape(_target(schema))
        return f'<a href="#{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    words = [f"list of {_type(schema['items'])}" if "items" in schema else escape(schema.get("type", ""))]
    words += [f"{said} {json.dumps(schema[name])}" for name, said in _LIMITS.items() if name in schema]
    return " ".join(words)


_LIMITS = {"minimum": "from", "maximum": "to", "default": "by default"}


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    said = json.dumps({key: value for key, value in schema.items() if key != "description"}, indent=2)
    about = _inline(schema.get("description", ""))
    head = f'<details id="{escape(name)}"><summary><b>{escape(name)}</b> <span>{about}</span></summary>'
    return f"{head}<div><pre>{escape(said)}</pre></div></details>"


def _target(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _table(heads: str, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    if cells := [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]:
        yield f"<table><tr>{''.join(f'<th>{head}</th>' for head in heads.split('|'))}</tr>{''.join(cells)}</table>"


def _text(text: str) -> Iterator[str]:
    """Write paragraphs, and lists of lines that begin with a star."""
    for block in filter(None, text.split("\n\n")):
        if block.startswith("* "):
            yield f"<ul>{''.join(f'<li>{_inline(line[2:])}</li>' for line in block.strip().splitlines())}</ul>"
        else:
            yield f"<p>{_inline(block)}</p>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
