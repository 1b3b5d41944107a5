"""What can happen to an instance of a study, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.catalog.records import InstanceRecord


class Outcome(StrEnum):
    """How a change of one instance ended."""

    STORED = "stored"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"  # replace with the bytes that are there already
    DUPLICATE = "duplicate"
    DELETED = "deleted"
    ABSENT = "absent"  # to be deleted, and not there


@dataclass(frozen=True, slots=True)
class StoreInstance:
    """Store an instance whose blob is written.

    Parameters
    ----------
    record
        The row to be, with version 0: the commit gives it the study's next one.
    study_attributes, series_attributes
        Tag → DICOM JSON element, for the study's and the series' rows.
    replace
        Whether an instance under the same UIDs is replaced (PUT) or makes this a duplicate (POST).
    written_at
        Unix seconds when the request that wrote the blob began.
    """

    record: InstanceRecord
    study_attributes: Mapping[str, bytes]
    series_attributes: Mapping[str, bytes]
    replace: bool
    written_at: float

    @property
    def series_instance_uid(self) -> str:
        """The series it belongs to."""
        return self.record.series_instance_uid

    @property
    def sop_instance_uid(self) -> str:
        """The instance."""
        return self.record.sop_instance_uid


@dataclass(frozen=True, slots=True)
class DeleteInstance:
    """Remove an instance."""

    series_instance_uid: str
    sop_instance_uid: str


Change: TypeAlias = StoreInstance | DeleteInstance


@dataclass(frozen=True, slots=True)
class Result:
    """How one change ended.

    ``patient_differs``: the study held another Patient ID. ``identical``: a duplicate of the very same bytes.
    """

    outcome: Outcome
    patient_differs: bool = False
    identical: bool = False
