"""Dose reports, imaging reports and PDFs as a FHIR server has them in the end: once, brought up to date, and gone with their instance.

docs/fhir.md has the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.dicom_builders import new_uid
from tests.support.fhir import reference
from tests.support.fhir_acceptance import LinkedArchive, document_file, image, pdf_file, report_file
from tests.support.sr_builders import (
    CHEST,
    PLANE_A,
    PLANE_B,
    attributes,
    ct_dose,
    ct_event,
    fluoroscopy_dose,
    mammography_dose,
    radiopharmaceutical_dose,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fhir import Json
    from tests.support.fhir_acceptance import Link

SUMMARY, EVENT = "73569-6", "113852"


def ct(study: str, *, srt: bool) -> Json:
    return ct_dose(events=[ct_event(number, uid=f"{study}.7.{number}") for number in (1, 2)], srt=srt)


DOSES: dict[str, tuple[Callable[..., Json], list[list[tuple[str, Any]]]]] = {
    "CT": (
        ct,
        [[("121058", "77477000"), ("113812", 2), ("113813", "512.3 mGy.cm")]],
    ),
    "fluoroscopy with two planes": (
        lambda study, srt: fluoroscopy_dose(PLANE_A, PLANE_B, srt=srt),
        [
            [
                *(("121058", "113704"), ("113764", plane), ("113722", dose), ("113725", "45.6 mGy"), ("113726", "80 mGy.cm2")),
                *(("113727", "430 mGy.cm2"), ("113730", "90 s"), ("113731", 96)),
            ]
            for plane, dose in (("113620", "123 mGy.cm2"), ("113621", "246 mGy.cm2"))
        ],
    ),
    "mammography": (
        lambda study, srt: mammography_dose(srt=srt),
        [[("121058", "71651007"), ("111637", "2.13 mGy, left"), ("111637", "1.98 mGy, right")]],
    ),
    "nuclear medicine": (
        lambda study, srt: radiopharmaceutical_dose(srt=srt),
        [
            [
                *(("121058", "113502"), ("113507", "554 MBq"), ("123005", "1.5 mL")),
                *(("349358000", "35321007"), ("89457008", "77004003"), ("410675002", "47625008")),
            ]
        ],
    ),
}


def told(component: Json) -> tuple[str, Any]:
    """Give a component's code and its value as text."""
    side = "".join(f", {each['valueCodeableConcept']['coding'][0]['display'].lower()}" for each in component.get("extension", []))
    code = component["code"]["coding"][0]["code"]
    if "valueQuantity" in component:
        return code, f"{component['valueQuantity']['value']:g} {component['valueQuantity']['code']}{side}"
    if "valueInteger" in component:
        return code, component["valueInteger"]
    return code, component["valueCodeableConcept"]["coding"][0]["code"]


def summaries(archive: LinkedArchive) -> list[Json]:
    found = [each for each in archive.written.all("Observation") if each["code"]["coding"][0]["code"] == SUMMARY]
    return sorted(found, key=lambda each: str(each["identifier"][1]["value"]))


@pytest.mark.parametrize("srt", [False, True], ids=["SNOMED CT", "SNOMED-RT"])
@pytest.mark.parametrize("row", DOSES)
async def test_a_dose_report_becomes_its_totals_and_comes_and_goes_as_one(link: Link, row: str, srt: bool) -> None:
    archive, study = link(), new_uid()
    make, expected = DOSES[row]
    file = document_file(make(study, srt=srt), study)
    await archive.put(image(study), file)
    await archive.in_step()
    assert [[told(each) for each in summary["component"]] for summary in summaries(archive)] == expected
    for summary in summaries(archive):
        assert summary["focus"] == summary["partOf"] == [{"reference": reference(archive.written.one("ImagingStudy"))}]
        assert summary["subject"]["reference"] == reference(archive.written.one("Patient"))
    before = archive.written.versions()
    await archive.put(file)
    await archive.in_step()
    assert archive.written.versions() == before
    await archive.delete(study, f"{study}.88")
    await archive.in_step()
    assert archive.written.versions() == {"Patient": 1, "Endpoint": 1, "ImagingStudy": 2}


