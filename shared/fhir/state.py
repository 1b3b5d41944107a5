"""What the synchronisation remembers of each study: table ``fhirsync``.

Rows
    ``{study partition}`` | ``study``                  how far the study is written, who is at it, when it is looked at next
    ``{study partition}`` | ``document~{h(sop)}``      what was written for one document of the study
    ``patient~{h(system, value)}`` | ``{study partition}``  what a study says of its patient
    ``open~00`` … ``open~15`` | ``{study partition}``  studies that are not in step: for the sweeper and the operator

A study is listed as open before its row leaves ``clean``, and taken off the list after it is clean again, If-Match: a
dirty study is never unlisted. One that is listed although clean is taken off by the sweeper, which writes its row anew.

Two workers cannot write one study: the row's lease is taken and renewed by its ETag. A look that meets a lease changes
the row too (``next``), so the worker reads the row again when it records, and gives up only if the lease is not its own.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import orjson

from shared.catalog.keys import AFTER, ArchiveKey, spread
from shared.errors import AlreadyPresent, NotPresent, PreconditionFailed
from shared.fhir.identity import Identity
from shared.fhir.json_text import canonical, parse
from shared.ports import Create, Remove, Replace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from shared.fhir.json_text import Resource
    from shared.ports import Entity, Operation, Scalar, TableStore

TABLE = "fhirsync"
STUDY_ROW, DOCUMENT_PREFIX = "study", "document~"
OPEN_PARTITIONS = tuple(f"open~{n:02d}" for n in range(16))
_SCHEMA = 1
_TRIES = 16
_MOST_BASES = 8
_LARGEST_BASES = 60 * 1024
"""A column takes 64 KiB."""


class SyncStatus(StrEnum):
    """How a study stands: in step, to be written, waiting for a change or an operator, given up."""

    CLEAN = "clean"
    DIRTY = "dirty"
    BLOCKED = "blocked"
    DEAD = "dead"


class LeaseLost(Exception):
    """Somebody else is at the study now: what was prepared must not be sent."""


@dataclass(frozen=True, slots=True)
class SyncRow:
    """How far one study is written.

    Attributes
    ----------
    synced, attempted
        Study versions last written, and last tried.
    lease_owner, lease_until_ms
        Who is at it.
    next_ms, first_dirty_ms, recheck_ms, recheck_until_ms
        When it is looked at next, since when it is dirty, and when something that was not there is looked for again.
    patient_key, patient_ref
        Key of the patient's partition, and the Patient's reference.
    contributed
        Keys of all patients whom the study may have described, joined by commas.
    study_ref, study_version, adopted, foreign
        The ImagingStudy on the server, its version last written, whether it was somebody else's, and whether it holds
        elements that are not ours.
    hash, written
        Digests: of what the catalog says, and of the ImagingStudy as last sent.
    bases
        The ImagingStudy as we last meant it, and as we meant it in attempts of which we do not know what became of them;
        series as UIDs only, deflated: what the merge needs.
    rebuild
        Write everything anew, trusting nothing that was remembered.
    attempts, first_failed_ms
        Since the last success.
    """

    study_instance_uid: str = ""
    synced: int = 0
    attempted: int = 0
    lease_owner: str = ""
    lease_until_ms: int = 0
    next_ms: int = 0
    first_dirty_ms: int = 0
    recheck_ms: int = 0
    recheck_until_ms: int = 0
    patient_key: str = ""
    patient_ref: str = ""
    contributed: str = ""
    study_ref: str = ""
    study_version: str = ""
    adopted: bool = False
    foreign: bool = False
    hash: str = ""
    written: str = ""
    bases: bytes = b""
    status: SyncStatus = SyncStatus.CLEAN
    rebuild: bool = False
    attempts: int = 0
    first_failed_ms: int = 0
    partition_key: str = field(default="", compare=False)
    etag: str = field(default="", compare=False)

    @property
    def stuck(self) -> bool:
        """Whether only a change, an operator or a recheck brings it on."""
        return self.status in {SyncStatus.BLOCKED, SyncStatus.DEAD}

    @property
    def meant(self) -> list[Resource]:
        """The ImagingStudy as the server may have it from us; nothing where we wrote none."""
        resources: list[Resource] = parse(zlib.decompress(self.bases)) if self.bases else []
        return resources

    def describing(self, patient_key: str) -> SyncRow:
        """Give the row of a study that is about to describe a patient."""
        before = self.described
        return self if patient_key in before else replace(self, contributed=",".join((*before, patient_key)))

    @property
    def described(self) -> tuple[str, ...]:
        """Keys of the patients whom the study may have described."""
        return tuple(filter(None, self.contributed.split(",")))

    def meaning(self, base: Resource) -> SyncRow:
        """Give the row of a study that is about to be written so."""
        before = self.meant
        return self if base in before else replace(self, bases=deflate([*before, base][-_MOST_BASES:]))

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        row = {name: value for name, value in asdict(self).items() if name not in {"partition_key", "etag"}}
        return {"schema": _SCHEMA, **row, "status": str(self.status)}

    @classmethod
    def from_entity(cls, entity: Entity) -> SyncRow:
        """Read the row; columns that an older version did not write have their defaults."""
        names = {f.name for f in fields(cls)}
        p: dict[str, Any] = {name: value for name, value in entity.properties.items() if name in names}
        p["status"] = SyncStatus(p["status"])
        return cls(**p, partition_key=entity.partition_key, etag=entity.etag)


def deflate(bases: Sequence[Resource]) -> bytes:
    """Make a row's ``bases``; of a study with so many series that they do not fit, nothing is remembered."""
    packed = zlib.compress(canonical(bases), 6)
    return packed if len(packed) <= _LARGEST_BASES else b""


