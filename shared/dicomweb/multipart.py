"""Incremental reader and writer of ``multipart/related`` bodies. Not: DICOM, and not reading or sending anything.

Theory of operation of the reader
    Bytes come in as chunks of any size, events go out. What could not be judged yet is carried to the next
    chunk: in content, only where a chunk ends in the beginning of a delimiter, so at most its length; in a part's
    headers, at most ``Limits.header_bytes``. Content is never copied: events hold slices of the chunk.

    A delimiter is ``CRLF -- boundary``, optional blanks, and CRLF; the closing one has ``--`` after the boundary.
    Anything else after the boundary makes it content, so that content may hold a longer boundary. The CRLF
    that ends the line before a delimiter belongs to the delimiter; so the scan of a part without content begins
    on the CRLF of its last header line, and the scan of a body on a CRLF that we put before it.

    PREAMBLE ──delimiter──> HEADERS ──empty line──> CONTENT ──delimiter──> HEADERS …
        └──────────────── closing delimiter ───────────┴──────────> CLOSED (what follows is ignored)

References
----------
RFC 2046 5.1.1 "Common Syntax"; RFC 2387 "The MIME Multipart/Related Content-type"; PS3.18 8.6.1.2 "Multipart Payload".
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

from shared.errors import InvalidRequest, TooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A part begins; names of headers are in lower case."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of a part's content, borrowed from the chunk that was fed."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The delimiter after the part was seen: the part is whole."""


Event: TypeAlias = PartStarted | PartData | PartEnded

_ENDED = PartEnded()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one body may ask of us. The size of content is for the consumer to limit, as it is consumed."""

    parts: int = 20_000
    header_bytes: int = 8 * 1024
    preamble_bytes: int = 64 * 1024


DEFAULT_LIMITS = Limits()
_MAX_BLANKS = 64
"""Blanks that we tolerate after a boundary ("transport padding")."""


class _State(Enum):
    PREAMBLE = auto()
    HEADERS = auto()
    CONTENT = auto()
    CLOSED = auto()


class _Line(Enum):
    """What the bytes after a boundary make of it."""

    DELIMITER = auto()
    CLOSE = auto()
    CONTENT = auto()
    UNDECIDED = auto()


class MultipartReader:
    """Turns the chunks of a multipart body into events.

    Parameters
    ----------
    boundary
        As in the Content-Type header, unquoted.
    limits
        What to refuse.
    """

    def __init__(self, boundary: str, limits: Limits = DEFAULT_LIMITS) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("latin-1")
        self._limits = limits
        self._state = _State.PREAMBLE
        self._carried = b"\r\n"
        self._not_content = 2
        """Bytes at the start of what is carried that may begin a delimiter but are no content."""
        self._preamble_seen = 0
        self._parts = 0
        self._bridge = max(limits.header_bytes, len(self._delimiter) + _MAX_BLANKS) + 4
        """Bytes of a chunk that are joined to what is carried, so that not all of it is copied: more than is ever carried."""

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes of the body and give the events that they complete.

        Raises
        ------
        InvalidRequest
            The headers of a part cannot be read, or no boundary comes within ``Limits.preamble_bytes``.
        TooLarge
            There are more parts, or longer headers of one, than ``Limits`` allows.
        """
        events: list[Event] = []
        position = 0
        if self._carried:
            bridge = chunk[: self._bridge]
            self._read(self._carried + bridge, 0, events)
            if len(bridge) == len(chunk):
                return events
            position = self._bridge - len(self._carried)  # what is carried now lies in the chunk itself
        self._read(chunk, position, events)
        return events

    def finish(self) -> bool:
        """Tell, at the end of the body, whether it was whole: the closing delimiter came, or nothing at all.

        A part that was begun and not ended does not count.

        Raises
        ------
        InvalidRequest
            There were bytes but no boundary among them.
        """
        if self._state is _State.PREAMBLE:
            if self._preamble_seen or self._carried.strip():
                raise InvalidRequest("The body does not contain the boundary that Content-Type names on a line ended by CR LF.")
            return True
        return self._state is _State.CLOSED

    def _read(self, data: bytes, position: int, events: list[Event]) -> None:
        """Read data from a position on, up to what must be carried."""
        self._carried = b""
        while position >= 0 and self._state is not _State.CLOSED:
            step = self._read_headers if self._state is _State.HEADERS else self._scan
            position = step(data, position, events)

    def _scan(self, data: bytes, position: int, events: list[Event]) -> int:
        """Pass content (or the preamble) up to the next delimiter; give where to go on, -1 where data is used up."""
        delimiter = self._delimiter
        content = search = position
        content += self._not_content
        while (found := data.find(delimiter, search)) >= 0:
            line, after = _judge(data, found + len(delimiter))
            if line is _Line.UNDECIDED:
                return self._suspend(data, content, found, events)
            if line is not _Line.CONTENT:
                self._pass(data, content, found, events)
                return self._delimit(line, after, events)
            search = found + 1
        return self._suspend(data, content, _possible_start(data, delimiter, search), events)

    def _suspend(self, data: bytes, content: int, stop: int, events: list[Event]) -> int:
        """Pass what is content for certain and carry the rest."""
        self._pass(data, content, stop, events)
        self._carried = data[stop:]
        self._not_content = max(content - stop, 0)
        return -1

    def _pass(self, data: bytes, start: int, stop: int, events: list[Event]) -> None:
        if stop <= start:
            return
        if self._state is _State.CONTENT:
            whole = start == 0 and stop == len(data)
            events.append(PartData(data if whole else memoryview(data)[start:stop]))
            return
        self._preamble_seen += stop - start
        if self._preamble_seen > self._limits.preamble_bytes:
            raise InvalidRequest(
                f"The first {self._limits.preamble_bytes} bytes of the body do not contain the boundary that Content-Type names "
                "on a line ended by CR LF."
            )

    def _delimit(self, line: _Line, after: int, events: list[Event]) -> int:
        if self._state is _State.CONTENT:
            events.append(_ENDED)
        self._state = _State.CLOSED if line is _Line.CLOSE else _State.HEADERS
        return after

    def _read_headers(self, data: bytes, position: int, events: list[Event]) -> int:
        """Read a header section; ``position`` is that of the CRLF at the end of the delimiter's line."""
        end = data.find(b"\r\n\r\n", position)
        if (len(data) if end < 0 else end) - position > self._limits.header_bytes:
            raise TooLarge(f"The headers of a part are longer than {self._limits.header_bytes} bytes.")
        if end < 0:
            self._carried = data[position:]
            return -1
        self._parts += 1
        if self._parts > self._limits.parts:
            raise TooLarge(f"The body has more than {self._limits.parts} parts; send them in several requests.")
        events.append(PartStarted(_parse_headers(data[position + 2 : end])))
        self._state = _State.CONTENT
        self._not_content = 2
        return end + 2


