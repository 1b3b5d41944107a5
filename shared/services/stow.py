"""Store (STOW-RS): take in the instances of a request, commit them study by study, report on each.

References
----------
PS3.18 10.5 "Store Transaction".
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from shared.catalog.changes import Outcome, Result
from shared.catalog.commit_plan import encoded_bytes
from shared.dicom.instance import Problem, Rules
from shared.dicomweb.store_report import Failed, FailureReason, Stored, failure_reason
from shared.errors import ArchiveError, Busy, StorageFailure, TooLarge, UnsupportedMediaType
from shared.services.receive import WHOLE_PART_BYTES, Received, Receiver, Reception, Terms, check_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from shared.catalog.keys import ArchiveKey
    from shared.catalog.studies import Committer
    from shared.ports import Piece, Stores

_MAX_BYTES_UNDER_WAY = 32 * 1024 * 1024
_MAX_PARTS_UNDER_WAY = 32
_MAX_UNCOMMITTED_BYTES = 64 * 1024 * 1024
_PATIENT_DIFFERS = Problem("00100020", "PatientID", "differs from the Patient ID that the study has", required=False)

_log = logging.getLogger(__name__)


class BodyCutOff(ArchiveError):
    """The request's body ended early; the parts that came whole count."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a request, read once, from start to end."""

    pieces: AsyncIterator[Piece]


@dataclass(frozen=True, slots=True)
class RefusedPart:
    """A part that the protocol refuses (a foreign media type): it counts as a failed instance."""


StoreOutcome: TypeAlias = Stored | Failed


@dataclass(frozen=True, slots=True)
class StoreResult:
    """What became of each part, in their order; ``cut_off``: the body ended early."""

    outcomes: Sequence[StoreOutcome]
    cut_off: bool = False


class StowService:
    """The store transaction."""

    def __init__(self, stores: Stores, key: ArchiveKey, committer: Committer, max_instance_bytes: int) -> None:
        self._stores, self._committer, self._max_bytes = stores, committer, max_instance_bytes
        self._receiver = Receiver(stores, key, max_instance_bytes)
        self._load = _Load()

    async def store(
        self,
        parts: AsyncIterator[Part | RefusedPart],
        *,
        study_instance_uid: str | None,
        rules: Rules,
        replace: bool = False,
        studies: list[str] | None = None,
    ) -> StoreResult:
        """Store the instances of a request.

        Parameters
        ----------
        parts
            The parts, each read to its end before the next is asked for. ``BodyCutOff`` raised by it, or by a
            part's own iterator, ends the body: what came whole is stored.
        study_instance_uid
            The study in the request's path; instances of others fail.
        rules
            How strictly instances are checked.
        replace
            Whether instances already stored are replaced (PUT) or fail as duplicates.
        studies
            Filled with what the instances call their studies, those too that fail, and where the request fails: for the audit trail.

        Raises
        ------
        TooLarge
            An instance is over the limit.
        UnsupportedMediaType
            There are parts, and none of them is DICOM. One among others fails alone.
        Busy
            Storage did not take any instance; the same request may succeed later.
        """
        terms = Terms(rules, replace, study_instance_uid, self._stores.clock.now().timestamp())
        intake = _Intake(self._receiver, self._committer, terms, self._max_bytes, self._load, [] if studies is None else studies)
        cut_off = False
        try:
            async for part in parts:
                await intake.take(part)
        except BodyCutOff:
            cut_off = True
        except BaseException:
            intake.abandon()
            raise
        if intake.only_refused_parts:
            raise UnsupportedMediaType("The parts of a store request must be application/dicom; none is.")
        outcomes = await intake.finish()
        await self._stores.tables.durable()
        return StoreResult(outcomes, cut_off)


@dataclass(slots=True)
class _Slot:
    """The place of one part among the outcomes."""

    size: int = 0
    reception: Reception | None = None
    error: ArchiveError | None = None
    outcome: StoreOutcome | None = None


@dataclass(slots=True)
class _Load:
    """What all requests of this process are writing at the moment."""

    bytes_under_way: int = 0


