"""A dose report is known by class and title; what irradiated, by the procedure it reports."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.dose_document import DoseReport, Kind, is_dose_report, read
from tests.support.sr_builders import (
    COMPREHENSIVE_SR,
    CT,
    ENHANCED_SR,
    MAMMOGRAPHY,
    PROJECTION,
    RADIOPHARMACEUTICAL_DOSE_SR,
    XRAY_DOSE_SR,
    Code,
    Json,
    attributes,
    code_item,
    container,
    document,
    make_context,
    make_evidence,
    make_frame,
    text,
    to_srt,
)


def report(dataset: Json) -> DoseReport:
    found = read(make_evidence(dataset), make_frame(), make_context())
    assert found is not None
    return found


def dose_sr(*children: Json, **by_keyword: Any) -> Json:
    return document("113701", *children, **{"SOPClassUID": XRAY_DOSE_SR, **by_keyword})


@pytest.mark.parametrize(
    ("sop_class_uid", "title", "is_dose"),
    [
        (XRAY_DOSE_SR, ("113701", "DCM", "X-Ray Radiation Dose Report"), True),
        (ENHANCED_SR, ("113701", "DCM", "X-Ray Radiation Dose Report"), True),
        (COMPREHENSIVE_SR, ("113701", "DCM", "X-Ray Radiation Dose Report"), True),
        (RADIOPHARMACEUTICAL_DOSE_SR, ("113500", "DCM", "Radiopharmaceutical Radiation Dose Report"), True),
        (RADIOPHARMACEUTICAL_DOSE_SR, ("113701", "DCM", "X-Ray Radiation Dose Report"), False),
        (XRAY_DOSE_SR, ("113500", "DCM", "Radiopharmaceutical Radiation Dose Report"), False),
        (ENHANCED_SR, ("126000", "DCM", "Imaging Measurement Report"), False),
        (COMPREHENSIVE_SR, ("113701", "99LOCAL", "another code"), False),
        (XRAY_DOSE_SR, ("", "", ""), False),
        ("1.2.840.10008.5.1.4.1.1.88.11", ("113701", "DCM", "in a Basic Text SR"), False),
        ("1.2.840.10008.5.1.4.1.1.88.59", ("113701", "DCM", "in a key object selection"), False),
    ],
)
def test_dose_report_is_known_by_class_and_title(sop_class_uid: str, title: Code, *, is_dose: bool) -> None:
    evidence = make_evidence(document(title, SOPClassUID=sop_class_uid))
    assert is_dose_report(evidence) is is_dose
    assert (read(evidence, make_frame(), make_context()) is not None) is is_dose


@pytest.mark.parametrize("srt", [True, False])
@pytest.mark.parametrize(("procedure", "kind"), [(CT, Kind.CT), (PROJECTION, Kind.PROJECTION), (MAMMOGRAPHY, Kind.PROJECTION)])
def test_procedure_says_what_irradiated(procedure: Code, kind: Kind, *, srt: bool) -> None:
    dataset = dose_sr(code_item("121058", procedure))
    assert report(to_srt(dataset) if srt else dataset).kind is kind


@pytest.mark.parametrize(("total", "kind"), [("113811", Kind.CT), ("113702", Kind.PROJECTION), ("121106", Kind.PROJECTION)])
@pytest.mark.parametrize("procedure", [[], [code_item("121058", ("77477000", "DCM", "not SNOMED"))], [text("121058", "CT")]])
def test_totals_say_it_where_the_procedure_does_not(procedure: list[Json], total: str, kind: Kind) -> None:
    assert report(dose_sr(*procedure, container(total))).kind is kind


def test_radiopharmaceutical_is_known_by_the_class() -> None:
    dataset = document("113500", code_item("121058", CT), SOPClassUID=RADIOPHARMACEUTICAL_DOSE_SR)
    assert report(dataset).kind is Kind.RADIOPHARMACEUTICAL


PREDECESSOR = attributes(StudyInstanceUID="1.2.3")


@pytest.mark.parametrize(
    ("by_keyword", "status"),
    [
        ({"CompletionFlag": "COMPLETE"}, "final"),
        ({"CompletionFlag": "complete "}, "final"),
        ({"CompletionFlag": "PARTIAL"}, "preliminary"),
        ({"CompletionFlag": None}, "preliminary"),
        ({"CompletionFlag": 7}, "preliminary"),
        ({"PredecessorDocumentsSequence": PREDECESSOR}, "amended"),
        ({"PredecessorDocumentsSequence": PREDECESSOR, "CompletionFlag": "PARTIAL"}, "amended"),
        ({"PredecessorDocumentsSequence": []}, "final"),
    ],
)
def test_status_is_that_of_the_document(by_keyword: Json, status: str) -> None:
    assert report(dose_sr(**by_keyword)).common()["status"] == status


def test_report_counts_for_its_own_study_whatever_others_it_names() -> None:
    others = {"CurrentRequestedProcedureEvidenceSequence": [attributes(StudyInstanceUID=uid) for uid in ("1.2.3", "1.2.4")]}
    assert report(dose_sr(**others)).common()["partOf"] == [make_frame().study]
