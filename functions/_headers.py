"""Header values, in and out, as plain functions. Not: which request they came with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Header = tuple[bytes, bytes]
"""Name in lower case, and value, as the server takes them."""


def decode(lines: Iterable[Header]) -> dict[str, str]:
    """Read a request's headers; several lines of one name are joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in lines:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def etag_matches(if_none_match: str | None, etag: str) -> bool:
    """Tell whether the caller has this version already.

    Parameters
    ----------
    if_none_match
        Quoted or weak tags, lists of them, ``*``, and the bare token that the predecessor's clients send.
    etag
        The current tag, without quotes.

    References
    ----------
    RFC 9110 13.1.2 "If-None-Match": tags are compared weakly.
    """
    if if_none_match is None:
        return False
    candidates = (tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(","))
    return any(tag in {"*", etag} for tag in candidates)


def quote_etag(etag: str) -> str:
    """Write an ETag header's value."""
    return f'"{etag}"'


def encode(headers: Mapping[str, str | Sequence[str]]) -> list[Header]:
    """Encode headers; a sequence of values gives several lines. Values are our own: fixed strings, ids, URLs."""
    lines: list[Header] = []
    for name, value in headers.items():
        values = (value,) if isinstance(value, str) else value
        lines += [(name.encode("ascii"), _safe(v)) for v in values]
    return lines


def _safe(value: str) -> bytes:
    encoded = value.encode("latin-1", "replace")
    if b"\r" in encoded or b"\n" in encoded or b"\x00" in encoded:
        raise ValueError("a header value must be one line")
    return encoded


@dataclass(frozen=True, slots=True)
class Cors:
    """Which origins' pages may call the service.

    References
    ----------
    Fetch standard 3.2 "HTTP CORS protocol".
    """

    allowed_origins: tuple[str, ...] = ()

    def allows(self, origin: str | None) -> bool:
        """Tell whether pages of this origin may read our answers."""
        return origin is not None and origin in self.allowed_origins

    def answer(self, origin: str | None) -> list[Header]:
        """Give the headers that go with every answer."""
        if not self.allowed_origins:
            return [(b"vary", b"Accept")]
        vary: list[Header] = [(b"vary", b"Accept, Origin")]
        if origin is None or not self.allows(origin):
            return vary
        return [*vary, (b"access-control-allow-origin", _safe(origin)), (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, methods: Sequence[str]) -> dict[str, str]:
        """Give the headers that answer a preflight request from an allowed origin."""
        return {
            "access-control-allow-methods": ", ".join(methods),
            "access-control-allow-headers": _TAKEN,
            "access-control-max-age": "7200",
        }


_EXPOSED = b"api-supported-versions, Content-Location, ETag, Location, Retry-After, Warning, WWW-Authenticate"
_TAKEN = "Accept, Authorization, Content-Type, If-None-Match, traceparent, tracestate"
