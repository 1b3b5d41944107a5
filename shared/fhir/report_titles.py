"""Which document titles are those of imaging reports, and under which category a report is filed.

A document is a report by its title alone: an SR or PDF can hold a dose summary, measurements, a consent form or a referral
as well. Titles are the DICOM set below, and LOINC's codes for imaging procedures, of which there are thousands: LOINC names
them by the modality first (``CT Chest``, ``XR Hand 2 Views``), and so they are known by that word.

References
----------
PS3.16 CID 7000 "Diagnostic Imaging Report Document Title", which may be extended by LOINC's imaging codes, and which had
other LOINC codes once; FHIR R4 DiagnosticReport.category, HL7 table 0074 "Diagnostic Service Section ID".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.fhir.concepts import CodeKey
    from shared.fhir.json_text import Resource

_DCM = {
    "111400": "Breast Imaging Report",
    "125195": "Pediatric Cardiac Ultrasound Report",
    "125196": "Fetal Cardiac Ultrasound Report",
    "125197": "Adult Congenital Cardiac Ultrasound Report",
    "125200": "Adult Echocardiography Procedure Report",
}
_SCT = {
    "48526000": "Peripheral Vascular Ultrasound Report",
}
_LOINC = {
    "11524-0": "ECG Report",
    "11525-3": "Ultrasound Obstetric and Gyn Report",
    "11528-7": "Radiology Report",
    "18745-0": "Cardiac Catheterization Report",
    "18748-4": "Diagnostic Imaging Report",
    "18750-0": "Cardiac Electrophysiology Report",
    "18752-6": "Exercise Stress Test Report",
    "18754-2": "Holter Study Report",
    "18756-7": "MRI Spine Report",
    "24534-0": "US Doppler Abdominal Vessels Report",
    "24590-2": "MRI Head Report",
    "24601-7": "US Breast Report",
    "24606-6": "Mammography Screening Report",
    "24616-5": "US Carotid Arteries Report",
    "24627-2": "CT Chest Report",
    "24725-4": "CT Head Report",
    "24733-8": "US Doppler Head Vessels Report",
    "24859-1": "US Pancreas Report",
    "24884-9": "US Prostate (transrectal) Report",
    "24907-8": "US Shoulder Report",
    "24990-4": "US Spleen Report",
    "25002-7": "US Scrotum and Testicle Report",
    "25010-0": "US Thyroid Report",
    "25045-6": "CT Report",
    "25056-3": "MRI Report",
    "25061-3": "Ultrasound Report",
    "28614-6": "US Liver Report",
    "30695-1": "Nuclear Medicine Thyroid Scan Report",
    "38036-0": "US Kidney Report",
    "38269-7": "DEXA Skeletal System Study Report",
    "39036-9": "US Vein Report",
    "39445-2": "US Doppler Vessels Report",
    "39448-6": "US Doppler Upper Extremity Vessels Report",
    "39453-6": "US Tendon Report",
    "41806-1": "CT Abdomen Report",
    "42148-7": "Echocardiography Report",
    "43468-8": "X-Ray Report",
    "43771-5": "US Doppler Extremity Vessels Report",
    "44136-0": "PET Scan Report",
    "44174-1": "US Doppler Lower Extremity Vessels Report",
    "46375-2": "US Artery Report",
    "47048-4": "Diagnostic Interventional Radiology Report",
    "49118-3": "Nuclear Medicine Report",
    "49512-7": "Fluoroscopy Study Report",
}
TITLES: frozenset[CodeKey] = frozenset(
    (designator, code) for designator, titles in (("DCM", _DCM), ("SCT", _SCT), ("LN", _LOINC)) for code in titles
)
"""Titles of CID 7000."""

_LOINC_IMAGING = "ct cta dxa dexa fluoroscopy mammography mg mr mra mri nm nuclear pet radiology rf rfa spect ultrasound us xr x-ray"
"""First words of LOINC's names of imaging procedures, of today and of the deprecated codes that older reports have."""
_IMAGING_WORDS = frozenset(_LOINC_IMAGING.split())

_FIRST_WORD = re.compile(r"[a-z]+(-[a-z]+)?", re.IGNORECASE | re.ASCII)

_SERVICE_SECTION = "http://terminology.hl7.org/CodeSystem/v2-0074"
_SECTIONS = {"CT": "CT", "MR": "NMR", "NM": "NMS", "PT": "NMS", "US": "RUS"}
"""Modality → section beside Radiology."""


def is_report_title(key: CodeKey, meaning: str) -> bool:
    """Tell whether a document of this title is an imaging report.

    Parameters
    ----------
    key
        Designator and code of the document's concept name.
    meaning
        Its code meaning; empty if there is none.
    """
    if key in TITLES:
        return True
    word = _FIRST_WORD.match(meaning)
    return key[0] == "LN" and word is not None and word.group().lower() in _IMAGING_WORDS


def categories(modalities: Iterable[str]) -> list[Resource]:
    """Give the categories of a report on a study of these modalities: Radiology first."""
    sections = dict.fromkeys(_SECTIONS[modality] for modality in modalities if modality in _SECTIONS)
    return [{"coding": [{"system": _SERVICE_SECTION, "code": code}]} for code in ("RAD", *sections)]