@dataclass(frozen=True, slots=True)
class WrittenResource:
    """One resource on the server.

    Attributes
    ----------
    system, value
        Of the identifier it is found by.
    reference, version
        ``Type/id``, and the version last written; empty: not known.
    digest
        Of what was last sent; empty while nobody knows whether it arrived.
    owned
        Whether it is ours to change and delete.
    """

    system: str
    value: str
    reference: str
    version: str
    digest: str
    owned: bool = True

    @property
    def identity(self) -> Identity:
        """Under which it is known."""
        return Identity(self.reference.partition("/")[0], self.system, self.value)


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What was written for one document, in the order of writing.

    It is kept before the first writing too: what may be on the server must not be forgotten should the answer be lost.
    """

    sop_instance_uid: str
    resources: tuple[WrittenResource, ...]

    def properties(self) -> dict[str, Scalar]:
        """Give the row as it is stored."""
        packed = zlib.compress(orjson.dumps([asdict(r) for r in self.resources]), 6)
        return {"schema": _SCHEMA, "sop_instance_uid": self.sop_instance_uid, "resources": packed}

    @classmethod
    def from_entity(cls, entity: Entity) -> DocumentRow:
        """Read the row."""
        p: Any = entity.properties
        return cls(p["sop_instance_uid"], tuple(WrittenResource(**r) for r in orjson.loads(zlib.decompress(p["resources"]))))


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one study says of its patient."""

    study_key: str
    study_date: str
    elements: Resource

    @property
    def age(self) -> tuple[str, str]:
        """Sorts the newest study last; the same for everybody who sorts."""
        return self.study_date, self.study_key


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A study that is not in step, or clean but to be looked at again; ``due_ms`` is when, 0 where nobody will."""

    partition_key: str
    status: SyncStatus
    first_dirty_ms: int
    due_ms: int


class SyncState:
    """Reads and writes table ``fhirsync``."""

    def __init__(self, tables: TableStore, key: ArchiveKey) -> None:
        self._tables, self._key = tables, key

    async def read(self, partition_key: str) -> SyncRow:
        """Read a study's row; an empty one where there is none."""
        entity = await self._tables.get(TABLE, partition_key, STUDY_ROW)
        return SyncRow.from_entity(entity) if entity else SyncRow(partition_key=partition_key)

    async def write(self, row: SyncRow) -> SyncRow:
        """Write a row over the one it was read as; list it as open first where it is, and take it off after where it is not.

        Raises
        ------
        PreconditionFailed
            Somebody changed the row since it was read.
        """
        if row.status is not SyncStatus.CLEAN or row.recheck_ms:
            await self._list(row)
            return await self._replace(row)
        listed = await self._tables.get(TABLE, spread(row.partition_key, OPEN_PARTITIONS), row.partition_key, select=("status",))
        written = await self._replace(row)
        if listed is not None:
            await self._unlist(listed)
        return written

    async def change(self, partition_key: str, change: Callable[[SyncRow], SyncRow]) -> SyncRow:
        """Read, change and write a row until nobody comes between.

        Raises
        ------
        PreconditionFailed
            Somebody did, over and over.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self.write(change(await self.read(partition_key)))
            except PreconditionFailed:
                continue
        return await self.write(change(await self.read(partition_key)))

    async def change_held(self, partition_key: str, owner: str, change: Callable[[SyncRow], SyncRow]) -> SyncRow:
        """Change a row whose lease we hold.

        Raises
        ------
        LeaseLost
            We do not hold it any more.
        """

        def checked(row: SyncRow) -> SyncRow:
            if row.lease_owner != owner:
                raise LeaseLost
            return change(row)

        return await self.change(partition_key, checked)

    async def _replace(self, row: SyncRow) -> SyncRow:
        operation: Operation = Replace(STUDY_ROW, row.properties(), row.etag) if row.etag else Create(STUDY_ROW, row.properties())
        try:
            (etag,) = await self._tables.transact(TABLE, row.partition_key, [operation])
        except (AlreadyPresent, NotPresent) as error:
            raise PreconditionFailed("The row was made or removed meanwhile.") from error
        return replace(row, etag=etag)

    # the list of open studies

    async def _list(self, row: SyncRow) -> None:
        due = max(row.next_ms, row.lease_until_ms) if row.status is SyncStatus.DIRTY else row.recheck_ms
        properties: dict[str, Scalar] = {"schema": _SCHEMA, "status": str(row.status), "first_dirty_ms": row.first_dirty_ms, "due_ms": due}
        await self._tables.upsert_many(TABLE, [(spread(row.partition_key, OPEN_PARTITIONS), row.partition_key, properties)])

    async def _unlist(self, listed: Entity) -> None:
        """Take a study off the list as it was listed before its row became clean; one listed anew meanwhile stays."""
        with suppress(PreconditionFailed, NotPresent):
            await self._tables.transact(TABLE, listed.partition_key, [Remove(listed.row_key, listed.etag)])

    async def open_rows(self) -> AsyncIterator[OpenRow]:
        """Give all studies that are not in step."""
        for number in range(len(OPEN_PARTITIONS)):
            async for page in self.open_pages(number):
                for row in page:
                    yield row

    async def open_pages(self, number: int, after: str = "") -> AsyncIterator[list[OpenRow]]:
        """Give the studies of one of the lists, a page at a time, from behind a study's partition on."""
        start = after + "!" if after else ""  # "!" sorts before all that a longer key could go on with
        async for page in self._tables.pages(TABLE, OPEN_PARTITIONS[number], start=start):
            yield [_open_row(entity) for entity in page]

    # documents

    async def documents(self, partition_key: str) -> dict[str, DocumentRow]:
        """Read what was written for a study's documents, by SOP Instance UID."""
        pages = self._tables.pages(TABLE, partition_key, start=DOCUMENT_PREFIX, stop=DOCUMENT_PREFIX + AFTER)
        rows = [DocumentRow.from_entity(e) async for page in pages for e in page]
        return {row.sop_instance_uid: row for row in rows}

    async def keep_documents(self, partition_key: str, rows: Sequence[DocumentRow]) -> None:
        """Remember what was written, or is about to be written, for documents."""
        await self._tables.upsert_many(TABLE, [(partition_key, self._document_key(row.sop_instance_uid), row.properties()) for row in rows])

    async def forget_documents(self, partition_key: str, sop_instance_uids: Sequence[str]) -> None:
        """Forget documents whose resources are gone."""
        await self._tables.remove_many(TABLE, [(partition_key, self._document_key(uid)) for uid in sop_instance_uids])

    def _document_key(self, sop_instance_uid: str) -> str:
        return DOCUMENT_PREFIX + self._key.h("instance", sop_instance_uid)

    # patients

    def patient_key(self, identity: Identity) -> str:
        """Give the partition of a patient's contributions."""
        return f"patient~{self._key.h('patient', identity.system, identity.value)}"

    async def contributions(self, patient_key: str) -> list[Contribution]:
        """Read what studies say of a patient."""
        pages = self._tables.pages(TABLE, patient_key)
        return [_contribution(entity) async for page in pages for entity in page]

    async def contribute(self, patient_key: str, contribution: Contribution) -> None:
        """Remember what a study says of its patient."""
        elements = zlib.compress(canonical(contribution.elements), 6)
        properties: dict[str, Scalar] = {"schema": _SCHEMA, "study_date": contribution.study_date, "elements": elements}
        await self._tables.upsert_many(TABLE, [(patient_key, contribution.study_key, properties)])

    async def withdraw(self, patient_key: str, study_key: str) -> None:
        """Forget what a study said of a patient that is not its patient any more."""
        await self._tables.remove_many(TABLE, [(patient_key, study_key)])

    async def durable(self) -> None:
        """Return when everything written so far survives a power cut."""
        await self._tables.durable()


def _contribution(entity: Entity) -> Contribution:
    p: Any = entity.properties
    return Contribution(entity.row_key, p["study_date"], parse(zlib.decompress(p["elements"])))


def _open_row(entity: Entity) -> OpenRow:
    p: Any = entity.properties
    return OpenRow(entity.row_key, SyncStatus(p["status"]), p["first_dirty_ms"], p["due_ms"])
