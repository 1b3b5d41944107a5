"""Accept and Content-Type: their grammar, and what they mean where one media type is on offer or taken.

References
----------
PS3.18 8.7 "Media Types"; RFC 9110 8.3.1 "Media Type", 12.5.1 "Accept".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from shared.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
OCTET_STREAM = "application/octet-stream"
MULTIPART = "multipart/related"

AS_STORED = "*"
"""The transfer syntax that means: whichever the object is stored in."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """A media type or range; names in lower case, ``parameters`` without ``q``."""

    media_type: str
    parameters: Mapping[str, str]
    quality: float = 1.0

    def covers(self, media_type: str) -> bool:
        """Tell whether a media type lies in this range."""
        return covers(self.media_type, media_type)


Accept: TypeAlias = tuple[MediaRange, ...]
"""What a caller takes, best first; those it refuses (``q=0``) last."""

_ANY = MediaRange("*/*", {})


def covers(wanted: str, media_type: str) -> bool:
    """Tell whether a media type lies in a range such as ``*/*`` or ``image/*``; both in lower case."""
    kind, _, name = wanted.partition("/")
    return wanted == media_type or (name == "*" and kind in {"*", media_type.partition("/")[0]})


_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"\s*({_NAME}/{_NAME}(?: (?:json|xml)\b)?)\s*", re.ASCII)
_PARAMETER = re.compile(rf';\s*(?:({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*)?', re.ASCII)
_QUOTED_PAIR = re.compile(r"\\(.)")
_QUALITY = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


def _read_media_type(text: str, position: int) -> tuple[MediaRange | None, int]:
    """Read one media type with its parameters; None where there is none. Gives also where it ends."""
    match = _MEDIA_TYPE.match(text, position)
    if match is None:
        return None, position
    # A query decodes the plus of application/dicom+json, where it was not escaped, to a blank.
    media_type = match[1].replace(" ", "+").lower()
    parameters: dict[str, str] = {}
    position = match.end()
    while match := _PARAMETER.match(text, position):
        if match[1]:
            value = match[3] if match[2] is None else _QUOTED_PAIR.sub(r"\1", match[2])
            parameters.setdefault(match[1].lower(), value)
        position = match.end()
    quality = parameters.pop("q", "1")
    return MediaRange(media_type, parameters, float(quality) if _QUALITY.fullmatch(quality) else 1.0), position


def _parse_media_type(text: str) -> MediaRange | None:
    """Read a text that is one media type and nothing else."""
    media_type, end = _read_media_type(text, 0)
    return media_type if end == len(text) else None


@lru_cache(maxsize=256)
def _parse_list(text: str) -> Accept:
    """Read a comma-separated list, best first; among equals, what is wanted as stored. A member that cannot be read is skipped.

    Clients send one and the same again and again.
    """
    ranges: list[MediaRange] = []
    position = 0
    while position < len(text):
        media_range, position = _read_media_type(text, position)
        comma = text.find(",", position)
        end = comma if comma >= 0 else len(text)
        if media_range is not None and position == end:
            ranges.append(media_range)
        position = end + 1
    return tuple(sorted(ranges, key=lambda r: (-r.quality, r.parameters.get("transfer-syntax") != AS_STORED)))


def parse_accept(header: str | None, query: Sequence[str] = ()) -> Accept:
    """Read what a caller takes: the ``accept`` query parameter first, then the Accept header.

    Neither, or an empty header, means anything.

    Parameters
    ----------
    header
        Value of Accept; several headers joined by commas.
    query
        Decoded values of the query parameter.

    References
    ----------
    PS3.18 8.3.3.1 "Accept Query Parameter", 8.7.8.1 "Selected Media Type".
    """
    in_query = [r for value in query for r in _parse_list(value)]
    if header is None or not header.strip():
        return tuple(in_query) or (_ANY,)
    return (*in_query, *_parse_list(header))


def require_json(accept: Accept) -> None:
    """Raise ``NotAcceptable`` unless the caller takes DICOM JSON; ``application/json`` counts as that."""
    if not any(r.quality > 0 and (r.covers(DICOM_JSON) or r.covers("application/json")) for r in accept):
        raise NotAcceptable("This resource is sent as application/dicom+json; name that, application/json or */* in Accept.")


@dataclass(frozen=True, slots=True)
class StoreBody:
    """How the body of a store request is to be read.

    ``boundary`` is None where the whole body is one file. ``part_type`` is that of parts that name none.
    """

    boundary: str | None = None
    part_type: str = ""

    def takes(self, part_headers: Mapping[str, str]) -> bool:
        """Tell whether a part is offered as a PS3.10 file, with or without parameters such as ``transfer-syntax``.

        Names of headers are in lower case.
        """
        media_type = _parse_media_type(part_headers.get("content-type", self.part_type))
        return media_type is not None and media_type.media_type == DICOM


_BOUNDARY = re.compile(r"[ -~]{1,70}")
"""RFC 2046 5.1.1 allows fewer characters; those met in the wild do no harm."""


def parse_store_content_type(header: str | None) -> StoreBody:
    """Read the Content-Type of a store request.

    A ``start`` parameter is without effect: every part is an instance, none is the root.

    Raises
    ------
    UnsupportedMediaType
        It is neither ``application/dicom``, without parameters, nor ``multipart/related`` with a boundary.
    InvalidRequest
        The boundary is longer than 70 characters, or not printable ASCII.

    References
    ----------
    PS3.18 10.5.1 "Request", 8.7.9 "Content-Type Header Field".
    """
    media_type = _parse_media_type(header or "")
    if media_type is None or media_type.media_type not in {DICOM, MULTIPART}:
        raise UnsupportedMediaType('Send instances as multipart/related; type="application/dicom", or one as application/dicom.')
    if media_type.media_type == DICOM:
        if media_type.parameters:
            raise UnsupportedMediaType(
                "A single instance is sent as application/dicom without parameters; its file names its transfer syntax."
            )
        return StoreBody()
    boundary = media_type.parameters.get("boundary")
    if not boundary:
        raise UnsupportedMediaType("The Content-Type multipart/related needs a boundary parameter.")
    if not _BOUNDARY.fullmatch(boundary):
        raise InvalidRequest("The boundary in Content-Type must have 1 to 70 characters of printable ASCII.")
    return StoreBody(boundary, media_type.parameters.get("type", ""))