async def test_the_events_of_a_ct_are_members_of_its_summary(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), document_file(ct(study, srt=True), study))
    await archive.in_step()
    (summary,) = summaries(archive)
    events = [each for each in archive.written.all("Observation") if each["code"]["coding"][0]["code"] == EVENT]
    assert {each["reference"] for each in summary["hasMember"]} == {reference(event) for event in events}
    for event in events:
        assert event["bodySite"]["coding"][0]["code"] == CHEST[0]
        assert [told(each) for each in event["component"]] == [
            *(("113830", "7.1 mGy"), ("113838", "256.15 mGy.cm"), ("113835", "113691"), ("113930", "9.3 mGy")),
            *(("113820", "116152004"), ("113825", "312.5 mm"), ("113733", "120 kV")),
        ]


async def test_a_dose_that_is_reported_again_under_a_new_uid_shares_its_events(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), document_file(ct(study, srt=False), study, 88))
    await archive.put(document_file(ct(study, srt=False), study, 89))
    await archive.in_step()
    assert archive.written.versions()["Observation"] == 2 + 2
    await archive.delete(study, f"{study}.89")
    await archive.in_step()
    assert archive.written.versions()["Observation"] == 2 + 1
    (summary,) = summaries(archive)
    for member in summary["hasMember"]:
        assert archive.written.client.call("GET", member["reference"]).status_code == 200


async def test_a_dose_report_that_is_replaced_by_one_of_other_parts_leaves_none_of_the_old_ones(link: Link) -> None:
    archive, study = link(), new_uid()
    for planes, count in (((PLANE_A, PLANE_B), 2), ((), 1), ((PLANE_A, PLANE_B), 2)):
        await archive.put(image(study), document_file(fluoroscopy_dose(*planes), study))
        await archive.in_step()
        assert len(summaries(archive)) == count
    before = archive.written.state()
    await archive.rebuild()
    assert archive.written.state() == before


async def test_an_event_that_two_studies_tell_of_outlives_the_study_that_told_it_first(link: Link) -> None:
    archive, first, second = link(), new_uid(), new_uid()
    for study in (first, second):
        await archive.put(image(study), document_file(ct(first, srt=False), study))
        await archive.in_step()
    await archive.delete(first)
    await archive.in_step()
    (summary,) = summaries(archive)
    events = [archive.written.client.call("GET", member["reference"]).json() for member in summary["hasMember"]]
    assert [event["partOf"] for event in events] == [[{"reference": reference(archive.written.one("ImagingStudy"))}]] * 2


async def test_deleting_one_image_leaves_the_dose_as_it_is(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study, 1), image(study, 2), document_file(ct(study, srt=False), study))
    await archive.in_step()
    before = {key: value for key, value in archive.written.state().items() if key.startswith("Observation")}
    await archive.delete(study, f"{study}.1", f"{study}.1.1")
    await archive.in_step()
    assert {key: value for key, value in archive.written.state().items() if key.startswith("Observation")} == before
    assert archive.written.versions()["Observation"] == 3


VERIFIER = attributes(
    VerifyingObserverSequence=attributes(
        VerifyingObserverName={"Alphabetic": "Reader^Rita^^Dr"}, VerifyingOrganization="St. Mary", VerificationDateTime="20260110101500"
    )
)


