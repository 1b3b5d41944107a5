"""Whatever is stored: what becomes of it in FHIR is valid R4, by the FHIR server's validator and by the models of ``fhir.resources``.

The fixture ``link`` has all resources of every test checked by the second one; here everything is switched on that can be written,
see docs/fhir.md.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from shared.dicom.sop_classes import KEY_OBJECT_SELECTION
from tests.support.dataset import DATASET, manifest
from tests.support.dicom_builders import CT_IMAGE_STORAGE, new_uid
from tests.support.fhir_acceptance import EMITTED, document_file, image, pdf_file, report_file
from tests.support.host import PROJECT_FOLDER
from tests.support.sr_builders import (
    CHEST,
    PLANE_A,
    PLANE_B,
    attributes,
    code,
    code_item,
    container,
    content,
    ct_dose,
    document,
    fluoroscopy_dose,
    irradiating_device,
    mammography_dose,
    num,
    radiopharmaceutical_dose,
    text,
    uidref,
)

if TYPE_CHECKING:
    from typing import Any

    from tests.support.fhir_acceptance import Link

SAMPLE = sorted((PROJECT_FOLDER / "samples" / "study").rglob("*.dcm"))

ALL_CHOICES: dict[str, Any] = {
    "dose_events": "all",
    "measurements": True,
    "series_devices": True,
    "key_images": "basic",
    "title_image_type": True,
    "patient_extended": True,
    "series_started_fallback": True,
    "missing_patient": "display",
    "orders": "create",
    "practitioners": "create",
    "practitioner_systems": {"99STAFF": "http://hospital.example/staff"},
    "study_id_system": "http://hospital.example/study-id",
    "site_timezone": "Europe/Vienna",
    "compat_note": True,
    "managing_organization": "Organization/hospital",
}
"""Settings that have everything written that can be."""

PERSON = attributes(PersonIdentificationCodeSequence=code("4711", "99STAFF", "Dr. Reader"), InstitutionName="St. Mary")
ISSUER = attributes(UniversalEntityID="2.16.840.1.113883.19.5", UniversalEntityIDType="ISO")
SCANNER = {"Manufacturer": "Maker & Söhne", "ManufacturerModelName": "Scan|ner 3000", "DeviceSerialNumber": "S/N 7", "StationName": "CT1"}
RICH_IMAGE = attributes(
    SOPClassUID=CT_IMAGE_STORAGE,
    Modality="CT",
    ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    StudyDate="20240102",
    StudyTime="101500.5",
    AcquisitionDateTime="20240102102000.25",
    StudyID="S-1",
    IssuerOfPatientIDQualifiersSequence=ISSUER,
    IssuerOfAccessionNumberSequence=ISSUER,
    OtherPatientIDsSequence=[attributes(PatientID="O-1", IssuerOfPatientID="Other, Inc.", TypeOfPatientID="TEXT")],
    OtherPatientNames={"Alphabetic": "Roe^Jane"},
    PatientBirthName={"Alphabetic": "Born^Jane"},
    PatientBirthTime="0315",
    PatientAddress="1 Main Street, Springfield",
    PatientTelephoneNumbers=["+1 555 0100"],
    PatientSpeciesDescription="Canis lupus familiaris",
    PatientIdentityRemoved="YES",
    ReferringPhysicianIdentificationSequence=PERSON,
    PhysiciansReadingStudyIdentificationSequence=[PERSON],
    PerformingPhysicianIdentificationSequence=PERSON,
    OperatorsName={"Alphabetic": "Op^Otto"},
    AdmissionID="ADM-1",
    PlacerOrderNumberImagingServiceRequest="PLACER-1",
    RequestedProcedureCodeSequence=code("CTHEAD", "99PROC", "CT of head"),
    ProcedureCodeSequence=[code("CTHEAD", "99PROC", "CT of head")],
    ReasonForRequestedProcedureCodeSequence=code("25064002", "SCT", "Headache"),
    BodyPartExamined="CHEST",
    Laterality="L",
    SpecimenDescriptionSequence=attributes(SpecimenIdentifier="SP-1", SpecimenUID="1.2.3.4"),
    SoftwareVersions=["1.0", "2.0"],
    UDISequence=attributes(UniqueDeviceIdentifier="(01)00844588003288(17)141120"),
    InstanceNumber=1,
    **SCANNER,
)
LENGTH = num(("410668003", "SCT", "Length"), Decimal("12.50"), "mm", code_item(("363698007", "SCT", "Finding Site"), CHEST))
TRACKED = [text(("112039", "DCM", "Tracking Identifier"), "Nodule 1", relationship="HAS OBS CONTEXT")]


def measurement_report(uid: str) -> Any:
    tracking = uidref(("112040", "DCM", "Tracking Unique Identifier"), f"{uid}.5", "HAS OBS CONTEXT")
    finder = [text(("111001", "DCM", "Algorithm Name"), "Finder", relationship="HAS OBS CONTEXT")]
    version = [text(("111003", "DCM", "Algorithm Version"), "2.1", relationship="HAS OBS CONTEXT")]
    finding = code_item(("121071", "DCM", "Finding"), ("27925004", "SCT", "Nodule"))
    group = container(("125007", "DCM", "Measurement Group"), *TRACKED, tracking, *finder, *version, finding, LENGTH)
    return document(("126000", "DCM", "Imaging Measurement Report"), container(("126010", "DCM", "Imaging Measurements"), group))


def key_objects(study: str) -> Any:
    reference = attributes(ReferencedSOPClassUID=CT_IMAGE_STORAGE, ReferencedSOPInstanceUID=f"{study}.1.1", ReferencedFrameNumber=[1, 2])
    series = attributes(SeriesInstanceUID=f"{study}.1", ReferencedSOPSequence=reference)
    evidence = attributes(StudyInstanceUID=study, ReferencedSeriesSequence=series)
    selected = content("IMAGE", None, ReferencedSOPSequence=reference)
    described = text(("113012", "DCM", "Key Object Description"), "Look <here> & there")
    return document(
        ("113000", "DCM", "Of Interest"),
        described,
        selected,
        SOPClassUID=KEY_OBJECT_SELECTION,
        Modality="KO",
        CurrentRequestedProcedureEvidenceSequence=evidence,
    )


async def test_all_that_can_be_written_is_valid(link: Link) -> None:
    archive, study = link(**ALL_CHOICES), new_uid()
    device = irradiating_device(f"{study}.6", "Gantry", "Maker", "Model", "Serial")
    documents = [
        *(measurement_report(study), key_objects(study), ct_dose(device), fluoroscopy_dose(PLANE_A, PLANE_B)),
        *(mammography_dose(), radiopharmaceutical_dose()),
    ]
    files = [document_file(each, study, 10 + number) for number, each in enumerate(documents)]
    await archive.put(document_file(RICH_IMAGE, study, 1), image(study, 1, 2), *files, report_file(study), pdf_file(study))
    await archive.in_step()
    assert {each for each in EMITTED if not archive.written.all(each)} == set()


async def test_the_sample_study_is_valid(link: Link) -> None:
    archive = link(**ALL_CHOICES)
    await archive.put(*(path.read_bytes() for path in SAMPLE))
    await archive.in_step()
    assert archive.written.one("ImagingStudy")["numberOfInstances"] == len(SAMPLE)


@pytest.mark.skipif(DATASET is None, reason="the shared data set is not here")
async def test_every_file_of_the_data_set_becomes_valid_fhir_or_says_why_not(link: Link) -> None:
    archive = link(**ALL_CHOICES)
    for row in manifest():
        await archive.store(row.path.read_bytes(), method="PUT")
    await archive.pass_time()
    status = await archive.status()
    assert (status["dirty"], status["dead"]) == (0, 0)
    stored = {study["0020000D"]["Value"][0] for study in (await archive.get("/v2/studies?limit=200")).json()}
    written = {study["identifier"][0]["value"].removeprefix("urn:oid:") for study in archive.written.all("ImagingStudy")}
    assert len(stored) > 100
    assert written <= stored
    for study in stored - written:
        assert await archive.issues(study) & {("dicom", "bad-value"), ("fhir", "patient-mismatch")}
    assert status["blocked"] == len(stored - written)
