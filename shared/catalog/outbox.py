"""The outbox row: what a commit changed, on its way to the feed, and the id of the attempt that made it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from shared.catalog.keys import outbox_row
from shared.catalog.records import SCHEMA
from shared.ports import Create, Entity


class Action(StrEnum):
    """What happened to an instance, as the change feed words it."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"


@dataclass(frozen=True, slots=True)
class FeedChange:
    """One line of the feed to be."""

    action: Action
    series_instance_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed transaction of a study.

    ``first`` says that it made the study's row, so that no older one can be waiting.
    """

    partition_key: str
    version: int
    attempt_id: str
    study_instance_uid: str
    changes: tuple[FeedChange, ...]
    first: bool = False

    def operation(self) -> Create:
        """Give the transaction's operation that leaves this in the study's outbox."""
        return Create(
            outbox_row(self.version),
            {
                "schema": SCHEMA,
                "version": self.version,
                "attempt_id": self.attempt_id,
                "study_instance_uid": self.study_instance_uid,
                "changes": orjson.dumps([[c.action, c.series_instance_uid, c.sop_instance_uid] for c in self.changes]),
            },
        )

    @classmethod
    def from_entity(cls, entity: Entity) -> Commit:
        """Read an outbox row."""
        p: Any = entity.properties
        return cls(
            partition_key=entity.partition_key,
            version=p["version"],
            attempt_id=p["attempt_id"],
            study_instance_uid=p["study_instance_uid"],
            changes=tuple(FeedChange(Action(a), series, sop) for a, series, sop in orjson.loads(p["changes"])),
        )
