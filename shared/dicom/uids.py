"""UIDs: which are valid in a route and in a stored instance."""

from __future__ import annotations

import re
from typing import NewType

from shared.errors import InvalidRequest

StudyInstanceUID = NewType("StudyInstanceUID", str)
SeriesInstanceUID = NewType("SeriesInstanceUID", str)
SOPInstanceUID = NewType("SOPInstanceUID", str)

MAX_UID_LENGTH = 64
"""PS3.5 9.1 "UID Encoding Rules"."""

_UID = re.compile(r"[0-9.]*[0-9]", re.ASCII)


def is_valid_uid(value: str) -> bool:
    """Tell whether a value can name a DICOM object here: digits and dots, at most 64, ending in a digit.

    Leading zeros and consecutive dots pass, as in the predecessor: files in the wild have them.
    """
    return len(value) <= MAX_UID_LENGTH and _UID.fullmatch(value) is not None


def parse_uid(value: str, name: str) -> str:
    """Check a UID from a route, with its trailing spaces removed.

    Parameters
    ----------
    value
        The path segment, percent-decoded.
    name
        Keyword of the attribute, for the message.

    Raises
    ------
    InvalidRequest
        The value is no UID. The message does not repeat it.
    """
    uid = value.rstrip(" ")
    if not is_valid_uid(uid):
        raise InvalidRequest(f"{name} in the path must be digits and dots, end in a digit and have at most {MAX_UID_LENGTH} characters.")
    return uid
