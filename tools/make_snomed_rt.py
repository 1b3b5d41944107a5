"""Write shared/fhir/snomed_rt.txt from pydicom's copy of the SNOMED-RT codes that DICOM used before SNOMED CT.

Run it after raising pydicom: ``python -m tools.make_snomed_rt``. A unit test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom import __version__
from pydicom.sr._snomed_dict import mapping

from shared.fhir.concepts import SNOMED_RT

if TYPE_CHECKING:
    from collections.abc import Iterator


def lines() -> Iterator[str]:
    """Give the lines of the file: SNOMED-RT code, SNOMED CT identifier."""
    yield f"# SNOMED-RT to SNOMED CT by way of pydicom {__version__}; written by tools/make_snomed_rt.py"
    for code, identifier in sorted(mapping["SRT"].items()):
        yield f"{code} {identifier}"


if __name__ == "__main__":
    SNOMED_RT.write_text("\n".join(lines()) + "\n", encoding="ascii")
