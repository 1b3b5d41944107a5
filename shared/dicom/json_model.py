"""From the raw bytes of a dataset to one DICOM JSON object, in one pass.

Theory of operation
    Each element's head leads to a *plan*, remembered by the encoding: how long the value is and which writer turns it into
    JSON. The loop in ``_dataset`` does only what is true of all plain values; what is not plain (sequences, delimiters,
    pixel data, lengths that do not fit) takes ``_structure``. A sequence comes back to ``_dataset`` for each item, at most
    ``MAX_DEPTH`` deep.

Invariants
    Every byte is looked at once. Nothing is read beyond ``end``, and an item never ends beyond its sequence. All loops draw
    on one budget of ``MAX_ELEMENTS``. JSON keys ascend and are unique: of an element that comes twice the last one counts.
    Charset and sign hold for a dataset and its items; what an item declares ends with it.

What fails its rule (strict) is left out wherever it is nested, and noted once for each tag.

References
----------
PS3.18 annex F "DICOM JSON Model"; PS3.5 7.1 "Data Elements" and 7.5 "Nesting of Data Sets".
"""

from __future__ import annotations

import struct
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

from shared.dicom.elements import HEAD_BYTES, IMPLICIT_LITTLE, PIXEL_DATA, Encoding, Plan, bounded
from shared.dicom.header import MAX_DEPTH, MAX_ELEMENTS, short_of
from shared.dicom.json_values import BadValue, Scope
from shared.errors import InvalidDicom

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.dicom.problems import Kept

UNDEFINED = 0xFFFFFFFF
_KEY_BYTES = len(b'"00080020"')
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class PixelElement(NamedTuple):
    """The element that ended the header; ``length`` is None where undefined."""

    tag: int
    vr: str
    start: int
    length: int | None