@dataclass(slots=True)
class _Intake:
    """The parts of one request: those being written, those to be committed."""

    receiver: Receiver
    committer: Committer
    terms: Terms
    max_bytes: int
    load: _Load
    studies: list[str]
    slots: list[_Slot] = field(default_factory=list)
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    one_ended: asyncio.Event = field(default_factory=asyncio.Event)
    uncommitted_bytes: int = 0
    refused: int = 0

    @property
    def only_refused_parts(self) -> bool:
        return self.refused > 0 and self.refused == len(self.slots)

    async def take(self, part: Part | RefusedPart) -> None:
        if isinstance(part, RefusedPart):
            self.refused += 1
            self.slots.append(_Slot(outcome=Failed(FailureReason.VALIDATION_FAILED)))
            return
        head, whole = await self._read_head(part)
        slot = _Slot(sum(map(len, head)))
        if whole:
            self._start(slot, partial(self.receiver.receive_whole, head, self.terms))
            await self._make_room()
        else:
            await self._receive(slot, partial(self.receiver.receive_stream, head, part.pieces, self.terms))
            await self.receiver.skip(part.pieces)
        self.slots.append(slot)
        if self.uncommitted_bytes > _MAX_UNCOMMITTED_BYTES:
            await self._commit()

    def _start(self, slot: _Slot, receive: Callable[[], Awaitable[Reception]]) -> None:
        task = asyncio.ensure_future(self._receive(slot, receive))
        self.under_way.add(task)
        self.load.bytes_under_way += slot.size

        def end(task: asyncio.Task[None]) -> None:
            self.under_way.discard(task)
            self.load.bytes_under_way -= slot.size
            self.one_ended.set()

        task.add_done_callback(end)

    async def _read_head(self, part: Part) -> tuple[list[Piece], bool]:
        """Read a part up to what is held in memory; tell whether that was all of it."""
        pieces: list[Piece] = []
        size = 0
        async for piece in part.pieces:
            pieces.append(piece)
            size += len(piece)
            check_size(size, self.max_bytes)
            if size > WHOLE_PART_BYTES:
                return pieces, False
        return pieces or [b""], True

    async def _receive(self, slot: _Slot, receive: Callable[[], Awaitable[Reception]]) -> None:
        """Receive one instance. Whatever goes wrong with it is its own outcome, and the others go on."""
        try:
            slot.reception = await receive()
        except (BodyCutOff, TooLarge):
            raise
        except ArchiveError as error:
            slot.error = error
            slot.reception = Failed(failure_reason(error))
        except Exception as error:  # noqa: BLE001 - one instance must not fail the others: reported as a processing failure
            _log.error("receiving an instance failed", extra={"error": type(error).__name__})
            slot.reception = Failed(FailureReason.PROCESSING_FAILURE)
        self._note_study(slot.reception)
        if isinstance(slot.reception, Received):
            self.uncommitted_bytes += encoded_bytes(slot.reception.change)

    def _note_study(self, reception: Reception) -> None:
        study = reception.record.study_instance_uid if isinstance(reception, Received) else reception.study_instance_uid
        if study and (not self.studies or self.studies[-1] != study):
            self.studies.append(study)

    async def _make_room(self) -> None:
        """Wait for one of our own parts while much is under way; so a request always has one, and none waits for another's."""
        while self.under_way and (len(self.under_way) > _MAX_PARTS_UNDER_WAY or self.load.bytes_under_way > _MAX_BYTES_UNDER_WAY):
            self.one_ended.clear()
            await self.one_ended.wait()

    def abandon(self) -> None:
        for task in self.under_way:
            task.cancel()

    async def finish(self) -> list[StoreOutcome]:
        if self.under_way:
            await asyncio.wait(list(self.under_way))
        await self._commit()
        outcomes = [s.outcome for s in self.slots if s.outcome is not None]
        busy = [s.error for s in self.slots if isinstance(s.error, Busy | StorageFailure)]
        if busy and len(busy) == len(self.slots):
            raise busy[0]
        return outcomes

    async def _commit(self) -> None:
        """Commit the received instances, all studies at once; the outcome of the others is known."""
        self.uncommitted_bytes = 0
        ready: list[tuple[_Slot, Received]] = []
        for slot in self.slots:
            if slot.outcome is None and isinstance(slot.reception, Received):
                ready.append((slot, slot.reception))
            elif isinstance(slot.reception, Failed):
                slot.outcome = slot.reception
        ready.sort(key=lambda pair: pair[1].record.study_instance_uid)
        studies = [(study, list(pairs)) for study, pairs in groupby(ready, key=lambda pair: pair[1].record.study_instance_uid)]
        submitted = [self.committer.submit(study, [r.change for _, r in pairs]) for study, pairs in studies]
        results = [await submitted[0]] if len(submitted) == 1 else await asyncio.gather(*submitted)
        for (_, pairs), of_study in zip(studies, results, strict=True):
            for (slot, received), result in zip(pairs, of_study, strict=True):
                slot.error = result if isinstance(result, ArchiveError) else None
                slot.outcome = _outcome(received, result)
                slot.reception = None


def _outcome(received: Received, result: Result | ArchiveError) -> StoreOutcome:
    record = received.record
    if isinstance(result, ArchiveError):
        return Failed(failure_reason(result), record.sop_class_uid, record.sop_instance_uid)
    if result.outcome is Outcome.DUPLICATE:
        return Failed(FailureReason.ALREADY_STORED, record.sop_class_uid, record.sop_instance_uid, identical=result.identical)
    problems = (*received.problems, _PATIENT_DIFFERS) if result.patient_differs else received.problems
    uids = (record.study_instance_uid, record.series_instance_uid, record.sop_instance_uid)
    return Stored(*uids, record.sop_class_uid, problems, received.multivalued)
