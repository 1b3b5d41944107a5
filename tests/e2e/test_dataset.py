"""Every file of the shared data set, where it is present: taken or refused as expected, and back as it went."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pydicom
import pytest
from pydicom.errors import InvalidDicomError

from shared.dicom.uids import is_valid_uid
from tests.support.dataset import ManifestRow, manifest
from tests.support.dicomweb import AS_STORED, Caller, received_parts

if TYPE_CHECKING:
    from tests.support.host import RunningHost

BROKEN = {"fo-dicom/GH179B.dcm"}
"""The length of Pixel Padding Value (0028,0120) runs into what follows; pydicom reads over it."""

REFERENCED, RETRIEVE_URL = "00081199", "00081190"
STORED, REFUSED = {200, 202}, {409}


@pytest.fixture(scope="session")
def service(host: RunningHost) -> Caller:
    return Caller(host.url)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.file) for row in manifest()])
def test_a_file_of_the_data_set_is_stored_or_refused_as_expected(service: Caller, row: ManifestRow) -> None:
    """Replacing, for several files of the data set carry the same UIDs."""
    data = row.path.read_bytes()
    response = service.store(data, method="PUT")
    assert response.status_code in expected_statuses(row, data)
    assert row.expect != "warn" or response.status_code == 202 or "Warning" in response.headers
    if response.status_code in STORED:
        url = response.json()[REFERENCED]["Value"][0][RETRIEVE_URL]["Value"][0]
        (part,) = received_parts(service.get(url.removeprefix(f"{service.root}/v2"), AS_STORED))
        assert part.content[128:] == data[128:]


def expected_statuses(row: ManifestRow, data: bytes) -> set[int]:
    """Give what the manifest expects; where it leaves that open, a file with its four UIDs is stored."""
    expected = {"store": {200}, "warn": STORED, "reject": REFUSED, "either": STORED | REFUSED}
    if row.file in BROKEN or row.notes.startswith("pydicom:"):
        return STORED | REFUSED
    return expected.get(row.expect) or (STORED if has_its_uids(data) else REFUSED)


def has_its_uids(data: bytes) -> bool:
    """Let pydicom judge."""
    try:
        ds = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    except InvalidDicomError:
        return False
    keywords = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    return all(is_valid_uid(str(ds.get(keyword) or "")) for keyword in keywords)
