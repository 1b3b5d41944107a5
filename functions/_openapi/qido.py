"""What is said of the search transaction. Its parameters come from the table of search keys."""

from __future__ import annotations

from functions._openapi.description import Operation, Parameter, Response, Section
from functions._openapi.parameters import ACCEPT
from functions._openapi.schemas import FLAG, TEXT, a_list, ref
from shared.dicom.attributes import SEARCHABLE, Level
from shared.dicomweb.media_types import DICOM_JSON
from shared.dicomweb.search_query import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET
from shared.errors import Category

_MATCHING = {
    "CS": "A code, with wildcards, or a list.",
    "DA": "A date, yyyymmdd, or a range.",
    "IS": "A whole number.",
    "PN": "A name or one of its groups, without regard to case and accents, with wildcards.",
    "TM": "A time, HHmmss, or a range.",
    "UI": "A UID, or a list.",
}
_TEXT_MATCHING = "A text, without regard to case, with wildcards."

_NOT_DONE = "Not performed; where it is true, a Warning says so."
_COMMON = (
    Parameter("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}, example=10),
    Parameter("offset", "How many to skip.", {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0}),
    Parameter("includefield", "Attributes to return besides: keywords, tags, or `all`; lists and repeats.", a_list(TEXT)),
    Parameter("fuzzymatching", "Whether names match by the beginnings of their words.", {**FLAG, "default": False}),
    Parameter("emptyvaluematching", _NOT_DONE, {**FLAG, "default": False}),
    Parameter("multiplevaluematching", _NOT_DONE, {**FLAG, "default": False}),
    Parameter("charset", "Taken, and without effect: answers are UTF-8.", TEXT),
    ACCEPT,
)
_RESPONSES = (
    Response(200, "What matches; newest study first.", {DICOM_JSON: ref("Datasets")}, may_have=("Warning",)),
    Response(204, "Nothing matches.", may_have=("Warning",)),
)
_ABOUT = (
    "Search keys are named by keyword, or by tag in eight hexadecimal digits, each at most once; an empty value matches everything "
    "and has the attribute returned. Any other parameter is refused. A Warning says when there is more."
)


def _keys(*levels: Level) -> tuple[Parameter, ...]:
    keys = (attribute for level in levels for attribute in SEARCHABLE.values() if attribute.level is level)
    return tuple(Parameter(key.keyword, _MATCHING.get(key.vr, _TEXT_MATCHING), TEXT) for key in keys)


def _search(summary: str, *levels: Level) -> Operation:
    """Describe a search; its keys are of the levels from the one below the path's UIDs down to the resource's own."""
    return Operation(summary, _RESPONSES, _ABOUT, (*_COMMON, *_keys(*levels)), refuses=(Category.NOT_ACCEPTABLE,))


SECTION = Section(
    "Search",
    'QIDO-RS, PS3.18 10.6 "Search Transaction".',
    {
        ("search_studies", "GET"): _search("Search studies", Level.STUDY),
        ("search_series", "GET"): _search("Search series of all studies", Level.STUDY, Level.SERIES),
        ("search_instances", "GET"): _search("Search instances of all studies", *Level),
        ("search_series_of_study", "GET"): _search("Search series of a study", Level.SERIES),
        ("search_instances_of_study", "GET"): _search("Search instances of a study", Level.SERIES, Level.INSTANCE),
        ("search_instances_of_series", "GET"): _search("Search instances of a series", Level.INSTANCE),
    },
)
