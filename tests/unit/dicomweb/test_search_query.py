"""Search parameters: what is understood, and what is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.dicom.attributes import SEARCHABLE, Level
from shared.dicomweb.search_query import SearchQuery, check_query_string, parse_search
from shared.errors import ArchiveError, InvalidRequest

RESOURCES: dict[str, tuple[Level, dict[str, str]]] = {
    "/studies": (Level.STUDY, {}),
    "/series": (Level.SERIES, {}),
    "/instances": (Level.INSTANCE, {}),
    "/studies/S/series": (Level.SERIES, {"study": "1.2"}),
    "/studies/S/instances": (Level.INSTANCE, {"study": "1.2"}),
    "/studies/S/series/R/instances": (Level.INSTANCE, {"study": "1.2", "series": "1.3"}),
}
SEARCHED_AT = {
    Level.STUDY: {"/studies", "/series", "/instances"},
    Level.SERIES: {"/series", "/instances", "/studies/S/series", "/studies/S/instances"},
    Level.INSTANCE: {"/instances", "/studies/S/instances", "/studies/S/series/R/instances"},
}
VALUE_OF_VR = {"DA": "20240101", "TM": "10", "IS": "1"}


def search(*params: tuple[str, str], resource: str = "/studies") -> SearchQuery:
    level, path = RESOURCES[resource]
    return parse_search(level, params, **path)


def test_a_search_without_parameters_asks_for_the_first_hundred() -> None:
    query = search(resource="/studies/S/series")
    assert query == SearchQuery(Level.SERIES, study_instance_uid="1.2", limit=100, offset=0)


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("attribute", SEARCHABLE.values(), ids=lambda a: a.keyword)
def test_an_attribute_is_searched_at_the_resources_of_its_level_by_keyword_and_tag(resource: str, attribute: Any) -> None:
    value = VALUE_OF_VR.get(attribute.vr, "x")
    for name in (attribute.keyword, attribute.tag, attribute.tag.lower()):
        if resource in SEARCHED_AT[attribute.level]:
            (condition,) = search((name, value), resource=resource).filters
            assert (condition.tag, condition.keyword, condition.vr, condition.level) == (
                attribute.tag,
                attribute.keyword,
                attribute.vr,
                attribute.level,
            )
        else:
            with pytest.raises(InvalidRequest):
                search((name, value), resource=resource)


@pytest.mark.parametrize(
    "params",
    [
        pytest.param([("Nonsense", "1")], id="no attribute"),
        pytest.param([("patientname", "x")], id="keyword in another case"),
        pytest.param([("Rows", "1")], id="attribute that is not searched"),
        pytest.param([("0028001", "1")], id="seven digits"),
        pytest.param([("00091001", "x")], id="private"),
        pytest.param([("PatientName.PatientID", "x")], id="path of two that are no sequence"),
        pytest.param([("00400275", "x")], id="sequence"),
        pytest.param([("", "x")], id="no name"),
        pytest.param([("PatientID", "1"), ("PatientID", "2")], id="twice"),
        pytest.param([("PatientID", "1"), ("00100020", "1")], id="by keyword and tag"),
        pytest.param([("PatientID", ""), ("00100020", "1")], id="twice, once empty"),
        pytest.param([("StudyDate", "yesterday")], id="no date"),
        pytest.param([("limit", "0")], id="limit 0"),
        pytest.param([("limit", "201")], id="limit over 200"),
        pytest.param([("limit", "many")], id="limit no number"),
        pytest.param([("limit", "")], id="limit empty"),
        pytest.param([("limit", "9" * 5000)], id="limit huge"),
        pytest.param([("limit", "1"), ("Limit", "1")], id="limit twice"),
        pytest.param([("offset", "-1")], id="offset negative"),
        pytest.param([("offset", str(2**63))], id="offset over 64 bits"),
        pytest.param([("offset", "1.5")], id="offset no whole number"),
        pytest.param([("fuzzymatching", "yes")], id="fuzzymatching neither true nor false"),
        pytest.param([("fuzzymatching", "true"), ("fuzzymatching", "true")], id="fuzzymatching twice"),
        pytest.param([("includefield", "Nonsense")], id="unknown field"),
        pytest.param([("includefield", "00080021,patientname")], id="field in another case"),
        pytest.param([("includefield", "12345678")], id="field of an unknown tag"),
        pytest.param([("includefield", "00400275.Nonsense")], id="unknown field in a sequence"),
        pytest.param([("includefield", "PatientName.")], id="unended path"),
    ],
)
def test_parameters_that_are_refused(params: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest):
        search(*params)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    for params in ([("MARKERxyz", "1")], [("StudyDate", "MARKERxyz")], [("includefield", "MARKERxyz")], [("limit", "MARKERxyz")]):
        with pytest.raises(InvalidRequest) as caught:
            search(*params)
        assert "MARKER" not in str(caught.value)


def test_names_of_parameters_are_taken_in_any_case() -> None:
    query = search(("LIMIT", "200"), ("Offset", "7"), ("FuzzyMatching", "TRUE"), ("IncludeField", "ALL"))
    assert (query.limit, query.offset, query.fuzzy, query.include_all) == (200, 7, True, True)


def test_fields_are_repeated_or_parted_by_commas_and_named_by_keyword_or_tag() -> None:
    query = search(("includefield", "00081030, StudyTime"), ("includefield", "0009100a"), ("includefield", "StudyDescription,"))
    assert query.include_fields == ("00081030", "00080030", "0009100A")
    assert not query.include_all


def test_all_fields_may_stand_with_others() -> None:
    query = search(("includefield", "all,Rows"))
    assert (query.include_all, query.include_fields) == (True, ("00280010",))


def test_a_field_in_a_sequence_brings_the_sequence() -> None:
    assert search(("includefield", "00400275.00400009"), ("includefield", "RequestAttributesSequence")).include_fields == ("00400275",)


def test_an_empty_value_is_a_field_to_return_and_no_filter() -> None:
    query = search(("PatientName", ""), ("StudyDate", "*"), ("PatientID", "1"))
    assert [f.keyword for f in query.filters] == ["PatientID"]
    assert query.include_fields == ("00100010", "00080020", "00100020")


def test_fuzzy_matching_holds_for_every_name() -> None:
    query = search(("PatientName", "do jo"), ("ReferringPhysicianName", "sm"), ("fuzzymatching", "true"), ("StudyDescription", "do"))
    element = {"vr": "PN", "Value": [{"Alphabetic": "Doe^John^Smith"}]}
    assert [f.matches(element) for f in query.filters] == [True, True, False]


def test_a_key_in_a_sequence_matches_where_an_item_does() -> None:
    (condition,) = search(("RequestAttributesSequence.00400009", "STEP1"), resource="/series").filters
    items = [{"00400009": {"vr": "SH", "Value": ["step0"]}}, {"00400009": {"vr": "SH", "Value": ["step1"]}, "00401001": {"vr": "SH"}}]
    assert condition.top_tag == "00400275"
    assert condition.matches({"vr": "SQ", "Value": items})
    assert not condition.matches({"vr": "SQ", "Value": items[:1]})
    assert not condition.matches({"vr": "SQ"})
    assert not condition.matches(None)


def test_parameters_that_are_read_elsewhere_are_let_through() -> None:
    assert search(("accept", "application/dicom+json"), ("charset", "utf-8")) == search()


def test_a_matching_that_is_not_offered_is_a_warning() -> None:
    query = search(("emptyvaluematching", "true"), ("multiplevaluematching", "false"))
    assert len(query.warnings) == 1
    assert "emptyvaluematching" in query.warnings[0]


@pytest.mark.parametrize("raw", ["PatientName=<script>", "a=%3Cscript", "%3c"])
def test_a_less_than_sign_is_refused_in_any_query_string(raw: str) -> None:
    with pytest.raises(InvalidRequest):
        check_query_string(raw)


@pytest.mark.parametrize("raw", ["", "PatientName=a%2A&limit=1", "x=%3e"])
def test_other_query_strings_pass(raw: str) -> None:
    check_query_string(raw)


NAMES = st.one_of(
    st.sampled_from(["limit", "offset", "includefield", "fuzzymatching", "PatientName", "StudyDate", "00080061"]), st.text(max_size=12)
)


@given(st.lists(st.tuples(NAMES, st.text(max_size=12)), max_size=4), st.sampled_from(sorted(RESOURCES)))
def test_no_parameters_raise_anything_but_an_archive_error(params: list[tuple[str, str]], resource: str) -> None:
    with contextlib.suppress(ArchiveError):
        search(*params, resource=resource)
