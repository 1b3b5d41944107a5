"""Write shared/dicom/data_dictionary.txt from pydicom's copy of PS3.6 chapter 6 "Registry of DICOM Data Elements".

Run it after raising pydicom: ``python -m tools.make_data_dictionary``. A unit test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import __version__
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

from shared.dicom.dictionary import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines() -> Iterator[str]:
    """Give the lines of the file: tag (x for any digit), VRs joined by ``|``, keyword."""
    yield f"# PS3.6 by way of pydicom {__version__}; written by tools/make_data_dictionary.py"
    rows = [(f"{tag:08X}", row) for tag, row in DicomDictionary.items()] + list(RepeatersDictionary.items())
    for tag, (vr, _, _, _, keyword) in sorted(rows):
        if vr != "NONE":
            yield f"{tag} {vr.replace(' or ', '|')} {keyword}".rstrip()


if __name__ == "__main__":
    PATH.write_text("\n".join(lines()) + "\n", encoding="ascii")
