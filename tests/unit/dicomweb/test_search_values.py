"""Values of search keys: which match everything, and which are refused."""

from __future__ import annotations

import pytest

from shared.dicomweb.search_values import MAX_LIST, compile_matcher
from shared.errors import InvalidRequest


@pytest.mark.parametrize("vr", ["LO", "SH", "CS", "UI", "DA", "TM", "IS", "PN"])
@pytest.mark.parametrize("text", ["", " ", "*", "**", "\x00"])
def test_an_empty_value_or_a_star_matches_everything(vr: str, text: str) -> None:
    assert compile_matcher(vr, text, "Keyword", fuzzy=False) is None


@pytest.mark.parametrize(
    ("vr", "text", "fuzzy"),
    [
        ("DA", "2024", False),
        ("DA", "20240230", False),
        ("DA", "20240101-20240102-20240103", False),
        ("DA", "2024-01-01", False),
        ("DA", "-", False),
        ("DA", "20240102-20240101", False),
        ("DA", "2024010?", False),
        ("DA", "\N{ARABIC-INDIC DIGIT ONE}" * 8, False),
        ("TM", "24", False),
        ("TM", "10:30", False),
        ("TM", "12-11", False),
        ("IS", "1.5", False),
        ("IS", "seven", False),
        ("IS", "9" * 5000, False),
        ("UI", ",".join(str(n) for n in range(MAX_LIST + 1)), False),
        ("CS", "C*,MR", False),
        ("PN", '"Doe"', True),
    ],
)
def test_a_value_that_is_none_of_its_vr_is_refused_and_not_repeated(vr: str, text: str, fuzzy: bool) -> None:
    with pytest.raises(InvalidRequest, match="Keyword") as caught:
        compile_matcher(vr, text, "Keyword", fuzzy=fuzzy)
    assert len(text) < 3 or text not in str(caught.value)
