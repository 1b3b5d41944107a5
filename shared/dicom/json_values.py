"""One function for each VR: from the raw bytes of a value to its DICOM JSON element, checked on the way.

A *writer* is made once for each tag and VR; it gives ``"00080020":{"vr":"DA","Value":["20240101"]}`` as bytes, or
nothing where the element has no place in metadata. Plain values (nearly all) pass one regular expression and are
copied; the others are decoded, checked and escaped. A writer knows no tag but through its prefix, and no dataset.

References
----------
PS3.18 F.2 "DICOM JSON Model"; Table F.2.3-1 "DICOM VR to JSON Data Type Mapping".
"""

from __future__ import annotations

import struct
from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias

import orjson

from shared.dicom.charsets import DEFAULT, CharacterSet
from shared.dicom.validation import DECIMAL, NUMBER_RULES, PADDING, TEXT_RULES, TextRule

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_INLINE_BYTES = 1024
"""Binary values (OB, OW, UN, ...) above this are bulk data and left out of metadata."""
MAX_VALUE_BYTES = 1024 * 1024
"""Values of any VR above this are bulk data (PS3.18 F.2.6): a list of their numbers or names would be many times as large."""

_MAX_NUMBER_CHARACTERS = 18
"""Longer integers may not fit into 64 bits."""

BINARY_WORD_BYTES = {"OB": 1, "UN": 1, "OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
NUMBER_FORMATS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}


class BadValue(Exception):
    """A value breaks the rules of its VR. Raised within ``shared/dicom`` only; the explanation holds no value."""

    def __init__(self, explanation: str) -> None:
        super().__init__(explanation)
        self.explanation = explanation


@dataclass(slots=True)
class Scope:
    """What governs the values of a dataset and, until they say otherwise, of its items.

    ``strict`` asks for the full VR rules; ``signed`` is what Pixel Representation says of implicit "US or SS" values.
    """

    strict: bool
    charset: CharacterSet = DEFAULT
    signed: bool = False


Writer: TypeAlias = Callable[[bytes, Scope], bytes]


def writer_for(vr: str, prefix: bytes, order: str) -> Writer:
    """Make the writer of an element.

    Parameters
    ----------
    vr
        Any VR but SQ.
    prefix
        The element's JSON up to its VR: ``"00080020":{"vr":"DA"``.
    order
        Byte order as ``struct`` writes it: ``<`` or ``>``.
    """
    if vr == "PN":
        return _person_name(prefix)
    if vr in TEXT_RULES:
        return _text(prefix, TEXT_RULES[vr])
    if vr in NUMBER_RULES:
        return _number_text(prefix, NUMBER_RULES[vr])
    if vr in NUMBER_FORMATS:
        return _number(prefix, order + NUMBER_FORMATS[vr])
    if vr == "AT":
        return _tag(prefix, order)
    return _binary(prefix, BINARY_WORD_BYTES[vr], order)


def _values(value: bytes, rule: TextRule, scope: Scope) -> list[str]:
    """Decode, split and, where strict, check what is not plain."""
    text, sound = scope.charset.decode(value) if rule.localized else DEFAULT.decode(value)
    if scope.strict and not sound:
        raise BadValue("holds bytes outside its character set")
    values = [each.rstrip(" \0") for each in text.split("\\")] if rule.multiple else [text]
    if scope.strict:
        for each in values:
            reason = rule.check(each) if each else None
            if reason:
                raise BadValue(reason)
    return values


def _text(prefix: bytes, rule: TextRule) -> Writer:
    opened, empty, plain = prefix + b',"Value":["', prefix + b"}", rule.plain.fullmatch

    def write(raw: bytes, scope: Scope) -> bytes:
        value = raw.rstrip(PADDING)
        if not value:
            return empty
        if plain(value):
            return opened + value.replace(b"\\", b'","') + b'"]}'
        return _element(prefix, [each or None for each in _values(value, rule, scope)])

    return write


def _person_name(prefix: bytes) -> Writer:
    rule = TEXT_RULES["PN"]
    opened, empty, plain = prefix + b',"Value":[{"Alphabetic":"', prefix + b"}", rule.plain.fullmatch

    def write(raw: bytes, scope: Scope) -> bytes:
        value = raw.rstrip(PADDING)
        if not value:
            return empty
        if plain(value):
            return opened + value + b'"}]}'
        return _element(prefix, [_name_groups(each) for each in _values(value, rule, scope)])

    return write


