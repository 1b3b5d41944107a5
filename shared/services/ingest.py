"""The inbox door: a file dropped into container ``inbox`` is stored like any other, through the same receive path.

Events are hints: they come twice, late, never or after the file was overwritten. So an event only names a blob, and
what counts is what lies there. Every read of it, and the deletion at the end, is If-Match on the ETag first seen: a
file that was overwritten meanwhile is left to its own event, or to the sweep. A file that is gone was taken.

stored, or the same bytes were stored already   the inbox blob goes
not readable, not valid, or other bytes are
stored under its UIDs                           it moves to ``inbox-rejected``, with the reason as blob metadata
storage trouble                                 it stays; the event comes again, and the sweep after it

Each file judged is one record of the audit trail, written before the file goes. Who put it there, the storage account's log knows.
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.access import Caller, DataAction
from shared.audit import AccessRecord
from shared.catalog.keys import INBOX, REJECTED
from shared.dicom.instance import Rules
from shared.dicomweb.store_report import Failed, FailureReason
from shared.errors import AlreadyPresent, ArchiveError, Busy, NotPresent, PreconditionFailed, TooLarge
from shared.services.stow import Part
from shared.telemetry.trace_context import operation_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.audit import AuditTrail
    from shared.ports import BlobInfo, Stores
    from shared.services.stow import StoreOutcome, StowService

SWEEP_AFTER = timedelta(minutes=10)
"""A file that lies in the inbox for so long is taken without an event."""

INBOX_DOOR = Caller("inbox")
"""Who stores a file of the inbox."""
_STORED, _REJECTED = 200, 409
"""What a store request would have been answered."""

_log = logging.getLogger(__name__)


class IngestService:
    """Takes files out of the inbox."""

    def __init__(self, stores: Stores, stow: StowService, audit: AuditTrail | None = None) -> None:
        self._blobs, self._clock, self._stow, self._audit = stores.blobs, stores.clock, stow, audit

    async def ingest(self, blob_name: str) -> bool:
        """Store one file of the inbox, or reject it; do nothing where it is not there any more.

        Returns
        -------
        bool
            False where it was rejected.

        Raises
        ------
        StorageFailure, Busy
            It could not be done now; the file still lies there.
        """
        info = await self._blobs.head(INBOX, blob_name)
        return info is None or await self._take(info)

    async def sweep_inbox(self) -> None:
        """Take what events did not announce: all that has lain in the inbox for ``SWEEP_AFTER``."""
        before = self._clock.now() - SWEEP_AFTER
        async for page in self._blobs.list(INBOX):
            for info in page:
                if info.modified <= before:
                    await self._take_if_possible(info)

    async def _take_if_possible(self, info: BlobInfo) -> None:
        """Take a file; where that fails now, the next sweep tries again, and the others are not kept waiting."""
        try:
            await self._take(info)
        except ArchiveError as error:
            _log.warning("a file stays in the inbox (%s)", type(error).__name__)

    async def _take(self, info: BlobInfo) -> bool:
        try:
            reason = await self._store(info)
            if reason is not None:
                await self._copy_to_rejected(info, reason)
            await self._blobs.delete(INBOX, info.name, if_match=info.etag)
        except (NotPresent, PreconditionFailed):
            _log.info("a file left the inbox, or was overwritten, while it was being read")
            return True
        return reason is None

    async def _store(self, info: BlobInfo) -> str | None:
        """Store the file; give the reason where it has to be rejected."""
        if self._audit is not None:
            self._audit.admit()
        studies: list[str] = []
        try:
            result = await self._stow.store(self._parts(info), study_instance_uid=None, rules=Rules.V2, studies=studies)
            reason = _verdict(result.outcomes[0])
        except TooLarge as error:
            reason = error.category
        if self._audit is not None:
            await self._audit.record(self._access(studies, _STORED if reason is None else _REJECTED))
        return reason

    def _access(self, studies: Sequence[str], status: int) -> AccessRecord:
        return AccessRecord(self._clock.now(), INBOX_DOOR, "ingest_blob", "", DataAction.WRITE, studies, status, operation_id(None))

    async def _parts(self, info: BlobInfo) -> AsyncIterator[Part]:
        yield Part(self._blobs.stream(INBOX, info.name, if_match=info.etag))

    async def _copy_to_rejected(self, info: BlobInfo, reason: str) -> None:
        """Copy a file to ``inbox-rejected`` under its name; where that is taken, under one that its ETag makes unique."""
        metadata = {"reason": reason}
        with suppress(AlreadyPresent):
            await self._blobs.put(REJECTED, info.name, self._content(info), metadata=metadata)
            return
        other_name = f"{info.name}.{hashlib.sha256(info.etag.encode()).hexdigest()[:12]}"
        await self._blobs.put(REJECTED, other_name, self._content(info), metadata=metadata, exclusive=False)

    def _content(self, info: BlobInfo) -> AsyncIterator[bytes]:
        return self._blobs.stream(INBOX, info.name, if_match=info.etag)


def _verdict(outcome: StoreOutcome) -> str | None:
    """Give the reason for a rejection, None where the file is stored.

    Raises
    ------
    Busy
        It was not judged: the trouble was ours.
    """
    if not isinstance(outcome, Failed) or outcome.identical:
        return None
    if outcome.reason is FailureReason.PROCESSING_FAILURE:
        raise Busy("The file could not be stored now; it stays in the inbox.")
    tags = ",".join(sorted({p.tag for p in outcome.problems if p.required}))
    return f"{outcome.reason.name} {int(outcome.reason):04X} {tags}".rstrip()
