"""Which of the representations that a caller takes the stored bytes satisfy: instances and frames.

Objects are sent as they are stored, so a representation is on offer where the stored transfer syntax is one that
the caller takes; ``transfer-syntax=*`` takes every one. Where Accept names no syntax, ``application/dicom`` and
``application/octet-stream`` mean Explicit VR Little Endian, an image or video media type what is stored of it.

References
----------
PS3.18 8.7.3 "DICOM Media Type Sets", 10.4.4 "Media Types".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.dicom.uids import is_valid_uid
from shared.dicomweb.media_types import AS_STORED, DICOM, MULTIPART, OCTET_STREAM, Accept, MediaRange, covers
from shared.errors import InvalidRequest, NotAcceptable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

UNCOMPRESSED_FRAMES = frozenset({"1.2.840.10008.1.2", EXPLICIT_VR_LITTLE_ENDIAN, "1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.1.99"})
"""Syntaxes whose frames have the bytes that they have in Explicit VR Little Endian: implicit, explicit, encapsulated, deflated."""


def _syntaxes(last_components: str) -> frozenset[str]:
    return frozenset(f"1.2.840.10008.1.2.{last}" for last in last_components.split())


COMPRESSED_FRAMES: dict[str, frozenset[str]] = {
    "image/jpeg": _syntaxes("4.50 4.51 4.57 4.70"),
    "image/dicom-rle": _syntaxes("5"),
    "image/x-dicom-rle": _syntaxes("5"),  # this and x-jls: names from before their registration, still asked for
    "image/jls": _syntaxes("4.80 4.81"),
    "image/x-jls": _syntaxes("4.80 4.81"),
    "image/jp2": _syntaxes("4.90 4.91"),
    "image/jpx": _syntaxes("4.92 4.93"),
    "image/jphc": _syntaxes("4.201 4.202 4.203"),
    "image/jxl": _syntaxes("4.110 4.111 4.112"),
    "video/mpeg2": _syntaxes("4.100 4.100.1 4.101 4.101.1"),
    "video/mpeg": _syntaxes("4.100 4.100.1 4.101 4.101.1"),
    "video/mp4": _syntaxes("4.102 4.102.1 4.103 4.103.1 4.104 4.104.1 4.105 4.105.1 4.106 4.106.1"),
    "video/h265": _syntaxes("4.107 4.108"),
}
"""PS3.18 Table 8.7.3-5 "Transfer Syntax UIDs for Compressed Bulkdata": media type → the syntaxes of which it is."""


@dataclass(frozen=True, slots=True)
class Representation:
    """How objects will be sent.

    ``transfer_syntaxes`` holds those that the caller takes, best first; ``*`` is "as stored".
    """

    media_type: str
    multipart: bool
    transfer_syntaxes: tuple[str, ...]

    @property
    def shape(self) -> tuple[str, bool]:
        """Media type, and whether in parts: all but the transfer syntaxes."""
        return self.media_type, self.multipart

    def serves(self, stored: str) -> bool:
        """Tell whether what is stored in this syntax can be sent as it is."""
        if AS_STORED in self.transfer_syntaxes or stored in self.transfer_syntaxes:
            return True
        return self.media_type == OCTET_STREAM and EXPLICIT_VR_LITTLE_ENDIAN in self.transfer_syntaxes and stored in UNCOMPRESSED_FRAMES

    def content_type(self, stored: str) -> str:
        """Give the Content-Type of an object, or frame, that is stored in this syntax."""
        if self.media_type == OCTET_STREAM and stored in UNCOMPRESSED_FRAMES:
            stored = EXPLICIT_VR_LITTLE_ENDIAN
        # What a file says of itself goes into no header unless it is a UID.
        return f"{self.media_type}; transfer-syntax={stored}" if is_valid_uid(stored) else self.media_type


def choose_for_instances(accept: Accept, stored: Collection[str]) -> Representation:
    """Choose how the instances of a study or series are sent: always multipart.

    Parameters
    ----------
    accept
        What the caller takes.
    stored
        The transfer syntaxes that occur. Instances whose syntax the choice does not serve are to be left out; the
        status is then 206.

    Raises
    ------
    NotAcceptable
        None of the instances can be sent.

    References
    ----------
    PS3.18 10.4.3 "Response", Table 10.4.4-1 "Default, Required, and Optional Media Types".
    """
    return _choose(accept, stored, lambda wanted: _instance_representation(wanted, alone=False))


def choose_for_instance(accept: Accept, stored: str) -> Representation:
    """Choose how one instance is sent; ``NotAcceptable`` where its stored syntax satisfies nothing that the caller takes."""
    return _choose(accept, (stored,), lambda wanted: _instance_representation(wanted, alone=True))


def choose_for_frames(accept: Accept, stored: str, frame_count: int) -> Representation:
    """Choose how the requested frames of an instance are sent.

    Raises
    ------
    InvalidRequest
        Several frames are asked for as a single part.
    NotAcceptable
        The stored syntax satisfies nothing that the caller takes.

    References
    ----------
    PS3.18 10.4.1.1.6 "Pixel Data Resources", Tables 8.7.3-4 and 8.7.3-5.
    """
    chosen = _choose(accept, (stored,), lambda wanted: _frame_representation(wanted, stored))
    if frame_count > 1 and not chosen.multipart:
        raise InvalidRequest("A single part holds one frame; ask for several as multipart/related.")
    return chosen


def _instance_representation(wanted: MediaRange, *, alone: bool) -> Representation | None:
    """Interpret a media range as one of instances; a wildcard means multipart, as stored."""
    media_type, multipart = _unwrap(wanted)
    if not covers(media_type, DICOM):
        return None
    exact = media_type == DICOM
    if exact and not multipart and not alone:
        return None
    syntax = wanted.parameters.get("transfer-syntax", EXPLICIT_VR_LITTLE_ENDIAN if exact else AS_STORED)
    return Representation(DICOM, multipart or not exact, (syntax,))


def _frame_representation(wanted: MediaRange, stored: str) -> Representation | None:
    """Interpret a media range as one of frames; a wildcard means multipart octets, as stored."""
    media_type, multipart = _unwrap(wanted)
    syntax = wanted.parameters.get("transfer-syntax")
    if covers(media_type, OCTET_STREAM):
        exact = media_type == OCTET_STREAM
        return Representation(OCTET_STREAM, multipart or not exact, (syntax or (EXPLICIT_VR_LITTLE_ENDIAN if exact else AS_STORED),))
    compressed = next((name for name, syntaxes in COMPRESSED_FRAMES.items() if covers(media_type, name) and stored in syntaxes), None)
    if compressed is None or not multipart:
        return None
    return Representation(compressed, multipart=True, transfer_syntaxes=(syntax or AS_STORED,))


def _unwrap(wanted: MediaRange) -> tuple[str, bool]:
    """Give the media type that counts, and whether it is wanted in parts."""
    if wanted.media_type == "*/*" or not wanted.covers(MULTIPART):
        return wanted.media_type, False
    return wanted.parameters.get("type", "*/*").lower(), True


def _choose(accept: Accept, stored: Collection[str], interpret: Callable[[MediaRange], Representation | None]) -> Representation:
    """Choose the first representation that serves something of what is stored.

    Transfer syntaxes that the caller takes of the same media type count together: a study may hold several.
    """
    refused = {r.shape for wanted in accept if wanted.quality == 0 and wanted.media_type != "*/*" and (r := interpret(wanted))}
    syntaxes: dict[tuple[str, bool], tuple[str, ...]] = {}
    for candidate in (r for wanted in accept if wanted.quality > 0 and (r := interpret(wanted))):
        if candidate.shape not in refused:
            syntaxes[candidate.shape] = syntaxes.get(candidate.shape, ()) + candidate.transfer_syntaxes
    candidates = [Representation(*shape, taken) for shape, taken in syntaxes.items()]
    for candidate in candidates:
        if any(candidate.serves(syntax) for syntax in stored):
            return candidate
    raise NotAcceptable(_OTHER_SYNTAX if candidates else _OTHER_MEDIA_TYPE)


_OTHER_SYNTAX = (
    "This is stored in another transfer syntax than Accept asks for, and transcoding is not offered; ask for transfer-syntax=*. "
    "Without that parameter, application/dicom and application/octet-stream mean Explicit VR Little Endian."
)
_OTHER_MEDIA_TYPE = (
    "Accept names no media type in which this can be sent. Instances are sent as multipart/related; "
    'type="application/dicom"; transfer-syntax=* (a single one also as application/dicom), frames as multipart/related of type '
    '"application/octet-stream" or of the media type of their stored compression.'
)
