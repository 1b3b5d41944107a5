"""The ImagingStudy, attribute by attribute; and what the resources of a study's documents take from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from shared.fhir.endpoint import endpoint
from shared.fhir.identity import Identity
from shared.fhir.imaging_study import frame, imaging_study
from shared.fhir.issues import IssueCode, StudyRejected
from shared.fhir.patient import patient
from tests.support.fhir_evidence import (
    ACCESSIONS,
    BASIC_TEXT_SR,
    CANONICAL,
    SERIES_UID,
    STUDY_UID,
    Json,
    code,
    context,
    evidence,
    instance,
    validate,
    warnings,
)

if TYPE_CHECKING:
    from shared.fhir.context import Context, StudyFrame
    from shared.fhir.json_text import Resource

DCM = "http://dicom.nema.org/resources/ontology/DCM"
ACCESSION = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}, "system": ACCESSIONS}
OFFICIAL = {"use": "official", "system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}


def study(ctx: Context, *instances: Json) -> Resource:
    """Make the ImagingStudy of these instances, validated."""
    gathered = evidence(instances)
    draft = imaging_study(gathered, frame(gathered, ctx), ctx)
    assert draft.resource["identifier"][0] == draft.identity.identifier("official")
    return validate(draft.resource)


def said_of(settings: dict[str, Any] | None = None, /, **attributes: Any) -> tuple[Resource, list[tuple[str, str]]]:
    ctx = context(**settings or {})
    return study(ctx, instance(**attributes)), warnings(ctx)


def framed(ctx: Context, *instances: Json) -> StudyFrame:
    return frame(evidence(instances), ctx)


def test_a_study_of_which_nothing_else_is_known_has_what_fhir_needs() -> None:
    made, said = said_of()
    assert {name: value for name, value in made.items() if name not in {"subject", "series", "endpoint"}} == {
        "resourceType": "ImagingStudy",
        "meta": context().meta(),
        "identifier": [OFFICIAL],
        "status": "available",
        "modality": [{"system": DCM, "code": "CT"}],
        "numberOfSeries": 1,
        "numberOfInstances": 1,
    }
    assert said == []


def test_patient_and_endpoint_are_referred_to_where_we_write_them() -> None:
    ctx, gathered = context(), evidence([instance()])
    made, who = imaging_study(gathered, frame(gathered, ctx), ctx).resource, patient(gathered, ctx)
    assert who is not None
    assert made["subject"] == {"reference": f"Patient/{who.identity.logical_id}", "identifier": who.identity.identifier("usual")}
    assert made["endpoint"] == [{"reference": f"Endpoint/{endpoint(ctx).identity.logical_id}"}]


def test_what_the_server_has_already_is_referred_to_where_it_is() -> None:
    gathered = evidence([instance()])
    who = patient(gathered, context())
    assert who is not None
    found = {who.identity: "Patient/7", endpoint(context()).identity: "Endpoint/8", imaging_identity(): "ImagingStudy/9"}
    ctx = context(found)
    made = imaging_study(gathered, frame(gathered, ctx), ctx).resource
    assert (made["subject"]["reference"], made["endpoint"]) == ("Patient/7", [{"reference": "Endpoint/8"}])
    assert frame(gathered, ctx).study == {"reference": "ImagingStudy/9"}


def imaging_identity() -> Identity:
    return Identity("ImagingStudy", "urn:dicom:uid", f"urn:oid:{STUDY_UID}")


@pytest.mark.parametrize("uid", ["1.02.3", "1..2", "1." + "2" * 63, "", "urn:oid:1.2"])
def test_a_study_uid_that_fhir_cannot_take_rejects_the_study(uid: str) -> None:
    with pytest.raises(StudyRejected) as rejected:
        frame(evidence([instance()], uid), context())
    assert rejected.value.issue.keyword == "StudyInstanceUID"


def test_a_study_without_patient_id_is_held() -> None:
    with pytest.raises(StudyRejected) as rejected:
        said_of(PatientID=None)
    assert rejected.value.issue.code == IssueCode.MISSING_PATIENT_ID


def test_a_study_without_patient_id_can_be_written_with_a_name_instead() -> None:
    made, _ = said_of({"missing_patient": "display"}, PatientID=None, PatientName="Doe^Jane")
    assert made["subject"] == {"type": "Patient", "display": "Jane Doe"}


def test_every_accession_number_identifies_the_study() -> None:
    made = study(context(), instance(AccessionNumber="A"), instance(AccessionNumber="B"), instance(AccessionNumber="A"))
    assert made["identifier"] == [OFFICIAL, {**ACCESSION, "value": "A"}, {**ACCESSION, "value": "B"}]
    assert [each["identifier"]["value"] for each in made["basedOn"]] == ["A", "B"]


@pytest.mark.parametrize(
    ("system", "sent", "more", "said"),
    [
        ("https://ids.example", " S1 ", [{"use": "usual", "system": "https://ids.example", "value": "S1"}], []),
        ("https://ids.example", None, [], []),
        ("https://ids.example", 5, [], [("StudyID", "bad-value")]),
        ("", "S1", [], []),
    ],
    ids=["present", "absent", "bad", "no system"],
)
def test_the_study_id_identifies_where_the_operator_has_a_system_for_it(
    system: str, sent: object, more: list[Resource], said: list[tuple[str, str]]
) -> None:
    made, warned = said_of({"study_id_system": system}, StudyID=sent)
    assert (made["identifier"][1:], warned) == (more, said)


def test_modalities_are_those_of_the_series_sorted_and_without_the_fallback() -> None:
    sent = ["SR", "CT", None, "CT", "bad one"]
    made = study(context(), *[instance(SeriesInstanceUID=f"1.2.{n}", Modality=each) for n, each in enumerate(sent)])
    assert [each["code"] for each in made["modality"]] == ["CT", "SR"]
    assert [series["modality"]["code"] for series in made["series"]] == ["SR", "CT", "OT", "CT", "OT"]


def test_a_modality_that_says_other_counts_and_modalities_in_study_does_not() -> None:
    made, _ = said_of(Modality="OT", ModalitiesInStudy=["CT", "MR"])
    assert [each["code"] for each in made["modality"]] == ["OT"]
    assert "modality" not in said_of(Modality=None)[0]


STARTED: dict[str, Any] = {"StudyDate": "20260110", "StudyTime": "0915", "TimezoneOffsetFromUTC": "+0900"}


@pytest.mark.parametrize(
    ("attributes", "started", "said"),
    [
        (STARTED, "2026-01-10T09:15:00+09:00", []),
        (STARTED | {"TimezoneOffsetFromUTC": None}, "2026-01-10", []),
        (STARTED | {"StudyDate": None}, None, []),
        (STARTED | {"StudyDate": "junk"}, None, [("StudyDate", "bad-value")]),
        (STARTED | {"StudyTime": "9"}, "2026-01-10", [("StudyTime", "bad-value")]),
    ],
    ids=["exact", "no zone", "absent", "bad date", "bad time"],
)
def test_a_study_starts_when_it_says(attributes: dict[str, Any], started: str | None, said: list[tuple[str, str]]) -> None:
    made, warned = said_of(**attributes)
    assert (made.get("started"), warned) == (started, said)


@pytest.mark.parametrize(
    ("times", "started"),
    [
        (["0930", "0915", None], "2026-01-10T09:15:00+09:00"),
        ([None, "0930"], "2026-01-10T09:30:00+09:00"),
    ],
)
def test_a_study_starts_with_the_earliest_and_most_exact_of_its_instances(times: list[str | None], started: str) -> None:
    ctx = context()
    assert study(ctx, *[instance(**STARTED | {"StudyTime": time}) for time in times])["started"] == started
    assert warnings(ctx) == []


def test_encounter_and_location_are_given_where_they_are_known() -> None:
    ctx = context({Identity("Encounter", "", "V-1"): "Encounter/3"}, location_map={"CT 2": "Location/5"})
    made = study(ctx, instance(AdmissionID="V-1", PerformedLocation="CT 2"))
    assert (made["encounter"], made["location"]) == ({"reference": "Encounter/3"}, {"reference": "Location/5"})


@pytest.mark.parametrize(
    ("attributes", "location"),
    [
        ({"PerformedLocation": "CT 2", "InstitutionalDepartmentName": "Radiology"}, "Location/5"),
        ({"PerformedLocation": "CT 9", "InstitutionalDepartmentName": "Radiology"}, "Location/6"),
        ({"InstitutionalDepartmentName": "Radiology"}, "Location/6"),
        ({"PerformedLocation": "CT 9"}, None),
        ({"PerformedLocation": 5}, None),
        ({}, None),
    ],
    ids=["both", "one is mapped", "department", "not mapped", "bad", "absent"],
)
def test_a_location_is_one_that_the_operator_has_mapped(attributes: dict[str, Any], location: str | None) -> None:
    made, _ = said_of({"location_map": {"CT 2": "Location/5", "Radiology": "Location/6"}}, **attributes)
    assert made.get("location") == ({"reference": location} if location else None)
    assert "location" not in said_of(**attributes)[0]


@pytest.mark.parametrize(
    ("sent", "referrer", "said"),
    [
        ("Refer^Ann^^Dr", {"type": "Practitioner", "display": "Dr Ann Refer"}, []),
        (["Refer^Ann", "Second^X"], {"type": "Practitioner", "display": "Ann Refer"}, []),
        (None, None, []),
        ("^^^^", None, []),
        (5, None, [("ReferringPhysicianName", "bad-value")]),
    ],
    ids=["present", "several", "absent", "empty", "bad"],
)
def test_the_referrer_is_the_first_referring_physician(sent: object, referrer: Resource | None, said: list[tuple[str, str]]) -> None:
    made, warned = said_of(ReferringPhysicianName=sent)
    assert (made.get("referrer"), warned) == (referrer, said)


def test_readers_of_all_instances_are_interpreters() -> None:
    ctx = context()
    made = study(ctx, *[instance(NameOfPhysiciansReadingStudy=names) for names in (["B^B", "A^A"], "C^C", "A^A", None, 5)])
    assert [each["display"] for each in made["interpreter"]] == ["B B", "A A", "C C"]
    assert warnings(ctx) == [("NameOfPhysiciansReadingStudy", "bad-value")]


def test_referrer_and_interpreters_are_found_by_code() -> None:
    found = {Identity("Practitioner", "https://staff.example", value): f"Practitioner/{value}" for value in ("1", "2")}
    one, two = [{"PersonIdentificationCodeSequence": code(value, "99STAFF")} for value in ("1", "2")]
    made = study(
        context(found, practitioner_systems={"99STAFF": "https://staff.example"}),
        instance(ReferringPhysicianIdentificationSequence=one, PhysiciansReadingStudyIdentificationSequence=two),
    )
    assert (made["referrer"], made["interpreter"]) == ({"reference": "Practitioner/1"}, [{"reference": "Practitioner/2"}])


FEMUR_CT = {"coding": [{"system": "http://snomed.info/sct", "code": "241549004", "display": "CT of femur"}]}


def test_procedures_are_those_of_all_instances() -> None:
    item = code("241549004", "SCT", "CT of femur")
    other = code("X1", "99LOCAL", "Other")
    ctx = context()
    made = study(ctx, instance(ProcedureCodeSequence=item), instance(ProcedureCodeSequence=[item, other]), instance())
    local = {"system": f"{CANONICAL}/code-system/99LOCAL", "code": "X1", "display": "Other"}
    assert made["procedureCode"] == [FEMUR_CT, {"coding": [local]}]
    assert warnings(ctx) == []


def test_a_procedure_that_is_no_code_is_left_out() -> None:
    made, said = said_of(ProcedureCodeSequence=[{"CodeMeaning": "CT"}, "junk"])
    assert ("procedureCode" in made, said) == (False, [("ProcedureCodeSequence", "bad-value")])


PAIN = {"coding": [{"system": "http://snomed.info/sct", "code": "22253000", "display": "Pain"}]}
CODED_PAIN = {"ReasonForRequestedProcedureCodeSequence": code("22253000", "SCT", "Pain")}


@pytest.mark.parametrize(
    ("attributes", "reasons"),
    [
        (CODED_PAIN, [PAIN]),
        ({"ReasonForTheRequestedProcedure": "Pain in leg"}, [{"text": "Pain in leg"}]),
        (CODED_PAIN | {"ReasonForTheRequestedProcedure": "Pain in leg"}, [PAIN]),
        ({"RequestAttributesSequence": [CODED_PAIN, {"ReasonForTheRequestedProcedure": "Fall"}]}, [PAIN, {"text": "Fall"}]),
        (CODED_PAIN | {"RequestAttributesSequence": CODED_PAIN}, [PAIN]),
        ({"ReasonForTheRequestedProcedure": 5}, None),
        ({}, None),
    ],
    ids=["code", "text", "code first", "in requests", "twice", "bad", "absent"],
)
def test_reasons_are_codes_or_else_texts(attributes: dict[str, Any], reasons: list[Resource] | None) -> None:
    assert said_of(**attributes)[0].get("reasonCode") == reasons


def test_reasons_of_requests_stand_in_the_order_of_storage() -> None:
    said = [("1.2.1", "A"), ("1.2.2", "B"), ("1.2.1", "C"), ("1.2.2", "A")]
    requests = [(series, {"ReasonForTheRequestedProcedure": reason}) for series, reason in said]
    made = study(context(), *[instance(SeriesInstanceUID=series, RequestAttributesSequence=item) for series, item in requests])
    assert [reason["text"] for reason in made["reasonCode"]] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("sent", "description", "said"),
    [
        (" CT Femur ", "CT Femur", []),
        (["CT", "Femur"], "CT; Femur", []),
        (None, None, []),
        (5, None, [("StudyDescription", "bad-value")]),
    ],
    ids=["present", "several", "absent", "bad"],
)
def test_the_description_is_a_text_and_a_note_only_for_compatibility(
    sent: object, description: str | None, said: list[tuple[str, str]]
) -> None:
    made, warned = said_of(StudyDescription=sent)
    assert (made.get("description"), made.get("note"), warned) == (description, None, said)
    compatible, _ = said_of({"compat_note": True}, StudyDescription=sent)
    assert compatible.get("note") == ([{"text": description}] if description else None)


@pytest.mark.parametrize(
    ("keyword", "values", "element", "winner"),
    [
        ("StudyDescription", ["A", "A", "B"], "description", "A"),
        ("StudyDescription", ["A", "B", None], "description", "B"),
        ("ReferringPhysicianName", ["A^A", "B^B"], "referrer", {"type": "Practitioner", "display": "B B"}),
    ],
)
def test_where_instances_differ_most_decide(keyword: str, values: list[str | None], element: str, winner: object) -> None:
    ctx = context()
    assert study(ctx, *[instance(**{keyword: value}) for value in values])[element] == winner
    assert warnings(ctx) == [(keyword, "study-conflict")]


def test_counts_are_those_of_the_archive() -> None:
    instances = [
        instance(SeriesInstanceUID=f"1.2.{n % 2}", NumberOfStudyRelatedSeries=9, NumberOfStudyRelatedInstances=99) for n in range(5)
    ]
    made = study(context(), *instances)
    assert (made["numberOfSeries"], made["numberOfInstances"]) == (2, 5)
    assert [series["numberOfInstances"] for series in made["series"]] == [3, 2]


def test_series_stand_by_number_then_uid_and_last_without_a_number() -> None:
    made = study(context(), *[instance(SeriesInstanceUID=f"1.2.{n}", SeriesNumber=number) for n, number in enumerate([None, 10, 2, 2])])
    assert [series["uid"] for series in made["series"]] == ["1.2.2", "1.2.3", "1.2.1", "1.2.0"]


TAG = {"system": f"{CANONICAL}/CodeSystem/origin", "code": "instances-elided"}


@pytest.mark.parametrize(
    ("sizes", "listed"),
    [([51, 49], [51, 49]), ([51, 50], [0, 50]), ([50, 50, 1], [50, 50, 1])],
    ids=["at the limit", "over it", "over it with small series only"],
)
def test_a_study_over_the_limit_lists_no_images_of_large_series_and_says_so(sizes: list[int], listed: list[int]) -> None:
    ctx = context(instance_limit=100)
    made = study(ctx, *[instance(SeriesInstanceUID=f"1.2.{n}") for n, size in enumerate(sizes) for _ in range(size)])
    elided = listed != sizes
    assert [len(series.get("instance", [])) for series in made["series"]] == listed
    assert made["numberOfInstances"] == sum(sizes)
    assert (TAG in made["meta"]["tag"]) == elided
    assert warnings(ctx) == ([("NumberOfStudyRelatedInstances", "instances-elided")] if elided else [])


def replacing(*uids: str) -> dict[str, Any]:
    series = {"SeriesInstanceUID": SERIES_UID, "ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": uid} for uid in uids]}
    return {"PredecessorDocumentsSequence": {"StudyInstanceUID": STUDY_UID, "ReferencedSeriesSequence": series}}


def test_the_frame_knows_documents_and_which_of_them_another_replaces() -> None:
    reports = [replacing(), replacing("1.5.1", "1.9", "1.7"), replacing("1.5.3", "no uid")]
    instances = [instance(SOPInstanceUID=f"1.5.{n}", SOPClassUID=BASIC_TEXT_SR, **each) for n, each in enumerate(reports, start=1)]
    made = framed(context(), *instances, instance(SOPInstanceUID="1.9"))
    assert made.documents == {"1.5.1", "1.5.2", "1.5.3"}
    assert made.superseded == {"1.5.1"}


def test_the_frame_has_what_documents_share_with_the_study() -> None:
    ctx = context({Identity("Encounter", "", "V-1"): "Encounter/3"})
    made = framed(ctx, instance(AccessionNumber="A", AdmissionID="V-1", Modality="MR", **STARTED), instance(SeriesInstanceUID="1.2.9"))
    assert made.study == {"reference": f"ImagingStudy/{imaging_identity().logical_id}"}
    assert list(made.subject) == ["reference"]
    assert made.identifiers == [OFFICIAL, {**ACCESSION, "value": "A"}]
    assert made.based_on == [{"type": "ServiceRequest", "identifier": {**ACCESSION, "value": "A"}}]
    assert (made.encounter, made.started, made.modalities) == ({"reference": "Encounter/3"}, "2026-01-10T09:15:00+09:00", ["CT", "MR"])


def test_documents_of_a_patient_who_is_only_named_or_linked_name_or_identify() -> None:
    named = framed(context(missing_patient="display"), instance(PatientID=None, PatientName="Doe^Jane"))
    assert named.subject == {"type": "Patient", "display": "Jane Doe"}
    assert framed(context(patient_policy="link"), instance()).subject["identifier"]["value"] == "A-1001"


@pytest.mark.parametrize("attributes", [{"StudyDescription": 5}, {"SeriesNumber": -1}, {"InstanceNumber": "x"}, {"StudyDate": "junk"}])
def test_in_strict_mode_a_bad_value_rejects_the_study(attributes: dict[str, Any]) -> None:
    with pytest.raises(StudyRejected):
        said_of({"strict": True}, **attributes)
