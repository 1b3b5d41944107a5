"""Which resources of a server can be read at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.fhir_shapes import is_readable

NO_OBJECTS: list[Any] = ["x", 1, None, [None], ["x"], [["x"]]]
CODING = {"system": "urn:x", "code": "y", "userSelected": True}


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("Patient", {}),
        (
            "Patient",
            {"meta": {"versionId": "3", "tag": [CODING]}, "identifier": [{"value": "1"}], "name": [{"text": "A"}, {"family": "B"}]},
        ),
        ("Patient", {"link": [{"type": "replaced-by", "other": {"reference": "Patient/2"}}], "contact": "whatever we do not read"}),
        ("ImagingStudy", {"series": [{"uid": "1.2"}, {"uid": "1.3", "instance": [{"uid": "1.3.1"}]}], "endpoint": [{"reference": "E/1"}]}),
        ("Endpoint", {"name": "a text here", "identifier": []}),
    ],
)
def test_a_resource_with_lists_objects_and_texts_in_their_places_is_readable(kind: str, elements: dict[str, Any]) -> None:
    assert is_readable({"resourceType": kind, **elements})


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        *[("Patient", {name: value}) for name in ("meta", "link", "identifier", "name") for value in NO_OBJECTS],
        *[("ImagingStudy", {name: value}) for name in ("series", "endpoint", "basedOn", "note") for value in NO_OBJECTS],
        ("Endpoint", {"meta": {"tag": {}}}),
        ("Device", {"meta": {"versionId": 3}}),
        ("Patient", {"birthDate": 19700101}),
        ("Patient", {"link": [{"other": {"reference": 7}}]}),
        ("ImagingStudy", {"series": [{"uid": None}]}),
        ("ImagingStudy", {"series": [{"instance": [{"uid": 7}]}]}),
    ],
)
def test_a_resource_of_another_shape_is_not(kind: str, elements: dict[str, Any]) -> None:
    assert not is_readable({"resourceType": kind, **elements})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(st.sampled_from(["Patient", "ImagingStudy", "Basic"]), st.dictionaries(st.sampled_from(["meta", "series", "link", "name"]), JSON))
def test_any_json_is_one_or_the_other(kind: str, elements: dict[str, Any]) -> None:
    assert is_readable({"resourceType": kind, **elements}) in {True, False}
