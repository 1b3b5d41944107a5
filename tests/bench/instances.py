"""Synthetic instances for measuring: one template a kind, its identifiers overwritten in place.

A file costs one copy of its bytes, so that making 1,600 of them does not outlast the measurement.
"""

from __future__ import annotations

import itertools
import random
import string
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from tests.support.dicom_builders import make_instance

UID_LENGTH: Final = 44
"""Characters of every UID made here: one length, so that one can replace another in place."""

CT_SIZE: Final = 512
_NAME_LENGTH: Final = 14
_ID_LENGTH: Final = 10
_DAYS: Final = 3650
_MODALITIES: Final = ("CT", "MR", "CR", "US")


class Kind(StrEnum):
    """What is made: a CT instance of 512 KiB, or its header without pixel data."""

    CT = "ct"
    HEADERS = "headers"


_FIRST_DAY: Final = {Kind.CT: date(2015, 1, 1), Kind.HEADERS: date(1995, 1, 1)}
"""Ten years each, apart, so that searches for dates know what they must find."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A Part 10 file, and what the checks need to know of it."""

    data: bytes
    pixel_data: bytes
    study: str
    series: str
    instance: str
    patient_id: str
    patient_name: str
    study_date: str
    accession_number: str
    modality: str

    @property
    def path(self) -> str:
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


class Factory:
    """Makes instances of a kind: studies of ``per_study``, in series of at most 100.

    Parameters
    ----------
    kind
        What to make.
    seed
        The same seed makes the same patients, dates and pixels; UIDs are always new.
    """

    def __init__(self, kind: Kind, seed: str) -> None:
        self._kind = kind
        self._random = random.Random(seed)
        self._prefix = str(random.SystemRandom().randrange(10**14, 10**15))
        self._numbers, self._patients = itertools.count(1), itertools.count(1)
        pixels = self._random.randbytes(CT_SIZE * CT_SIZE * 2) if kind is Kind.CT else b""
        self._pixels = pixels
        self._template = _template(pixels)

    def make(self, count: int, *, per_study: int = 100) -> list[Instance]:
        """Make ``count`` instances, whole studies of new patients after one another."""
        made: list[Instance] = []
        while len(made) < count:
            made += self._study(min(per_study, count - len(made)))
        return made

    def _study(self, count: int) -> list[Instance]:
        number = next(self._patients)
        study = self._uid()
        letters = "".join(self._random.choices(string.ascii_uppercase, k=4))
        day = _FIRST_DAY[self._kind] + timedelta(days=self._random.randrange(_DAYS))
        attributes = {
            "patient_id": f"P{number:04}{self._random.randrange(10**5):05}",
            "patient_name": f"{letters}{number:04}^BENCH",
            "study_date": day.strftime("%Y%m%d"),
            "accession_number": f"A{number:04}{self._random.randrange(10**5):05}",
            "modality": self._random.choice(_MODALITIES),
        }
        series = self._uid()
        made = []
        for index in range(count):
            if index % 100 == 0:
                series = self._uid()
            made.append(self._instance(study, series, attributes))
        return made

    def _instance(self, study: str, series: str, attributes: dict[str, str]) -> Instance:
        instance = self._uid()
        turn = self._random.randrange(len(self._pixels) // 2) * 2 if self._pixels else 0
        pixels = self._pixels[turn:] + self._pixels[:turn]
        head = self._template
        for marker, value in (("S", study), ("R", series), ("I", instance)):
            head = head.replace(_marker(marker), value.encode())
        for name, value in attributes.items():
            head = head.replace(_PLACEHOLDERS[name].encode(), value.encode())
        return Instance(head + pixels, pixels, study, series, instance, **attributes)

    def _uid(self) -> str:
        return f"2.25.{self._prefix}{next(self._numbers):0{UID_LENGTH - 20}}"


_PLACEHOLDERS: Final = {
    "patient_id": "#" * _ID_LENGTH,
    "patient_name": "%" * _NAME_LENGTH,
    "study_date": "19000101",
    "accession_number": "@" * _ID_LENGTH,
    "modality": "ZZ",
}


def _marker(letter: str) -> bytes:
    return str(ord(letter)).encode() * (UID_LENGTH // 2)


def _template(pixels: bytes) -> bytes:
    """Write a CT header of some 50 elements with placeholders; the pixel data element's value is left off its end."""
    image = {"Rows": CT_SIZE, "Columns": CT_SIZE, "PixelData": pixels} if pixels else {"PixelData": None}
    data = make_instance(
        StudyInstanceUID=_marker("S").decode(),
        SeriesInstanceUID=_marker("R").decode(),
        SOPInstanceUID=_marker("I").decode(),
        PatientID=_PLACEHOLDERS["patient_id"],
        PatientName=_PLACEHOLDERS["patient_name"],
        StudyDate=_PLACEHOLDERS["study_date"],
        AccessionNumber=_PLACEHOLDERS["accession_number"],
        Modality=_PLACEHOLDERS["modality"],
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        SeriesDate="20240102",
        SeriesTime="101500",
        AcquisitionDate="20240102",
        ContentDate="20240102",
        ContentTime="101512.345",
        Manufacturer="BENCH",
        InstitutionName="BENCH HOSPITAL",
        StationName="BENCH1",
        ManufacturerModelName="BENCH CT",
        PerformedProcedureStepStartDate="20240102",
        PerformedProcedureStepStartTime="101500",
        BodyPartExamined="HEAD",
        ScanOptions="HELICAL MODE",
        SliceThickness="1.25",
        KVP="120",
        DataCollectionDiameter="500",
        SoftwareVersions="1.0",
        ProtocolName="HEAD ROUTINE",
        ReconstructionDiameter="250",
        GantryDetectorTilt="0",
        TableHeight="145.5",
        ExposureTime="1000",
        XRayTubeCurrent="250",
        Exposure="250",
        ConvolutionKernel="STANDARD",
        PatientPosition="HFS",
        AcquisitionNumber="1",
        ImagePositionPatient=["-125", "-125", "12.5"],
        ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
        FrameOfReferenceUID="2.25.1",
        SliceLocation="12.5",
        PixelSpacing=["0.488281", "0.488281"],
        WindowCenter="40",
        WindowWidth="80",
        RescaleIntercept="-1024",
        RescaleSlope="1",
        RescaleType="HU",
        **image,
    )
    return data[: len(data) - len(pixels)]
