"""The answer to a store request."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from shared.dicom.instance import Problem
from shared.dicomweb.resources import ApiVersion
from shared.dicomweb.store_report import Failed, FailureReason, Outcome, Stored, StoreReport, build_report, failure_reason
from shared.errors import InvalidDicom, InvalidRequest, OutcomeUnknown, UnsupportedMediaType

CT = "1.2.840.10008.5.1.4.1.1.2"
BAD_DATE = Problem("00080020", "StudyDate", "value is not a date", required=False)
NO_STUDY = Problem("0020000D", "StudyInstanceUID", "is missing", required=True)
STORED = Stored("1.2.3", "1.2.3.4", "1.2.3.4.6", CT)
WARNED = Stored("1.2.3", "1.2.3.4", "1.2.3.4.6", CT, problems=(BAD_DATE,))
ELSEWHERE = Stored("9", "9.1", "9.1.1", CT)
DUPLICATE = Failed(FailureReason.ALREADY_STORED, CT, "1.2.3.4.5")
UNREADABLE = Failed(FailureReason.VALIDATION_FAILED)


def report(*outcomes: Outcome, version: ApiVersion = ApiVersion.V2, study: str | None = None, cut_off: bool = False) -> StoreReport:
    return build_report(outcomes, version=version, service_url="https://host/v2", study_instance_uid=study, cut_off=cut_off)


def dataset(*outcomes: Outcome, version: ApiVersion = ApiVersion.V2, study: str | None = None) -> dict[str, Any]:
    body = report(*outcomes, version=version, study=study).body
    assert body is not None
    parsed: dict[str, Any] = orjson.loads(body)
    return parsed


@pytest.mark.parametrize(
    ("outcomes", "v1", "v2"),
    [
        pytest.param([], 204, 204, id="no parts"),
        pytest.param([STORED, ELSEWHERE], 200, 200, id="all stored"),
        pytest.param([STORED, WARNED], 200, 202, id="stored with warnings"),
        pytest.param([STORED, DUPLICATE], 202, 202, id="some stored"),
        pytest.param([DUPLICATE, UNREADABLE], 409, 409, id="none stored"),
    ],
)
def test_the_status_sums_up_the_outcomes(outcomes: list[Outcome], v1: int, v2: int) -> None:
    assert report(*outcomes, version=ApiVersion.V1).status == v1
    assert report(*outcomes, version=ApiVersion.V2).status == v2


def test_the_dataset_is_that_of_the_contract() -> None:
    assert dataset(WARNED, DUPLICATE, study="1.2.3") == {
        "00081190": {"vr": "UR", "Value": ["https://host/v2/studies/1.2.3"]},
        "00081198": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [CT]},
                    "00081155": {"vr": "UI", "Value": ["1.2.3.4.5"]},
                    "00081197": {"vr": "US", "Value": [45070]},
                }
            ],
        },
        "00081199": {
            "vr": "SQ",
            "Value": [
                {
                    "00081150": {"vr": "UI", "Value": [CT]},
                    "00081155": {"vr": "UI", "Value": ["1.2.3.4.6"]},
                    "00081190": {"vr": "UR", "Value": ["https://host/v2/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.6"]},
                    "00081196": {"vr": "US", "Value": [1]},
                    "00741048": {
                        "vr": "SQ",
                        "Value": [{"00000902": {"vr": "LO", "Value": ["DICOM100: (0008,0020) - value is not a date"]}}],
                    },
                }
            ],
        },
    }


def test_v2_always_has_the_failed_attributes_of_what_is_stored_and_v1_never() -> None:
    (v2,) = dataset(STORED)["00081199"]["Value"]
    (v1,) = dataset(STORED, version=ApiVersion.V1)["00081199"]["Value"]
    assert v2["00741048"] == {"vr": "SQ"}
    assert "00081196" not in v2
    assert v1.keys() == {"00081150", "00081155", "00081190"}


@pytest.mark.parametrize("version", list(ApiVersion))
def test_a_failed_validation_lists_its_attributes_in_both_versions(version: ApiVersion) -> None:
    failed = Failed(FailureReason.VALIDATION_FAILED, None, "1.2", problems=(NO_STUDY, BAD_DATE))
    (item,) = dataset(failed, version=version)["00081198"]["Value"]
    comments = [problem["00000902"]["Value"][0] for problem in item["00741048"]["Value"]]
    assert comments == ["DICOM100: (0020,000d) - is missing", "DICOM100: (0008,0020) - value is not a date"]
    assert "00081150" not in item


def test_a_part_that_cannot_be_read_is_a_reason_without_identifiers() -> None:
    assert dataset(UNREADABLE) == {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [43264]}}]}}


def test_identifiers_are_repeated_as_they_are_but_not_at_any_length() -> None:
    (item,) = dataset(Failed(FailureReason.VALIDATION_FAILED, '"</script>\r\n\x00', "1" * 300))["00081198"]["Value"]
    assert item["00081150"]["Value"] == ['"</script>\r\n\x00']
    assert "00081155" not in item


@pytest.mark.parametrize(
    ("outcomes", "study", "url"),
    [
        pytest.param([STORED, WARNED], None, "https://host/v2/studies/1.2.3", id="all of one study"),
        pytest.param([STORED, ELSEWHERE], None, None, id="of two studies"),
        pytest.param([DUPLICATE], "1.2.3", None, id="none stored"),
    ],
)
def test_the_study_has_a_retrieve_url_where_there_is_one_study(outcomes: list[Outcome], study: str | None, url: str | None) -> None:
    element = dataset(*outcomes, study=study).get("00081190")
    assert (element["Value"][0] if element else None) == url


def test_several_values_of_an_indexed_attribute_are_a_warning_and_no_more() -> None:
    answer = report(Stored("1", "2", "3", CT, multivalued=True), STORED)
    assert (answer.status, len(answer.warnings)) == (200, 1)
    assert report(STORED).warnings == ()


@pytest.mark.parametrize(("outcomes", "status"), [([STORED], 202), ([STORED, DUPLICATE], 202), ([DUPLICATE], 409)])
def test_a_body_that_was_cut_off_is_reported(outcomes: list[Outcome], status: int) -> None:
    answer = report(*outcomes, cut_off=True)
    assert answer.status == status
    assert "closing boundary" in answer.warnings[0]


def test_a_body_cut_off_before_its_first_part_was_whole_is_a_bad_request() -> None:
    with pytest.raises(InvalidRequest):
        report(cut_off=True)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(InvalidDicom("x"), 0xA900), (UnsupportedMediaType("x"), 0xA900), (OutcomeUnknown("x"), 0x0110), (RuntimeError("x"), 0x0110)],
)
def test_an_error_has_its_failure_reason(error: Exception, reason: int) -> None:
    assert failure_reason(error) == reason