class DatasetReader:
    """Reads one dataset and writes it as DICOM JSON.

    Parameters
    ----------
    buffer
        Begins with the file, or is the inflated dataset. Borrowed; offsets count from its start.
    complete
        Whether the buffer holds everything there is.
    strict
        Whether values are checked with the full rules of their VR.

    Attributes
    ----------
    kept
        Elements of ``attributes.KEPT`` found at top level, by tag.
    problems
        Tag → why its value is none; any level.
    pixel_element
        What ended the header, if anything did.
    """

    def __init__(self, buffer: bytes, encoding: Encoding, *, complete: bool, strict: bool) -> None:
        self._buffer, self._encoding, self._complete = buffer, encoding, complete
        self._scope = Scope(strict)
        self._budget: Iterator[None] = repeat(None, MAX_ELEMENTS)
        self._depth = 0
        self.kept: dict[int, Kept] = {}
        self.problems: dict[int, str] = {}
        self.pixel_element: PixelElement | None = None

    def read(self, position: int) -> bytes:
        """Read from ``position`` to the pixel data or the end, and give the JSON object.

        Raises
        ------
        InvalidDicom
            The dataset cannot be read, or is over a limit.
        NeedMoreBytes
            The buffer, which is not complete, ends before the pixel data begins.
        """
        try:
            json, _ = self._dataset(position, len(self._buffer), delimited=False)
        except struct.error:  # the buffer ends within the header of an element
            raise self._short(len(self._buffer) + 1, len(self._buffer)) from None
        if self.pixel_element is None and not self._complete:
            raise short_of(len(self._buffer) + 1, complete=False)
        return json

    def _dataset(self, position: int, end: int, *, delimited: bool) -> tuple[bytes, int]:
        """Read the elements of the file's dataset or of an item; give their JSON object and where they end."""
        buffer, scope, encoding, top = self._buffer, self._scope, self._encoding, self._depth == 0
        known_plan, unpack_long = encoding.plans.get, encoding.long.unpack_from
        written: list[bytes] = []
        last, ascending, open_end = 0, True, delimited
        for _ in self._budget:
            if position >= end:
                break
            plan = known_plan(buffer[position : position + HEAD_BYTES]) or self._plan(position, end)
            tag, _, write, header_bytes, length, vr, keep = plan
            start = position + header_bytes
            if length is None:
                (length,) = unpack_long(buffer, position + HEAD_BYTES)
                write = bounded(write, length)
            position = start + length
            if write is None or position > end:
                raw = b""
                element, position, goes_on = self._structure(plan, start, length, end)
                if not goes_on:
                    open_end = False
                    break
            else:
                raw = buffer[start:position]
                try:
                    element = write(raw, scope)
                except BadValue as bad:
                    self.problems.setdefault(tag, bad.explanation)
                    element = b""
            if keep and top:
                self.kept[tag] = (vr, raw, element)
            written.append(element)
            if tag <= last:
                ascending = False
            last = tag
        else:
            raise _too_many()
        if open_end:
            raise self._short(end + 8, end)
        return _object(written, ascending=ascending), position

    def _plan(self, position: int, end: int) -> Plan:
        self._within(position + HEAD_BYTES, end)
        return self._encoding.plan(self._buffer[position : position + HEAD_BYTES])

    def _structure(self, plan: Plan, start: int, length: int, end: int) -> tuple[bytes, int, bool]:
        """Read what is no plain value; give its JSON, where it ends, and whether the dataset goes on after it."""
        self._within(start, end)
        if plan.tag in PIXEL_DATA and self._depth == 0:
            self.pixel_element = PixelElement(plan.tag, plan.vr, start, None if length == UNDEFINED else length)
            return b"", start, False
        if plan.tag == ITEM_END and self._depth:
            return b"", start, False
        undefined = length == UNDEFINED
        stop = end if undefined else start + length
        if stop > end:
            raise self._short(stop, end)
        if plan.vr == "SQ" or (plan.vr == "UN" and (undefined or plan.write is None)):
            inner = IMPLICIT_LITTLE if plan.vr == "UN" else self._encoding
            values, position = self._sequence(start, stop, inner, delimited=undefined)
            return (plan.prefix if plan.write is None else _sequence_prefix(plan)) + values, position, True
        if undefined and plan.vr in ("OB", "OW"):
            return b"", self._after_fragments(start, end), True
        if undefined or not plan.prefix:
            raise InvalidDicom("An item or delimiter stands out of place, or a length is undefined where it may not be.")
        return b"", stop, True

    def _sequence(self, position: int, stop: int, encoding: Encoding, *, delimited: bool) -> tuple[bytes, int]:
        if self._depth == MAX_DEPTH:
            raise InvalidDicom(f"Sequences are nested more than {MAX_DEPTH} deep.")
        outer, self._encoding = self._encoding, encoding
        self._depth += 1
        items: list[bytes] = []
        for _ in self._budget:
            if position >= stop and not delimited:
                break
            tag, length, position = self._item_head(position, stop)
            if tag == SEQUENCE_END:
                stop = position if delimited else stop
                break
            if tag != ITEM:
                raise InvalidDicom("A sequence holds something that is no item.")
            json, position = self._item(position, length, stop)
            items.append(json)
        else:
            raise _too_many()
        self._depth -= 1
        self._encoding = outer
        return (b',"Value":[' + b",".join(items) + b"]}" if items else b"}"), stop

    def _item(self, position: int, length: int, stop: int) -> tuple[bytes, int]:
        charset, signed = self._scope.charset, self._scope.signed
        if length == UNDEFINED:
            json, position = self._dataset(position, stop, delimited=True)
        else:
            json = self._dataset(position, self._within(position + length, stop), delimited=False)[0]
            position += length
        self._scope.charset, self._scope.signed = charset, signed
        return json, position

    def _after_fragments(self, position: int, end: int) -> int:
        """Walk over encapsulated pixel data inside a sequence (an icon)."""
        for _ in self._budget:
            tag, length, position = self._item_head(position, end)
            if tag == SEQUENCE_END:
                return position
            if tag != ITEM:
                break
            position = self._within(position + length, end)
        raise InvalidDicom("Encapsulated pixel data inside a sequence is broken.")

    def _item_head(self, position: int, end: int) -> tuple[int, int, int]:
        """Give tag, length and where the content begins."""
        start = self._within(position + 8, end)
        group, element, length = self._encoding.item_head.unpack_from(self._buffer, position)
        return group << 16 | element, length, start

    def _within(self, stop: int, end: int) -> int:
        if stop > end:
            raise self._short(stop, end)
        return stop

    def _short(self, stop: int, end: int) -> Exception:
        """Make the error for bytes that are not there: more may come only where the buffer itself ends."""
        return short_of(stop, complete=self._complete or end < len(self._buffer))


def _sequence_prefix(plan: Plan) -> bytes:
    """Give the JSON of a sequence in place of the unknown value that its tag was taken for."""
    return f'"{plan.tag:08X}":{{"vr":"SQ"'.encode()


def _object(elements: list[bytes], *, ascending: bool) -> bytes:
    """Make the JSON object of a dataset; where tags do not ascend, sort them and keep the last element of each."""
    if not ascending:
        by_key = {element[:_KEY_BYTES]: element for element in elements if element}
        elements = [by_key[key] for key in sorted(by_key)]
    return b"{" + b",".join(filter(None, elements)) + b"}"


def _too_many() -> InvalidDicom:
    return InvalidDicom(f"The header has more than {MAX_ELEMENTS} elements.")
