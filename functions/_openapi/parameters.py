"""Parameters that several transactions have, and those of paths. The examples are of the sample study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions._openapi.description import Parameter
from functions._openapi.schemas import FLAG, TEXT, UID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions._openapi.description import Schema

STUDY = "2.25.298957196426607890328698653174213192801"
SERIES = "2.25.239398906134854015978576217329176055777"
INSTANCE = "2.25.278696086239812241201837597297052155467"

_FRAMES: Schema = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, "minItems": 1}

IN_PATHS: Mapping[str, Parameter] = {
    "study": Parameter("study", "Study Instance UID.", UID, "path", example=STUDY),
    "series": Parameter("series", "Series Instance UID.", UID, "path", example=SERIES),
    "instance": Parameter("instance", "SOP Instance UID.", UID, "path", example=INSTANCE),
    "frames": Parameter(
        "frames", "Frame numbers from 1 on, parted by commas, in the order in which they are to come.", _FRAMES, "path", example=[1]
    ),
}

ACCEPT = Parameter("accept", "Media types, looked at before those of the header Accept (PS3.18 8.3.3.1).", TEXT)
IF_NONE_MATCH = Parameter("If-None-Match", "The ETag of an earlier answer, or a list of them.", TEXT, "header")
INCLUDE_METADATA = Parameter("includeMetadata", "Whether entries have the metadata of their instance.", {**FLAG, "default": True})
