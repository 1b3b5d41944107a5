"""Codes and units of the dose tables are those of the standard."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping

from shared.fhir import dose_tables
from shared.fhir.dose_tables import ACQUISITION_PLANE, ADMINISTRATION, CT_EVENT, CT_TOTALS, PROCEDURE_REPORTED, PROJECTION_EVENT, Form, Row
from shared.fhir.quantities import in_unit

ROWS = {
    row.keys[0][1]: row
    for row in (
        PROCEDURE_REPORTED,
        ACQUISITION_PLANE,
        *CT_TOTALS,
        *dose_tables.PROJECTION_TOTALS,
        *ADMINISTRATION,
        *CT_EVENT,
        *PROJECTION_EVENT,
    )
}
CONCEPTS: dict[str, Any] = concepts
MEANINGS = {code: meaning for codes in CONCEPTS["DCM"].values() for code, (meaning, _) in codes.items()}
SNOMED = {code for codes in CONCEPTS["SCT"].values() for code in codes}
NOT_PYDICOMS = {"111637": "Accumulated Average Glandular Dose"}
"""pydicom adds "(mammo)", which PS3.16 Annex D does not have."""


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_code_is_one_of_the_standard(row: Row) -> None:
    designator, code = row.keys[0]
    if designator == "DCM":
        assert row.display == NOT_PYDICOMS.get(code, MEANINGS[code])
    else:
        assert code in SNOMED


@pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))
def test_quantities_and_only_they_have_a_unit_that_is_known(row: Row) -> None:
    assert (row.unit != "") is (row.form is Form.QUANTITY)
    if row.unit:
        assert in_unit({"value": 1, "unit": row.unit, "system": "http://unitsofmeasure.org", "code": row.unit}, row.unit)


def test_sides_are_those_of_breasts_in_old_and_new_notation() -> None:
    old = {
        "T-04020": "Right",
        "T-04030": "Left",
        "T-04080": "Right and left",
        "G-A100": "Right",
        "G-A101": "Left",
        "G-A102": "Right and left",
    }
    assert {code: dose_tables.SIDES["SCT", mapping["SRT"][code]][1] for code in old} == old
