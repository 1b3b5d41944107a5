"""What is said of the retrieve transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions._openapi.description import Operation, Response, Section
from functions._openapi.parameters import ACCEPT, IF_NONE_MATCH
from functions._openapi.schemas import ref
from shared.dicomweb.media_types import DICOM, DICOM_JSON, MULTIPART, OCTET_STREAM
from shared.errors import Category

if TYPE_CHECKING:
    from functions._openapi.description import Content

_IN_PARTS: Content = {MULTIPART: {}}
_ALONE: Content = {DICOM: {}}
_FRAMES: Content = {MULTIPART: {}, OCTET_STREAM: {}}
_METADATA: Content = {DICOM_JSON: ref("Datasets")}

_LEFT_OUT = Response(
    206,
    "Instances in other transfer syntaxes than the accepted ones are left out; the Warning says so.",
    _IN_PARTS,
    headers=("ETag", "Warning"),
)
_UNCHANGED = Response(304, "What the caller has is current.", headers=("ETag",))

_AS_STORED = (
    "Instances are sent in the transfer syntax in which they are stored. Accept names it, or takes any with `transfer-syntax=*`; "
    "without that parameter `application/dicom` means Explicit VR Little Endian."
)
_NO_BULK = "All attributes up to the pixel data; without binary values over 1 KiB and any value over 1 MiB."
_NUMBERED = (
    "Octets of native frames, or the stored compression's own media type, such as `image/jls`. Several frames come as "
    "`multipart/related`; one may be asked for as `application/octet-stream` alone."
)


def _retrieve(summary: str, about: str, content: Content, *more: Response) -> Operation:
    responses = (Response(200, "As asked for.", content, headers=("ETag",), may_have=("Content-Disposition",)), *more, _UNCHANGED)
    return Operation(summary, responses, about, (ACCEPT, IF_NONE_MATCH), refuses=(Category.NOT_ACCEPTABLE,))


SECTION = Section(
    "Retrieve",
    'WADO-RS, PS3.18 10.4 "Retrieve Transaction".',
    {
        ("retrieve_study", "GET"): _retrieve("Retrieve a study", _AS_STORED, _IN_PARTS, _LEFT_OUT),
        ("retrieve_series", "GET"): _retrieve("Retrieve a series", _AS_STORED, _IN_PARTS, _LEFT_OUT),
        ("retrieve_instance", "GET"): _retrieve("Retrieve an instance", _AS_STORED, {**_IN_PARTS, **_ALONE}),
        ("retrieve_study_metadata", "GET"): _retrieve("Retrieve the metadata of a study", _NO_BULK, _METADATA),
        ("retrieve_series_metadata", "GET"): _retrieve("Retrieve the metadata of a series", _NO_BULK, _METADATA),
        ("retrieve_instance_metadata", "GET"): _retrieve("Retrieve the metadata of an instance", _NO_BULK, _METADATA),
        ("retrieve_frames", "GET"): _retrieve("Retrieve frames of an instance", _NUMBERED, _FRAMES),
    },
)