def _judge(data: bytes, position: int) -> tuple[_Line, int]:
    """Judge the rest of a line that begins with the boundary; give also where its CRLF, or what follows ``--``, stands."""
    if data.startswith(b"--", position):
        return _Line.CLOSE, position + 2
    after = position
    while data[after : after + 1] in {b" ", b"\t"}:
        after += 1
        if after - position > _MAX_BLANKS:
            return _Line.CONTENT, after
    if data.startswith(b"\r\n", after):
        return _Line.DELIMITER, after
    rest = data[after : after + 2]
    undecided = rest in {b"", b"\r"} or (rest == b"-" and after == position)
    return (_Line.UNDECIDED if undecided else _Line.CONTENT), after


def _possible_start(data: bytes, delimiter: bytes, search: int) -> int:
    """Give where a delimiter may begin that data ends in the midst of; its length where none."""
    start = data.rfind(b"\r", max(search, len(data) - len(delimiter) + 1))
    return start if start >= 0 and delimiter.startswith(data[start:]) else len(data)


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def _parse_headers(section: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", section).decode("latin-1")
    for line in unfolded.split("\r\n") if unfolded else ():
        name, colon, value = line.partition(":")
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise InvalidRequest("The headers of a part cannot be read; each is a name, a colon and a value, and an empty line ends them.")
        if name.lower() in headers:
            raise InvalidRequest("A part has the same header twice.")
        headers[name.lower()] = value.strip(" \t")
    return headers


class MultipartWriter:
    """Gives what stands around the parts of a multipart answer; the parts themselves never pass through here.

    Parameters
    ----------
    media_type
        Of the parts, for the ``type`` parameter.
    boundary
        Only for tests; otherwise random, so that no content can hold it.
    """

    def __init__(self, media_type: str, boundary: str | None = None) -> None:
        self._media_type = media_type
        self._boundary = boundary or secrets.token_hex(16)
        self._begun = False

    @property
    def content_type(self) -> str:
        """Content-Type of the answer."""
        return f'multipart/related; type="{self._media_type}"; boundary={self._boundary}'

    def part(self, content_type: str) -> bytes:
        """Give what stands before the next part."""
        line_end = "\r\n" if self._begun else ""
        self._begun = True
        return f"{line_end}--{self._boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode("latin-1")

    def close(self) -> bytes:
        """Give what stands after the last part."""
        line_end = "\r\n" if self._begun else ""
        return f"{line_end}--{self._boundary}--\r\n".encode("latin-1")
