"""The store transaction on stores in memory."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from shared.dicom.frames import decode_frame_table
from shared.dicom.instance import Rules
from shared.dicomweb.store_report import Failed, FailureReason, Stored
from shared.errors import TooLarge, UnsupportedMediaType
from shared.services import receive
from shared.services.stow import _MAX_BYTES_UNDER_WAY, RefusedPart
from tests.support.counting import counting
from tests.support.dicom_builders import make_encapsulated, make_instance, new_uid
from tests.support.requests import MAX_BYTES, SmallArchive, parts, small_archive
from tests.support.stores import memory_stores

if TYPE_CHECKING:
    from shared.catalog.records import InstanceRecord

STUDY = new_uid()
SERIES = new_uid()


@pytest.fixture
async def archive() -> SmallArchive:
    return await small_archive(memory_stores())


def instance(**attributes: Any) -> bytes:
    uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES}
    return make_instance(**{**uids, **attributes})


async def store(
    archive: SmallArchive, *files: bytes | RefusedPart, rules: Rules = Rules.V2, replace: bool = False, **options: Any
) -> list[Any]:
    """Store files; give the outcomes. ``study`` is that of the path, other options those of ``parts``."""
    study = options.pop("study", None)
    result = await archive.stow.store(parts(files, **options), study_instance_uid=study, rules=rules, replace=replace)
    return list(result.outcomes)


async def record_of(archive: SmallArchive, outcome: Any) -> InstanceRecord:
    assert isinstance(outcome, Stored)
    record = await archive.reader.instance(outcome.study_instance_uid, outcome.series_instance_uid, outcome.sop_instance_uid, None)
    assert record is not None
    return record


async def stored_bytes(archive: SmallArchive, outcome: Any) -> bytes:
    return await archive.stores.blobs.read("dicom", (await record_of(archive, outcome)).blob_name)


async def instances_in(archive: SmallArchive, study_instance_uid: str) -> int:
    study = await archive.reader.study(study_instance_uid)
    return study.instance_count if study else 0


async def test_a_stored_instance_comes_back_byte_for_byte(archive: SmallArchive) -> None:
    file = instance()
    (outcome,) = await store(archive, file)
    assert isinstance(outcome, Stored)
    assert await stored_bytes(archive, outcome) == file


async def test_the_preamble_is_zeroed_and_nothing_else(archive: SmallArchive) -> None:
    file = instance()
    (outcome,) = await store(archive, b"MZ" * 64 + file[128:])
    assert await stored_bytes(archive, outcome) == bytes(128) + file[128:]


async def test_the_hash_in_the_row_is_that_of_the_stored_bytes(archive: SmallArchive) -> None:
    (outcome,) = await store(archive, b"MZ" * 64 + instance()[128:])
    record = await record_of(archive, outcome)
    assert record.sha256 == hashlib.sha256(await stored_bytes(archive, outcome)).digest()


@pytest.mark.parametrize("size", [100, 100_000, receive.WHOLE_PART_BYTES + 1_000_000])
@pytest.mark.parametrize("piece_bytes", [1000, 65_536, 5_000_000])
async def test_size_and_pieces_make_no_difference(archive: SmallArchive, size: int, piece_bytes: int) -> None:
    if size // piece_bytes > 2000:
        piece_bytes = 65_536
    file = instance(NumberOfFrames=size // 32, PixelData=bytes(size // 32 * 32), PatientName="Grün^Jörg", SpecificCharacterSet="ISO_IR 192")
    (outcome,) = await store(archive, b"\x01" * 128 + file[128:], piece_bytes=piece_bytes)
    assert isinstance(outcome, Stored)
    assert await stored_bytes(archive, outcome) == file
    record = await record_of(archive, outcome)
    assert record.size_bytes == len(file)
    assert record.sha256 == hashlib.sha256(file).digest()
    assert record.frames is not None


async def test_outcomes_stand_in_the_order_of_the_parts(archive: SmallArchive) -> None:
    first, last = instance(), instance()
    outcomes = await store(archive, first, b"not dicom", RefusedPart(), last, first)
    assert [type(o) for o in outcomes] == [Stored, Failed, Failed, Stored, Failed]
    assert [o.reason for o in outcomes if isinstance(o, Failed)] == [
        FailureReason.VALIDATION_FAILED,
        FailureReason.VALIDATION_FAILED,
        FailureReason.ALREADY_STORED,
    ]


async def test_a_request_of_foreign_parts_alone_is_of_an_unsupported_media_type(archive: SmallArchive) -> None:
    with pytest.raises(UnsupportedMediaType):
        await store(archive, RefusedPart(), RefusedPart())


async def test_instances_of_several_studies_are_stored_together(archive: SmallArchive) -> None:
    outcomes = await store(archive, *[make_instance() for _ in range(5)])
    assert [type(o) for o in outcomes] == [Stored] * 5
    for outcome in outcomes:
        assert await instances_in(archive, outcome.study_instance_uid) == 1


async def test_an_instance_of_another_study_than_the_paths_fails(archive: SmallArchive) -> None:
    outcomes = await store(archive, instance(), make_instance(), study=STUDY)
    assert isinstance(outcomes[0], Stored)
    assert outcomes[1].reason is FailureReason.STUDY_MISMATCH


async def test_a_required_attribute_that_is_missing_fails_the_instance_alone(archive: SmallArchive) -> None:
    outcomes = await store(archive, instance(SeriesInstanceUID=None), instance())
    assert outcomes[0].reason is FailureReason.VALIDATION_FAILED
    assert [p.tag for p in outcomes[0].problems] == ["0020000E"]
    assert isinstance(outcomes[1], Stored)


@pytest.mark.parametrize("rules", [Rules.V1, Rules.V2])
async def test_an_invalid_date_fails_in_v1_and_is_stored_with_a_warning_in_v2(archive: SmallArchive, rules: Rules) -> None:
    (outcome,) = await store(archive, instance(StudyDate="20231399"), rules=rules)
    assert isinstance(outcome, Failed if rules is Rules.V1 else Stored)
    assert [p.tag for p in outcome.problems] == ["00080020"]


async def test_another_patient_id_in_the_study_is_stored_with_a_warning(archive: SmallArchive) -> None:
    await store(archive, instance(PatientID="A"))
    (outcome,) = await store(archive, instance(PatientID="B"))
    assert [p.keyword for p in outcome.problems] == ["PatientID"]


async def test_replace_keeps_one_instance_and_gives_the_new_bytes(archive: SmallArchive) -> None:
    sop = new_uid()
    await store(archive, instance(SOPInstanceUID=sop))
    file = instance(SOPInstanceUID=sop, PatientName="Other^Name")
    (outcome,) = await store(archive, file, replace=True)
    assert await stored_bytes(archive, outcome) == file
    assert await instances_in(archive, STUDY) == 1


async def test_a_duplicate_says_whether_its_bytes_are_the_stored_ones(archive: SmallArchive) -> None:
    sop = new_uid()
    file = instance(SOPInstanceUID=sop)
    await store(archive, file)
    (same, other) = await store(archive, file, instance(SOPInstanceUID=sop, PatientName="Other^Name"))
    assert (same.identical, other.identical) == (True, False)


@pytest.mark.parametrize("cut_off_in", [0, 1, 2])
async def test_of_a_body_that_breaks_off_the_whole_parts_are_stored(archive: SmallArchive, cut_off_in: int) -> None:
    files = [instance() for _ in range(3)]
    result = await archive.stow.store(parts(files, cut_off_in=cut_off_in), study_instance_uid=None, rules=Rules.V2)
    assert result.cut_off
    assert [type(o) for o in result.outcomes] == [Stored] * cut_off_in


async def test_a_large_part_that_breaks_off_leaves_no_blob(archive: SmallArchive) -> None:
    file = instance(NumberOfFrames=625_000, PixelData=bytes(20_000_000))
    result = await archive.stow.store(parts([file], cut_off_in=0), study_instance_uid=None, rules=Rules.V2)
    assert (result.cut_off, list(result.outcomes)) == (True, [])
    assert [b async for page in archive.stores.blobs.list("dicom") for b in page] == []


async def test_a_refused_large_part_does_not_keep_the_next_from_being_stored(archive: SmallArchive) -> None:
    outcomes = await store(archive, b"no dicom at all " * 700_000, instance())
    assert [type(o) for o in outcomes] == [Failed, Stored]


async def test_an_instance_over_the_limit_refuses_the_request(archive: SmallArchive) -> None:
    with pytest.raises(TooLarge, match="MAX_INSTANCE_BYTES"):
        await store(archive, instance(NumberOfFrames=MAX_BYTES // 32, PixelData=bytes(MAX_BYTES)))


async def test_large_metadata_lies_beside_the_row(archive: SmallArchive) -> None:
    text = "".join(hashlib.sha256(b"%d" % i).hexdigest() for i in range(4000))
    (outcome,) = await store(archive, instance(TextValue=text))
    record = await record_of(archive, outcome)
    metadata = zlib.decompress(await archive.stores.blobs.read("metadata", record.metadata_blob_name))
    assert (record.metadata_blob, record.metadata_deflated) == (True, None)
    assert orjson.loads(metadata)["0040A160"]["Value"] == [text]


async def test_a_large_frame_table_lies_beside_the_row(archive: SmallArchive) -> None:
    frames = [bytes(2 * (i * i % 97 + 1)) for i in range(30_000)]
    file = make_encapsulated(frames, StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES)
    (outcome,) = await store(archive, file)
    record = await record_of(archive, outcome)
    table = decode_frame_table(await archive.stores.blobs.read("metadata", record.frames_blob_name))
    assert (record.frames_blob, record.frames, table.count) == (True, None, len(frames))


async def test_k_instances_cost_k_blob_writes_and_one_queue_message() -> None:
    stores, counts = counting(memory_stores())
    archive = await small_archive(stores)
    counts.clear()
    await store(archive, *[instance() for _ in range(20)])
    assert counts["put dicom"] == 20
    assert counts["send settle"] == 1


async def test_a_refused_instance_writes_no_blob() -> None:
    stores, counts = counting(memory_stores())
    archive = await small_archive(stores)
    counts.clear()
    await store(archive, instance(SOPInstanceUID=None), b"", b"DICM")
    assert counts["put dicom"] == 0


async def test_what_all_requests_together_are_writing_is_bounded() -> None:
    stores = memory_stores()

    class SlowBlobs:
        """Lets every other part begin before one is written, and counts those that have begun."""

        now = most = 0

        def __getattr__(self, name: str) -> object:
            return getattr(stores.blobs, name)

        async def put_built(self, container: str, name: str, build: Any) -> Any:
            self.now += 1
            self.most = max(self.most, self.now)
            for _ in range(200):
                await asyncio.sleep(0)
            self.now -= 1
            return await stores.blobs.put_built(container, name, build)

    blobs = SlowBlobs()
    archive = await small_archive(replace(stores, blobs=blobs))  # type: ignore[arg-type]
    requests, part = 3, b"no DICOM, but large".ljust(2 * 1024 * 1024)
    for _ in range(2):  # the second time shows that the room is given back
        blobs.most = 0
        await asyncio.gather(*[store(archive, *[part] * 20, piece_bytes=len(part)) for _ in range(requests)])
        assert 8 <= blobs.most <= _MAX_BYTES_UNDER_WAY // len(part) + requests
