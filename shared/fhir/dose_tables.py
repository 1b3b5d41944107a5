"""What of a radiation dose report becomes a component of an Observation, and in which unit.

References
----------
PS3.16 TID 10002-10007 (projection X-Ray), TID 10012 and 10013 (CT), TID 10022 (radiopharmaceuticals).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.fhir.identity import DCM, SCT

if TYPE_CHECKING:
    from shared.fhir.concepts import CodeKey

_SYSTEMS = {"DCM": DCM, "SCT": SCT}


class Form(StrEnum):
    """How a component has its value."""

    QUANTITY = "quantity"
    COUNT = "count"
    CONCEPT = "concept"


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of component.

    Attributes
    ----------
    keys
        Concept names by which its content items are found; the first is the component's code.
    unit
        Of a quantity, in UCUM.
    repeats
        Whether each item becomes a component, or the first alone.
    """

    keys: tuple[CodeKey, ...]
    display: str
    form: Form
    unit: str = ""
    repeats: bool = False

    @property
    def code(self) -> dict[str, str]:
        """The component's code, as ``Coding``."""
        designator, value = self.keys[0]
        return {"system": _SYSTEMS[designator], "code": value, "display": self.display}


def _quantity(code: str, display: str, unit: str, *, repeats: bool = False) -> Row:
    return Row((("DCM", code),), display, Form.QUANTITY, unit, repeats)


def _count(code: str, display: str) -> Row:
    return Row((("DCM", code),), display, Form.COUNT)


def _concept(code: str, display: str, *, repeats: bool = False) -> Row:
    return Row((("DCM", code),), display, Form.CONCEPT, repeats=repeats)


PROCEDURE_REPORTED = _concept("121058", "Procedure reported")
ACQUISITION_PLANE = _concept("113764", "Acquisition Plane")
GLANDULAR_DOSE = _quantity("111637", "Accumulated Average Glandular Dose", "mGy", repeats=True)
"""One for each breast."""

CT_TOTALS = (
    _count("113812", "Total Number of Irradiation Events"),
    _quantity("113813", "CT Dose Length Product Total", "mGy.cm"),
    _quantity("113814", "CT Effective Dose Total", "mSv"),
)
PROJECTION_TOTALS = (
    _quantity("113722", "Dose Area Product Total", "mGy.cm2"),
    _quantity("113725", "Dose (RP) Total", "mGy"),
    _quantity("113726", "Fluoro Dose Area Product Total", "mGy.cm2"),
    _quantity("113727", "Acquisition Dose Area Product Total", "mGy.cm2"),
    _quantity("113730", "Total Fluoro Time", "s"),
    _count("113731", "Total Number of Radiographic Frames"),
    GLANDULAR_DOSE,
)
ADMINISTRATION = (
    _quantity("113507", "Administered activity", "MBq"),
    _quantity("123005", "Radiopharmaceutical Volume", "mL"),
    Row((("SCT", "349358000"), ("SRT", "F-61FDB")), "Radiopharmaceutical agent", Form.CONCEPT),
    Row((("SCT", "89457008"),), "Radionuclide", Form.CONCEPT),
    Row((("SCT", "410675002"),), "Route of administration", Form.CONCEPT),
)

CT_EVENT = (
    _quantity("113830", "Mean CTDIvol", "mGy", repeats=True),
    _quantity("113838", "DLP", "mGy.cm", repeats=True),
    _concept("113835", "CTDIw Phantom Type", repeats=True),
    _quantity("113930", "Size Specific Dose Estimate", "mGy", repeats=True),
    _concept("113820", "CT Acquisition Type"),
    _quantity("113825", "Scanning Length", "mm"),
    _quantity("113733", "KVP", "kV", repeats=True),
)
"""What repeats does so for several X-Ray sources, phantoms, or methods of estimation."""

PROJECTION_EVENT = (
    _quantity("122130", "Dose Area Product", "mGy.cm2"),
    _quantity("113738", "Dose (RP)", "mGy"),
    _quantity("111631", "Average Glandular Dose", "mGy"),
    _quantity("113733", "KVP", "kV", repeats=True),
)

_RIGHT, _LEFT, _BOTH = ("24028007", "Right"), ("7771000", "Left"), ("51440002", "Right and left")
SIDES: dict[CodeKey, tuple[str, str]] = {
    ("SCT", "24028007"): _RIGHT,
    ("SCT", "73056007"): _RIGHT,
    ("SCT", "7771000"): _LEFT,
    ("SCT", "80248007"): _LEFT,
    ("SCT", "51440002"): _BOTH,
    ("SCT", "63762007"): _BOTH,
}
"""A side, or the breast of a side → SNOMED CT code and meaning of the side (PS3.16 CID 6022 "Side", CID 244 "Laterality")."""
