"""An independent client, dicomweb-client, does a day's work against the running host."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from requests import HTTPError

from samples.make_sample import CT_INSTANCES, STUDY_FOLDER, US_FRAMES, ring_frame, sample_uid
from tests.support.dicom_builders import make_dataset, new_uid, write

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from tests.support.host import RunningHost

STUDY, CT, US = sample_uid("study"), sample_uid("ct"), sample_uid("us")


@pytest.fixture(scope="session")
def client(host: RunningHost) -> DICOMwebClient:
    return DICOMwebClient(url=f"{host.url}/v2")


@pytest.fixture(scope="session")
def sample(client: DICOMwebClient) -> list[Dataset]:
    """Store the sample study through the client."""
    files: list[Dataset] = [pydicom.dcmread(path) for path in sorted(STUDY_FOLDER.rglob("*.dcm"))]
    answer = client.store_instances(files)
    assert len(answer.ReferencedSOPSequence) == len(files)
    assert "FailedSOPSequence" not in answer
    return files


def test_the_client_finds_the_study(client: DICOMwebClient, sample: list[Dataset]) -> None:
    (found,) = client.search_for_studies(search_filters={"PatientID": "SAMPLE-1", "StudyDate": "20240101-20241231"})
    assert found["0020000D"]["Value"] == [STUDY]
    assert found["00201208"]["Value"] == [len(sample)]


def test_the_client_finds_series_and_instances(client: DICOMwebClient, sample: list[Dataset]) -> None:
    series = client.search_for_series(study_instance_uid=STUDY)
    assert {row["0020000E"]["Value"][0] for row in series} == {CT, US}
    assert len(client.search_for_instances(study_instance_uid=STUDY, series_instance_uid=CT)) == CT_INSTANCES


def test_the_client_pages_through_everything(client: DICOMwebClient, sample: list[Dataset]) -> None:
    found = client.search_for_instances(study_instance_uid=STUDY, limit=5, get_remaining=True)
    assert {row["00080018"]["Value"][0] for row in found} == {ds.SOPInstanceUID for ds in sample}


def test_the_client_retrieves_the_study_as_it_went(client: DICOMwebClient, sample: list[Dataset]) -> None:
    found = client.retrieve_study(STUDY, media_types=(("application/dicom", "*"),))
    assert {ds.SOPInstanceUID: ds for ds in found} == {ds.SOPInstanceUID: ds for ds in sample}


def test_the_client_iterates_over_a_series(client: DICOMwebClient, sample: list[Dataset]) -> None:
    found = list(client.iter_series(STUDY, CT, media_types=(("application/dicom", "*"),)))
    assert len(found) == CT_INSTANCES


def test_the_client_retrieves_an_instance(client: DICOMwebClient, sample: list[Dataset]) -> None:
    sent = next(ds for ds in sample if ds.SeriesInstanceUID == CT)
    assert client.retrieve_instance(STUDY, CT, sent.SOPInstanceUID) == sent


def test_the_client_retrieves_metadata(client: DICOMwebClient, sample: list[Dataset]) -> None:
    metadata = client.retrieve_study_metadata(STUDY)
    assert {pydicom.Dataset.from_json(row).SOPInstanceUID for row in metadata} == {ds.SOPInstanceUID for ds in sample}
    (one,) = client.retrieve_series_metadata(STUDY, US)
    assert one["00280008"]["Value"] == [US_FRAMES]


def test_the_client_retrieves_native_frames(client: DICOMwebClient, sample: list[Dataset]) -> None:
    sent = next(ds for ds in sample if ds.SeriesInstanceUID == CT)
    (frame,) = client.retrieve_instance_frames(STUDY, CT, sent.SOPInstanceUID, [1], media_types=("application/octet-stream",))
    assert frame == sent.PixelData


def test_the_client_retrieves_compressed_frames(client: DICOMwebClient, sample: list[Dataset]) -> None:
    instance = next(ds.SOPInstanceUID for ds in sample if ds.SeriesInstanceUID == US)
    numbers = [US_FRAMES, 1]
    frames = client.retrieve_instance_frames(STUDY, US, instance, numbers, media_types=(("image/dicom-rle", "1.2.840.10008.1.2.5"),))
    for number, frame in zip(numbers, frames, strict=True):
        assert np.array_equal(decoded(frame), ring_frame(number - 1))


def decoded(frame: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Undo RLE of one segment, by pydicom rather than by code of ours."""
    ds = pydicom.dcmread(STUDY_FOLDER / "us" / "01.dcm")
    ds.NumberOfFrames = 1
    ds.PixelData = pydicom.encaps.encapsulate([frame])
    return ds.pixel_array


def test_the_client_deletes_what_it_stored(client: DICOMwebClient) -> None:
    study, series = new_uid(), new_uid()
    both = [pydicom.dcmread(io.BytesIO(write(make_dataset(StudyInstanceUID=study, SeriesInstanceUID=series)))) for _ in range(2)]
    client.store_instances(both)
    client.delete_instance(study, series, both[0].SOPInstanceUID)
    assert len(client.search_for_instances(study_instance_uid=study)) == 1
    client.delete_study(study)
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study}) == []
    with pytest.raises(HTTPError) as caught:
        client.retrieve_study_metadata(study)
    assert caught.value.response.status_code == 404
