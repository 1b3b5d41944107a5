"""Content items of a dose report as components of an Observation: a row of the tables and a part of the tree go in.

A value that is no number, or whose unit measures something else, is left out: a dose is converted or not given at all.

References
----------
FHIR R4 10.1.4, Observation.component; PS3.3 C.18.1 "Numeric Measurement Macro".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.fhir import concepts, quantities
from shared.fhir.dose_tables import GLANDULAR_DOSE, SIDES, Form, Row
from shared.fhir.identity import SCT
from shared.fhir.values import MAX_UINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.concepts import CodeKey
    from shared.fhir.context import Context
    from shared.fhir.json_text import Resource
    from shared.fhir.sr_document import ContentItem

_LATERALITY: CodeKey = ("SCT", "272741003")


def components(rows: Sequence[Row], scopes: Sequence[ContentItem], context: Context) -> list[Resource]:
    """Make the components that these parts of the tree have values for, in the order of the rows.

    Parameters
    ----------
    scopes
        Parts of one tree that say the same kind of thing, such as accumulated dose containers; none inside another.
    """
    found: list[Resource] = []
    for row in rows:
        items = [item for scope in scopes for item in scope.find_all(*row.keys)]
        made = [component for item in items if (component := _component(row, item, context))]
        found += made if row.repeats else made[:1]
    return found


def _component(row: Row, item: ContentItem, context: Context) -> Resource | None:
    value = _VALUES[row.form](row, item, context)
    if value is None:
        return None
    side = _laterality(item, context) if row is GLANDULAR_DOSE else {}
    return {**side, "code": {"coding": [row.code]}, **value}


def _quantity(row: Row, item: ContentItem, context: Context) -> Resource | None:
    """Give the value in the row's unit, or why there is none."""
    reason = quantities.absent_reason(item.item)
    if reason is not None:
        return {"dataAbsentReason": reason}
    measured = item.number()
    sent = quantities.quantity(measured, context) if measured else None
    if sent is None:
        return None
    quantity = quantities.in_unit(sent, row.unit)
    if quantity is None:
        context.notes.drop("MeasurementUnitsCodeSequence")
        return None
    return {"valueQuantity": quantity}


def _count(_: Row, item: ContentItem, context: Context) -> Resource | None:
    """Give a number of events or frames, whose unit says no more than that."""
    reason = quantities.absent_reason(item.item)
    if reason is not None:
        return {"dataAbsentReason": reason}
    measured = item.number()
    if not measured:
        return None
    number = quantities.decimal(measured.first("NumericValue"))
    if number is None or number != int(number) or not 0 <= number <= MAX_UINT:
        context.notes.drop("NumericValue")
        return None
    return {"valueInteger": int(number)}


def _concept(_: Row, item: ContentItem, context: Context) -> Resource | None:
    code_item = item.code_item()
    concept = concepts.concept(code_item, "ConceptCodeSequence", context) if code_item else None
    return None if concept is None else {"valueCodeableConcept": concept}


_VALUES = {Form.QUANTITY: _quantity, Form.COUNT: _count, Form.CONCEPT: _concept}


def _laterality(item: ContentItem, context: Context) -> Resource:
    """Say of which breast a dose is: FHIR has no element for that in a component."""
    side = item.child(_LATERALITY)
    concept = _side(side, context) if side else None
    url = f"{context.settings.canonical}/StructureDefinition/laterality"
    return {"extension": [{"url": url, "valueCodeableConcept": concept}]} if concept else {}


def _side(item: ContentItem, context: Context) -> Resource | None:
    """Give a side, whether it was sent as one or as a breast; what is neither stays as it is."""
    code_item = item.code_item()
    key = item.code_key()
    if code_item is None or key not in SIDES:
        return concepts.concept(code_item, "ConceptCodeSequence", context) if code_item else None
    code, display = SIDES[key]
    return {"coding": [{"system": SCT, "code": code, "display": display}]}
