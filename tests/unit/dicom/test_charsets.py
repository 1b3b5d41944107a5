"""Text values are decoded as their Specific Character Set says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import convert_encodings, decode_bytes, encode_string

from shared.dicom.charsets import character_set

SINGLE = [
    ("", "plain"),
    ("ISO_IR 100", "Müller^Jörg"),
    ("ISO_IR 101", "Wałęsa^Łukasz"),
    ("ISO_IR 109", "Ċensu^Ġorġ"),
    ("ISO_IR 110", "Kārlis^Ģirts"),
    ("ISO_IR 126", "Διονυσιος"),
    ("ISO_IR 127", "قباني^لنزار"),
    ("ISO_IR 138", "שרון^דבורה"),
    ("ISO_IR 144", "Люкceмбypг"),  # noqa: RUF001 - the name in PS3.5 annex J
    ("ISO_IR 148", "Çavuşoğlu"),
    ("ISO_IR 166", "สมชาย^ใจดี"),
    ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    ("ISO_IR 192", "Zoë^😀=𠮷野^屋"),
    ("GB18030", "Wang^XiaoDong=王^小东="),
    ("GBK", "Wang^XiaoDong=王^小东="),
]


@pytest.mark.parametrize(("term", "text"), SINGLE)
def test_a_single_set_decodes_its_own_text(term: str, text: str) -> None:
    encoding = convert_encodings([term])[0]
    assert character_set(term.encode()).decode(text.encode(encoding)) == (text, True)


# PS3.5 annexes H, I and K: the names of the examples, in the bytes printed there
EXTENDED = [
    (
        rb"\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    (
        rb"ISO 2022 IR 13\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    (
        rb"\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    (rb"\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=", "Zhang^XiaoDong=张^小东="),
    (rb"ISO 2022 IR 100\ISO 2022 IR 144", b"J\xf6rg^\x1b-L\xbb\xee^J\xf6rg", "Jörg^Лю^Jörg"),
]


@pytest.mark.parametrize(("terms", "value", "text"), EXTENDED)
def test_escape_sequences_switch_sets_and_delimiters_switch_back(terms: bytes, value: bytes, text: str) -> None:
    assert character_set(terms).decode(value) == (text, True)


def test_a_backslash_within_two_byte_characters_separates_nothing() -> None:
    text, sound = character_set(b"GB18030").decode("乗\\昞".encode("gb18030"))
    assert (text, sound) == ("乗\\昞", True)


def test_a_declared_eight_bit_set_is_tried_where_its_escape_sequence_is_missing() -> None:
    assert character_set(rb"\ISO 2022 IR 58").decode(b"Zhang=\xd5\xc5") == ("Zhang=张", True)


@pytest.mark.parametrize("term", [b"ISO-IR 100", b"ISO IR 100", b"ISO_IR 100 ", b"ISO 2022 IR 100"])
def test_common_spellings_of_a_term_are_understood(term: bytes) -> None:
    assert character_set(term).decode(b"\xe9") == ("é", True)


@pytest.mark.parametrize("term", [b"", b"ISO_IR 6", b"ISO_IR 999", b"NONSENSE", b"\xff\xfe"])
def test_nothing_is_guessed_where_no_known_set_is_declared(term: bytes) -> None:
    assert character_set(term).decode(b"M\xfcller") == ("M\ufffdller", False)


@given(st.sampled_from([terms for terms, _, _ in EXTENDED] + [term.encode() for term, _ in SINGLE]), st.binary(max_size=60))
def test_any_bytes_decode_to_text_that_is_valid_utf8(terms: bytes, value: bytes) -> None:
    text, _ = character_set(terms).decode(value)
    text.encode()


ALPHABETS = {"ISO 2022 IR 126": "αβγ a", "ISO 2022 IR 144": "дЖщ a", "ISO 2022 IR 149": "홍길동 a"}


@given(st.sampled_from(sorted(ALPHABETS)).flatmap(lambda term: st.tuples(st.just(term), st.lists(st.text(ALPHABETS[term])))))
def test_what_an_independent_encoder_writes_is_read_as_it_reads_it(example: tuple[str, list[str]]) -> None:
    term, parts = example
    encodings = convert_encodings(["", term])
    value = b"^".join(encode_string(part, encodings) for part in parts)
    mine, sound = character_set(f"\\{term}".encode()).decode(value)
    assert sound
    assert mine == "^".join(parts) == decode_bytes(value, encodings, {0x5E})
