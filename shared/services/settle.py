"""Finishing what a commit began: publish what is left in a study's outbox, then bring FHIR in step. Not: when to retry (the queue's)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from shared.catalog.cover import Cover, decode_settle_message
from shared.errors import Busy, InvalidRequest, StorageFailure

if TYPE_CHECKING:
    from shared.catalog.publisher import FeedPublisher
    from shared.ports import TableStore
    from shared.services.fhir_sync import FhirSyncService

_log = logging.getLogger(__name__)


class SettleService:
    """Handles settle messages."""

    def __init__(self, tables: TableStore, publisher: FeedPublisher, cover: Cover, fhir: FhirSyncService | None = None) -> None:
        self._tables, self._publisher, self._cover, self._fhir = tables, publisher, cover, fhir

    async def settle(self, body: str) -> bool:
        """Publish until the study's outbox reads empty; where that fails, send a delayed successor. Then look whether FHIR is in step.

        Returns
        -------
        bool
            Whether all of the study's changes are in the feed.

        Raises
        ------
        InvalidRequest
            The message is not ours.
        StorageFailure, Busy
            The successor could not be sent either, or FHIR not looked at: the queue delivers this message again.
        """
        partition_key, next_ms = decode_settle_message(body)
        published = await self._publish(partition_key)
        if self._fhir is not None:
            await self._fhir.look(partition_key, next_ms)
        await self._tables.durable()
        return published

    async def _publish(self, partition_key: str) -> bool:
        try:
            while await self._publisher.publish_outbox(partition_key):
                pass
        except (StorageFailure, Busy) as error:
            _log.warning("settling is put off", extra={"error": type(error).__name__})
            await self._cover.send(partition_key)
            return False
        return True

    async def revive(self, body: str) -> None:
        """Send a settle message that ended in the poison queue again; one that is not ours is dropped."""
        try:
            partition_key, _ = decode_settle_message(body)
        except InvalidRequest:
            _log.error("a foreign message in the settle queue was dropped")
            return
        await self._cover.send(partition_key)
        await self._tables.durable()
