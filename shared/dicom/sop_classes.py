"""SOP classes: what the registry calls them, and which families of them are handled alike.

References
----------
PS3.6 Annex A "Registry of DICOM Unique Identifiers (UIDs)"; PS3.4 B.5 "Standard SOP Classes".
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

PATH = Path(__file__).with_name("sop_classes.txt")

_STORAGE = "1.2.840.10008.5.1.4.1.1"
STRUCTURED_REPORTS = f"{_STORAGE}.88."
"""Every SR, dose reports and key object selections included."""
KEY_OBJECT_SELECTION = f"{_STORAGE}.88.59"
ENCAPSULATED = f"{_STORAGE}.104."
"""Encapsulated PDF, CDA, STL, OBJ and MTL."""
PRESENTATION_STATES = f"{_STORAGE}.11."
SEGMENTATIONS = (f"{_STORAGE}.66.4", f"{_STORAGE}.66.5", f"{_STORAGE}.66.7")
"""Segmentation, Surface Segmentation, Label Map Segmentation."""


def name_of(sop_class_uid: str) -> str | None:
    """Give the registry's name; None for private and unknown SOP classes."""
    return _names().get(sop_class_uid)


@cache
def _names() -> dict[str, str]:
    """Read the file when it is first needed: most processes never ask."""
    lines = PATH.read_text(encoding="ascii").splitlines()[1:]
    return {uid: name for uid, _, name in (line.partition(" ") for line in lines)}
