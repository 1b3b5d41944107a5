"""What the synchronisation costs in storage requests: these are counted, and carry over to Azure."""

from __future__ import annotations

import asyncio

from tests.support.counting import counting
from tests.support.fhir_studies import QUIET, STUDY, image, virtually
from tests.support.fhir_world import dose_report, open_world
from tests.support.stores import memory_stores
from tests.support.virtual_time import VirtualClock


@virtually
async def test_a_look_at_a_study_in_step_costs_three_point_reads() -> None:
    stores, counts = counting(memory_stores(VirtualClock()))
    world = await open_world(stores=stores)
    await world.store(image(AccessionNumber=None))
    await world.pass_time(QUIET)
    counts.clear()
    await world.fhir.sync.look(world.partition(STUDY))
    assert dict(counts) == {"get catalog": 1, "get fhirsync": 1, "get jobs": 1}


@virtually
async def test_writing_a_study_costs_the_same_whatever_the_number_of_its_instances() -> None:
    spent = []
    for instances in (1, 50):
        stores, counts = counting(memory_stores(VirtualClock()))
        world = await open_world(stores=stores)
        await world.store(*[image(number, AccessionNumber=None) for number in range(1, instances + 1)])
        await asyncio.sleep(30)
        counts.clear()
        await world.fhir.sync.look(world.partition(STUDY))
        spent.append(dict(counts))
    assert spent[0] == spent[1]
    assert sum(spent[0].values()) <= 32


@virtually
async def test_a_document_costs_two_more_writes() -> None:
    spent = []
    for files in ([image(AccessionNumber=None)], [image(AccessionNumber=None), dose_report(STUDY)]):
        stores, counts = counting(memory_stores(VirtualClock()))
        world = await open_world(stores=stores)
        await world.store(*files)
        await asyncio.sleep(30)
        counts.clear()
        await world.fhir.sync.look(world.partition(STUDY))
        spent.append(counts["upsert fhirsync"])
    assert spent[1] - spent[0] == 2
