"""The services that keep FHIR in step, made together. Imported only where a FHIR server is configured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.services.fhir_operations import FhirOperations
from shared.services.fhir_outcomes import FhirRecords
from shared.services.fhir_preview import FhirPreview
from shared.services.fhir_requeue import FhirRequeue
from shared.services.fhir_study_reader import StudyReader
from shared.services.fhir_sync import FhirSyncService

if TYPE_CHECKING:
    from shared.catalog.cover import Cover
    from shared.catalog.keys import ArchiveKey
    from shared.catalog.reading import CatalogReader
    from shared.fhir.server import FhirServer
    from shared.fhir_settings import FhirSettings
    from shared.ports import Stores


@dataclass(frozen=True, slots=True)
class FhirServices:
    """What looks at studies, and what operators ask of it."""

    sync: FhirSyncService
    operations: FhirOperations
    requeue: FhirRequeue
    preview: FhirPreview


def make_fhir(
    stores: Stores, key: ArchiveKey, cover: Cover, reader: CatalogReader, server: FhirServer, settings: FhirSettings
) -> FhirServices:
    """Make the services of one archive and one FHIR server."""
    records, studies = FhirRecords.on(stores.tables, key), StudyReader(reader, stores.blobs)
    sync = FhirSyncService(stores, cover, server, settings, records, studies)
    return FhirServices(
        sync=sync,
        operations=FhirOperations(records, reader, server, stores.clock),
        requeue=FhirRequeue(stores, key, cover, records),
        preview=FhirPreview(stores.tables, reader, records.state, studies, sync.planner, settings),
    )
