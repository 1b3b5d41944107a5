"""Write shared/dicom/sop_classes.txt from pydicom's copy of PS3.6 Annex A "Registry of DICOM Unique Identifiers (UIDs)".

Run it after raising pydicom: ``python -m tools.make_sop_classes``. A unit test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import __version__
from pydicom._uid_dict import UID_dictionary

from shared.dicom.sop_classes import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines() -> Iterator[str]:
    """Give the lines of the file: UID, name."""
    yield f"# PS3.6 by way of pydicom {__version__}; written by tools/make_sop_classes.py"
    for uid, (name, kind, *_) in sorted(UID_dictionary.items()):
        if kind == "SOP Class":
            yield f"{uid} {name}"


if __name__ == "__main__":
    PATH.write_text("\n".join(lines()) + "\n", encoding="ascii")
