"""Specific Character Set (0008,0005): from the bytes of a text value to text.

Plain ASCII never comes here. Python's own codecs do the work; this module knows which codec a defined term or an
escape sequence stands for, and where code extension falls back to the first character set. Nothing is guessed:
what the declared sets cannot decode becomes U+FFFD, and the caller is told.

References
----------
PS3.3 C.12.1.1.2 "Specific Character Set"; PS3.5 6.1.2.4 "Code Extension Techniques" and 6.1.2.5 "Usage of Code Extension".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_SINGLE_BYTE = {
    "13": "shift_jis",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "166": "tis_620",
    "203": "iso8859_15",
}
"""PS3.3 Tables C.12-2 and C.12-3: registration number → codec."""

_MULTI_BYTE = {"58": "gb2312", "87": "iso2022_jp", "149": "euc_kr", "159": "iso2022_jp_2"}
"""PS3.3 Table C.12-4."""

_STAND_ALONE = {"GB18030": "gb18030", "GBK": "gbk", "ISO 2022 GBK": "gbk"}
"""PS3.3 Table C.12-5, and a spelling seen in the wild."""

_ESCAPED = {
    b"(B": "ascii",
    b"(J": "shift_jis",
    b")I": "shift_jis",
    b"-A": "latin_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "tis_620",
    b"-b": "iso8859_15",
    b"$B": "iso2022_jp",
    b"$(D": "iso2022_jp_2",
    b"$)A": "gb2312",
    b"$)C": "euc_kr",
}
"""Escape sequence, without the ESC → codec (PS3.3 Tables C.12-3 and C.12-4)."""

_KEEPS_ESCAPE = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""These codecs read the escape sequence themselves; the sets use seven bits, so no byte of them is a delimiter."""

_ISO = re.compile(r"ISO[ _-](?:2022[ _-])?IR[ _-](\d{1,3})")
_ESCAPE = re.compile(rb"\x1b(\$?[()-]?[A-Za-z])")
_DELIMITER = re.compile(rb"[\\^=\t\n\f\r]")


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """How text is encoded where a Specific Character Set is in force.

    ``initial`` is the codec of its first term; ``extended`` says whether escape sequences may switch to others.
    ``fallback`` is the codec of a declared eight-bit set that is tried where a writer left out its escape sequence.
    """

    initial: str = "ascii"
    extended: bool = False
    fallback: str | None = None

    def decode(self, value: bytes) -> tuple[str, bool]:
        """Decode a value, delimiters included.

        Returns
        -------
        tuple of str and bool
            The text, and whether every byte belonged to a declared set; what did not is U+FFFD.
        """
        try:
            if self.extended and b"\x1b" in value:
                return self._decode_extended(value, "strict"), True
            return value.decode(self.initial), True
        except UnicodeDecodeError:
            return self._decode_faulty(value)

    def _decode_faulty(self, value: bytes) -> tuple[str, bool]:
        if self.fallback and b"\x1b" not in value:
            text = value.decode(self.fallback, "replace")
            return text, "\ufffd" not in text
        return self._decode_extended(value, "replace"), False

    def _decode_extended(self, value: bytes, errors: str) -> str:
        if not self.extended:
            return value.decode(self.initial, errors)
        first, *rest = _ESCAPE.split(value)
        pieces = [self._decode_piece(escape, piece, errors) for escape, piece in zip(rest[::2], rest[1::2], strict=True)]
        return first.decode(self.initial, errors) + "".join(pieces)

    def _decode_piece(self, escape: bytes, piece: bytes, errors: str) -> str:
        """Decode what stands between an escape sequence and the next."""
        codec = _ESCAPED.get(escape)
        if codec is None:
            return (b"\x1b" + escape + piece).decode(self.initial, errors)
        if not piece:
            return ""
        if codec in _KEEPS_ESCAPE:
            return (b"\x1b" + escape + piece).decode(codec, errors)
        delimiter = _DELIMITER.search(piece)
        edge = delimiter.start() if delimiter else len(piece)
        return piece[:edge].decode(codec, errors) + piece[edge:].decode(self.initial, errors)


DEFAULT = CharacterSet()
"""ISO-IR 6, which is ASCII: in force where nothing is declared."""


@lru_cache(maxsize=256)
def character_set(value: bytes) -> CharacterSet:
    """Read the raw value of Specific Character Set; an unknown term counts as ASCII."""
    terms = [term.strip(" \0") for term in value.decode("ascii", "replace").split("\\")]
    extended = len(terms) > 1 or terms[0].startswith("ISO 2022")
    codecs = [_codec(term) for term in terms]
    fallback = next((codec for codec in codecs[1:] if codec not in {"ascii", *_KEEPS_ESCAPE}), None)
    return CharacterSet(codecs[0], extended, fallback)


def _codec(term: str) -> str:
    iso = _ISO.fullmatch(term)
    if iso is None:
        return _STAND_ALONE.get(term, "ascii")
    if iso[1] == "192":
        return "utf_8"
    return _SINGLE_BYTE.get(iso[1]) or _MULTI_BYTE.get(iso[1], "ascii")