def _name_groups(name: str) -> dict[str, str] | None:
    """PS3.18 F.2.5: groups by name, those that are empty left out."""
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    return {key: group for key, group in groups if group} or None


def _number_text(prefix: bytes, rule: TextRule) -> Writer:
    opened, empty, plain = prefix + b',"Value":[', prefix + b"}", rule.plain.fullmatch

    def write(raw: bytes, scope: Scope) -> bytes:
        value = raw.strip(PADDING)
        if not value:
            return empty
        if plain(value):
            return opened + value.replace(b"\\", b",") + b"]}"
        return _element(prefix, [_json_number(each) for each in _values(value, rule, scope)])

    return write


def _json_number(text: str) -> int | float | str | None:
    """PS3.18 F.2.3 lets IS and DS be strings too: that is what no JSON number can express becomes."""
    text = text.strip(" ")
    if len(text) > _MAX_NUMBER_CHARACTERS or DECIMAL.fullmatch(text) is None:
        return text or None
    if text.lstrip("+-").isdigit():
        return int(text)
    number = float(text)
    return number if isfinite(number) else text


def _number(prefix: bytes, layout: str) -> Writer:
    opened, empty = prefix + b',"Value":[', prefix + b"}"
    size, floating = struct.calcsize(layout), layout[1] in "fd"
    unpack: Callable[[bytes], tuple[int, ...]] = struct.Struct(layout).unpack

    def write(raw: bytes, scope: Scope) -> bytes:
        if len(raw) == size and not floating:
            return opened + b"%d]}" % unpack(raw)[0]
        count, rest = divmod(len(raw), size)
        if rest and scope.strict:
            raise BadValue(f"is no multiple of {size} bytes long")
        if not count:
            return empty
        numbers = struct.unpack(f"{layout[0]}{count}{layout[1]}", raw[: count * size])
        return opened + ",".join(map(_float, numbers) if floating else map(str, numbers)).encode() + b"]}"

    return write


def _float(number: float) -> str:
    """JSON has no NaN and no infinities: they are strings, spelt as the predecessor spells them."""
    if isfinite(number):
        return repr(number)
    return '"NaN"' if number != number else '"Infinity"' if number > 0 else '"-Infinity"'  # noqa: PLR0124 -- the test for NaN


def _tag(prefix: bytes, order: str) -> Writer:
    opened, empty = prefix + b',"Value":["', prefix + b"}"

    def write(raw: bytes, scope: Scope) -> bytes:
        count, rest = divmod(len(raw), 4)
        if rest and scope.strict:
            raise BadValue("is no multiple of 4 bytes long")
        if not count:
            return empty
        words = struct.unpack(f"{order}{2 * count}H", raw[: 4 * count])
        return opened + b'","'.join([b"%04X%04X" % pair for pair in zip(words[::2], words[1::2], strict=True)]) + b'"]}'

    return write


def _binary(prefix: bytes, word_bytes: int, order: str) -> Writer:
    """Small values inline, in little endian (PS3.18 F.2.7); this is where a larger one will get its BulkDataURI."""
    opened, empty = prefix + b',"InlineBinary":"', prefix + b"}"
    swap = order == ">" and word_bytes > 1

    def write(raw: bytes, scope: Scope) -> bytes:  # noqa: ARG001 -- all writers take a scope
        if not raw:
            return empty
        if len(raw) > MAX_INLINE_BYTES:
            return b""
        return opened + b2a_base64(_swapped(raw, word_bytes) if swap else raw, newline=False) + b'"}'

    return write


def _swapped(raw: bytes, word_bytes: int) -> bytes:
    return b"".join(raw[at : at + word_bytes][::-1] for at in range(0, len(raw), word_bytes))


def _element(prefix: bytes, values: Sequence[str | int | float | dict[str, str] | None]) -> bytes:
    return prefix + b',"Value":' + orjson.dumps(values) + b"}"


def nothing(raw: bytes, scope: Scope) -> bytes:  # noqa: ARG001 -- all writers take a scope
    """Write an element that has no place in metadata."""
    return b""
