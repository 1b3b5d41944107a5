"""How each element is read: its VR, where its length stands, and what writes its value.

An encoding remembers a plan for each *head* it has met: the first eight bytes of an element, which hold its tag, its VR
where explicit, and nearly always its length. Looking a plan up costs one dictionary access.

References
----------
PS3.5 7.1 "Data Elements", 6.2.2 "Unknown (UN) Value Representation" and A.1 "DICOM Implicit VR Little Endian".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from shared.dicom.attributes import KEPT
from shared.dicom.charsets import character_set
from shared.dicom.dictionary import entry_of
from shared.dicom.json_values import BINARY_WORD_BYTES, MAX_VALUE_BYTES, NUMBER_FORMATS, Scope, Writer, nothing, writer_for
from shared.dicom.validation import NUMBER_RULES, TEXT_RULES
from shared.errors import InvalidDicom

PIXEL_DATA = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
"""Float, Double Float and plain Pixel Data: the header ends where one of them begins."""

_SPECIFIC_CHARACTER_SET, _PIXEL_REPRESENTATION, _TRAILING_PADDING = 0x00080005, 0x00280103, 0xFFFCFFFC
_META_GROUPS = frozenset({0x0000, 0x0002})
_DELIMITER_GROUP = 0xFFFE
_VRS = frozenset({"SQ", "AT", *TEXT_RULES, *NUMBER_RULES, *NUMBER_FORMATS, *BINARY_WORD_BYTES})
WIDE_VRS = frozenset({"OB", "OW", "UN", "UT", "OD", "OF", "OL", "OV", "SQ", "UC", "UR", "SV", "UV"})
"""VRs whose explicit length has 32 bits (PS3.5 Table 7.1-1)."""
_NO_VR = frozenset({"", "  ", "\0\0"})
"""Implicit, and what some writers of explicit datasets put where they know no VR."""
_US_OR_SS = "US|SS"
_MAX_CHARACTER_SETS_BYTES = 512
"""A Specific Character Set names ten sets at most; what is remembered of it stays small."""
_MAX_PLANS = 16_384
"""Heads remembered by an encoding; beyond, it starts anew, so that no sender can fill it for good."""
HEAD_BYTES = 8


class Plan(NamedTuple):
    """How to read an element.

    ``prefix`` is its JSON up to the VR, empty for items and delimiters. ``write`` is None where the value is not plain. The
    value begins ``header_bytes`` after the element; ``length`` is None where it stands behind the head. ``vr`` is UN for a
    sequence sent as such: its items are implicit. ``kept`` marks what is of use beside the JSON.
    """

    tag: int
    prefix: bytes
    write: Writer | None
    header_bytes: int
    length: int | None
    vr: str
    kept: bool


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How the elements of a dataset are encoded, and the plans made so far by head.

    ``long`` unpacks the four-byte length behind an explicit head, ``item_head`` the tag and length of an item.
    """

    explicit: bool
    order: str
    long: struct.Struct
    item_head: struct.Struct
    plans: dict[bytes, Plan] = field(default_factory=dict, repr=False)

    def plan(self, head: bytes) -> Plan:
        """Make the plan of a head not met before, and remember it.

        Raises
        ------
        InvalidDicom
            Its VR is none.
        """
        if len(self.plans) >= _MAX_PLANS:
            self.plans.clear()
        self.plans[head] = plan = self._make_plan(head)
        return plan

    def _make_plan(self, head: bytes) -> Plan:
        group, element, length = self.item_head.unpack(head)
        tag = group << 16 | element
        if group == _DELIMITER_GROUP:
            return Plan(tag, b"", None, HEAD_BYTES, length, "", kept=False)
        if not self.explicit:
            prefix, write = _reading(tag, "", self.order)
            return Plan(tag, prefix, bounded(write, length), HEAD_BYTES, length, _dictionary_vr(tag), tag in KEPT)
        written_vr = head[4:6].decode("latin_1")
        prefix, write = _reading(tag, written_vr, self.order)
        vr = _dictionary_vr(tag) if written_vr in _NO_VR or (written_vr == "UN" and write is not None) else written_vr
        if written_vr in WIDE_VRS:
            return Plan(tag, prefix, write, 12, None, vr, tag in KEPT)
        (short,) = struct.unpack_from(self.order + "H", head, 6)
        return Plan(tag, prefix, write, HEAD_BYTES, short, vr, tag in KEPT)


