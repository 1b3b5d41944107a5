"""Synthetic instances: small Part 10 files with sane defaults, any attribute overridden by keyword."""

from __future__ import annotations

import io
import itertools
import struct
import uuid
import warnings

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_LE = str(ExplicitVRLittleEndian)
IMPLICIT_LE, DEFLATED_LE, EXPLICIT_BE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"

_prefix = f"2.25.{uuid.uuid4().int >> 64}"
_counter = itertools.count(1)


def new_uid() -> str:
    """Give a UID that no other call gives."""
    return f"{_prefix}.{next(_counter)}"


def make_dataset(**attributes: object) -> Dataset:
    """Make a CT-like dataset with a 4 x 4 image of 16 bits.

    Parameters
    ----------
    **attributes
        Values by keyword; None leaves the attribute out.
    """
    values: dict[str, object] = {
        "SOPClassUID": CT_IMAGE_STORAGE,
        "SOPInstanceUID": new_uid(),
        "StudyInstanceUID": new_uid(),
        "SeriesInstanceUID": new_uid(),
        "StudyDate": "20240102",
        "StudyTime": "101500",
        "AccessionNumber": "A1",
        "Modality": "CT",
        "ReferringPhysicianName": "Referrer^Rita",
        "StudyDescription": "CT HEAD",
        "SeriesDescription": "AXIAL",
        "PatientName": "Doe^Jane",
        "PatientID": "P1",
        "PatientBirthDate": "19700101",
        "PatientSex": "F",
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 4,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(32)),
    }
    values.update(attributes)
    dataset = Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
    return dataset


def write(dataset: Dataset, transfer_syntax_uid: str = EXPLICIT_LE) -> bytes:
    """Write a dataset as a Part 10 file; values are not checked, and the file meta information names other UIDs."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID("2.25.2")
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = UID("2.25.1")
    dataset.file_meta = meta
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def make_instance(**attributes: object) -> bytes:
    """Make a Part 10 file: ``make_dataset`` written in ``transfer_syntax_uid``, which is explicit little endian if not given."""
    transfer_syntax_uid = str(attributes.pop("transfer_syntax_uid", EXPLICIT_LE))
    dataset = make_dataset(**attributes)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    return write(dataset, transfer_syntax_uid)


def make_encapsulated(
    frames: list[bytes],
    *,
    transfer_syntax_uid: str = JPEG_BASELINE,
    fragments_per_frame: int = 1,
    has_bot: bool = True,
    **attributes: object,
) -> bytes:
    """Make a Part 10 file with encapsulated frames; the frames' bytes need not be images."""
    pixels = encapsulate(frames, fragments_per_frame=fragments_per_frame, has_bot=has_bot)
    image: dict[str, object] = {"NumberOfFrames": len(frames), "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelData": pixels}
    dataset = make_dataset(**image | attributes)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return write(dataset, transfer_syntax_uid)


_LONG_VRS = {"OB", "OW", "UN", "UT", "OD", "OF", "OL", "OV", "SQ", "UC", "UR", "SV", "UV"}


def raw_element(tag: int, vr: str, value: bytes, *, order: str = "<", length: int | None = None) -> bytes:
    """Write one element byte by byte: explicit, or implicit where ``vr`` is empty. ``length`` may lie."""
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    size = len(value) if length is None else length
    if not vr:
        return head + struct.pack(f"{order}I", size) + value
    if vr in _LONG_VRS:
        return head + vr.encode() + struct.pack(f"{order}HI", 0, size) + value
    return head + vr.encode() + struct.pack(f"{order}H", size) + value


def raw_item(content: bytes = b"", *, length: int | None = None) -> bytes:
    """Write one item (FFFE,E000)."""
    return raw_element(0xFFFEE000, "", content, length=length)


ITEM_END, SEQUENCE_END = raw_element(0xFFFEE00D, "", b""), raw_element(0xFFFEE0DD, "", b"")
UNDEFINED = 0xFFFFFFFF


def raw_file(dataset: bytes, transfer_syntax_uid: str = EXPLICIT_LE) -> bytes:
    """Put preamble and file meta information before a dataset written byte by byte."""
    syntax = transfer_syntax_uid.encode()
    return bytes(128) + b"DICM" + raw_element(0x00020010, "UI", syntax + b"\0" * (len(syntax) % 2)) + dataset
