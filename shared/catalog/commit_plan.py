"""What one commit of a study writes, as a pure function of what is stored and what shall change.

A plan never looks at storage: it is made from the rows read, and every row it rewrites carries the ETag read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from shared.catalog import keys, terms
from shared.catalog.changes import Change, DeleteInstance, Outcome, Result, StoreInstance
from shared.catalog.outbox import Action, Commit, FeedChange
from shared.catalog.records import InstanceRecord, SeriesRecord, StudyRecord, join_elements
from shared.ports import Create, Operation, Remove, Replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CHANGES = 95
MAX_OPERATIONS = 100
MAX_ENCODED_BYTES = 3_500_000
"""What one transaction holds (Table Storage: 100 operations, 4 MiB as encoded)."""

_PATIENT_ID, _STUDY_DATE, _MODALITY = "00100020", "00080020", "00080060"
_EMPTY_ELEMENT_BYTES = len(b'{"vr":"XX"}')


@dataclass(slots=True)
class StudyState:
    """The rows that a commit stands on. ``instances`` holds those that were read, None for absent ones."""

    partition_key: str
    study: StudyRecord | None
    series: dict[str, SeriesRecord | None]
    instances: dict[str, InstanceRecord | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What all plans for one batch share: the time (Unix milliseconds), a sort key's random part, the key's id."""

    now_ms: int
    revision: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction: its operations (instance rows first), what it means, and the hints it needs.

    ``changed`` are the batch indices of the changes that the operations stand for, in the operations' order.
    """

    results: tuple[Result, ...]
    operations: tuple[Operation, ...] = ()
    changed: tuple[int, ...] = ()
    commit: Commit | None = None
    study: StudyRecord | None = None
    new_terms: bool = False
    series: tuple[str, ...] = ()
    instances: tuple[tuple[str, str], ...] = ()


def encoded_bytes(change: Change) -> int:
    """Estimate what a change adds to its transaction: base64 of the binary columns, and the envelope."""
    if isinstance(change, DeleteInstance):
        return 600
    record = change.record
    binary = len(record.metadata_deflated or b"") + len(record.frames or b"") + len(record.attributes)
    return 3_000 + binary * 4 // 3


def make_plan(
    key: keys.ArchiveKey, study_instance_uid: str, state: StudyState, batch: Sequence[Change], stamp: Stamp, attempt_id: str
) -> Plan:
    """Plan the commit of a batch of changes: at most one for each instance, but for stores that come after a store of it.

    Parameters
    ----------
    key
        Makes the row keys.
    study_instance_uid
        The study that all changes belong to.
    state
        The rows as read: those of the study, of all series concerned, and, where a change needs it, of instances.
    batch
        The changes; ``fits`` says how many one transaction holds.
    stamp
        Time and random part of the sort key.
    attempt_id
        Random; tells this plan's transaction from any other's.

    Returns
    -------
    Plan
        Without operations where nothing changes; the results hold in any case once the transaction succeeded.
    """
    draft = _Draft(key, study_instance_uid, state, stamp)
    results = [draft.apply(index, change) for index, change in enumerate(batch)]
    return draft.finish(results, attempt_id)


class _Draft:
    """A plan in the making."""

    def __init__(self, key: keys.ArchiveKey, study_instance_uid: str, state: StudyState, stamp: Stamp) -> None:
        self._key, self._state, self._stamp = key, state, stamp
        old = state.study
        self._version = stamp.now_ms if old is None else old.version + 1
        created_ms = old.created_ms if old and old.exists else stamp.now_ms
        self._study = replace(old or StudyRecord(study_instance_uid), created_ms=created_ms)
        self._attributes = dict(_fragments(self._study.attributes))
        self._series = dict(state.series)
        self._series_attributes: dict[str, dict[str, bytes]] = {}
        self._operations: list[Operation] = []
        self._changed: list[int] = []
        self._feed: list[FeedChange] = []
        self._stored: list[tuple[str, str]] = []
        self._newest: dict[str, str] = {}
        self._placed: dict[str, bytes] = {}  # SHA-256 by RowKey of what this plan stores
        self._newest_of_study = self._study.newest
        self._last_study_attributes: Mapping[str, bytes] = {}
        self._last_series_attributes: dict[str, Mapping[str, bytes]] = {}

    def apply(self, index: int, change: Change) -> Result:
        row_key = self._key.instance_row(change.series_instance_uid, change.sop_instance_uid)
        there = self._state.instances.get(row_key)
        if isinstance(change, DeleteInstance):
            return self._delete(index, change, row_key, there)
        return self._store(index, change, row_key, there)

    def _delete(self, index: int, change: DeleteInstance, row_key: str, there: InstanceRecord | None) -> Result:
        if there is None:
            return Result(Outcome.ABSENT)
        self._add(index, Remove(row_key, there.etag), FeedChange(Action.DELETE, change.series_instance_uid, change.sop_instance_uid))
        self._count(change.series_instance_uid, -1)
        return Result(Outcome.DELETED)

    def _store(self, index: int, change: StoreInstance, row_key: str, there: InstanceRecord | None) -> Result:
        if there is not None and there.blob_name == change.record.blob_name:
            return Result(Outcome.STORED)  # our own commit, seen again
        placed = self._placed.get(row_key)
        if placed is not None:
            return Result(Outcome.DUPLICATE, identical=placed == change.record.sha256)
        if there is not None and not change.replace:
            return Result(Outcome.DUPLICATE, identical=there.sha256 == change.record.sha256)
        if there is not None and there.sha256 == change.record.sha256:
            return Result(Outcome.UNCHANGED)
        row = {**change.record.properties(), "version": self._version}
        uids = (change.series_instance_uid, change.sop_instance_uid)
        self._stored.append(uids)
        self._placed[row_key] = change.record.sha256
        self._newest[change.series_instance_uid] = self._newest_of_study = row_key
        differs = self._merge(change)
        if there is not None:
            self._add(index, Replace(row_key, row, there.etag), FeedChange(Action.UPDATE, *uids))
            self._count(change.series_instance_uid, 0)
            return Result(Outcome.REPLACED, differs)
        self._add(index, Create(row_key, row), FeedChange(Action.CREATE, *uids))
        self._count(change.series_instance_uid, 1)
        return Result(Outcome.STORED, differs)

    def _add(self, index: int, operation: Operation, feed: FeedChange) -> None:
        self._operations.append(operation)
        self._changed.append(index)
        self._feed.append(feed)

    def _count(self, series_instance_uid: str, difference: int) -> None:
        old = self._series.get(series_instance_uid) or SeriesRecord(series_instance_uid, created_ms=self._stamp.now_ms)
        count = old.instance_count + difference
        self._series[series_instance_uid] = replace(old, instance_count=count, version=self._version)

    def _merge(self, change: StoreInstance) -> bool:
        """Let the newest values win on study and series; tell whether the Patient ID was another."""
        differs = False
        if change.study_attributes != self._last_study_attributes:
            differs = self._other_patient(change.study_attributes.get(_PATIENT_ID))
            _overwrite(self._attributes, change.study_attributes)
            self._last_study_attributes = change.study_attributes
        uid = change.series_instance_uid
        if change.series_attributes != self._last_series_attributes.get(uid):
            if uid not in self._series_attributes:
                old = self._series.get(uid)
                self._series_attributes[uid] = dict(_fragments(old.attributes)) if old else {}
            _overwrite(self._series_attributes[uid], change.series_attributes)
            self._last_series_attributes[uid] = change.series_attributes
        return differs

    def _other_patient(self, offered: bytes | None) -> bool:
        known = self._attributes.get(_PATIENT_ID)
        return bool(known and offered and known != offered and not (_is_empty(known) or _is_empty(offered)))

    def finish(self, results: Sequence[Result], attempt_id: str) -> Plan:
        if not self._operations:
            return Plan(tuple(results))
        series_operations = self._finish_series()
        study = self._finish_study()
        old = self._state.study
        commit = Commit(self._state.partition_key, self._version, attempt_id, study.study_instance_uid, tuple(self._feed), old is None)
        row = study.properties()
        study_operation: Operation = Replace(keys.STUDY_ROW, row, old.etag) if old else Create(keys.STUDY_ROW, row)
        return Plan(
            results=tuple(results),
            operations=(*self._operations, *series_operations, study_operation, commit.operation()),
            changed=tuple(self._changed),
            commit=commit,
            study=study,
            new_terms=study.exists and not (old and old.sk == study.sk),
            series=tuple(dict.fromkeys(series for series, _ in self._stored)),
            instances=tuple(self._stored),
        )

    def _finish_series(self) -> list[Operation]:
        operations: list[Operation] = []
        for uid, new in self._series.items():
            old = self._state.series.get(uid)
            if new is None or new is old:
                continue
            if uid in self._series_attributes:
                attributes = self._series_attributes[uid]
                new = replace(new, attributes=join_elements(attributes), modality=_first_text(attributes.get(_MODALITY)))  # noqa: PLW2901 -- the row as it becomes
            if uid in self._newest:
                new = replace(new, newest=self._newest[uid])  # noqa: PLW2901 -- the row as it becomes
            self._series[uid] = new
            operations.append(self._series_operation(old, new))
        return operations

    def _series_operation(self, old: SeriesRecord | None, new: SeriesRecord) -> Operation:
        row_key = self._key.series_row(new.series_instance_uid)
        if old is None:
            return Create(row_key, new.properties())
        if new.instance_count == 0:
            return Remove(row_key, old.etag)
        return Replace(row_key, new.properties(), old.etag)

    def _finish_study(self) -> StudyRecord:
        study = replace(self._study, version=self._version, changed_ms=self._stamp.now_ms, key_id=self._stamp.key_id)
        per_modality, series_difference, instance_difference = dict(study.series_per_modality), 0, 0
        for uid, new in self._series.items():
            before, after = self._state.series.get(uid), new if new and new.instance_count else None
            instance_difference += (after.instance_count if after else 0) - (before.instance_count if before else 0)
            series_difference += (after is not None) - (before is not None)
            _move(per_modality, before, after)
        study = replace(
            study,
            attributes=join_elements(self._attributes),
            series_per_modality=per_modality,
            series_count=study.series_count + series_difference,
            instance_count=study.instance_count + instance_difference,
            newest=self._newest_of_study,
        )
        if not study.exists:
            return replace(study, attributes=b"{}", series_per_modality={}, sk="", newest="")
        old = self._state.study
        if old and old.exists and terms.same_terms(old, study):
            return study
        suffix = self._state.partition_key.rpartition("~")[2][:10]
        study_date = _first_text(self._attributes.get(_STUDY_DATE))
        return replace(study, sk=keys.sort_key(study_date, study.created_ms, suffix, self._stamp.revision))


def _move(per_modality: dict[str, int], before: SeriesRecord | None, after: SeriesRecord | None) -> None:
    """Count a series under its modality; out of the one it had, into the one it has.

    The rows were not read at one instant, so they may not agree. A plan made from such rows never commits (one of
    its ETags is outdated), but it has to be made.
    """
    old, new = before.modality if before else "", after.modality if after else ""
    if old == new:
        return
    if old:
        per_modality[old] = per_modality.get(old, 1) - 1
    if new:
        per_modality[new] = per_modality.get(new, 0) + 1
    if not per_modality.get(old, 1):
        del per_modality[old]


def _overwrite(kept: dict[str, bytes], offered: Mapping[str, bytes]) -> None:
    """Take over offered values; an empty one never overwrites a value."""
    for tag, element in offered.items():
        if tag not in kept or not _is_empty(element):
            kept[tag] = element


def _is_empty(element: bytes) -> bool:
    return len(element) <= _EMPTY_ELEMENT_BYTES


@lru_cache(maxsize=512)
def _fragments(attributes: bytes) -> Mapping[str, bytes]:
    """Cut a DICOM JSON object into its elements. The result is shared: copy before changing."""
    return {tag: orjson.dumps(element) for tag, element in orjson.loads(attributes).items()}


@lru_cache(maxsize=512)
def _first_text(element: bytes | None) -> str:
    """Give the first value of a text element, "" where there is none."""
    values = orjson.loads(element).get("Value") if element else None
    return values[0] if values and isinstance(values[0], str) else ""
