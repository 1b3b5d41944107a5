"""An archive, its settle queue and a FHIR server in memory, in virtual time: what the synchronisation lives in."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pydicom import Dataset

from shared.catalog.keys import DEFAULT_PARTITION, SETTLE_QUEUE
from shared.dicom.instance import Rules
from shared.dicomweb.store_report import Stored
from shared.errors import ArchiveError
from shared.fhir.state import SyncStatus
from shared.fhir_settings import FhirSettings
from shared.services.archive import Archive
from shared.services.stow import Part
from shared.settings import Settings, StorageSettings
from tests.support.dicom_builders import write
from tests.support.fake_fhir import FakeFhirServer
from tests.support.sr_builders import ct_dose, ct_event
from tests.support.stores import memory_stores
from tests.support.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from shared.fhir.server import FhirServer
    from shared.ports import Message, Stores
    from shared.services.archive import Services
    from shared.services.fhir import FhirServices

FHIR = FhirSettings(
    base_url="http://fhir.example/r4",
    canonical="http://archive.example/fhir",
    patient_id_system="http://archive.example/fhir/patient-id",
    accession_system="http://archive.example/fhir/accession",
    service_root="http://archive.example/v2",
)


@dataclass
class FhirWorld:
    """Everything one test needs; time passes only in ``pass_time``.

    Attributes
    ----------
    deliveries
        How often each message is delivered, chosen at random up to so many times.
    """

    stores: Stores
    services: Services
    server: FakeFhirServer
    settings: FhirSettings
    archive: Archive
    deliveries: int = 1
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    @property
    def fhir(self) -> FhirServices:
        assert self.services.fhir is not None
        return self.services.fhir

    def partition(self, study_instance_uid: str) -> str:
        key = self.fhir.sync._state._key
        return key.study_partition(DEFAULT_PARTITION, study_instance_uid)

    async def store(self, *files: bytes, replace: bool = False) -> None:
        result = await self.services.stow.store(_parts(files), study_instance_uid=None, rules=Rules.V2, replace=replace)
        assert all(isinstance(outcome, Stored) for outcome in result.outcomes), result

    async def has(self, *uids: str) -> bool:
        """Tell whether anything is stored under these UIDs."""
        found = [page async for page in self.services.delete._reader.instances(*uids[:2])]
        return any(len(uids) < 3 or record.sop_instance_uid == uids[2] for page in found for record in page)

    async def delete(self, *uids: str) -> None:
        await self.services.delete.delete(*uids)

    async def pass_time(self, seconds: float, sweep_every: float = 300, step: float = 1) -> None:
        """Let time pass, settle messages arrive, and the sweeper come; ``step`` is how often somebody looks for messages."""
        until = asyncio.get_running_loop().time() + seconds
        due = asyncio.get_running_loop().time() + sweep_every
        while asyncio.get_running_loop().time() < until:
            await self.deliver()
            if asyncio.get_running_loop().time() >= due:
                await self.fhir.sync.sweep()
                due += sweep_every
            await asyncio.sleep(min(step, until - asyncio.get_running_loop().time()))

    async def deliver(self) -> None:
        """Deliver what is visible, as often and in whatever order chance has it."""
        messages = await self.stores.queues.receive(SETTLE_QUEUE, limit=32)
        repeated = [message for message in messages for _ in range(self.chance.randint(1, self.deliveries))]
        self.chance.shuffle(repeated)
        await asyncio.gather(*map(self._settle, repeated))
        for message in messages:
            await self.stores.queues.delete(SETTLE_QUEUE, message)

    async def _settle(self, message: Message) -> None:
        try:
            await self.services.settle.settle(message.body)
        except ArchiveError:
            await self.stores.queues.send(SETTLE_QUEUE, message.body, delay_seconds=30)

    async def restart(self) -> None:
        """Begin a new process on the same stores."""
        self.archive = _archive(self.stores, self.server, self.settings)
        self.services = await self.archive.open()
        self.use_virtual_time()

    def use_virtual_time(self) -> None:
        self.fhir.sync._cover._monotonic = asyncio.get_running_loop().time

    async def in_step(self) -> bool:
        """Tell whether nothing is left to do."""
        return all([row.status is SyncStatus.CLEAN async for row in self.fhir.sync._state.open_rows()])


async def open_world(server: FhirServer | None = None, stores: Stores | None = None, **settings: Any) -> FhirWorld:
    """Open an empty world; must run on the loop that the test runs on."""
    stores = stores or memory_stores(VirtualClock())
    chosen = replace(FHIR, **settings)
    fake: Any = server or FakeFhirServer()
    archive = _archive(stores, fake, chosen)
    world = FhirWorld(stores, await archive.open(), fake, chosen, archive)
    world.use_virtual_time()
    return world


def _archive(stores: Stores, server: FhirServer, fhir: FhirSettings) -> Archive:
    return Archive(stores, Settings(storage=StorageSettings(kind="embedded"), fhir=fhir, settle_delay_seconds=2), server)


async def _parts(files: tuple[bytes, ...]) -> AsyncIterator[Part]:
    for file in files:
        yield Part(_pieces(file))


async def _pieces(file: bytes) -> AsyncIterator[bytes]:
    yield file


def dose_report(study_instance_uid: str, events: Sequence[Any] = (), **attributes: Any) -> bytes:
    """Make a CT dose report of a study, in a series of its own."""
    uids = {
        "StudyInstanceUID": study_instance_uid,
        "SeriesInstanceUID": f"{study_instance_uid}.88",
        "SOPInstanceUID": f"{study_instance_uid}.88.1",
    }
    patient = {"PatientID": "P1", "PatientName": {"Alphabetic": "Doe^Jane"}, "PatientBirthDate": "19700101", "PatientSex": "F"}
    study = {"StudyDate": "20240102", "StudyTime": "101500", "StudyDescription": "CT HEAD", "SeriesNumber": 99, "ContentDate": "20240102"}
    own = [ct_event(1, uid=f"{study_instance_uid}.88.7.1"), ct_event(2, uid=f"{study_instance_uid}.88.7.2")]
    elements = ct_dose(events=events or own, **{**uids, **patient, **study, **attributes})
    return write(Dataset.from_json(elements))
