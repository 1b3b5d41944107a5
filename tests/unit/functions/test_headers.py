"""Header values: ETags, CORS, and nothing but one line."""

from __future__ import annotations

import pytest

from functions._headers import Cors, encode, etag_matches, quote_etag


@pytest.mark.parametrize(
    ("if_none_match", "matches"),
    [
        (None, False),
        ("", False),
        ('"7-3"', True),
        ('W/"7-3"', True),
        ("7-3", True),
        ('"6-3", "7-3"', True),
        ('"6-3",W/"7-3"', True),
        ("*", True),
        ('"7-30"', False),
        ('"6-3"', False),
    ],
)
def test_if_none_match_takes_quoted_weak_listed_bare_tags_and_the_star(if_none_match: str | None, matches: bool) -> None:
    assert etag_matches(if_none_match, "7-3") is matches


def test_an_etag_is_sent_quoted() -> None:
    assert quote_etag("7-3") == '"7-3"'


def test_several_values_give_several_lines() -> None:
    assert encode({"warning": ["a", "b"], "etag": '"1"'}) == [(b"warning", b"a"), (b"warning", b"b"), (b"etag", b'"1"')]


@pytest.mark.parametrize("value", ["a\r\nset-cookie: x", "a\nb", "a\x00b"])
def test_a_value_of_more_than_one_line_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        encode({"warning": value})


def test_without_allowed_origins_nothing_is_said_about_origins() -> None:
    assert Cors().answer("https://viewer.test") == [(b"vary", b"Accept")]


def test_an_allowed_origin_may_read_and_another_may_not() -> None:
    cors = Cors(("https://viewer.test",))
    assert dict(cors.answer("https://viewer.test"))[b"access-control-allow-origin"] == b"https://viewer.test"
    assert b"access-control-allow-origin" not in dict(cors.answer("https://evil.test"))
    assert dict(cors.answer(None))[b"vary"] == b"Accept, Origin"
