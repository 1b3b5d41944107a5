"""Studies written straight into the tables, from a simple description: for tests of what reads them."""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from shared.catalog import terms
from shared.catalog.keys import CATALOG, DEFAULT_PARTITION, SEARCH, STUDY_ROW, ArchiveKey, sort_key
from shared.catalog.records import DicomJson, InstanceRecord, SeriesRecord, StudyRecord
from shared.dicom.attributes import tag_of, vr_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.ports import Properties, TableStore

KEY = ArchiveKey("test", b"0123456789abcdef0123456789abcdef")
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"

_numbers = itertools.count(1)


def dataset(attributes: Mapping[str, object]) -> DicomJson:
    """Make a DICOM JSON dataset of values by keyword; None is an empty attribute, a list several values."""
    return dict(sorted(_element(keyword, value) for keyword, value in attributes.items()))


def _element(keyword: str, value: object) -> tuple[str, dict[str, object]]:
    tag = tag_of(keyword) or keyword
    vr = vr_of(tag) or "UN"
    values = [] if value is None else value if isinstance(value, list) else [value]
    if vr == "PN":
        values = [v if isinstance(v, dict) else {"Alphabetic": v} for v in values]
    return tag, {"vr": vr, "Value": values} if values else {"vr": vr}


@dataclass(frozen=True)
class Series:
    """A series to write: ``instances`` are as many, or attributes by keyword of each."""

    modality: str = "CT"
    instances: int | Sequence[Mapping[str, object]] = 1
    attributes: Mapping[str, object] = field(default_factory=dict)
    uid: str = field(default_factory=lambda: f"1.3.{next(_numbers)}")


@dataclass
class WrittenStudy:
    """What was written; ``instances`` hold metadata too."""

    study: StudyRecord
    series: list[SeriesRecord]
    instances: list[InstanceRecord]


async def write_study(
    tables: TableStore,
    *series: Series,
    uid: str | None = None,
    created_ms: int = 1_700_000_000_000,
    metadata: Mapping[str, object] | None = None,
    key: ArchiveKey = KEY,
    **attributes: Any,
) -> WrittenStudy:
    """Write a study as commits would: rows of catalog, terms, UID rows.

    Parameters
    ----------
    *series
        In the order of being stored; one of one instance by default.
    uid, created_ms
        Of the study.
    metadata
        Attributes by keyword that are in the metadata of every instance and in no row.
    **attributes
        Of the study, by keyword.
    """
    uid = uid or f"1.2.{next(_numbers)}"
    written = WrittenStudy(_study(key, uid, series or (Series(),), created_ms, attributes), [], [])
    for number, one in enumerate(series or (Series(),), start=1):
        _add_series(written, one, number, metadata or {}, key)
    newest = written.instances[-1]
    row_key = key.instance_row(newest.series_instance_uid, newest.sop_instance_uid)
    written.study = replace(written.study, newest=row_key, series_count=len(written.series), instance_count=len(written.instances))
    await write_rows(tables, written, key)
    return written


def _study(key: ArchiveKey, uid: str, series: Sequence[Series], created_ms: int, attributes: Mapping[str, object]) -> StudyRecord:
    per_modality: dict[str, int] = {}
    for one in series:
        per_modality[one.modality] = per_modality.get(one.modality, 0) + 1
    study = StudyRecord(
        study_instance_uid=uid,
        attributes=orjson.dumps(dataset({"StudyInstanceUID": uid, **attributes})),
        series_per_modality=per_modality,
        version=1,
        created_ms=created_ms,
        changed_ms=created_ms,
        key_id=key.key_id,
        partition_key=key.study_partition(DEFAULT_PARTITION, uid),
    )
    return with_new_sort_key(study, key)


def with_new_sort_key(study: StudyRecord, key: ArchiveKey = KEY) -> StudyRecord:
    """Give the study the sort key that its attributes ask for, with a new revision."""
    dates = terms.text_values(study.dataset(), terms.STUDY_DATE)
    suffix = key.h("study", study.study_instance_uid)[:8]
    return replace(study, sk=sort_key(dates[0] if dates else "", study.created_ms, suffix, f"{next(_numbers):08d}"))