def predecessor(study: str, series: int) -> Json:
    """Name the report of a series as predecessor."""
    instance = attributes(ReferencedSOPInstanceUID=f"{study}.{series}.1", ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    of_series = attributes(SeriesInstanceUID=f"{study}.{series}", ReferencedSOPSequence=instance)
    return attributes(PredecessorDocumentsSequence=attributes(StudyInstanceUID=study, ReferencedSeriesSequence=of_series))


STATUSES: dict[str, tuple[dict[str, Any], str]] = {
    "complete and verified": ({"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED"}, "final"),
    "complete": ({"CompletionFlag": "COMPLETE", "VerificationFlag": "UNVERIFIED"}, "preliminary"),
    "partial": ({"CompletionFlag": "PARTIAL", "VerificationFlag": "UNVERIFIED"}, "partial"),
    "said to be preliminary": (
        {"CompletionFlag": "COMPLETE", "VerificationFlag": "VERIFIED", "PreliminaryFlag": "PRELIMINARY"},
        "preliminary",
    ),
}


@pytest.mark.parametrize("row", STATUSES)
async def test_a_reports_status_is_what_its_flags_say(link: Link, row: str) -> None:
    archive, study = link(), new_uid()
    flags, status = STATUSES[row]
    await archive.put(image(study), report_file(study, more=VERIFIER, **flags))
    await archive.in_step()
    report, document = archive.written.one("DiagnosticReport"), archive.written.one("DocumentReference")
    assert report["status"] == status
    assert document["docStatus"] == ("preliminary" if status == "partial" else status)
    assert (report["conclusion"], report["issued"]) == ("No abnormality.", "2026-01-10T10:15:00+09:00")
    assert report["resultsInterpreter"] == [{"type": "Practitioner", "display": "Dr Rita Reader"}]
    assert "Seen &lt; &amp; &gt; clearly" in report["text"]["div"]
    assert report["imagingStudy"] == [{"reference": reference(archive.written.one("ImagingStudy"))}]
    assert archive.written.client.find("DocumentReference", related=reference(archive.written.one("ImagingStudy")))


async def test_a_report_with_a_predecessor_is_amended_and_supersedes_it(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), report_file(study, 77, CompletionFlag="COMPLETE", VerificationFlag="VERIFIED"))
    await archive.in_step()
    await archive.put(report_file(study, 78, more=predecessor(study, 77), impression="A nodule."))
    await archive.in_step()
    old, new = sorted(archive.written.all("DocumentReference"), key=lambda each: str(each["masterIdentifier"]["value"]))
    assert (old["status"], new["status"]) == ("superseded", "current")
    assert new["relatesTo"] == [{"code": "replaces", "target": {"reference": reference(old)}}]
    assert sorted(each["status"] for each in archive.written.all("DiagnosticReport")) == ["amended", "final"]
    await archive.delete(study, f"{study}.78")
    await archive.in_step()
    assert archive.written.one("DocumentReference")["status"] == "current"


async def test_a_pdf_is_pointed_at_and_not_embedded(link: Link) -> None:
    archive, study = link(), new_uid()
    await archive.put(image(study), pdf_file(study))
    await archive.in_step()
    url = f"{archive.fhir_settings.service_root}/studies/{study}/series/{study}.66/instances/{study}.66.1/rendered"
    for form in (
        archive.written.one("DiagnosticReport")["presentedForm"][0],
        archive.written.one("DocumentReference")["content"][0]["attachment"],
    ):
        assert (form["contentType"], form["url"], form["title"], form["size"]) == ("application/pdf", url, "Report as PDF", 25)
        assert "data" not in form


async def test_what_a_report_points_at_is_the_instance_that_it_was_made_of(link: Link) -> None:
    archive, study = link(), new_uid()
    file = report_file(study)
    await archive.put(image(study), file)
    await archive.in_step()
    (form,) = archive.written.one("DiagnosticReport")["presentedForm"]
    shown = await archive.get(form["url"].removeprefix(archive.fhir_settings.service_root.removesuffix("/v2")), accept=form["contentType"])
    assert (shown.status, shown.body[128:], len(shown.body)) == (200, file[128:], form["size"])


async def test_a_replaced_report_says_what_the_new_one_says(link: Link) -> None:
    archive, study = link(), new_uid()
    for impression in ("No abnormality.", "A nodule."):
        await archive.put(image(study), report_file(study, impression=impression))
        await archive.in_step()
    report = archive.written.one("DiagnosticReport")
    assert (report["conclusion"], report["meta"]["versionId"]) == ("A nodule.", "2")
