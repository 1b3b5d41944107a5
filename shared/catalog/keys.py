"""Partition and row keys: how a study is found without a patient's value in any key.

Storage logs carry keys in URLs. So every key is a keyed hash: ``h(x)`` is 26 characters of base32 of
HMAC-SHA-256 under the archive's secret, which no one can reverse by trying all short numbers. Values live
in the rows.

Tables and their keys
    catalog   ``{data partition}~{h(study)}`` | ``study``, ``series~…``, ``instance~…~…``, ``outbox~{version}``
    search    ``{data partition}~{h(field, folded value)}`` | the study's sort key, or ``h(study)`` under UIDs
    jobs      ``sweep`` | ``cursor``; ``fhir`` | ``circuit``, ``last-sync``, ``rebuild``, ``retry~{class}``
    feed      ``feed`` | ``head``, ``event~{sequence}``, ``published~{study partition}~{version}``
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

CATALOG, SEARCH, FEED, JOBS = "catalog", "search", "feed", "jobs"
DICOM, METADATA, INBOX, REJECTED, ARCHIVE, AUDIT = "dicom", "metadata", "inbox", "inbox-rejected", "archive", "audit"
SETTLE_QUEUE, INBOX_EVENTS_QUEUE = "settle", "inbox-events"

DEFAULT_PARTITION = "1"
"""Key of the data partition ``Microsoft.Default``; the only one while partitions are not offered."""

STUDY_ROW = "study"
SERIES_PREFIX, INSTANCE_PREFIX, OUTBOX_PREFIX = "series~", "instance~", "outbox~"
AFTER = "~"
"""Sorts after every character that may follow a prefix: ``prefix + AFTER`` ends the range of a prefix."""


_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [one + other for one in _BASE32 for other in _BASE32]
_SHIFTS = range(120, -1, -10)


@lru_cache(maxsize=16_384)
def _hash(secret: bytes, text: str) -> str:
    digest = hmac.digest(secret, text.encode(), "sha256")
    number = int.from_bytes(digest[:17], "big") >> 6
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


@dataclass(frozen=True, slots=True)
class ArchiveKey:
    """The archive's own secret; ``key_id`` marks what was made under it."""

    key_id: str
    secret: bytes

    def h(self, *parts: str) -> str:
        """Hash parts to 26 characters of lower-case base32 (130 bits)."""
        return _hash(self.secret, "\x00".join(parts))

    def study_partition(self, data_partition: str, study_instance_uid: str) -> str:
        """PartitionKey of a study in ``catalog``."""
        return f"{data_partition}~{self.h('study', study_instance_uid)}"

    def series_row(self, series_instance_uid: str) -> str:
        """RowKey of a series in its study's partition."""
        return SERIES_PREFIX + self.h("series", series_instance_uid)

    def instance_prefix(self, series_instance_uid: str) -> str:
        """Start of the RowKeys of all instances of a series."""
        return f"{INSTANCE_PREFIX}{self.h('series', series_instance_uid)}~"

    def instance_row(self, series_instance_uid: str, sop_instance_uid: str) -> str:
        """RowKey of an instance in its study's partition."""
        return self.instance_prefix(series_instance_uid) + self.h("instance", sop_instance_uid)

    def term_partition(self, data_partition: str, field: str, folded: str) -> str:
        """PartitionKey of a term in ``search``; ``folded`` as ``shared.dicom.text.fold`` gives it."""
        return f"{data_partition}~{self.h('term', field, folded)}"


def outbox_row(version: int) -> str:
    """RowKey of the changes that made ``version`` of a study."""
    return f"{OUTBOX_PREFIX}{version:020d}"


def spread(key: str, partitions: Sequence[str]) -> str:
    """Choose one of several partitions for a hashed key, always the same."""
    return partitions[sum(key.encode()) % len(partitions)]


UNDATED = "99999999"


def invert_date(study_date: str) -> str:
    """Turn ``yyyymmdd`` into eight digits that sort newest first; anything else sorts last."""
    if len(study_date) == 8 and study_date.isascii() and study_date.isdigit():
        return f"{99999999 - int(study_date):08d}"
    return UNDATED


def sort_key(study_date: str, created_ms: int, study_suffix: str, revision: str) -> str:
    """Make the sort key of a study: newest study date first, then newest stored; undated last.

    Parameters
    ----------
    study_date
        ``yyyymmdd``, or empty.
    created_ms
        When the study was first stored, in Unix milliseconds.
    study_suffix
        Some characters of the study's hash, which make the key unique and stable.
    revision
        Random characters: new ones whenever the study's terms are written anew.
    """
    return f"{invert_date(study_date)}~{9_999_999_999_999 - created_ms:013d}~{study_suffix}~{revision}"


def without_revision(sk: str) -> str:
    """Give the part of a sort key that stays when terms are written anew; paging resumes after it."""
    return sk.rpartition("~")[0]


def revision_of(sk: str) -> str:
    """Give the random part of a sort key."""
    return sk.rpartition("~")[2]
