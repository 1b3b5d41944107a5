"""All services of one archive, made when its key has been read: at the first request, not at import."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.catalog.archive_key import load_archive_key
from shared.catalog.cover import Cover
from shared.catalog.feed import FeedReader
from shared.catalog.publisher import FeedPublisher
from shared.catalog.reading import CatalogReader
from shared.catalog.studies import Committer
from shared.errors import Busy
from shared.services.changefeed import ChangeFeedService
from shared.services.delete import DeleteService
from shared.services.frames import FramesService
from shared.services.health import HealthService
from shared.services.ingest import IngestService
from shared.services.metadata import MetadataService
from shared.services.observe import ObservationService
from shared.services.qido import QidoService
from shared.services.settle import SettleService
from shared.services.stow import StowService
from shared.services.sweep import SweepService
from shared.services.wado import WadoService

if TYPE_CHECKING:
    from shared.audit import AuditTrail
    from shared.catalog.keys import ArchiveKey
    from shared.fhir.server import FhirServer
    from shared.ports import Stores
    from shared.services.fhir import FhirServices
    from shared.services.fhir_operations import FhirOperations
    from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """One service for each transaction, all on the same stores."""

    stow: StowService
    qido: QidoService
    wado: WadoService
    metadata: MetadataService
    frames: FramesService
    delete: DeleteService
    changefeed: ChangeFeedService
    ingest: IngestService
    settle: SettleService
    sweep: SweepService
    fhir: FhirServices | None


class Archive:
    """Opens the archive once for this process."""

    def __init__(self, stores: Stores, settings: Settings, fhir: FhirServer | None = None, audit: AuditTrail | None = None) -> None:
        self._stores, self._settings, self._fhir, self._audit = stores, settings, fhir, audit
        self._services: Services | None = None
        self._opening = asyncio.Lock()
        checks = {"archive": self._check_self} | ({"fhir": self._check_fhir} if self._has_fhir else {})
        checks |= {"audit": audit.check} if audit is not None else {}
        self.health = HealthService(stores, checks)
        self.observation = ObservationService(stores, settings.settle_delay_seconds, self.health, self._fhir_operations)

    async def open(self) -> Services:
        """Give the services; the first call reads the archive's key.

        Raises
        ------
        NotConfigured
            The stores hold data that this archive cannot be: the next call looks again.
        StorageFailure
            Storage cannot be reached: the next call tries again.
        """
        if self._services is None:
            async with self._opening:
                if self._services is None:
                    self._services = self._make(await load_archive_key(self._stores))
        return self._services

    async def _check_self(self) -> None:
        """Say what keeps the archive from working although its stores are there."""
        services = await self.open()
        if (await services.sweep.state()).held:
            raise Busy("the sweeper holds, as too many blobs are named by no row; an operator has to look")

    @property
    def _has_fhir(self) -> bool:
        return self._fhir is not None and self._settings.fhir is not None

    async def _check_fhir(self) -> None:
        """Say what keeps FHIR from being kept in step."""
        operations = await self._fhir_operations()
        if operations is not None:
            await operations.check()

    async def _fhir_operations(self) -> FhirOperations | None:
        fhir = (await self.open()).fhir
        return fhir.operations if fhir else None

    def _make(self, key: ArchiveKey) -> Services:
        stores, settings = self._stores, self._settings
        cover = Cover(stores.queues, settings.settle_delay_seconds)
        publisher = FeedPublisher(stores.tables, stores.clock)
        committer = Committer(stores, key, publisher, cover)
        reader = CatalogReader(stores.tables, key)
        stow = StowService(stores, key, committer, settings.max_instance_bytes)
        metadata = MetadataService(reader, stores.blobs)
        fhir = self._make_fhir(key, cover, reader)
        sync = fhir.sync if fhir else None
        return Services(
            stow=stow,
            qido=QidoService(stores, key),
            wado=WadoService(reader, stores.blobs),
            metadata=metadata,
            frames=FramesService(reader, stores.blobs),
            delete=DeleteService(stores.tables, reader, committer),
            changefeed=ChangeFeedService(FeedReader(stores.tables), reader, metadata),
            ingest=IngestService(stores, stow, self._audit),
            settle=SettleService(stores.tables, publisher, cover, sync),
            sweep=SweepService(stores, key, cover, fhir=sync),
            fhir=fhir,
        )

    def _make_fhir(self, key: ArchiveKey, cover: Cover, reader: CatalogReader) -> FhirServices | None:
        if self._fhir is None or self._settings.fhir is None:
            return None
        from shared.services.fhir import make_fhir  # noqa: PLC0415 -- the mapping costs a cold start, and many have no FHIR server

        return make_fhir(self._stores, key, cover, reader, self._fhir, self._settings.fhir)
