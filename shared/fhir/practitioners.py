"""Practitioner: the people that a dataset names. Found by a code of the operator's own, never by a name.

References
----------
PS3.3 10.1 "Person Identification Macro"; FHIR R4 8.4 "Resource Practitioner".
"""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, Any

from shared.fhir import concepts, names, values
from shared.fhir.identity import Draft, Identity
from shared.fhir.json_text import Resource, compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset

_CODES = "PersonIdentificationCodeSequence"


def practitioner(item: Dataset | None, display: str | None, context: Context, human_names: Sequence[Resource] = ()) -> Resource | None:
    """Refer to a person; None where nothing is known.

    Parameters
    ----------
    item
        Item with the Person Identification macro, if there is one.
    display
        The name as it is shown; without one, the meaning of the code serves.
    human_names
        The same name, for a Practitioner that we make; without them it has the display text.
    """
    codes = item.items(_CODES) if item else []
    shown = display or next((text for code in codes if (text := values.text(code, "CodeMeaning", context.notes))), "")
    identity = next((found for code in codes if (found := _identity(code, context))), None)
    if identity is None:
        return {"type": "Practitioner", "display": shown} if shown else None
    if context.settings.practitioners == "create":
        return context.share(_draft(identity, human_names, shown, context), shown)
    return context.links.reference(identity, shown)


def people(ds: Dataset, name_keyword: str, identification_keyword: str, context: Context) -> list[Resource]:
    """Refer to all whom a pair of attributes names: a PN, and a sequence whose items stand in the order of its values.

    Where the two differ in length, nobody knows whose code an item has: names and codes are then given side by side.
    """
    spoken, items = ds.values(name_keyword), ds.items(identification_keyword)
    pairs = zip(spoken, items, strict=True) if len(spoken) == len(items) else chain(product(spoken, [None]), product([None], items))
    found = [_person(value, item, name_keyword, context) for value, item in pairs]
    return [each for each in found if each is not None]


def first_of(ds: Dataset, name_keyword: str, identification_keyword: str, context: Context) -> Resource | None:
    """Refer to the first whom a pair of attributes names."""
    return next(iter(people(ds, name_keyword, identification_keyword, context)), None)


def _person(value: Any, item: Dataset | None, keyword: str, context: Context) -> Resource | None:
    written = [] if value is None else names.names_of(value, keyword, context.notes)
    return practitioner(item, written[0]["text"] if written else None, context, written)


def _identity(code: Dataset, context: Context) -> Identity | None:
    designator, value = concepts.key_of(code) or ("", "")
    system = context.settings.practitioner_systems.get(designator)
    return Identity("Practitioner", system, value) if system else None


def _draft(identity: Identity, human_names: Sequence[Resource], shown: str, context: Context) -> Draft:
    resource = compact(
        resourceType="Practitioner",
        meta=context.meta(),
        identifier=[identity.identifier()],
        name=list(human_names) or ([{"text": shown}] if shown else []),
    )
    return Draft(identity, resource)
