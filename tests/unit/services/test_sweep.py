"""The sweeper removes what no row names, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.catalog.feed import FEED_PARTITION, MARKER_PREFIX
from shared.catalog.keys import CATALOG, FEED, SETTLE_QUEUE
from shared.catalog.outbox import Action, Commit, FeedChange
from shared.dicom.instance import Rules
from shared.services import sweep
from shared.services.delete import DeleteService
from shared.services.sweep import SLICES, SweepService
from tests.support.dicom_builders import make_instance, new_uid
from tests.support.requests import SmallArchive, parts, small_archive
from tests.support.stores import memory_stores


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def archive(clock: Clock) -> SmallArchive:
    return await small_archive(memory_stores(clock))


async def store(archive: SmallArchive, *files: bytes, replace: bool = False) -> None:
    await archive.stow.store(parts(files), study_instance_uid=None, rules=Rules.V2, replace=replace)


async def sweep_all(archive: SmallArchive) -> int:
    service = SweepService(archive.stores, archive.key, archive.cover)
    return sum([await service.sweep() for _ in range(SLICES)])


async def blobs(archive: SmallArchive, container: str = "dicom") -> list[str]:
    return [b.name async for page in archive.stores.blobs.list(container) for b in page]


async def test_named_blobs_stay(archive: SmallArchive, clock: Clock) -> None:
    await store(archive, *[make_instance() for _ in range(5)])
    clock.time += timedelta(days=2)
    assert (await sweep_all(archive), len(await blobs(archive))) == (0, 5)


async def test_blobs_of_deleted_and_replaced_instances_go(archive: SmallArchive, clock: Clock) -> None:
    study, series, sop = new_uid(), new_uid(), new_uid()
    uids = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": sop}
    await store(archive, make_instance(**uids))
    await store(archive, make_instance(**uids, PatientName="New^Name"), replace=True)
    await store(archive, make_instance(StudyInstanceUID=study, SeriesInstanceUID=series))
    deleted = new_uid()
    await store(archive, make_instance(StudyInstanceUID=deleted))
    await DeleteService(archive.stores.tables, archive.reader, archive.committer).delete(deleted)
    clock.time += timedelta(days=2)
    assert (await sweep_all(archive), len(await blobs(archive))) == (2, 2)


async def test_a_refused_duplicates_blob_goes(archive: SmallArchive, clock: Clock) -> None:
    file = make_instance()
    await store(archive, file)
    await store(archive, file)
    clock.time += timedelta(days=2)
    assert (await sweep_all(archive), len(await blobs(archive))) == (1, 1)


async def test_what_is_younger_than_a_day_stays(archive: SmallArchive, clock: Clock) -> None:
    file = make_instance()
    await store(archive, file, file)
    clock.time += timedelta(hours=23)
    assert await sweep_all(archive) == 0


@pytest.mark.parametrize("metadata", [{}, {"key_id": "another", "partition": "1", "study": "1", "series": "1", "instance": "1"}])
async def test_a_blob_that_is_not_ours_stays(archive: SmallArchive, clock: Clock, metadata: dict[str, str]) -> None:
    await archive.stores.blobs.put("dicom", "00/foreign.dcm", b"x", metadata=metadata)
    clock.time += timedelta(days=2)
    assert (await sweep_all(archive), await blobs(archive)) == (0, ["00/foreign.dcm"])


async def test_it_holds_when_too_much_of_a_slice_would_go(archive: SmallArchive, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "HANDFUL", 3)
    metadata = {"key_id": archive.key.key_id, "partition": "1", "study": "1", "series": "1", "instance": "1"}
    for i in range(5):
        await archive.stores.blobs.put("dicom", f"00/{i}.dcm", b"x", metadata=metadata)
    clock.time += timedelta(days=2)
    service = SweepService(archive.stores, archive.key, archive.cover)
    assert await service.sweep() == 0
    assert (await service.state()).held
    assert await service.sweep() == 0
    monkeypatch.undo()
    await service.release()
    assert (await service.sweep(), (await service.state()).held) == (5, False)


async def test_an_outbox_that_was_left_is_settled(archive: SmallArchive, clock: Clock) -> None:
    study = new_uid()
    await store(archive, make_instance(StudyInstanceUID=study))
    partition_key = archive.reader.study_partition(study)
    left = Commit(partition_key, 7, "a", study, (FeedChange(Action.CREATE, "1", "2"),))
    await archive.stores.tables.transact(CATALOG, partition_key, [left.operation()])
    await drain(archive, clock)
    await sweep_all(archive)
    assert partition_key in (await drain(archive, clock))[0]


async def drain(archive: SmallArchive, clock: Clock) -> list[str]:
    clock.time += timedelta(minutes=5)
    messages = await archive.stores.queues.receive(SETTLE_QUEUE)
    for message in messages:
        await archive.stores.queues.delete(SETTLE_QUEUE, message)
    return [m.body for m in messages]


async def test_markers_go_after_thirty_days(archive: SmallArchive, clock: Clock) -> None:
    await store(archive, make_instance())
    clock.time += timedelta(days=29)
    await sweep_all(archive)
    assert await markers(archive) == 1
    clock.time += timedelta(days=2)
    await sweep_all(archive)
    assert await markers(archive) == 0


async def markers(archive: SmallArchive) -> int:
    pages = archive.stores.tables.pages(FEED, FEED_PARTITION, start=MARKER_PREFIX, stop=MARKER_PREFIX + "~")
    return len([e async for page in pages for e in page])
