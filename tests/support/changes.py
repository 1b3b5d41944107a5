"""Changes of instances for the committer, without blobs."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import orjson

from shared.catalog.changes import StoreInstance
from shared.catalog.records import InstanceRecord

if TYPE_CHECKING:
    from shared.ports import Clock

_numbers = itertools.count()


def element(vr: str, *values: object) -> bytes:
    """Make a DICOM JSON element."""
    return orjson.dumps({"vr": vr, "Value": list(values)} if values else {"vr": vr})


def store_change(
    study: str,
    series: str,
    instance: str,
    *,
    clock: Clock,
    replace: bool = False,
    modality: str = "CT",
    metadata: bytes = b"{}",
    **study_attributes: Any,
) -> StoreInstance:
    """Make a change that stores an instance under a blob of its own.

    Attributes of the study are given as ``T00100020=element("LO", "P1")``; by default it has a patient and a date.
    """
    number = next(_numbers)
    attributes = {
        "00100010": element("PN", {"Alphabetic": "ADLER^EVA"}),
        "00100020": element("LO", "P1"),
        "00080020": element("DA", "20240102"),
    }
    attributes.update({tag.removeprefix("T"): value for tag, value in study_attributes.items()})
    record = InstanceRecord(study, series, instance, blob_name=f"00/{number}.dcm", sha256=b"%032d" % number, metadata_deflated=metadata)
    return StoreInstance(record, attributes, {"00080060": element("CS", modality)}, replace, clock.now().timestamp())
