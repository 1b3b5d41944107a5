"""One instance offered for storage: what its header says, as the archive keeps it, and what is wrong with it.

The header ends where the pixel data begins: elements after it stay in the file and are not in metadata. A transfer
syntax that nobody knows is read as explicit little endian, which all but the two oldest ones are.

References
----------
PS3.10 chapter 7 "DICOM File Format"; PS3.18 annex F "DICOM JSON Model"; PS3.5 section 10 "Transfer Syntax".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.dicom import header, problems
from shared.dicom.attributes import LEVEL_ATTRIBUTES, Level, tag_of
from shared.dicom.elements import encoding_of
from shared.dicom.header import NeedMoreBytes
from shared.dicom.json_model import DatasetReader
from shared.dicom.problems import Problem, Rules
from shared.errors import InvalidDicom

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.dicom.problems import Kept

__all__ = ["NeedMoreBytes", "ParsedInstance", "PixelData", "Problem", "Rules", "parse_instance"]

MAX_ATTRIBUTE_BYTES = 8 * 1024
"""Elements longer than this, as JSON, are left out of the attributes that rows keep."""
_FIRST_TRY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixel data lies in the file, and what tells its frames apart.

    ``offset`` is that of its value's first byte; ``length``, in bytes as the header claims, is None where undefined
    (encapsulated). Numbers that the header does not hold, or holds wrongly, are 0, but ``number_of_frames`` is 1.
    """

    tag: str
    vr: str
    offset: int
    length: int | None
    transfer_syntax_uid: str
    rows: int = 0
    columns: int = 0
    samples_per_pixel: int = 0
    bits_allocated: int = 0
    number_of_frames: int = 1
    photometric_interpretation: str = ""
    extended_offsets: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ParsedInstance:
    """What the archive keeps of a header.

    The UIDs are without padding, empty where absent, and may be invalid where ``problems`` says so. ``metadata`` is one
    DICOM JSON object in UTF-8. The attributes map a tag to its element, ``{"vr":"DA","Value":["20240101"]}``, and hold
    what the level's table in ``attributes`` names. ``multivalued`` tells that an indexed attribute has several values.
    ``pixel_data`` is None where there is none, or where it lies deflated.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    metadata: bytes
    study_attributes: Mapping[str, bytes]
    series_attributes: Mapping[str, bytes]
    instance_attributes: Mapping[str, bytes]
    problems: tuple[Problem, ...]
    multivalued: bool
    pixel_data: PixelData | None


def parse_instance(buffer: bytes | memoryview, *, rules: Rules, complete: bool = True) -> ParsedInstance:
    """Read and check the header of a Part 10 file.

    Parameters
    ----------
    buffer
        The file, or its beginning. ``bytes`` are borrowed and read in place; of a memoryview the header is copied.
    rules
        Which checks apply.
    complete
        Whether the buffer is the whole file.

    Raises
    ------
    InvalidDicom
        It cannot be read, or is over a limit of ``header``.
    NeedMoreBytes
        The buffer is not complete and ends before the pixel data begins. A deflated file is needed whole.
    """
    if isinstance(buffer, memoryview):
        return _parse_view(buffer, rules, complete=complete)
    transfer_syntax_uid, position = header.read_file_meta(buffer, complete=complete)
    deflated = transfer_syntax_uid in header.DEFLATED
    if deflated:
        if not complete:
            raise header.short_of(len(buffer) + 1, complete=False)
        buffer, complete = header.inflate(memoryview(buffer)[position:])
        position = 0
    encoding = encoding_of(transfer_syntax_uid, buffer[position : position + header.FIRST_HEAD_BYTES])
    reader = DatasetReader(buffer, encoding, complete=complete, strict=rules is Rules.V2)
    try:
        metadata = reader.read(position)
    except NeedMoreBytes:
        if not deflated:
            raise
        raise InvalidDicom(f"The header inflates to more than {header.MAX_INFLATED_HEADER_BYTES // 2**20} MiB.") from None
    kept = reader.kept
    study, series, sop_instance, sop_class = [problems.text_of(kept.get(tag)) for tag in problems.UIDS]
    return ParsedInstance(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=sop_instance,
        sop_class_uid=sop_class,
        transfer_syntax_uid=transfer_syntax_uid,
        metadata=metadata,
        study_attributes=_attributes(kept, Level.STUDY),
        series_attributes=_attributes(kept, Level.SERIES),
        instance_attributes=_attributes(kept, Level.INSTANCE),
        problems=problems.find_problems(kept, reader.problems, rules),
        multivalued=problems.has_several_values(kept),
        pixel_data=None if deflated else _pixel_data(reader, encoding.order, transfer_syntax_uid),
    )


def _parse_view(view: memoryview, rules: Rules, *, complete: bool) -> ParsedInstance:
    """Try beginnings of growing length, so that no more than the header is copied."""
    length = _FIRST_TRY_BYTES
    while length < len(view):
        try:
            return parse_instance(bytes(view[:length]), rules=rules, complete=False)
        except NeedMoreBytes as more:
            if more.at_least > len(view):
                break
            length = max(2 * length, more.at_least)
    return parse_instance(bytes(view), rules=rules, complete=complete)


_LEVEL_TAGS = {level: tuple((int(tag, 16), tag) for tag in sorted(tags)) for level, tags in LEVEL_ATTRIBUTES.items()}
_KEY_BYTES = len(b'"00080020":')


def _attributes(kept: Mapping[int, Kept], level: Level) -> dict[str, bytes]:
    """Pick a level's elements, without those left out of metadata and those too long for a row."""
    attributes = {}
    for tag, digits in _LEVEL_TAGS[level]:
        if tag in kept:
            json = kept[tag][2]
            if 0 < len(json) <= MAX_ATTRIBUTE_BYTES:
                attributes[digits] = json[_KEY_BYTES:]
    return attributes


def _number(keyword: str) -> int:
    return int(tag_of(keyword) or "", 16)


_ROWS, _COLUMNS, _SAMPLES = _number("Rows"), _number("Columns"), _number("SamplesPerPixel")
_BITS_ALLOCATED, _NUMBER_OF_FRAMES = _number("BitsAllocated"), _number("NumberOfFrames")
_PHOTOMETRIC_INTERPRETATION, _EXTENDED_OFFSET_TABLE = _number("PhotometricInterpretation"), _number("ExtendedOffsetTable")


def _pixel_data(reader: DatasetReader, order: str, transfer_syntax_uid: str) -> PixelData | None:
    element, kept = reader.pixel_element, reader.kept
    if element is None:
        return None
    offsets = kept.get(_EXTENDED_OFFSET_TABLE)
    return PixelData(
        tag=f"{element.tag:08X}",
        vr=element.vr,
        offset=element.start,
        length=element.length,
        transfer_syntax_uid=transfer_syntax_uid,
        rows=_integer(kept.get(_ROWS), order),
        columns=_integer(kept.get(_COLUMNS), order),
        samples_per_pixel=_integer(kept.get(_SAMPLES), order),
        bits_allocated=_integer(kept.get(_BITS_ALLOCATED), order),
        number_of_frames=_integer(kept.get(_NUMBER_OF_FRAMES), order) or 1,
        photometric_interpretation=problems.text_of(kept.get(_PHOTOMETRIC_INTERPRETATION)),
        extended_offsets=offsets[1] if offsets else b"",
    )


def _integer(element: Kept | None, order: str) -> int:
    if element is None:
        return 0
    if element[0] == "US":
        return int.from_bytes(element[1][:2], "little" if order == "<" else "big")
    text = problems.text_of(element)
    return int(text) if text.isdecimal() and len(text) <= 12 else 0