def _encoding(order: str, *, explicit: bool) -> Encoding:
    return Encoding(explicit, order, struct.Struct(order + "I"), struct.Struct(order + "HHI"))


IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG = (
    _encoding("<", explicit=False),
    _encoding("<", explicit=True),
    _encoding(">", explicit=True),
)

_EXPLICIT_BIG_ENDIAN = "1.2.840.10008.1.2.2"


def encoding_of(transfer_syntax_uid: str, first_head: bytes) -> Encoding:
    """Tell how a dataset is encoded.

    Every transfer syntax but DICOM's first and third means explicit little endian (PS3.5 annex A). Some writers name one
    and use the other; whether VRs are there shows in the first element, and is believed.

    Parameters
    ----------
    transfer_syntax_uid
        As the file meta information says.
    first_head
        The first six bytes of the dataset.
    """
    if transfer_syntax_uid == _EXPLICIT_BIG_ENDIAN:
        return EXPLICIT_BIG
    if not first_head:
        return EXPLICIT_LITTLE
    return EXPLICIT_LITTLE if first_head[4:].decode("latin_1") in _VRS else IMPLICIT_LITTLE


def bounded(write: Writer | None, length: int) -> Writer | None:
    """Replace the writer of a value that is too long for metadata."""
    return nothing if write is not None and length > MAX_VALUE_BYTES else write


@lru_cache(maxsize=8192)
def _reading(tag: int, written_vr: str, order: str) -> tuple[bytes, Writer | None]:
    """Give JSON prefix and writer of an element; ``written_vr`` is empty where implicit."""
    if written_vr not in _VRS and written_vr not in _NO_VR:
        raise InvalidDicom("An element has an unknown VR, or a length before it is wrong.")
    unknown = written_vr == "UN"
    vr = _dictionary_vr(tag) if unknown or written_vr in _NO_VR else written_vr
    write = None if vr == "SQ" or tag in PIXEL_DATA else _writer(tag, vr, "<" if unknown else order)
    return _prefix(tag, vr), write


def _prefix(tag: int, vr: str) -> bytes:
    return f'"{tag:08X}":{{"vr":"{vr[:2]}"'.encode()


def _dictionary_vr(tag: int) -> str:
    """Tell the VR of an element that does not carry one (PS3.5 A.1, 7.8.1 "Private Data Element Tags")."""
    if tag & 0x00010000:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    entry = entry_of(tag)
    if entry is None:
        return "UN"
    return entry.vrs if entry.vrs == _US_OR_SS or "|" not in entry.vrs else "OW"


def _writer(tag: int, vr: str, order: str) -> Writer:
    group, element = divmod(tag, 0x10000)
    if element == 0 or group in _META_GROUPS or tag == _TRAILING_PADDING:
        return nothing
    if vr == _US_OR_SS:
        return _us_or_ss(tag, order)
    write = writer_for(vr, _prefix(tag, vr), order)
    if tag == _SPECIFIC_CHARACTER_SET:
        return _declaring_charset(write)
    return _declaring_sign(write) if tag == _PIXEL_REPRESENTATION else write


def _us_or_ss(tag: int, order: str) -> Writer:
    unsigned, signed = (writer_for(vr, _prefix(tag, vr), order) for vr in ("US", "SS"))
    return lambda raw, scope: (signed if scope.signed else unsigned)(raw, scope)


def _declaring_charset(write: Writer) -> Writer:
    def declare(raw: bytes, scope: Scope) -> bytes:
        scope.charset = character_set(raw[:_MAX_CHARACTER_SETS_BYTES])
        return write(raw, scope)

    return declare


def _declaring_sign(write: Writer) -> Writer:
    def declare(raw: bytes, scope: Scope) -> bytes:
        scope.signed = b"\1" in raw
        return write(raw, scope)

    return declare
