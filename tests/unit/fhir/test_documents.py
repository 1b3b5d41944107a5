"""DocumentReference, element by element: present, absent, bad."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.dicom.sop_classes import ENCAPSULATED, KEY_OBJECT_SELECTION
from shared.fhir.documents import MAX_STRING, document_reference, fitted, predecessors, status
from shared.fhir.identity import Draft, Identity, uid_identity
from shared.fhir.issues import IssueCode, Notes, StudyRejected
from tests.support.fhir_evidence import validate
from tests.support.fhir_junk import junk_datasets
from tests.support.sr_builders import (
    COMPREHENSIVE_SR,
    ENHANCED_SR,
    SERIES_UID,
    SERVICE_ROOT,
    SOP_UID,
    STUDY_UID,
    XRAY_DOSE_SR,
    Json,
    attributes,
    code,
    document,
    make_context,
    make_evidence,
    make_frame,
    text,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.evidence import DocumentEvidence

PDF, CDA, STL, OBJ = (f"{ENCAPSULATED}{number}" for number in (1, 2, 3, 4))
INSTANCE = f"{SERVICE_ROOT}/studies/{STUDY_UID}/series/{SERIES_UID}/instances/{SOP_UID}"
OLDER, OLDEST = "1.2.840.99999.1.1.9.8", "1.2.840.99999.1.1.9.7"
STORED = "2026-01-10T00:00:00.000Z"


def written(dataset: Json, context: Context | None = None, frame: StudyFrame | None = None, **changes: Any) -> Json:
    """Give the resource made of a dataset, validated."""
    draft = document_reference(replace(make_evidence(dataset), **changes), frame or make_frame(), context or make_context())
    return checked(draft)


def checked(draft: Draft) -> Json:
    resource = validate(draft.resource)
    assert resource["identifier"][0] == draft.identity.identifier()
    return resource


def issues(context: Context) -> list[tuple[str, str]]:
    return [(issue.code.value, issue.keyword) for issue in context.notes.issues]


def report(**by_keyword: Any) -> Json:
    return document(("18748-4", "LN", "Diagnostic Imaging Report"), **by_keyword)


def pdf(**by_keyword: Any) -> Json:
    return attributes(
        **{
            "SOPClassUID": PDF,
            "DocumentTitle": "Angio report",
            "MIMETypeOfEncapsulatedDocument": "application/pdf",
            "EncapsulatedDocumentLength": 371,
            **by_keyword,
        }
    )


def named(*uids: object) -> Json:
    """Predecessor documents, or whatever else refers to objects in that way."""
    references = [attributes(ReferencedSOPClassUID=COMPREHENSIVE_SR, ReferencedSOPInstanceUID=uid) for uid in uids]
    series = attributes(SeriesInstanceUID=SERIES_UID, ReferencedSOPSequence=references)
    return attributes(StudyInstanceUID=STUDY_UID, ReferencedSeriesSequence=series)


def person(name: str | None = "DOE^JANE", **by_keyword: Any) -> Json:
    return attributes(ObserverType="PSN", PersonName=name and {"Alphabetic": name}, **by_keyword)


def verifier(name: str | None = "ROE^RICHARD^^Dr", identification: Json | None = None) -> Json:
    return attributes(
        VerifyingObserverName=name and {"Alphabetic": name},
        VerifyingObserverIdentificationCodeSequence=identification,
        VerifyingOrganization="General Hospital",
        VerificationDateTime="20260110120000",
    )


def test_document_is_found_by_its_sop_instance_uid_as_master_identifier_and_as_identifier() -> None:
    resource = written(report())
    expected = {"system": "urn:dicom:uid", "value": f"urn:oid:{SOP_UID}"}
    assert resource["masterIdentifier"] == expected
    assert resource["identifier"] == [expected]


def test_document_is_ours_and_of_the_patient() -> None:
    resource = written(report())
    assert resource["meta"]["source"] == SERVICE_ROOT
    assert resource["subject"] == make_frame().subject


@pytest.mark.parametrize(("superseded", "expected"), [(set(), "current"), ({OLDER}, "current"), ({SOP_UID}, "superseded")])
def test_document_that_another_one_replaces_is_superseded(superseded: set[str], expected: str) -> None:
    assert written(report(), frame=make_frame(superseded=frozenset(superseded)))["status"] == expected


FLAGS = [
    # completion, verification, preliminary, predecessor, status of the report
    ("COMPLETE", "VERIFIED", None, None, "final"),
    ("complete ", "verified", None, None, "final"),
    ("COMPLETE", "VERIFIED", "FINAL", None, "final"),
    ("COMPLETE", "UNVERIFIED", None, None, "preliminary"),
    ("COMPLETE", None, None, None, "preliminary"),
    ("PARTIAL", "UNVERIFIED", None, None, "partial"),
    ("PARTIAL", "VERIFIED", None, None, "partial"),
    (None, "VERIFIED", None, None, "preliminary"),
    (None, None, None, None, "preliminary"),
    ("COMPLETE", "VERIFIED", None, OLDER, "amended"),
    ("COMPLETE", "UNVERIFIED", None, OLDER, "amended"),
    ("PARTIAL", "UNVERIFIED", None, OLDER, "amended"),
    ("COMPLETE", "VERIFIED", "PRELIMINARY", None, "preliminary"),
    ("COMPLETE", "VERIFIED", "PRELIMINARY", OLDER, "preliminary"),
    ("COMPLETE", "VERIFIED", None, "no uid", "final"),
    ("COMPLETE", "VERIFIED", None, SOP_UID, "final"),
]


@pytest.mark.parametrize(("completion", "verification", "preliminary", "predecessor", "expected"), FLAGS)
def test_flags_amount_to_a_status(
    completion: str | None, verification: str | None, preliminary: str | None, predecessor: str | None, expected: str
) -> None:
    flags = {"CompletionFlag": completion, "VerificationFlag": verification, "PreliminaryFlag": preliminary}
    made = report(**flags, PredecessorDocumentsSequence=named(predecessor) if predecessor else None)
    assert status(make_evidence(made), Notes()) == expected
    assert written(made)["docStatus"] == ("preliminary" if expected == "partial" else expected)


@pytest.mark.parametrize("keyword", ["CompletionFlag", "VerificationFlag", "PreliminaryFlag"])
@pytest.mark.parametrize("bad", ["NONSENSE", "COMPLETE VERIFIED", 7, {"Alphabetic": "x"}])
def test_flag_that_is_none_is_dropped(keyword: str, bad: object) -> None:
    context = make_context()
    resource = written(report(**{"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED", keyword: bad}), context)
    assert resource["docStatus"] == ("final" if keyword == "PreliminaryFlag" else "preliminary")
    assert issues(context) == [("bad-value", keyword)]


@pytest.mark.parametrize("sop_class_uid", [PDF, CDA, STL, OBJ, KEY_OBJECT_SELECTION])
def test_documents_without_flags_of_their_own_have_no_document_status(sop_class_uid: str) -> None:
    assert "docStatus" not in written(pdf(SOPClassUID=sop_class_uid, VerificationFlag="VERIFIED"))


@pytest.mark.parametrize(("verification", "expected"), [("VERIFIED", "final"), ("UNVERIFIED", "preliminary"), (None, "unknown")])
def test_status_of_a_pdf_is_known_only_where_it_says_so(verification: str | None, expected: str) -> None:
    assert status(make_evidence(pdf(VerificationFlag=verification)), Notes()) == expected


@pytest.mark.parametrize(
    ("name", "coding", "noted"),
    [
        (code("11528-7", "LN", "Radiology Report"), {"system": "http://loinc.org", "code": "11528-7", "display": "Radiology Report"}, []),
        (None, {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"}, []),
        (
            attributes(CodeMeaning="x"),
            {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"},
            [("bad-value", "ConceptNameCodeSequence")],
        ),
    ],
    ids=["present", "absent", "bad"],
)
def test_type_is_the_title(name: Json | None, coding: Json, noted: list[tuple[str, str]]) -> None:
    context = make_context()
    assert written(pdf(ConceptNameCodeSequence=name), context)["type"] == {"coding": [coding]}
    assert issues(context) == noted


def test_category_is_radiology_studies() -> None:
    assert written(report())["category"][0]["coding"][0]["code"] == "18726-0"


@pytest.mark.parametrize(
    ("content_date", "content_time", "offset", "instant", "creation"),
    [
        ("20260110", "100000.25", "+0900", "2026-01-10T10:00:00.25+09:00", "2026-01-10T10:00:00.25+09:00"),
        ("20260110", "100000", None, STORED, "2026-01-10"),
        ("20260110", None, "+0900", STORED, "2026-01-10"),
        (None, "100000", "+0900", STORED, None),
        ("20261310", "100000", "+0900", STORED, None),
        (20260110, 100000, 900, STORED, None),
    ],
)
def test_date_is_an_instant_of_the_content_or_else_of_storage(
    content_date: object, content_time: object, offset: object, instant: str, creation: str | None
) -> None:
    resource = written(report(ContentDate=content_date, ContentTime=content_time, TimezoneOffsetFromUTC=offset))
    assert resource["date"] == instant
    assert resource["content"][0]["attachment"].get("creation") == creation


def practitioner(display: str) -> Json:
    return {"type": "Practitioner", "display": display}


@pytest.mark.parametrize(
    ("authors", "verifiers", "expected"),
    [
        ([person()], [verifier()], [practitioner("JANE DOE")]),
        ([person(), person("POE^PAUL")], [], [practitioner("JANE DOE"), practitioner("PAUL POE")]),
        ([], [verifier()], [practitioner("Dr RICHARD ROE")]),
        ([person(None)], [verifier()], [practitioner("Dr RICHARD ROE")]),
        (["junk"], [7], None),
        ([], [], None),
    ],
)
def test_authors_are_the_author_observers_else_the_verifiers(authors: list[Any], verifiers: list[Any], expected: object) -> None:
    resource = written(report(AuthorObserverSequence=authors, VerifyingObserverSequence=verifiers))
    assert resource.get("author") == expected


def test_author_can_be_a_device() -> None:
    device = attributes(ObserverType="DEV", StationName="AI box", Manufacturer="ACME", DeviceUID="1.2.3")
    context = make_context()
    [author] = written(report(AuthorObserverSequence=device), context)["author"]
    assert author["reference"].startswith("Device/")
    assert uid_identity("Device", "1.2.3") in context.shared


def test_authenticator_is_the_first_verifier() -> None:
    resource = written(report(AuthorObserverSequence=person(), VerifyingObserverSequence=[verifier(), verifier("ZOE^Z")]))
    assert resource["authenticator"] == practitioner("Dr RICHARD ROE")
    assert "authenticator" not in written(report(AuthorObserverSequence=person()))


def test_verifier_with_a_known_code_is_looked_up() -> None:
    context = make_context(practitioner_systems={"99HOSP": "urn:example:staff"})
    context.links.found = {Identity("Practitioner", "urn:example:staff", "1705"): "Practitioner/5"}
    made = report(VerifyingObserverSequence=verifier(identification=code("1705", "99HOSP", "RR")))
    assert written(made, context)["authenticator"] == {"reference": "Practitioner/5", "display": "Dr RICHARD ROE"}


@pytest.mark.parametrize(
    ("uids", "known", "expected"),
    [
        ([OLDER], {OLDER, SOP_UID}, [OLDER]),
        ([OLDER, OLDEST, OLDER], {OLDER, OLDEST}, [OLDER, OLDEST]),
        ([OLDER], {SOP_UID}, []),
        ([SOP_UID], {SOP_UID}, []),
        (["no uid", 7, None], {SOP_UID}, []),
    ],
)
def test_document_replaces_the_predecessors_that_are_stored(uids: list[object], known: set[str], expected: list[str]) -> None:
    made = report(PredecessorDocumentsSequence=named(*uids))
    resource = written(made, frame=make_frame(documents=frozenset(known)))
    targets = [f"DocumentReference/{uid_identity('DocumentReference', uid).logical_id}" for uid in expected]
    assert resource.get("relatesTo", []) == [{"code": "replaces", "target": {"reference": target}} for target in targets]


def test_predecessors_are_read_through_all_their_series() -> None:
    sequence = [named(OLDER), "junk", attributes(ReferencedSeriesSequence=[{}, "junk"]), named(OLDEST)]
    assert predecessors(make_evidence(report(PredecessorDocumentsSequence=sequence))) == [OLDER, OLDEST]


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        (pdf(), "Angio report"),
        (pdf(DocumentTitle=None, ConceptNameCodeSequence=code("1", "99X", "A title")), "A title"),
        (report(), "Diagnostic Imaging Report"),
        (pdf(DocumentTitle=None), None),
        (pdf(DocumentTitle=7), None),
        (document("113000", text("113012", "for the tumour board"), SOPClassUID=KEY_OBJECT_SELECTION), "for the tumour board"),
        (document("113000", SOPClassUID=KEY_OBJECT_SELECTION), "a meaning"),
        (document("113000", text("113012", "not a key object selection")), "a meaning"),
    ],
)
def test_description_is_the_document_title_or_that_of_its_code(dataset: Json, expected: str | None) -> None:
    assert written(dataset).get("description") == expected


def test_key_object_selection_has_its_reason_as_type() -> None:
    resource = written(document("113000", SOPClassUID=KEY_OBJECT_SELECTION))
    assert resource["type"]["coding"][0]["code"] == "113000"


@pytest.mark.parametrize(
    ("sop_class_uid", "sent", "expected"),
    [
        (COMPREHENSIVE_SR, None, "application/dicom"),
        (XRAY_DOSE_SR, "application/pdf", "application/dicom"),
        (KEY_OBJECT_SELECTION, None, "application/dicom"),
        (PDF, "application/pdf", "application/pdf"),
        (PDF, None, "application/pdf"),
        (CDA, "text/XML", "text/xml"),
        (STL, None, "model/stl"),
        (OBJ, None, "model/obj"),
        (PDF, "no media type", "application/pdf"),
        (CDA, 7, "text/xml"),
        (f"{ENCAPSULATED}99", None, "application/dicom"),
    ],
)
def test_content_type_is_that_of_what_is_encapsulated(sop_class_uid: str, sent: object, expected: str) -> None:
    resource = written(pdf(SOPClassUID=sop_class_uid, MIMETypeOfEncapsulatedDocument=sent))
    assert resource["content"][0]["attachment"]["contentType"] == expected


def test_attachment_points_to_the_instance_and_to_a_pdf_as_it_is() -> None:
    assert written(report())["content"][0]["attachment"]["url"] == INSTANCE
    assert written(pdf())["content"][0]["attachment"]["url"] == f"{INSTANCE}/rendered"
    assert "data" not in written(pdf())["content"][0]["attachment"]


@pytest.mark.parametrize(
    ("dataset", "file_bytes", "expected"),
    [
        (report(), 1000, 1000),
        (report(), 3_000_000_000, None),
        (pdf(), 1000, 371),
        (pdf(EncapsulatedDocumentLength=None), 1000, None),
        (pdf(EncapsulatedDocumentLength=-1), 1000, None),
        (pdf(SOPClassUID=CDA), 1000, 1000),
    ],
)
def test_size_is_that_of_what_the_url_leads_to(dataset: Json, file_bytes: int, expected: int | None) -> None:
    assert written(dataset, size_bytes=file_bytes)["content"][0]["attachment"].get("size") == expected


def test_format_is_the_sop_class() -> None:
    expected = {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{ENHANCED_SR}", "display": "Enhanced SR Storage"}
    assert written(report(SOPClassUID=ENHANCED_SR))["content"][0]["format"] == expected
    assert "display" not in written(report(SOPClassUID="1.2.3"))["content"][0]["format"]


def test_context_leads_to_study_orders_and_encounter() -> None:
    frame = make_frame(encounter={"reference": "Encounter/3"})
    assert written(report())["context"] == {"related": [frame.study, *frame.based_on]}
    assert written(report(), frame=frame)["context"]["encounter"] == [{"reference": "Encounter/3"}]


def test_text_longer_than_a_fhir_string_is_cut_and_noted() -> None:
    notes = Notes()
    cut = fitted("x" * (MAX_STRING + 1), "TextValue", notes)
    assert len(cut) == MAX_STRING
    assert [issue.code for issue in notes.issues] == [IssueCode.BAD_VALUE]
    assert fitted("x" * MAX_STRING, "TextValue", Notes()) == "x" * MAX_STRING


def test_strict_operator_refuses_a_document_with_a_bad_flag() -> None:
    with pytest.raises(StudyRejected):
        written(report(CompletionFlag="NONSENSE"), make_context(strict=True))


KEYWORDS = (
    "CompletionFlag", "VerificationFlag", "PreliminaryFlag", "PredecessorDocumentsSequence", "ReferencedSeriesSequence",
    "ReferencedSOPSequence", "ReferencedSOPInstanceUID", "ConceptNameCodeSequence", "CodeValue", "CodingSchemeDesignator", "CodeMeaning",
    "ContentDate", "ContentTime", "TimezoneOffsetFromUTC", "AuthorObserverSequence", "VerifyingObserverSequence", "ObserverType",
    "PersonName", "VerifyingObserverName", "VerifyingObserverIdentificationCodeSequence", "PersonIdentificationCodeSequence",
    "DocumentTitle", "MIMETypeOfEncapsulatedDocument", "EncapsulatedDocumentLength", "ContentSequence", "ValueType", "TextValue",
)  # fmt: skip


@given(junk_datasets(*KEYWORDS), st.sampled_from([COMPREHENSIVE_SR, PDF, KEY_OBJECT_SELECTION]))
@settings(deadline=None)
def test_whatever_the_dataset_a_valid_reference_is_made(junk: Json, sop_class_uid: str) -> None:
    evidence: DocumentEvidence = replace(make_evidence(junk), sop_class_uid=sop_class_uid)
    context = make_context(practitioner_systems={"LN": "urn:example:staff"})
    checked(document_reference(evidence, make_frame(documents=frozenset({"1.2.3"})), context))
