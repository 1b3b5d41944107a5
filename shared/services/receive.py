"""Receiving one instance: parse, check, hash, write its blob under a new name. Not: committing it.

A part of a few megabytes is taken whole and handed to a thread once, which does everything. A larger one streams
to storage while it is hashed and its frames are found; only its header is held. Either way the only bytes we
change are the 128 of the preamble (PS3.10 7.1 "DICOM File Meta Information"), which become zeros: they may hold
a program, and nothing in DICOM.

A blob that no commit names is nobody's: the sweeper takes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from shared.catalog.changes import StoreInstance
from shared.catalog.feed import to_ms
from shared.catalog.keys import DEFAULT_PARTITION, DICOM, METADATA, ArchiveKey
from shared.catalog.records import MAX_INLINE_FRAMES, MAX_INLINE_METADATA, InstanceRecord, join_elements
from shared.dicom.frames import FrameScanner, FrameTable, build_frame_table
from shared.dicom.header import MAX_HEADER_BYTES
from shared.dicom.instance import NeedMoreBytes, ParsedInstance, Problem, Rules, parse_instance
from shared.dicomweb.store_report import Failed, FailureReason
from shared.errors import InvalidDicom, TooLarge
from shared.ports import BuiltBlob, Piece, Stores
from shared.services.ulid import blob_name, new_ulid

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence

WHOLE_PART_BYTES = 4 * 1024 * 1024
"""Parts up to this size are held in memory; larger ones stream."""
_HASH_BYTES = 1024 * 1024
_ZLIB_LEVEL = 1  # level 6 costs two to three times as much for an eighth less
_PREAMBLE = bytes(128)


@dataclass(frozen=True, slots=True)
class Received:
    """An instance whose blob is written, ready to be committed."""

    change: StoreInstance
    problems: tuple[Problem, ...]
    multivalued: bool

    @property
    def record(self) -> InstanceRecord:
        """The row to be."""
        return self.change.record


@dataclass(frozen=True, slots=True)
class Terms:
    """What a store request says about all its instances.

    ``began`` is the time of the request in Unix seconds: no blob of it is older.
    """

    rules: Rules
    replace: bool
    study_instance_uid: str | None
    began: float


Reception: TypeAlias = Received | Failed


class Receiver:
    """Takes instances in and writes their blobs."""

    def __init__(self, stores: Stores, key: ArchiveKey, max_instance_bytes: int, data_partition: str = DEFAULT_PARTITION) -> None:
        self._blobs, self._clock = stores.blobs, stores.clock
        self._key, self._max_bytes, self._data_partition = key, max_instance_bytes, data_partition

    async def receive_whole(self, pieces: Sequence[Piece], terms: Terms) -> Reception:
        """Take in an instance that is in memory."""
        name = self._new_name()

        def build() -> tuple[BuiltBlob | None, tuple[Reception, _Parts | None]]:
            content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            parsed = parse_instance(content, rules=terms.rules)
            refusal = _refusal(parsed, terms)
            if refusal is not None:
                return None, (refusal, None)
            stored = _without_preamble(content)
            digest = hashlib.sha256()
            for piece in stored:
                digest.update(piece)
            parts = _Parts(zlib.compress(parsed.metadata, _ZLIB_LEVEL), _encoded(build_frame_table(parsed, content)))
            received = self._received(parsed, terms, name, len(content), digest.digest(), parts)
            return BuiltBlob(stored, self._owner(parsed)), (received, parts)

        reception, parts = await self._blobs.put_built(DICOM, name, build)
        if isinstance(reception, Received) and parts is not None:
            await self._put_large(reception.record, parts)
        return reception

    async def receive_stream(self, head: list[Piece], rest: AsyncIterator[Piece], terms: Terms) -> Reception:
        """Take in an instance of which the first pieces were read and others follow; ``head`` is emptied."""
        prefix, parsed = await self._read_header(head, rest, terms.rules)
        refusal = _refusal(parsed, terms)
        if refusal is not None:
            return refusal
        name = self._new_name()
        flow, stream = _Flow(parsed, self._max_bytes), [prefix]
        del prefix
        await self._blobs.put(DICOM, name, flow.run(stream, rest), metadata=self._owner(parsed))
        parts = _Parts(await asyncio.to_thread(zlib.compress, parsed.metadata, _ZLIB_LEVEL), _encoded(flow.frames()))
        received = self._received(parsed, terms, name, flow.size, flow.digest(), parts)
        await self._put_large(received.record, parts)
        return received

    async def _read_header(self, head: list[Piece], rest: AsyncIterator[Piece], rules: Rules) -> tuple[bytes, ParsedInstance]:
        """Read on, doubling, until the header is whole; the parser's own limit ends it."""
        prefix = b"".join(head)
        head.clear()
        while len(prefix) <= MAX_HEADER_BYTES + WHOLE_PART_BYTES:
            try:
                return prefix, await asyncio.to_thread(parse_instance, prefix, rules=rules, complete=False)
            except NeedMoreBytes:
                more = await _read_up_to(rest, len(prefix))
            if not more:
                return prefix, await asyncio.to_thread(parse_instance, prefix, rules=rules)
            prefix = b"".join((prefix, *more))
        raise InvalidDicom(f"What comes before the pixel data must have at most {MAX_HEADER_BYTES} bytes.")

    async def skip(self, rest: AsyncIterator[Piece]) -> None:
        """Read what is left of an instance that is not taken in."""
        size = 0
        async for piece in rest:
            size += len(piece)
            check_size(size, self._max_bytes)

    async def _put_large(self, record: InstanceRecord, parts: _Parts) -> None:
        """Write metadata and frame table to blobs of their own where they are too big for the row."""
        owner = self._owner(record)
        if record.metadata_blob:
            await self._blobs.put(METADATA, record.metadata_blob_name, parts.metadata, metadata=owner)
        if record.frames_blob and parts.frames is not None:
            await self._blobs.put(METADATA, record.frames_blob_name, parts.frames, metadata=owner)

    def _new_name(self) -> str:
        return blob_name(new_ulid(to_ms(self._clock.now())))

    def _owner(self, parsed: ParsedInstance | InstanceRecord) -> dict[str, str]:
        """Say whose blob it is: the sweeper reads the instance row that this points to."""
        return {
            "partition": self._data_partition,
            "study": parsed.study_instance_uid,
            "series": parsed.series_instance_uid,
            "instance": parsed.sop_instance_uid,
            "key_id": self._key.key_id,
        }

    def _received(self, parsed: ParsedInstance, terms: Terms, name: str, size: int, sha256: bytes, parts: _Parts) -> Received:
        metadata_blob, frames_blob = len(parts.metadata) > MAX_INLINE_METADATA, len(parts.frames or b"") > MAX_INLINE_FRAMES
        record = InstanceRecord(
            study_instance_uid=parsed.study_instance_uid,
            series_instance_uid=parsed.series_instance_uid,
            sop_instance_uid=parsed.sop_instance_uid,
            sop_class_uid=parsed.sop_class_uid,
            transfer_syntax_uid=parsed.transfer_syntax_uid,
            blob_name=name,
            size_bytes=size,
            sha256=sha256,
            created_ms=to_ms(self._clock.now()),
            attributes=join_elements(parsed.instance_attributes),
            metadata_deflated=None if metadata_blob else parts.metadata,
            metadata_blob=metadata_blob,
            frames=None if frames_blob else parts.frames,
            frames_blob=frames_blob,
        )
        change = StoreInstance(record, parsed.study_attributes, parsed.series_attributes, terms.replace, terms.began)
        return Received(change, parsed.problems, parsed.multivalued)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What lies in the row, or beside it where it is large: deflated metadata and the frame table."""

    metadata: bytes
    frames: bytes | None


class _Flow:
    """Hashes a large instance and finds its frames while it streams to storage."""

    def __init__(self, parsed: ParsedInstance, max_bytes: int) -> None:
        self._scanner, self._hash, self._max_bytes = FrameScanner(parsed), hashlib.sha256(), max_bytes
        self.size = 0

    async def run(self, beginning: list[bytes], rest: AsyncIterable[Piece]) -> AsyncIterator[Piece]:
        """Give the file's pieces on; ``beginning`` is emptied, so that it does not stay in memory to the end."""
        for piece in _without_preamble(beginning.pop()):
            yield await self._take(piece)
        gathered: list[Piece] = []
        async for piece in rest:
            gathered.append(piece)
            if sum(map(len, gathered)) >= _HASH_BYTES:
                yield await self._take(b"".join(gathered))
                gathered.clear()
        if gathered:
            yield await self._take(b"".join(gathered))

    async def _take(self, piece: Piece) -> Piece:
        self.size += len(piece)
        check_size(self.size, self._max_bytes)
        await asyncio.to_thread(self._digest, piece)
        return piece

    def _digest(self, piece: Piece) -> None:
        self._hash.update(piece)
        self._scanner.feed(piece)

    def digest(self) -> bytes:
        return self._hash.digest()

    def frames(self) -> FrameTable | None:
        return self._scanner.finish()


