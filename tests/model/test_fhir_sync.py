"""FHIR in step, whatever happens: random histories of an archive, of its messages, processes and FHIR server.

When all is quiet again, the FHIR server must say exactly what it would say had it been filled from the catalog in one
pass: every study, series, instance, document and patient, no duplicate, nothing left over.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from shared.fhir.json_text import digest
from shared.fhir.merging import without_server_meta
from shared.fhir.server import FhirConfiguration, FhirConflict, FhirTransient
from shared.fhir.state import SyncStatus
from tests.support.dicom_builders import make_instance
from tests.support.fake_fhir import FakeFhirServer
from tests.support.fhir_world import FhirWorld, dose_report, open_world
from tests.support.virtual_time import run_virtually

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.fhir.json_text import Resource

RUNS = int(os.environ.get("MODEL_RUNS", "40"))
STEPS = 25
STUDIES = ("1.2.1", "1.2.2", "1.2.3")
_FAULTS = (FhirTransient("down", 503), FhirTransient("lost"), FhirConflict("changed", 412), FhirConfiguration("token", 401))


@dataclass
class History:
    """One random history."""

    world: FhirWorld
    chance: random.Random

    async def run(self) -> None:
        for _ in range(STEPS):
            await self.chance.choice(
                (self.store, self.store, self.store_dose, self.delete, self.move, self.wait, self.wait, self.restart)
            )()

    async def store(self) -> None:
        study, number = self.chance.choice(STUDIES), self.chance.randint(1, 6)
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.{number % 2}", "SOPInstanceUID": f"{study}.{number % 2}.{number}"}
        said = {"StudyDescription": self.chance.choice(("A", "B")), "PatientSex": self.chance.choice(("F", "M", None))}
        await self.world.store(make_instance(**uids, **said, InstanceNumber=number, PixelData=None), replace=True)

    async def store_dose(self) -> None:
        await self.world.store(dose_report(self.chance.choice(STUDIES), PatientID=self.chance.choice(("P1", "P2"))), replace=True)

    async def delete(self) -> None:
        study = self.chance.choice(STUDIES)
        below = self.chance.choice(((), (f"{study}.1",), (f"{study}.88",), (f"{study}.1", f"{study}.1.1")))
        if await self.world.has(study, *below):
            await self.world.delete(study, *below)

    async def move(self) -> None:
        """Give what is stored of a study to another patient."""
        study = self.chance.choice(STUDIES)
        uids = {"StudyInstanceUID": study, "SeriesInstanceUID": f"{study}.0", "SOPInstanceUID": f"{study}.0.2"}
        await self.world.store(make_instance(**uids, PatientID=self.chance.choice(("P1", "P2"))), replace=True)

    async def wait(self) -> None:
        await self.world.pass_time(self.chance.choice((1, 5, 25, 70)))

    async def restart(self) -> None:
        """Kill the process in the middle of its work, and begin another."""
        working = asyncio.ensure_future(self.world.pass_time(60))
        await asyncio.sleep(self.chance.uniform(0, 30))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await self.world.restart()


def trouble(chance: random.Random, rate: float) -> Callable[[str], None]:
    def maybe(verb: str) -> None:
        if chance.random() < rate:
            raise chance.choice(_FAULTS)

    return maybe


async def quiet(world: FhirWorld) -> None:
    """End all trouble, and wait until nothing is left to do."""
    world.server.before = world.server.after = lambda verb: None
    for _ in range(20):
        await world.pass_time(120)
        if await world.in_step():
            return
    raise AssertionError("the studies never came in step")


async def rebuilt(world: FhirWorld) -> FakeFhirServer:
    """Fill an empty FHIR server from the catalog."""
    world.server = FakeFhirServer()
    await world.restart()
    for study in STUDIES:
        partition = world.partition(study)
        if await world.fhir.sync._study(partition) is None:
            continue
        await world.fhir.sync._state.change(partition, lambda row: replace(row, rebuild=True, status=SyncStatus.DIRTY, recheck_ms=0))
        await world.fhir.sync.look(partition)
    await quiet(world)
    return world.server


def told(server: FakeFhirServer) -> dict[str, str]:
    """Give what counts: all but patients whom no study has any more, and what such studies said of those who are left."""
    subjects = {study["subject"]["reference"] for study in server.all("ImagingStudy")}
    kept = [r for r in server.all() if r["resourceType"] not in {"Patient", "Device", "Endpoint"} or f"Patient/{r['id']}" in subjects]
    return {f"{r['resourceType']}/{r['id']}": digest(_lasting(r)) for r in kept}


def _lasting(resource: Resource) -> Resource:
    return {
        name: value for name, value in without_server_meta(resource).items() if (resource["resourceType"], name) != ("Patient", "gender")
    }


@pytest.mark.parametrize("seed", range(RUNS))
def test_whatever_happens_fhir_ends_as_if_filled_in_one_pass(seed: int) -> None:
    async def check() -> None:
        random.seed(seed)  # the code's own jitter
        chance = random.Random(seed)
        world = await open_world()
        world.deliveries, world.chance = chance.choice((1, 3)), chance
        world.server.versioning = chance.random() < 0.5
        rate = chance.choice((0, 0.02, 0.2))
        world.server.before, world.server.after = trouble(chance, rate), trouble(chance, rate)
        await History(world, chance).run()
        await quiet(world)
        incremental = world.server
        assert told(incremental) == told(await rebuilt(world))

    run_virtually(check())
