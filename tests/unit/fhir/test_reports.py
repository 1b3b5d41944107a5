"""DiagnosticReport, element by element: present, absent, bad; and of which documents there is one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from shared.dicom.sop_classes import ENCAPSULATED, KEY_OBJECT_SELECTION, STRUCTURED_REPORTS
from shared.fhir.documents import MAX_STRING
from shared.fhir.report_titles import TITLES, categories, is_report_title
from shared.fhir.reports import diagnostic_report, is_report
from tests.support.fhir_evidence import validate
from tests.support.fhir_junk import junk_datasets
from tests.support.sr_builders import (
    COMPREHENSIVE_SR,
    ENHANCED_SR,
    SERVICE_ROOT,
    SOP_UID,
    XRAY_DOSE_SR,
    Code,
    Json,
    attributes,
    code,
    code_item,
    container,
    content,
    ct_dose,
    document,
    make_context,
    make_evidence,
    make_frame,
    num,
    text,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context, StudyFrame

BASIC_TEXT_SR, COMPREHENSIVE_3D_SR = f"{STRUCTURED_REPORTS}11", f"{STRUCTURED_REPORTS}34"
PDF, CDA, STL = (f"{ENCAPSULATED}{number}" for number in (1, 2, 3))
RADIOLOGY_REPORT: Code = ("11528-7", "LN", "Radiology Report")
IMPRESSION, CONCLUSION, FINDING = "121073", "121077", "121071"
NODULE, CYST = ("27925004", "SCT", "Nodule"), ("441457006", "SCT", "Cyst")


def made(dataset: Json, context: Context | None = None, frame: StudyFrame | None = None) -> Json | None:
    """Give the resource made of a dataset, validated."""
    draft = diagnostic_report(make_evidence(dataset), frame or make_frame(), [], context or make_context())
    if draft is None:
        return None
    resource = validate(draft.resource)
    assert resource["identifier"][0] == draft.identity.identifier()
    return resource


def written(*children: Json, context: Context | None = None, frame: StudyFrame | None = None, **by_keyword: Any) -> Json:
    """Give a report with this content."""
    resource = made(document(RADIOLOGY_REPORT, *children, **by_keyword), context, frame)
    assert resource is not None
    return resource


def verifier(moment: object = "20260110120000", organization: object = "General Hospital", name: str = "ROE^RICHARD") -> Json:
    return attributes(VerifyingObserverName={"Alphabetic": name}, VerifyingOrganization=organization, VerificationDateTime=moment)


@pytest.mark.parametrize(
    ("sop_class_uid", "expected"),
    [
        (BASIC_TEXT_SR, True),
        (ENHANCED_SR, True),
        (COMPREHENSIVE_SR, True),
        (COMPREHENSIVE_3D_SR, True),
        (PDF, True),
        (CDA, True),
        (STL, False),
        (KEY_OBJECT_SELECTION, False),
        (XRAY_DOSE_SR, False),
        (f"{STRUCTURED_REPORTS}50", False),  # Mammography CAD SR
        (f"{STRUCTURED_REPORTS}65", False),  # Chest CAD SR
    ],
)
def test_only_some_classes_of_documents_can_be_reports(sop_class_uid: str, expected: bool) -> None:
    assert is_report(make_evidence(document(RADIOLOGY_REPORT, SOPClassUID=sop_class_uid))) is expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        (("18748-4", "LN", "Diagnostic Imaging Report"), True),
        (("18748-4", "LN", "Befund"), True),
        (("111400", "DCM", "Breast Imaging Report"), True),
        (("48526000", "SCT", "Peripheral Vascular Ultrasound Report"), True),
        (("P5-B0111", "SRT", "Peripheral Vascular Ultrasound Report"), True),
        (("36643-5", "LN", "XR Chest 2 Views"), True),
        (("30745-4", "LN", "Chest X-Ray"), False),
        (("11540-0", "LN", "CT Abdomen Report"), True),
        (("18782-3", "LN", "X-Ray Report"), True),
        (("24615-7", "LN", "US.doppler Carotid arteries"), True),
        (("11488-4", "LN", "Consult note"), False),
        (("59284-0", "LN", "Consent Document"), False),
        (("73569-6", "LN", "Radiation exposure and protection information"), False),
        (("113701", "DCM", "X-Ray Radiation Dose Report"), False),
        (("126000", "DCM", "Imaging Measurement Report"), False),
        (("111036", "DCM", "Mammography CAD Report"), False),
        (("113000", "DCM", "Of Interest"), False),
        (("1", "99HOSP", "CT Report"), False),
        (("18748-4", "99HOSP", "Diagnostic Imaging Report"), False),
    ],
)
def test_a_report_is_known_by_its_title(title: Code, expected: bool) -> None:
    assert (made(document(title)) is not None) is expected


@pytest.mark.parametrize("title", [None, 7, attributes(CodeMeaning="CT Report"), attributes(CodeValue=7, CodingSchemeDesignator="LN")])
def test_document_without_a_usable_title_is_no_report(title: object) -> None:
    assert not is_report(make_evidence(document("1") | attributes(ConceptNameCodeSequence=title or [])))


@pytest.mark.parametrize("meaning", [7, None])
def test_known_code_needs_no_meaning(meaning: object) -> None:
    name = attributes(CodeValue="18748-4", CodingSchemeDesignator="LN", CodeMeaning=meaning)
    assert is_report(make_evidence(document("1", ConceptNameCodeSequence=name)))


def test_operator_can_do_without_reports() -> None:
    assert made(document(RADIOLOGY_REPORT), make_context(reports=False)) is None


def test_dose_report_is_no_imaging_report_in_any_class() -> None:
    assert made(ct_dose()) is None
    assert made(ct_dose(SOPClassUID=ENHANCED_SR)) is None


def test_titles_are_those_of_the_standard() -> None:
    listed = {(each.scheme_designator, each.value) for each in codes.CID7000.concepts.values()}
    assert listed == TITLES


@pytest.mark.parametrize("meaning", ["", "ctenophore", "Musculoskeletal", "USA", " CT", "\u00b5CT"])
def test_words_that_only_begin_like_a_modality_are_none(meaning: str) -> None:
    assert not is_report_title(("LN", "1-1"), meaning)


@pytest.mark.parametrize(
    ("modalities", "expected"),
    [
        ([], ["RAD"]),
        (["CT"], ["RAD", "CT"]),
        (["MR"], ["RAD", "NMR"]),
        (["NM"], ["RAD", "NMS"]),
        (["PT"], ["RAD", "NMS"]),
        (["US"], ["RAD", "RUS"]),
        (["CR", "SR"], ["RAD"]),
        (["CT", "NM", "PT", "SR"], ["RAD", "CT", "NMS"]),
    ],
)
def test_categories_follow_the_modalities_of_the_study(modalities: list[str], expected: list[str]) -> None:
    assert [each["coding"][0]["code"] for each in categories(modalities)] == expected
    frame = make_frame(modalities=modalities)
    assert written(frame=frame)["category"] == categories(modalities)


def test_report_is_found_by_its_uid_its_study_and_its_accession_number() -> None:
    assert written()["identifier"] == [{"system": "urn:dicom:uid", "value": f"urn:oid:{SOP_UID}"}, *make_frame().identifiers]


def test_report_takes_patient_order_encounter_and_start_from_the_study() -> None:
    frame = make_frame(encounter={"reference": "Encounter/3"})
    resource = written(frame=frame)
    assert resource["subject"] == frame.subject
    assert resource["imagingStudy"] == [frame.study]
    assert resource["basedOn"] == frame.based_on
    assert resource["encounter"] == frame.encounter
    assert resource["effectiveDateTime"] == frame.started


def test_what_the_study_does_not_know_is_left_out() -> None:
    resource = written(frame=make_frame(based_on=[], started=None))
    assert not {"basedOn", "encounter", "effectiveDateTime"} & resource.keys()


def test_code_is_the_title() -> None:
    assert written()["code"] == {"coding": [{"system": "http://loinc.org", "code": "11528-7", "display": "Radiology Report"}]}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"VerificationFlag": "VERIFIED"}, "final"),
        ({"VerificationFlag": "UNVERIFIED"}, "preliminary"),
        ({"CompletionFlag": "PARTIAL"}, "partial"),
        ({"VerificationFlag": "VERIFIED", "PreliminaryFlag": "PRELIMINARY"}, "preliminary"),
    ],
)
def test_status_follows_the_flags(flags: dict[str, Any], expected: str) -> None:
    assert written(**flags)["status"] == expected


@pytest.mark.parametrize(("verification", "expected"), [("VERIFIED", "final"), (None, "unknown")])
def test_pdf_is_a_report_without_content_of_its_own(verification: str | None, expected: str) -> None:
    resource = written(text(IMPRESSION, "not read"), SOPClassUID=PDF, VerificationFlag=verification)
    assert resource["status"] == expected
    assert not {"text", "conclusion"} & resource.keys()
    assert resource["presentedForm"][0]["contentType"] == "application/pdf"
    assert resource["presentedForm"][0]["url"].endswith("/rendered")


def test_presented_form_leads_into_the_archive() -> None:
    [form] = written()["presentedForm"]
    assert form["url"].startswith(f"{SERVICE_ROOT}/studies/")
    assert form["contentType"] == "application/dicom"


@pytest.mark.parametrize(
    ("moments", "offset", "expected"),
    [
        (["20260110120000"], "+0900", "2026-01-10T12:00:00+09:00"),
        (["20260110120000-0330"], "+0900", "2026-01-10T12:00:00-03:30"),
        (["20260110120000"], None, None),
        (["20260110"], "+0900", None),
        (["20260110", "20260110130000"], "+0900", "2026-01-10T13:00:00+09:00"),
        ([None], "+0900", None),
        (["junk", 7], "+0900", None),
    ],
)
def test_issued_is_when_the_report_was_verified_if_that_is_exact(moments: list[object], offset: str | None, expected: str | None) -> None:
    verifiers = [verifier(moment) for moment in moments]
    assert written(VerifyingObserverSequence=verifiers, TimezoneOffsetFromUTC=offset).get("issued") == expected


def test_verifiers_interpreted_the_results_for_their_organizations() -> None:
    resource = written(VerifyingObserverSequence=[verifier(), verifier(name="DOE^JANE"), verifier(organization=7, name="")])
    assert [each["display"] for each in resource["resultsInterpreter"]] == ["RICHARD ROE", "JANE DOE"]
    assert resource["performer"] == [{"type": "Organization", "display": "General Hospital"}]


def test_report_without_verifier_names_nobody() -> None:
    assert not {"resultsInterpreter", "performer", "issued"} & written().keys()


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        ([container(("121072", "DCM", "Impressions"), text(FINDING, "a"), text(None, "b"))], "a\nb"),
        ([container(("121076", "DCM", "Conclusions"), text(FINDING, "a"))], "a"),
        ([container(("19005-8", "LN", "Impressions"), text(FINDING, "a"))], "a"),
        ([container(("55110-1", "LN", "Conclusions"), text(FINDING, "a"))], "a"),
        ([container(("121072", "DCM", "Impressions"), container("1", text(FINDING, "a")))], "a"),
        ([container(("121070", "DCM", "Findings"), text(IMPRESSION, "a"), text(FINDING, "not"))], "a"),
        ([text(CONCLUSION, "a"), text(IMPRESSION, "b")], "a\nb"),
        ([text(("19005-8", "LN", "Impressions"), "a", text(FINDING, "not"))], "a"),
        ([container(("121073", "DCM", "Impression"), text(FINDING, "a"))], "a"),
        ([container(("121072", "DCM", "Impressions"), text(IMPRESSION, "once"))], "once"),
        ([text(IMPRESSION, "a", text(FINDING, "not"))], "a"),
        ([container(("121072", "DCM", "Impressions"), text(FINDING, "not", relationship="HAS OBS CONTEXT"))], None),
        ([container(("121072", "DCM", "Impressions"), num(FINDING, 7, "mm"))], None),
        ([text(IMPRESSION, 7), text(IMPRESSION, None), text(IMPRESSION, "  ")], None),
        ([text(FINDING, "not")], None),
        ([], None),
    ],
)
def test_conclusion_is_all_that_is_said_under_impressions_and_conclusions(children: list[Json], expected: str | None) -> None:
    assert written(*children).get("conclusion") == expected


def test_conclusion_longer_than_a_fhir_string_is_cut() -> None:
    context = make_context()
    resource = written(text(IMPRESSION, "x" * (MAX_STRING + 9)), context=context)
    assert len(resource["conclusion"]) == MAX_STRING
    assert [issue.keyword for issue in context.notes.issues] == ["TextValue"]


@pytest.mark.parametrize(
    ("children", "expected"),
    [
        ([container(("121072", "DCM", "Impressions"), code_item(FINDING, NODULE), code_item(FINDING, CYST))], ["27925004", "441457006"]),
        ([code_item(IMPRESSION, NODULE), code_item(CONCLUSION, NODULE)], ["27925004"]),
        ([code_item(FINDING, NODULE)], []),
        ([container(("121072", "DCM", "Impressions"), code_item(FINDING, NODULE, relationship="HAS CONCEPT MOD"))], []),
        ([code_item(IMPRESSION, ("", "SCT", "x"))], []),
    ],
)
def test_conclusion_codes_are_those_under_impressions_and_conclusions(children: list[Json], expected: list[str]) -> None:
    found = written(*children).get("conclusionCode", [])
    assert [each["coding"][0]["code"] for each in found] == expected


def test_text_is_generated_from_the_content() -> None:
    narrative = written(container(("121070", "DCM", "Findings"), text(FINDING, "5 < 7 & 8")))["text"]
    assert narrative["status"] == "generated"
    assert "<h2>Radiology Report</h2><h3>Findings</h3>" in narrative["div"]
    assert "5 &lt; 7 &amp; 8" in narrative["div"]


def test_results_are_those_that_the_caller_made_of_the_document() -> None:
    results = [{"reference": "Observation/1"}]
    draft = diagnostic_report(make_evidence(document(RADIOLOGY_REPORT)), make_frame(), results, make_context())
    assert draft is not None
    assert draft.resource["result"] == results


KEYWORDS = (
    "ContentSequence", "ValueType", "RelationshipType", "ConceptNameCodeSequence", "ConceptCodeSequence", "CodeValue",
    "CodingSchemeDesignator", "CodeMeaning", "TextValue", "CompletionFlag", "VerificationFlag", "VerifyingObserverSequence",
    "VerifyingObserverName", "VerificationDateTime", "VerifyingOrganization", "TimezoneOffsetFromUTC", "ContentDate", "DocumentTitle",
)  # fmt: skip


@given(junk_datasets(*KEYWORDS), st.sampled_from([COMPREHENSIVE_SR, PDF]))
@settings(deadline=None)
def test_whatever_the_dataset_a_valid_report_is_made(junk: Json, sop_class_uid: str) -> None:
    titled = junk | attributes(ConceptNameCodeSequence=code(RADIOLOGY_REPORT))
    draft = diagnostic_report(replace(make_evidence(titled), sop_class_uid=sop_class_uid), make_frame(), [], make_context())
    assert draft is not None
    validate(draft.resource)


@given(junk_datasets(*KEYWORDS))
@settings(deadline=None)
def test_whatever_the_title_it_is_judged(junk: Json) -> None:
    assert is_report(make_evidence(junk)) in {True, False}


def test_items_of_any_kind_are_read_without_a_conclusion() -> None:
    odd = content("CODE", IMPRESSION, ConceptCodeSequence="junk")
    assert "conclusionCode" not in written(odd, content("TEXT", IMPRESSION, TextValue=["", None]))
