"""Make the sample study: ``python samples/make_sample.py`` writes ``samples/study/``, the same bytes every time.

A computed head phantom (ellipsoids, after the idea of Shepp and Logan) as a series of CT instances, and a pulsating
ring as one RLE-compressed multi-frame ultrasound instance. Nothing here was ever measured on anybody.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    UltrasoundMultiFrameImageStorage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

STUDY_FOLDER: Final = Path(__file__).parent / "study"

CT_SIZE: Final = 160
"""Rows and columns of a CT instance."""

CT_INSTANCES: Final = 12
US_SIZE: Final = 128
US_FRAMES: Final = 16

ELLIPSOIDS: Final = (
    # HU added, centre (x, y, z), half axes (x, y, z), turn about z in degrees; the head fills -1..1
    (1900.0, (0.00, 0.000, 0.00), (0.690, 0.920, 0.900), 0.0),  # skull
    (-870.0, (0.00, -0.018, 0.00), (0.662, 0.874, 0.880), 0.0),  # brain, 30 HU above water
    (-28.0, (-0.22, 0.000, -0.10), (0.410, 0.160, 0.210), 108.0),  # ventricles
    (-28.0, (0.22, 0.000, -0.10), (0.310, 0.110, 0.220), 72.0),
    (25.0, (0.00, 0.350, -0.10), (0.210, 0.250, 0.500), 0.0),
    (40.0, (0.00, 0.100, 0.20), (0.046, 0.046, 0.300), 0.0),
    (40.0, (-0.08, -0.605, 0.10), (0.046, 0.023, 0.100), 0.0),
    (60.0, (0.06, -0.605, 0.10), (0.023, 0.046, 0.100), 90.0),
    (60.0, (0.06, -0.105, -0.30), (0.056, 0.040, 0.150), 90.0),
)


def sample_uid(name: str) -> UID:
    """Derive a UID from a name: PS3.5 B.2 "UUID Derived UID"."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:dicomweb-functions:sample:{name}').int}")


