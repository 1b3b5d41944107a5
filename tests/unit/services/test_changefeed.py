"""The change feed's cost; its answers are tested through the composed app."""

from __future__ import annotations

import json

import pytest

from tests.support.archive import open_archive
from tests.support.dicom_builders import make_instance, new_uid


@pytest.mark.parametrize("include_metadata", [True, False])
async def test_a_page_costs_one_read_of_events_and_one_row_for_each(include_metadata: bool) -> None:
    archive, study = await open_archive(), new_uid()
    await archive.store(*[make_instance(StudyInstanceUID=study) for _ in range(20)])
    entries = json.loads(await archive.services.changefeed.read_sequence(0, 20, include_metadata=include_metadata))
    assert len(entries) == 20
    assert archive.counts == {"page feed": 1, "get catalog": 20}


async def test_the_newest_event_costs_three_reads() -> None:
    archive = await open_archive()
    await archive.store(make_instance())
    entry = json.loads(await archive.services.changefeed.latest(include_metadata=True) or b"{}")
    assert (entry["sequence"], entry["state"]) == (1, "Current")
    assert archive.counts == {"get feed": 2, "get catalog": 1}
