"""Where in the body a series looks: anatomic region or Body Part Examined, and side, as FHIR ``Coding``.

References
----------
PS3.16 Annex L "Correspondence of Anatomic Region Codes and Body Part Examined Defined Terms"; CID 244 "Laterality".
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shared.fhir.concepts import coding
from shared.fhir.identity import SCT
from shared.fhir.values import code, first_text

if TYPE_CHECKING:
    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.issues import Notes
    from shared.fhir.json_text import Resource

BODY_PARTS = Path(__file__).with_name("body_parts.txt")
"""Defined term, SNOMED CT identifier and meaning, one a line. The retired ``ARM`` and ``LEG`` are left out: part of a limb or all of it."""

_PUNCTUATION = re.compile("[^0-9A-Z]")
"""Terms have none, but ``C-SPINE`` and ``HEAD NECK`` are met."""

_SIDES = {"R": ("24028007", "Right"), "L": ("7771000", "Left"), "B": ("51440002", "Bilateral")}
_UNPAIRED = "U"


def body_site(ds: Dataset, context: Context) -> Resource | None:
    """Give the anatomic region of a series, else its Body Part Examined; a term that the standard does not define is shown as it is."""
    for item in ds.items("AnatomicRegionSequence"):
        region = coding(item, "AnatomicRegionSequence", context)
        if region is not None:
            return region
    term = first_text(ds, "BodyPartExamined", context.notes)
    if term is None:
        return None
    known = _body_parts().get(_PUNCTUATION.sub("", term.upper()))
    return {"display": term} if known is None else {"system": SCT, "code": known[0], "display": known[1]}


def laterality(ds: Dataset, notes: Notes, keyword: str = "Laterality") -> Resource | None:
    """Give the side of a paired body part; None where it is unpaired."""
    side = code(ds, keyword, notes)
    if side is None or side == _UNPAIRED:
        return None
    if side not in _SIDES:
        notes.drop(keyword)
        return None
    identifier, meaning = _SIDES[side]
    return {"system": SCT, "code": identifier, "display": meaning}


@cache
def _body_parts() -> dict[str, tuple[str, str]]:
    rows = (line.split(" ", 2) for line in BODY_PARTS.read_text(encoding="ascii").splitlines()[1:])
    return {term: (identifier, meaning) for term, identifier, meaning in rows}
