"""Search: PS3.18 10.6 "Search Transaction", and the contract of both API versions. Ids begin with the section."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.dicom_builders import make_instance, new_uid
from tests.support.dicomweb import DICOM_JSON, Caller, SentInstance

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"


@dataclass(frozen=True)
class Archive:
    """Three studies of one patient whose identifiers nobody else has; ``mark`` is part of each."""

    mark: str
    head: SentInstance
    head_mr: SentInstance
    chest: SentInstance
    undated: SentInstance

    def fill(self, text: str) -> str:
        """Put this archive's values into a row of a table."""
        return text.format(
            mark=self.mark, study=self.head.study, series=self.head.series, instance=self.head.instance, chest=self.chest.study
        )


@pytest.fixture(scope="module")
def archive(service: Caller) -> Archive:
    mark = uuid.uuid4().hex[:8].upper()
    patient = {"PatientID": f"P-{mark}", "PatientName": f"Müller{mark}^Anna Berta=漢字", "SpecificCharacterSet": "ISO_IR 192"}
    study = new_uid()
    head = {**patient, "StudyInstanceUID": study, "StudyDate": "20200229", "StudyTime": "093000", "AccessionNumber": f"H{mark}"}
    head |= {"StudyDescription": "CT HEAD", "StudyID": f"S{mark}", "ReferringPhysicianName": f"Ref{mark}^Rita"}
    mr_uid, ct_uid = new_uid(), new_uid()
    return Archive(
        mark,
        service.stored(make_instance(**head, SeriesInstanceUID=ct_uid, Modality="CT", SeriesNumber=1, InstanceNumber=7)),
        service.stored(make_instance(**head, SeriesInstanceUID=mr_uid, Modality="MR", SeriesNumber=2, ManufacturerModelName=f"M{mark}")),
        service.stored(make_instance(**patient, StudyDate="20210301", Modality="CR", AccessionNumber=f"C{mark}", StudyDescription="CHEST")),
        service.stored(make_instance(**patient, StudyDate=None, StudyTime=None, Modality="OT", AccessionNumber="", StudyDescription="")),
    )


MATCHES: Final = [
    # query, which studies match
    pytest.param("PatientID=P-{mark}", "head chest undated", id="8.3.4.1 single value"),
    pytest.param("00100020=P-{mark}", "head chest undated", id="8.3.4.1 by tag"),
    pytest.param("PatientID=p-{mark}", "head chest undated", id="8.3.4.1 in any case"),
    pytest.param("PatientID=P-{mark}x", "", id="8.3.4.1 no match"),
    pytest.param("PatientID=P-{mark}&AccessionNumber=H{mark}", "head", id="8.3.4.1 two keys"),
    pytest.param("AccessionNumber=C{mark}", "chest", id="8.3.4.1 AccessionNumber"),
    pytest.param("StudyInstanceUID={study}", "head", id="8.3.4.1 one UID"),
    pytest.param("StudyInstanceUID={study},{chest}", "head chest", id="PS3.4 C.2.2.2.2 list of UIDs, comma"),
    pytest.param("StudyInstanceUID={study}%5C{chest}", "head chest", id="PS3.4 C.2.2.2.2 list of UIDs, backslash"),
    pytest.param("PatientID=P-{mark}&StudyDate=20200229", "head", id="8.3.4.1 a date"),
    pytest.param("PatientID=P-{mark}&StudyDate=20200101-20201231", "head", id="PS3.4 C.2.2.2.5 a range"),
    pytest.param("PatientID=P-{mark}&StudyDate=20200301-", "chest", id="PS3.4 C.2.2.2.5 from a date on"),
    pytest.param("PatientID=P-{mark}&StudyDate=-20200301", "head", id="PS3.4 C.2.2.2.5 up to a date"),
    pytest.param("PatientID=P-{mark}&StudyTime=0900-1000", "head", id="PS3.4 C.2.2.2.5 a time range"),
    pytest.param("PatientID=P-{mark}&ModalitiesInStudy=MR", "head", id="10.6.1.2.1 ModalitiesInStudy"),
    pytest.param("PatientID=P-{mark}&StudyDescription=CT HEAD", "head", id="10.6.1.2.1 StudyDescription"),
    pytest.param("StudyID=S{mark}", "head", id="10.6.1.2.1 StudyID"),
    pytest.param("ReferringPhysicianName=Ref{mark}^Rita", "head", id="10.6.1.2.1 ReferringPhysicianName"),
    pytest.param("PatientID=P-{mark}&PatientBirthDate=19700101", "head chest undated", id="10.6.1.2.1 PatientBirthDate"),
    pytest.param("PatientName=Müller{mark}^Anna Berta", "head chest undated", id="PS3.4 C.2.2.2.1 name, one group"),
    pytest.param("PatientName=muller{mark}^anna berta", "head chest undated", id="PS3.4 C.2.2.2.1 name, folded"),
    pytest.param("PatientName=Müller{mark}*", "head chest undated", id="PS3.4 C.2.2.2.4 name, trailing *"),
    pytest.param("PatientName=*{mark}^A*", "head chest undated", id="PS3.4 C.2.2.2.4 name, leading *"),
    pytest.param("AccessionNumber=?{mark}&PatientID=P-{mark}", "head chest", id="PS3.4 C.2.2.2.4 ?"),
    pytest.param("PatientName=anna ber&fuzzymatching=true&PatientID=P-{mark}", "head chest undated", id="8.3.4.2 words in order"),
    pytest.param("PatientName=muller{mark}&fuzzymatching=true", "head chest undated", id="8.3.4.2 a word"),
    pytest.param("PatientName=uller{mark}&fuzzymatching=true", "", id="8.3.4.2 not inside a word"),
    pytest.param("PatientID=P-{mark}&StudyDescription=", "head chest undated", id="PS3.4 C.2.2.2.3 empty value"),
]