def _add_series(written: WrittenStudy, one: Series, number: int, metadata: Mapping[str, object], key: ArchiveKey) -> None:
    attributes = {"Modality": one.modality, "SeriesInstanceUID": one.uid, "SeriesNumber": number, **one.attributes}
    made = [{} for _ in range(one.instances)] if isinstance(one.instances, int) else one.instances
    instances = [_instance(written.study, one.uid, {"InstanceNumber": n, **own}, metadata) for n, own in enumerate(made, start=1)]
    written.series.append(
        SeriesRecord(
            series_instance_uid=one.uid,
            attributes=orjson.dumps(dataset(attributes)),
            modality=one.modality,
            instance_count=len(instances),
            version=number,
            created_ms=written.study.created_ms + number,
            newest=key.instance_row(one.uid, instances[-1].sop_instance_uid),
        )
    )
    written.instances += instances


def _instance(study: StudyRecord, series_uid: str, own: Mapping[str, object], metadata: Mapping[str, object]) -> InstanceRecord:
    number = next(_numbers)
    sop_uid = str(own.get("SOPInstanceUID", f"1.4.{number}"))
    attributes = {"SOPClassUID": CT_IMAGE_STORAGE, "SOPInstanceUID": sop_uid, "Rows": 4, "Columns": 4, **own}
    return InstanceRecord(
        study_instance_uid=study.study_instance_uid,
        series_instance_uid=series_uid,
        sop_instance_uid=sop_uid,
        sop_class_uid=CT_IMAGE_STORAGE,
        blob_name=f"00/{number}.dcm",
        version=number,
        created_ms=study.created_ms,
        attributes=orjson.dumps(dataset(attributes)),
        metadata_deflated=zlib.compress(orjson.dumps(dataset({**attributes, "ImageComments": f"number {number}", **metadata}))),
    )


async def write_rows(tables: TableStore, written: WrittenStudy, key: ArchiveKey = KEY) -> None:
    """Write all rows of a study."""
    study = written.study
    rows: list[tuple[str, Properties]] = [(STUDY_ROW, study.properties())]
    rows += [(key.series_row(s.series_instance_uid), s.properties()) for s in written.series]
    rows += [(key.instance_row(i.series_instance_uid, i.sop_instance_uid), i.properties()) for i in written.instances]
    await tables.upsert_many(CATALOG, [(study.partition_key, row_key, properties) for row_key, properties in rows])
    await write_terms(tables, study, key)
    series = [s.series_instance_uid for s in written.series]
    instances = [(i.series_instance_uid, i.sop_instance_uid) for i in written.instances]
    await tables.upsert_many(SEARCH, terms.uid_rows(key, DEFAULT_PARTITION, study.study_instance_uid, series, instances))


async def write_terms(tables: TableStore, study: StudyRecord, key: ArchiveKey = KEY) -> None:
    """Write the term rows of a study under its sort key, and nothing else."""
    await tables.upsert_many(SEARCH, terms.study_term_rows(key, DEFAULT_PARTITION, study))


async def change_study(tables: TableStore, written: WrittenStudy, **attributes: object) -> None:
    """Change study attributes as a commit does: new terms, then the study row. The old term rows stay behind."""
    changed = {**written.study.dataset(), **dataset(attributes)}
    written.study = with_new_sort_key(replace(written.study, attributes=orjson.dumps(changed)))
    await write_terms(tables, written.study)
    await tables.upsert_many(CATALOG, [(written.study.partition_key, STUDY_ROW, written.study.properties())])


async def delete_study(tables: TableStore, written: WrittenStudy) -> None:
    """Delete a study as the last delete does: the study row is emptied; the hints stay behind."""
    study = written.study = replace(written.study, instance_count=0, series_count=0, series_per_modality={})
    await tables.upsert_many(CATALOG, [(study.partition_key, STUDY_ROW, study.properties())])
    gone = [KEY.series_row(s.series_instance_uid) for s in written.series]
    gone += [KEY.instance_row(i.series_instance_uid, i.sop_instance_uid) for i in written.instances]
    await tables.remove_many(CATALOG, [(study.partition_key, row_key) for row_key in gone])
    written.series.clear()
    written.instances.clear()
