"""Datasets of any shape: what a sender or a damaged object may hold, for property tests of the mapping to FHIR."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from shared.fhir.dataset import tag

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
"""Half surrogate pairs included, which JSON can spell."""

_PLAUSIBLE_WORDS = (
    "1.2.3 1.2.840.10008.5.1.4.1.1.2 CONTAINER NUM TEXT CODE IMAGE CONTAINS DCM LN SCT UCUM mm 126000 125007 121073 121072 18748-4 "
    "COMPLETE PARTIAL VERIFIED DEV 20260110 101112 20260110101112+0900 +0900 application/pdf 12 -1 1e400 DOE^JANE"
)
_LEAVES = st.one_of(
    st.sampled_from(_PLAUSIBLE_WORDS.split()),
    _ANY_TEXT,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e9"), max_value=Decimal("1e9")),
    st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), st.one_of(_ANY_TEXT, st.none(), st.integers())),
)


def junk_datasets(*keywords: str) -> SearchStrategy[dict[str, Any]]:
    """Give datasets of these attributes, nested in one another, with values of any type."""
    tags = st.sampled_from([tag(keyword) for keyword in keywords])
    return st.recursive(
        st.dictionaries(tags, _elements(_LEAVES), max_size=8),
        lambda items: st.dictionaries(tags, _elements(st.one_of(items, _LEAVES)), max_size=8),
        max_leaves=12,
    )


def _elements(values: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Give elements: mostly an object with a list of values, as DICOM JSON has it."""
    element = st.fixed_dictionaries({"vr": st.just("UN"), "Value": st.lists(values, max_size=3)})
    return st.one_of(element, element, element, st.fixed_dictionaries({"Value": values}), _LEAVES)