@pytest.mark.parametrize(("query", "names"), MATCHES)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_search_finds_what_matches(service: Caller, archive: Archive, version: str, query: str, names: str) -> None:
    response = service.at(version).get("/studies", DICOM_JSON, archive.fill(query))
    assert response.status_code == (200 if names else 204)
    found = {row[STUDY]["Value"][0] for row in response.json()} if names else set()
    assert found == {getattr(archive, name).study for name in names.split()}


RESOURCES: Final = [
    # path, query, level attribute, number of matches
    pytest.param("/studies", "PatientID=P-{mark}", STUDY, 3, id="10.6.1.1 studies"),
    pytest.param("/series", "PatientID=P-{mark}", SERIES, 4, id="10.6.1.1 all series"),
    pytest.param("/series", "PatientID=P-{mark}&Modality=MR", SERIES, 1, id="10.6.1.1 all series, a series key"),
    pytest.param("/series", "SeriesInstanceUID={series}", SERIES, 1, id="10.6.1.1 all series, a UID"),
    pytest.param("/instances", "PatientID=P-{mark}", INSTANCE, 4, id="10.6.1.1 all instances"),
    pytest.param("/instances", "SOPInstanceUID={instance}", INSTANCE, 1, id="10.6.1.1 all instances, a UID"),
    pytest.param("/instances", "PatientID=P-{mark}&InstanceNumber=7", INSTANCE, 1, id="10.6.1.1 all instances, an instance key"),
    pytest.param("/studies/{study}/series", "", SERIES, 2, id="10.6.1.1 series of a study"),
    pytest.param("/studies/{study}/series", "ManufacturerModelName=M{mark}", SERIES, 1, id="10.6.1.1 series of a study, a key"),
    pytest.param("/studies/{study}/series", "SeriesNumber=2", SERIES, 1, id="10.6.1.1 series of a study, a number"),
    pytest.param("/studies/{study}/instances", "", INSTANCE, 2, id="10.6.1.1 instances of a study"),
    pytest.param("/studies/{study}/instances", "Modality=CT", INSTANCE, 1, id="10.6.1.1 instances of a study, a series key"),
    pytest.param("/studies/{study}/series/{series}/instances", "", INSTANCE, 1, id="10.6.1.1 instances of a series"),
    pytest.param("/studies/{study}/series/1.2.3/instances", "", INSTANCE, 0, id="10.6.1.1 a series that is not there"),
]


@pytest.mark.parametrize(("path", "query", "tag", "count"), RESOURCES)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_every_resource_can_be_searched(
    service: Caller, archive: Archive, version: str, path: str, query: str, tag: str, count: int
) -> None:
    response = service.at(version).get(archive.fill(path), DICOM_JSON, archive.fill(query))
    assert response.status_code == (200 if count else 204)
    assert len({row[tag]["Value"][0] for row in response.json()} if count else set()) == count


REFUSED: Final = [
    pytest.param("/studies", "NoSuchKeyword=1", id="8.3.4.1 unknown attribute"),
    pytest.param("/studies", "patientid=1", id="8.3.4.1 keyword in another case"),
    pytest.param("/studies", "Modality=CT", id="8.3.4.1 key of a lower level"),
    pytest.param("/studies", "Rows=4", id="8.3.4.1 not searchable"),
    pytest.param("/studies", "PatientID=1&00100020=2", id="8.3.4.1 the same attribute twice"),
    pytest.param("/studies", "StudyDate=2020", id="PS3.4 C.2.2.2.5 no date"),
    pytest.param("/studies", "StudyDate=20210101-20200101", id="PS3.4 C.2.2.2.5 range backwards"),
    pytest.param("/studies", "StudyDate=-", id="PS3.4 C.2.2.2.5 range of nothing"),
    pytest.param("/studies", "limit=0", id="8.3.4.4 limit below 1"),
    pytest.param("/studies", "limit=201", id="8.3.4.4 limit above 200"),
    pytest.param("/studies", "limit=ten", id="8.3.4.4 limit no number"),
    pytest.param("/studies", "offset=-1", id="8.3.4.4 negative offset"),
    pytest.param("/studies", "fuzzymatching=yes", id="8.3.4.2 neither true nor false"),
    pytest.param("/studies", "includefield=NoSuchKeyword", id="8.3.4.3 unknown attribute"),
    pytest.param("/studies/x/series", "", id="10.1.2 no UID"),
    pytest.param("/studies", "PatientID=%3Cb%3E", id="reference 2.5 markup in the query"),
]


