"""What is said of the synchronisation with FHIR."""

from __future__ import annotations

from functions._openapi.description import Body, Operation, Parameter, Response, Section
from functions._openapi.parameters import STUDY
from functions._openapi.schemas import COUNT, FLAG, MOMENT, TEXT, UID, a_list, an_object, or_null, ref
from functions.fhir_sync import MAX_STUDIES
from shared.errors import Category
from shared.fhir.issues import IssueClass, IssueCode
from shared.services.fhir_requeue import RETRIED

_CLASS, _CODE = {"enum": [str(each) for each in IssueClass]}, {"enum": [str(each) for each in IssueCode]}
_STUDIES = {**a_list(UID), "maxItems": MAX_STUDIES}

_ISSUE = {
    "class": _CLASS,
    "code": _CODE,
    "keyword": or_null(TEXT),
    "tag": or_null(TEXT),
    "httpStatus": or_null({"type": "integer"}),
}
_ISSUE_MAY_HAVE = {"series": UID, "instance": UID, "outcomeCode": TEXT, "diagnostics": TEXT}
_SEEN = {"study": UID, "count": COUNT, "firstSeen": MOMENT, "lastSeen": MOMENT, "resolved": FLAG}

SCHEMAS = {
    "FhirStatus": {
        "description": "How many studies are not in step, and for how long the oldest has waited.",
        **an_object(
            {
                "enabled": FLAG,
                "paused": FLAG,
                "dirty": COUNT,
                "blocked": COUNT,
                "dead": COUNT,
                "lagSeconds": COUNT,
                "lastSync": or_null(MOMENT),
            }
        ),
    },
    "FhirIssue": {
        "description": "What kept a study or a value from FHIR; no value of the study.",
        **an_object(_ISSUE, _ISSUE_MAY_HAVE),
    },
    "FhirIssues": {
        "description": "A page of issues, and where the next one begins; null: there is none.",
        **an_object({"issues": a_list(an_object({**_SEEN, **_ISSUE}, _ISSUE_MAY_HAVE)), "next": or_null(TEXT)}),
    },
    "FhirPreview": {
        "description": "The transaction that would be written, and what it does to which resource; null where an issue forbids it.",
        **an_object(
            {
                "bundle": or_null({"type": "object"}),
                "changes": a_list(an_object({"resource": TEXT, "action": {"enum": ["create", "update", "delete", "none"]}})),
            },
            {"issue": ref("FhirIssue")},
        ),
    },
    "FhirQueued": {
        "description": "How many studies; `continues` where a timer goes on with more than one request takes.",
        **an_object({"queued": COUNT}, {"continues": FLAG}),
    },
    "FhirRetry": {
        "description": "Some studies, or all whose last attempt ended with a class of issue.",
        "oneOf": [an_object({"studies": _STUDIES}), an_object({"class": {"enum": [str(each) for each in RETRIED]}})],
    },
    "FhirRebuild": {
        "description": "All studies, or some; a dry run only counts them.",
        **an_object({"scope": {"anyOf": [{"const": "all"}, _STUDIES]}}, {"dryRun": {**FLAG, "default": False}}),
    },
}

_ISSUE_PARAMETERS = (
    Parameter("class", "Only issues of this class.", _CLASS),
    Parameter("code", "Only issues of this code.", _CODE),
    Parameter("study", "Only issues of this study.", UID),
    Parameter("resolved", "Resolved issues, too.", {**FLAG, "default": False}),
    Parameter("next", "What the page before gave under this name.", TEXT),
)
_JSON = "application/json"
_QUEUED = (Response(202, "Queued.", {_JSON: ref("FhirQueued")}),)
_OFF = "Without `FHIR_BASE_URL` the answer is 404."
_TAKES_JSON = (Category.NOT_FOUND, Category.TOO_LARGE, Category.UNSUPPORTED)

SECTION = Section(
    "Synchronisation with FHIR",
    "For operators. An extension.",
    {
        ("read_fhir_status", "GET"): Operation(
            "Say how the synchronisation stands", (Response(200, "How it stands.", {_JSON: ref("FhirStatus")}),)
        ),
        ("read_fhir_issues", "GET"): Operation(
            "List issues",
            (Response(200, "A page of them.", {_JSON: ref("FhirIssues")}),),
            _OFF,
            _ISSUE_PARAMETERS,
            refuses=(Category.NOT_FOUND,),
        ),
        ("preview_fhir_study", "GET"): Operation(
            "Show what would be written for a study",
            (Response(200, "What would be written; nothing is.", {_JSON: ref("FhirPreview")}),),
            _OFF,
        ),
        ("retry_fhir_studies", "POST"): Operation(
            "Try studies again now, and end a pause",
            _QUEUED,
            _OFF,
            body=Body({_JSON: ref("FhirRetry")}, {"studies": [STUDY]}),
            refuses=_TAKES_JSON,
        ),
        ("rebuild_fhir_studies", "POST"): Operation(
            "Write studies anew, trusting nothing that is remembered",
            _QUEUED,
            _OFF,
            body=Body({_JSON: ref("FhirRebuild")}, {"scope": "all", "dryRun": True}),
            refuses=_TAKES_JSON,
        ),
    },
)
