"""Checking what we have built before it is sent: a mistake of ours should not wait for a server to find it.

The models of ``fhir.resources`` take a quarter of a second and 28 MB to import, so they are imported with the first
resource that is checked. Only those of R4B: for every resource used here R4B has the same elements as R4.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.fhir.json_text import Resource

MAX_INSTANCES = 500
"""Larger studies are sent unchecked: the models would take longer than all the rest."""

_TYPE = re.compile(r"[A-Z][A-Za-z]{1,40}")


def first_problem(resource: Resource) -> str:
    """Give where a resource is not valid R4, such as ``ImagingStudy.series.0.uid``; empty where it is, or too large to be checked."""
    if sum(len(series.get("instance", ())) for series in resource.get("series", ()) if isinstance(series, dict)) > MAX_INSTANCES:
        return ""
    model = _model(resource["resourceType"])
    from pydantic import ValidationError  # noqa: PLC0415 -- comes with the models, and is as slow to import

    try:
        model.model_validate(resource)
    except ValidationError as error:
        place = error.errors(include_input=False, include_url=False, include_context=False)[0]["loc"]
        return ".".join([resource["resourceType"], *map(str, place)])
    return ""


@lru_cache
def _model(resource_type: str) -> Any:
    if not _TYPE.fullmatch(resource_type):
        raise ValueError(resource_type)
    return getattr(import_module(f"fhir.resources.R4B.{resource_type.lower()}"), resource_type)