@pytest.mark.parametrize(("path", "query"), REFUSED)
def test_a_search_that_makes_no_sense_is_refused(service: Caller, path: str, query: str) -> None:
    response = service.get(path, DICOM_JSON, query)
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/problem+json")


V2_STUDY: Final = (
    "00080020 00080030 00080050 00080061 00080090 00081030 00081190 00100010 00100020 00100030 00100040 0020000D 00200010 00201206 00201208"
)
V1_STUDY: Final = "00080020 00080030 00080050 00080090 00100010 00100020 00100030 00100040 0020000D 00200010"


@pytest.mark.parametrize(("version", "tags"), [("v1", V1_STUDY), ("v2", V2_STUDY)], ids=["reference 7.4 v1", "10.6.3.3.1 v2"])
def test_a_study_comes_with_its_attributes(service: Caller, archive: Archive, version: str, tags: str) -> None:
    (row,) = service.at(version).search("/studies", ("StudyInstanceUID", archive.head.study))
    assert set(tags.split()) <= set(row)


def test_counts_and_modalities_are_exact(service: Caller, archive: Archive) -> None:
    (row,) = service.search("/studies", ("StudyInstanceUID", archive.head.study))
    assert (row["00201206"]["Value"], row["00201208"]["Value"]) == ([2], [2])
    assert sorted(_texts(row["00080061"])) == ["CT", "MR"]
    assert row["00081190"]["Value"] == [f"{service.root}/v2{archive.head.study_path}"]
    counts = [series["00201209"]["Value"] for series in service.search(f"{archive.head.study_path}/series")]
    assert counts == [[1], [1]]


def _texts(element: dict[str, Any]) -> list[str]:
    return [str(text) for text in element["Value"]]


@pytest.mark.parametrize(
    ("field", "tag"),
    [
        pytest.param("StudyDescription", "00081030", id="8.3.4.3 a keyword"),
        pytest.param("00081030", "00081030", id="8.3.4.3 a tag"),
        pytest.param("all", "00081030", id="8.3.4.3 all"),
        pytest.param("all,StudyDescription", "00081030", id="8.3.4.3 all, and one by name"),
        pytest.param("Modality,Rows", "00280010", id="8.3.4.3 an attribute of a lower level"),
    ],
)
def test_includefield_adds_attributes(service: Caller, archive: Archive, field: str, tag: str) -> None:
    (row,) = service.at("v1").search("/studies", ("StudyInstanceUID", archive.head.study), ("includefield", field))
    assert tag in row


def test_newest_studies_come_first_and_undated_last(service: Caller, archive: Archive) -> None:
    rows = service.search("/studies", ("PatientID", f"P-{archive.mark}"))
    assert [_texts(row[STUDY])[0] for row in rows] == [archive.chest.study, archive.head.study, archive.undated.study]


def test_pages_neither_overlap_nor_leave_out(service: Caller, archive: Archive) -> None:
    """PS3.18 8.3.4.4 "Response Pagination"; a Warning says when there is more."""
    pages = [
        service.get("/instances", DICOM_JSON, [("PatientID", f"P-{archive.mark}"), ("limit", "2"), ("offset", str(offset))])
        for offset in (0, 2, 4)
    ]
    assert [page.status_code for page in pages] == [200, 200, 204]
    assert ["Warning" in page.headers for page in pages] == [True, False, False]
    found = [row[INSTANCE]["Value"][0] for page in pages[:2] for row in page.json()]
    assert len(set(found)) == len(found) == 4


@pytest.mark.parametrize(
    ("accept", "status"), [(None, 200), ("*/*", 200), ("application/json", 200), ("text/html", 406), ("application/dicom", 406)]
)
def test_accept_is_negotiated(service: Caller, archive: Archive, accept: str | None, status: int) -> None:
    """PS3.18 8.7.5 "Acceptable Media Types"."""
    response = service.get("/studies", accept, [("PatientID", f"P-{archive.mark}")])
    assert response.status_code == status
    if status == 200:
        assert response.headers["Content-Type"] == DICOM_JSON
