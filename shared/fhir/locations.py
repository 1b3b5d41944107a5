"""Location: where a study was made, by the operator's list of names.

References
----------
PS3.3 C.4.15 "Performed Procedure Step" (Performed Location), C.7.5.1 "General Equipment Module"; FHIR R4 8.7 "Resource Location".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir import values
from shared.fhir.evidence import vote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset
    from shared.fhir.evidence import Block
    from shared.fhir.json_text import Resource

_KEYWORDS = ("PerformedLocation", "InstitutionalDepartmentName")


def location(blocks: Iterable[Block], context: Context) -> Resource | None:
    """Refer to the Location that the operator has for a name in one of these blocks; None for names that are not listed."""
    known = context.settings.location_map
    if not known:
        return None

    def listed(ds: Dataset) -> str | None:
        names = [values.first_text(ds, keyword, context.notes) for keyword in _KEYWORDS]
        return next((known[name] for name in names if name and name in known), None)

    reference = vote(blocks, listed, context.notes, "PerformedLocation")
    return {"reference": reference} if reference else None
