"""The hints: which terms a study has, their rows in table ``search``, and sweeping those that no longer count.

Theory of operation
    A term is a field and a folded value: a PatientID, a modality, the first letters of a word of a name. Each
    term has a partition of its own, which lists the studies that have it, newest first, because every row's
    RowKey is the study's sort key ``sk``. One more list, of no value, has all studies. A search reads one such
    list and needs nothing else but the study rows it leads to.

    Term rows are created and never changed. A commit that alters what they say takes a new ``sk`` (same order,
    other revision) and writes all rows of the study under it *before* it makes that ``sk`` the study row's. So a
    row counts only if its RowKey is the ``sk`` of the study row: a writer that died half-way, or lost against
    another, leaves rows that nobody counts, and the values of one that counts are those of the study row.

    UID rows lead from a series or instance UID to its study. They are in no order, never move, and count if
    the series or instance is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from shared.catalog.keys import CATALOG, SEARCH, STUDY_ROW, ArchiveKey
from shared.dicom.text import fold, name_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from shared.catalog.records import DicomJson, StudyRecord
    from shared.ports import Entity, Properties, Scalar, TableStore

TermRow: TypeAlias = tuple[str, str, "Properties"]
"""PartitionKey, RowKey and properties, as ``TableStore.upsert_many`` takes them."""

SCHEMA = 1

STUDY_DATE, STUDY_TIME, ACCESSION_NUMBER, MODALITIES_IN_STUDY = "00080020", "00080030", "00080050", "00080061"
REFERRING_PHYSICIAN, STUDY_DESCRIPTION = "00080090", "00081030"
PATIENT_NAME, PATIENT_ID, PATIENT_BIRTH_DATE = "00100010", "00100020", "00100030"
SERIES_UID, SOP_UID, STUDY_ID = "0020000E", "00080018", "00200010"

WHOLE_VALUES = (PATIENT_ID, ACCESSION_NUMBER, PATIENT_BIRTH_DATE, STUDY_DESCRIPTION)
"""Attributes with one term for each value."""
NAMES = (PATIENT_NAME, REFERRING_PHYSICIAN)
"""Attributes with terms for each word: its first letters, and the whole of it."""
ALL_STUDIES = "all"
"""Field of the list of all studies."""

PREFIX_LENGTHS = (2, 3, 5, 8)
MAX_WORDS, MAX_VALUES, MAX_MODALITIES = 24, 8, 64
"""Terms that a name, another attribute and a study's series may bring. PS3.5 6.2 keeps honest values far below;
a hostile one must not cost thousands of rows. What is over is found by other keys."""

COVERING = (STUDY_DATE, STUDY_TIME, *WHOLE_VALUES, *NAMES, STUDY_ID)
"""Attributes whose values every term row carries, so that most filters need no study row."""
COVERED = frozenset((*COVERING, MODALITIES_IN_STUDY))
"""Those, and the modalities of the study's series."""
MAX_COVERING_BYTES = 256
"""Size above which a covering value is left out (as ``null``: unknown), so that rows stay small."""

TERM_COLUMNS = ("study_partition", "covering")
"""Columns to answer a search."""
SWEEP_AFTER_MS = 24 * 3600 * 1000


def usable_prefix(letters: str) -> str | None:
    """Give the longest term that every word starting with ``letters`` has; None below two letters."""
    return next((letters[:n] for n in reversed(PREFIX_LENGTHS) if len(letters) >= n), None)


def text_values(dataset: DicomJson, tag: str) -> list[str]:
    """Give the text values of an attribute; of a person name those of all component groups."""
    values: list[object] = dataset.get(tag, {}).get("Value", [])
    parts = (part for value in values for part in (value.values() if isinstance(value, dict) else (value,)))
    return [part for part in parts if isinstance(part, str)]


def modalities(series_per_modality: Mapping[str, int]) -> list[str]:
    """Give the distinct modalities of a study's series, sorted."""
    return sorted(modality for modality, count in series_per_modality.items() if modality and count > 0)


def study_terms(study: StudyRecord) -> set[tuple[str, str]]:
    """Give the terms of a study as (field, folded value)."""
    dataset = study.dataset()
    terms = {(ALL_STUDIES, "")}
    terms.update((MODALITIES_IN_STUDY, fold(modality)) for modality in modalities(study.series_per_modality)[:MAX_MODALITIES])
    for tag in WHOLE_VALUES:
        terms.update((tag, folded) for value in text_values(dataset, tag)[:MAX_VALUES] if (folded := fold(value)))
    for tag in NAMES:
        words = [word for name in text_values(dataset, tag) for word in name_words(fold(name))]
        terms.update((tag, term) for word in words[:MAX_WORDS] for term in _word_terms(word))
    return terms


def study_term_rows(key: ArchiveKey, data_partition: str, study: StudyRecord) -> list[TermRow]:
    """Make all term rows of a study, under its ``sk``.

    The rows must be written before the commit that gives the study row this ``sk``. The one in the list of all
    studies also names the partitions of the others, so that the sweep finds them without knowing how the terms
    came about.
    """
    common: dict[str, Scalar] = {
        "schema": SCHEMA,
        "study_instance_uid": study.study_instance_uid,
        "study_partition": key.study_partition(data_partition, study.study_instance_uid),
        "covering": orjson.dumps(_covering(study)),
        "written_ms": study.changed_ms,
    }
    everything = key.term_partition(data_partition, ALL_STUDIES, "")
    partitions = [key.term_partition(data_partition, field, folded) for field, folded in study_terms(study) if field != ALL_STUDIES]
    head: TermRow = (everything, study.sk, common | {"partitions": ",".join(partitions).encode()})
    return [head, *((partition, study.sk, common) for partition in partitions)]