def patient_and_study() -> Dataset:
    """Give the attributes that both series share."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = "Sample^Phantom"
    ds.PatientID = "SAMPLE-1"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "O"
    ds.StudyInstanceUID = sample_uid("study")
    ds.StudyDate = "20240229"
    ds.StudyTime = "101500"
    ds.StudyID = "1"
    ds.AccessionNumber = "SAMPLE-ACC-1"
    ds.StudyDescription = "Computed head phantom"
    ds.ReferringPhysicianName = "Referrer^Sample"
    ds.Manufacturer = "DICOMweb Functions"
    ds.ManufacturerModelName = "make_sample.py"
    return ds


def head_slice(z: float) -> npt.NDArray[np.int16]:
    """Compute one plane of the phantom, in HU; ``z`` runs from -1 (foot) to 1 (head)."""
    axis = (np.arange(CT_SIZE) + 0.5) * 2 / CT_SIZE - 1
    x, y = np.meshgrid(axis, -axis)
    values = np.full((CT_SIZE, CT_SIZE), -1000.0)
    for added, (cx, cy, cz), (ax, ay, az), degrees in ELLIPSOIDS:
        turn = np.radians(degrees)
        u = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        v = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        values[(u / ax) ** 2 + (v / ay) ** 2 + ((z - cz) / az) ** 2 <= 1] += added
    return values.astype(np.int16)


def ring_frame(index: int) -> npt.NDArray[np.uint8]:
    """Compute one frame of the ring, at its moment of the cycle, inside a sector."""
    y, x = np.mgrid[0:US_SIZE, 0:US_SIZE].astype(np.float64)
    x -= US_SIZE / 2
    radius = 24 + 8 * np.cos(2 * np.pi * index / US_FRAMES)
    distance = np.hypot(x, y - 72)
    sector = (np.abs(x) < 0.7 * y) & (np.hypot(x, y) < 124)
    wall = np.abs(distance - radius) < 6
    tissue = sector & (distance > radius)
    return np.where(sector & wall, 220, np.where(tissue, 70, 0)).astype(np.uint8)


def ct_instance(number: int) -> Dataset:
    """Build instance ``number`` (one-based) of the CT series."""
    ds = patient_and_study()
    z = 1.6 * (number - 0.5) / CT_INSTANCES - 0.8
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = sample_uid(f"ct-{number}")
    ds.SeriesInstanceUID = sample_uid("ct")
    ds.FrameOfReferenceUID = sample_uid("frame-of-reference")
    ds.Modality = "CT"
    ds.SeriesNumber = 1
    ds.SeriesDescription = "Head, axial"
    ds.BodyPartExamined = "HEAD"
    ds.PatientPosition = "HFS"
    ds.PerformedProcedureStepStartDate = "20240229"
    ds.PerformedProcedureStepStartTime = "101500"
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [-100, -100, round(z * 100, 3)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [1.25, 1.25]
    ds.SliceThickness = 13.3
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = CT_SIZE
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = 0
    ds.RescaleSlope = 1
    ds.RescaleType = "HU"
    ds.WindowCenter = 40
    ds.WindowWidth = 120
    ds.add_new("PixelData", "OW", head_slice(z).astype("<i2").tobytes())
    return ds


def us_instance() -> Dataset:
    """Build the multi-frame instance, RLE compressed with a basic offset table."""
    ds = patient_and_study()
    ds.SOPClassUID = UltrasoundMultiFrameImageStorage
    ds.SOPInstanceUID = sample_uid("us-1")
    ds.SeriesInstanceUID = sample_uid("us")
    ds.Modality = "US"
    ds.SeriesNumber = 2
    ds.SeriesDescription = "Pulsating ring"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.InstanceNumber = 1
    ds.NumberOfFrames = US_FRAMES
    ds.FrameTime = 62.5
    ds.FrameIncrementPointer = 0x00181063
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = US_SIZE
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelRepresentation = 0
    ds.add_new("PixelData", "OB", encapsulated([rle_frame(ring_frame(index)) for index in range(US_FRAMES)]))
    ds["PixelData"].is_undefined_length = True
    return ds


def rle_frame(frame: npt.NDArray[np.uint8]) -> bytes:
    """Compress one frame of one byte a pixel: PS3.5 Annex G "Encapsulated RLE Compressed Images"."""
    segment = b"".join(rle_row(row.tobytes()) for row in frame)
    return struct.pack("<16L", 1, 64, *[0] * 14) + segment + b"\0" * (len(segment) % 2)


def rle_row(row: bytes) -> bytes:
    """Compress one row, which no run may leave: PS3.5 G.3.1 "The RLE Algorithm"."""
    out = bytearray()
    start = 0
    while start < len(row):
        stop = start + 1
        while stop < len(row) and row[stop] == row[start] and stop - start < 128:
            stop += 1
        run = stop - start
        out += bytes((257 - run, row[start])) if run > 1 else bytes((0, row[start]))
        start = stop
    return bytes(out)


def encapsulated(frames: list[bytes]) -> bytes:
    """Wrap frames as items, one fragment each: PS3.5 A.4 "Transfer Syntaxes for Encapsulation"."""
    offsets = np.cumsum([0, *(8 + len(frame) for frame in frames[:-1])])
    table = struct.pack(f"<{len(frames)}L", *offsets.tolist())
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<L", len(item)) + item for item in (table, *frames))


def write(ds: Dataset, transfer_syntax_uid: UID, path: Path) -> None:
    """Write a dataset as a PS3.10 file that names no library version, so that its bytes stay the same."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = transfer_syntax_uid
    meta.ImplementationClassUID = sample_uid("implementation")
    meta.ImplementationVersionName = "SAMPLE_1"
    ds.file_meta = meta
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, ds, enforce_file_format=True)


def sample_files() -> Iterator[tuple[str, Dataset, UID]]:
    """Give every file of the study: its path inside the folder, its dataset and transfer syntax."""
    for number in range(1, CT_INSTANCES + 1):
        yield f"ct/{number:02}.dcm", ct_instance(number), ExplicitVRLittleEndian
    yield "us/01.dcm", us_instance(), RLELossless


def main() -> None:
    """Write the study."""
    for name, ds, transfer_syntax_uid in sample_files():
        write(ds, transfer_syntax_uid, STUDY_FOLDER / name)


if __name__ == "__main__":
    main()
