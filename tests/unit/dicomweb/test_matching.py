"""The meaning of a match, and that hints never hide one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.text import fold, name_words
from shared.dicomweb.search_values import compile_matcher
from shared.errors import ArchiveError

if TYPE_CHECKING:
    from shared.dicomweb.matching import Matcher


def element(vr: str, *values: Any) -> dict[str, Any]:
    """Make an element; the text of a name is split into its component groups."""
    if vr == "PN":
        values = tuple(dict(zip(("Alphabetic", "Ideographic", "Phonetic"), v.split("="), strict=False)) for v in values)
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def compiled(vr: str, text: str, *, fuzzy: bool = False) -> Matcher:
    matcher = compile_matcher(vr, text, "Keyword", fuzzy=fuzzy)
    assert matcher is not None
    return matcher


def found(vr: str, text: str, value: Any, *, fuzzy: bool = False) -> bool:
    return compiled(vr, text, fuzzy=fuzzy).matches(element(vr, value))


@pytest.mark.parametrize(
    ("vr", "text", "matching", "other"),
    [
        pytest.param("LO", "Chest CT", ["chest ct", "CHEST CT ", "Chest CT\x00", " Chest CT"], ["Chest", "Chest CT 2", ""], id="LO"),
        pytest.param("LO", "Café", ["CAFÉ", "Cafe\u0301"], ["Cafe"], id="LO keeps accents"),
        pytest.param("SH", "a*c", ["AC", "abbc", "a*c"], ["ab", "bac", "a\nb"], id="star"),
        pytest.param("SH", "a?c", ["abc", "A?C"], ["ac", "abbc"], id="question mark"),
        pytest.param("LO", "*b*", ["b", "abc", "x\r\nb"], ["ac"], id="contains"),
        pytest.param("LO", "a.c*", ["a.c", "a.cd"], ["abc"], id="dots are dots"),
        pytest.param("LO", "*a*b*c", ["abc", "aabbc", "xaxbxc", "ababcc"], ["acb", "abcx", "ab"], id="several stars"),
        pytest.param("CS", "CT", ["CT", "ct "], ["MR", "CTA"], id="CS"),
        pytest.param("CS", "CT\\MR", ["CT", "MR"], ["US"], id="list of codes"),
        pytest.param("CS", "CT,MR,", ["CT", "MR"], ["US"], id="list by commas"),
        pytest.param("CS", "C*", ["CT", "CR"], ["MR"], id="wildcard code"),
        pytest.param("UI", "1.2.3", ["1.2.3", "1.2.3\x00"], ["1.2.30", "1.2"], id="UID"),
        pytest.param("UI", "1.2, 1.3\\1.4", ["1.2", "1.3", "1.4"], ["1.2,1.3", "1"], id="list of UIDs"),
        pytest.param("UI", "no uid?", [], ["1.2", "no uid!"], id="no UID matches nothing"),
        pytest.param("DA", "20240229", ["20240229", "20240229 "], ["20240228", "2024.02.29", "x"], id="date"),
        pytest.param("DA", "20240101-20240131", ["20240101", "20240115", "20240131"], ["20231231", "20240201", "20240132", ""], id="dates"),
        pytest.param("DA", "20240101-", ["20240101", "99991231"], ["20231231", "unknown"], id="dates from"),
        pytest.param("DA", "-20240101", ["19000101", "20240101"], ["20240102", "00000000", "1"], id="dates until"),
        pytest.param("TM", "1030", ["1030", "103000", "103000.000"], ["10", "103001"], id="time"),
        pytest.param("TM", "10-1130", ["100000.000001", "10", "1130"], ["095959.9", "113001", "25"], id="times"),
        pytest.param("IS", "7", [7, "7", " +07 ", "007"], [70, "x", "7.0", None], id="number"),
        pytest.param("PN", "doe^john", ["Doe^John", "DOE^JOHN^^", "Döe^Jöhn "], ["Doe", "Doe^John^Q", "John^Doe"], id="name"),
        pytest.param(
            "PN", "Yamada^Tarou=山田^太郎", ["Yamada^Tarou=山田^太郎"], ["Yamada^Tarou", "Yamada^Tarou=山田^次郎"], id="whole name"
        ),
        pytest.param("PN", "山田^太郎", ["Yamada^Tarou=山田^太郎=やまだ^たろう"], ["Yamada^Tarou"], id="one group of a name"),
        pytest.param("PN", "doe*", ["Doe^John", "DOERR", "dóe", "x=Doe^J"], ["McDoe", "Do"], id="name with a trailing star"),
        pytest.param("PN", "*doe*", ["Doe^John", "McDoe"], ["Smith"], id="name with stars around"),
    ],
)
def test_matching(vr: str, text: str, matching: list[Any], other: list[Any]) -> None:
    assert [value for value in matching if not found(vr, text, value)] == []
    assert [value for value in other if found(vr, text, value)] == []


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("joh", ["John^Doe", "Doe^John"], ["Doe^Ajohn"]),
        ("do", ["John^Doe"], ["John^Ado"]),
        ("jo do", ["John^Doe", "x=John^Doe"], ["Doe^John", "John^A^Doe"]),
        ("John Doe", ["John^Doe", "JÖHN^DOÉ"], ["Joh^Doe"]),
        ("John^Doe", ["John^Doe", "Mr John Doe"], ["John"]),
        ("ohn", [], ["John^Doe"]),
        ("do*", ["Doe^John"], ["John^Doe"]),
    ],
)
def test_fuzzy_matching_takes_words_by_their_beginnings(text: str, matching: list[str], other: list[str]) -> None:
    assert [value for value in matching if not found("PN", text, value, fuzzy=True)] == []
    assert [value for value in other if found("PN", text, value, fuzzy=True)] == []


@pytest.mark.parametrize(
    ("vr", "text"), [("LO", "x"), ("LO", "x*"), ("UI", "1"), ("DA", "-20240101"), ("IS", "1"), ("PN", "x"), ("PN", "?")]
)
def test_what_has_no_value_does_not_match(vr: str, text: str) -> None:
    matcher = compiled(vr, text)
    assert not matcher.matches(None)
    assert not matcher.matches({"vr": vr})
    assert not matcher.matches({"vr": vr, "Value": [None]})


def test_one_of_several_values_is_enough() -> None:
    assert compiled("CS", "MR").matches(element("CS", "CT", "MR"))


def test_many_stars_take_no_time() -> None:
    matcher = compiled("LO", "*a" * 500 + "b")
    value = element("LO", "a" * 8000)
    began = time.perf_counter()
    assert not matcher.matches(value)
    assert time.perf_counter() - began < 2


LETTERS = st.text(st.sampled_from("aAbBcC éÉß^= *?Σς\u0301-.1"), max_size=12)


def hint_holds(matcher: Matcher, vr: str, stored: dict[str, Any]) -> bool:
    """Tell whether what a hint says is true of an element; of a name, that it has all the words."""
    hint = matcher.hint
    texts = [text for value in stored["Value"] for text in (value.values() if isinstance(value, dict) else (value,))]
    values = [text.strip(" \x00") if vr == "UI" else fold(text) for text in (*texts, "=".join(texts))]
    words = [word for value in values for word in name_words(value)]
    whole = any(set(name_words(e)) <= set(words) if vr == "PN" else e in values for e in hint.exact)
    begins = any(value.startswith(hint.prefix) for value in values)
    return (whole or not hint.exact) and begins and all(any(w.startswith(p) for w in words) for p in hint.word_prefixes)


@given(st.sampled_from(["LO", "SH", "CS", "UI", "PN"]), LETTERS, LETTERS, st.booleans())
def test_a_hint_is_true_of_whatever_matches(vr: str, text: str, value: str, fuzzy: bool) -> None:
    try:
        matcher = compile_matcher(vr, text, "Keyword", fuzzy=fuzzy)
    except ArchiveError:
        return
    stored = element(vr, value)
    if matcher is not None and matcher.matches(stored):
        assert hint_holds(matcher, vr, stored)


@given(st.sampled_from(["LO", "SH", "UI", "PN"]), LETTERS.filter(lambda v: not set(v) & set("*?,\\=")))
def test_a_value_matches_itself(vr: str, value: str) -> None:
    matcher = compile_matcher(vr, value, "Keyword", fuzzy=False)
    assert matcher is None or matcher.matches(element(vr, value))


@given(st.lists(st.tuples(st.sampled_from("aAbé.^"), st.sampled_from(["kept", "?", "*", "kept*"])), min_size=1, max_size=12))
def test_a_value_matches_itself_with_some_of_it_made_wild(characters: list[tuple[str, str]]) -> None:
    value = "".join(character for character, _ in characters)
    pattern = "".join(wild.replace("kept", character) for character, wild in characters)
    matcher = compile_matcher("LO", pattern, "Keyword", fuzzy=False)
    assert matcher is None or matcher.matches(element("LO", value))


@given(st.dates(), st.dates(), st.dates())
def test_a_range_of_dates_holds_what_lies_between(low: Any, high: Any, day: Any) -> None:
    low, high = min(low, high), max(low, high)
    texts = [d.strftime("%Y%m%d").rjust(8, "0") for d in (low, high, day)]
    matcher = compiled("DA", f"{texts[0]}-{texts[1]}")
    assert matcher.matches(element("DA", texts[2])) is (low <= day <= high)
    assert (matcher.hint.low, matcher.hint.high) == (texts[0], texts[1])


@pytest.mark.parametrize(
    ("vr", "text", "fuzzy", "exact", "prefix", "word_prefixes"),
    [
        ("LO", " Ärzte ", False, ("arzte",), "", ()),
        ("UI", "1.2\\1.1", False, ("1.1", "1.2"), "", ()),
        ("CS", "ct,MR", False, ("ct", "mr"), "", ()),
        ("DA", "20240101", False, ("20240101",), "", ()),
        ("DA", "20240101-", False, (), "", ()),
        ("LO", "Äb*c", False, (), "ab", ()),
        ("PN", "Doe^Jo*", False, (), "", ("doe", "jo")),
        ("PN", "*Doe", False, (), "", ()),
        ("PN", "Döe^John", False, ("doe^john",), "", ()),
        ("PN", "Dö Jo", True, (), "", ("do", "jo")),
        ("IS", "1", False, (), "", ()),
    ],
)
def test_hints(vr: str, text: str, fuzzy: bool, exact: tuple[str, ...], prefix: str, word_prefixes: tuple[str, ...]) -> None:
    hint = compiled(vr, text, fuzzy=fuzzy).hint
    assert (hint.exact, hint.prefix, hint.word_prefixes) == (exact, prefix, word_prefixes)