def terms_signature(study: StudyRecord) -> bytes:
    """Sum up what the term rows of a study say: equal for two records iff their rows may be the same."""
    dataset = study.dataset()
    return orjson.dumps([modalities(study.series_per_modality), *(dataset.get(tag, {}).get("Value") for tag in COVERING)])


def same_terms(one: StudyRecord, other: StudyRecord) -> bool:
    """Tell whether two records of a study have equal signatures; cheap where nothing changed at all."""
    if one.attributes == other.attributes and one.series_per_modality.keys() == other.series_per_modality.keys():
        return True
    return terms_signature(one) == terms_signature(other)


def uid_rows(
    key: ArchiveKey, data_partition: str, study_instance_uid: str, series: Iterable[str], instances: Iterable[tuple[str, str]]
) -> list[TermRow]:
    """Make the rows that lead from UIDs to their study.

    Parameters
    ----------
    key, data_partition, study_instance_uid
        Where the study is.
    series
        Series UIDs.
    instances
        Series UID and SOP UID of each instance. The RowKey holds the series too: one SOP UID may, wrongly
        but really, stand in two series of a study.
    """
    study_partition = key.study_partition(data_partition, study_instance_uid)
    study_hash = study_partition.partition("~")[2]
    rows: list[TermRow] = [
        (uid_partition(key, data_partition, SERIES_UID, uid), study_hash, {"schema": SCHEMA, "study_instance_uid": study_instance_uid})
        for uid in series
    ]
    series_hashes: dict[str, str] = {}
    for series_uid, sop_uid in instances:
        series_hash = series_hashes.get(series_uid) or series_hashes.setdefault(series_uid, key.h("series", series_uid))
        properties: Properties = {"schema": SCHEMA, "study_instance_uid": study_instance_uid, "series_instance_uid": series_uid}
        rows.append((uid_partition(key, data_partition, SOP_UID, sop_uid), f"{study_hash}~{series_hash}", properties))
    return rows


def uid_partition(key: ArchiveKey, data_partition: str, field: str, uid: str) -> str:
    """PartitionKey of the rows of a series (``SERIES_UID``) or instance (``SOP_UID``)."""
    return key.term_partition(data_partition, field, uid)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a slice of the sweep did; ``resume`` starts the next slice, None at the end."""

    rows_removed: int
    resume: str | None


async def sweep_terms(tables: TableStore, key: ArchiveKey, data_partition: str, now_ms: int, start: str = "") -> Swept:
    """Remove the term rows of up to 1000 entries of the list of all studies that have not counted for 24 hours.

    An ``sk`` that is no longer its study row's never comes back, and one that is not yet belongs to a commit
    of this moment: hence the age. The entry in the list goes last, so that an interrupted sweep finds the rest.
    """
    everything = key.term_partition(data_partition, ALL_STUDIES, "")
    columns = ("study_partition", "written_ms", "partitions")
    page: list[Entity] = await anext(tables.pages(SEARCH, everything, start=start, select=columns), [])
    if not page:
        return Swept(0, None)
    old = [e for e in page if int(e.properties["written_ms"]) < now_ms - SWEEP_AFTER_MS]
    studies = await _study_rows(tables, old)
    stale = [e for e, study in zip(old, studies, strict=True) if not _counts(e, study)]
    siblings = [(pk, e.row_key) for e in stale for pk in _partitions(e)]
    await tables.remove_many(SEARCH, siblings)
    await tables.remove_many(SEARCH, [(everything, e.row_key) for e in stale])
    return Swept(len(siblings) + len(stale), page[-1].row_key + "!")  # no RowKey goes on after its revision


def _partitions(entry: Entity) -> list[str]:
    joined: Any = entry.properties["partitions"]
    return [partition for partition in joined.decode().split(",") if partition]


async def _study_rows(tables: TableStore, entries: list[Entity]) -> list[Entity | None]:
    keys = [(str(e.properties["study_partition"]), STUDY_ROW) for e in entries]
    return await tables.get_many(CATALOG, keys, select=("sk", "instance_count"))


def _counts(entry: Entity, study: Entity | None) -> bool:
    return study is not None and bool(study.properties["instance_count"]) and study.properties["sk"] == entry.row_key


def _word_terms(word: str) -> Iterator[str]:
    yield word
    yield from (word[:n] for n in PREFIX_LENGTHS if len(word) > n)


def _covering(study: StudyRecord) -> dict[str, Mapping[str, object] | None]:
    dataset = study.dataset()
    dataset[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": modalities(study.series_per_modality)}
    kept = {tag: dataset[tag] for tag in (*COVERING, MODALITIES_IN_STUDY) if dataset.get(tag, {}).get("Value")}
    return {tag: None if len(orjson.dumps(element)) > MAX_COVERING_BYTES else element for tag, element in kept.items()}