def check_size(size_bytes: int, max_bytes: int) -> None:
    """Refuse an instance over the limit.

    Raises
    ------
    TooLarge
        It has more bytes than ``MAX_INSTANCE_BYTES`` allows.
    """
    if size_bytes > max_bytes:
        raise TooLarge(f"An instance may have at most {max_bytes} bytes (MAX_INSTANCE_BYTES).")


def _refusal(parsed: ParsedInstance, terms: Terms) -> Failed | None:
    """Say why an instance that could be read is not stored."""
    required = tuple(p for p in parsed.problems if p.required)
    uids, study = (parsed.sop_class_uid or None, parsed.sop_instance_uid or None), parsed.study_instance_uid
    if required:
        return Failed(FailureReason.VALIDATION_FAILED, *uids, required, study_instance_uid=study or None)
    if terms.study_instance_uid is not None and study != terms.study_instance_uid:
        return Failed(FailureReason.STUDY_MISMATCH, *uids, study_instance_uid=study)
    return None


def _without_preamble(content: Piece) -> tuple[Piece, ...]:
    """Give the pieces of a file with its preamble zeroed; nothing is copied."""
    if bytes(content[128:132]) != b"DICM":
        return (content,)
    return (_PREAMBLE, memoryview(content)[128:])


def _encoded(frames: FrameTable | None) -> bytes | None:
    return frames.encode() if frames is not None else None


async def _read_up_to(rest: AsyncIterator[Piece], wanted: int) -> list[Piece]:
    """Read at least ``wanted`` bytes, less where the stream ends."""
    pieces: list[Piece] = []
    got = 0
    while got < wanted:
        piece = await anext(rest, None)
        if piece is None:
            break
        pieces.append(piece)
        got += len(piece)
    return pieces
