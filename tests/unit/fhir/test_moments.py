"""Dates and times: every row of the table in docs/fhir.md, and the edges of clocks and calendars."""

from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from shared.fhir.dataset import Dataset
from shared.fhir.moments import as_instant, date, earliest, from_dt, has_zone, moment
from tests.support.fhir_evidence import context, dataset, warnings
from tests.support.fhir_junk import junk_datasets

STUDY = ("StudyDate", "StudyTime")


@pytest.mark.parametrize(
    ("sent", "fhir"),
    [
        ("20260110", "2026-01-10"),
        (" 20260110 ", "2026-01-10"),
        ("2026.01.10", "2026-01-10"),
        ("20240229", "2024-02-29"),
        ("18000101", "1800-01-01"),
        ("20260121", "2026-01-21"),  # tomorrow, somewhere on Earth
        ("2026", "2026"),
        ("202601", "2026-01"),
        (["20260110", "20200101"], "2026-01-10"),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_a_date_is_spelt_as_fhir_does(sent: Any, fhir: str | None) -> None:
    at_hand = context()
    assert date(dataset(StudyDate=sent), "StudyDate", at_hand) == fhir
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    "sent",
    [
        *("20260122", "2027", "202602", "17991231", "00010101", "20230229", "20261301", "202613", "20260100", "2026-01-10", "2026.1.10"),
        *("2026.01", "20260110-20260111", "260110", "today", "\u0662\u0660\u0662\u0660", 20260110, True, {"a": 1}, [["20260110"]]),
    ],
)
def test_a_date_that_is_none_is_dropped(sent: Any) -> None:
    at_hand = context()
    assert date(dataset(StudyDate=sent), "StudyDate", at_hand) is None
    assert warnings(at_hand) == [("StudyDate", "bad-value")]


@pytest.mark.parametrize(
    ("sent", "latest", "kept"),
    [
        ("20200501", "2020-05-01", True),
        ("20200502", "2020-05-01", False),
        ("20200501", "2020-05-01T08:00:00+09:00", True),
        ("2020", "2020-05-01", True),
        ("2021", "2020-05-01", False),
        ("20200502", "2020", True),
        ("20200502", None, True),
    ],
)
def test_a_date_may_not_be_after_the_latest(sent: str, latest: str | None, kept: bool) -> None:
    at_hand = context()
    found = date(dataset(PatientBirthDate=sent), "PatientBirthDate", at_hand, latest=latest)
    assert (found is not None) == kept
    assert warnings(at_hand) == ([] if kept else [("PatientBirthDate", "bad-value")])


@pytest.mark.parametrize(
    ("day", "time", "offset", "site", "fhir"),
    [
        # date only
        ("20260110", "", "+0900", "", "2026-01-10"),
        # hour only: minutes would be invented
        ("20260110", "09", "+0900", "", "2026-01-10"),
        ("20260110", "09", "+0900", "Asia/Tokyo", "2026-01-10"),
        # a valid offset
        ("20260110", "0915", "+0900", "", "2026-01-10T09:15:00+09:00"),
        ("20260110", "091630", "+0900", "", "2026-01-10T09:16:30+09:00"),
        ("20260110", "091630.1", "-0330", "", "2026-01-10T09:16:30.1-03:30"),
        ("20260110", "091630.123450 ", "+1400", "", "2026-01-10T09:16:30.123450+14:00"),
        ("20260110", "000000", "-1200", "", "2026-01-10T00:00:00-12:00"),
        ("20260110", "09:16:30.5", "+0900", "", "2026-01-10T09:16:30.5+09:00"),
        ("2026.01.10", "0915", "+0000", "", "2026-01-10T09:15:00+00:00"),
        # the instance's offset before that of the site
        ("20260110", "0915", "+0900", "Europe/Berlin", "2026-01-10T09:15:00+09:00"),
        # the site's offset, in winter and in summer
        ("20260110", "0915", "", "Europe/Berlin", "2026-01-10T09:15:00+01:00"),
        ("20250710", "0915", "", "Europe/Berlin", "2025-07-10T09:15:00+02:00"),
        ("20250710", "091500.25", "", "Asia/Kolkata", "2025-07-10T09:15:00.25+05:30"),
        ("20250710", "0915", "", "America/St_Johns", "2025-07-10T09:15:00-02:30"),
        # neither
        ("20260110", "0915", "", "", "2026-01-10"),
        # no exact date
        ("202601", "0915", "+0900", "", "2026-01"),
        ("2026", "0915", "+0900", "", "2026"),
        ("", "0915", "+0900", "", None),
    ],
)
def test_a_time_is_given_with_its_offset_or_not_at_all(day: str, time: str, offset: str, site: str, fhir: str | None) -> None:
    at_hand = context(site_timezone=site)
    found = dataset(StudyDate=day, StudyTime=time, TimezoneOffsetFromUTC=offset)
    assert moment(found, *STUDY, at_hand) == fhir
    assert not warnings(at_hand)


@pytest.mark.parametrize(
    "time", ["2400", "0960", "091561", "9", "091", "09153", "0915.5", "091630.", "091630.1234567", "09:1630", "noon", 915]
)
def test_a_bad_time_leaves_the_date(time: Any) -> None:
    at_hand = context()
    found = dataset(StudyDate="20260110", StudyTime=time, TimezoneOffsetFromUTC="+0900")
    assert moment(found, *STUDY, at_hand) == "2026-01-10"
    assert warnings(at_hand) == [("StudyTime", "bad-value")]


def test_a_bad_date_leaves_nothing() -> None:
    at_hand = context()
    assert moment(dataset(StudyDate="20260231", StudyTime="0915", TimezoneOffsetFromUTC="+0900"), *STUDY, at_hand) is None
    assert warnings(at_hand) == [("StudyDate", "bad-value")]


@pytest.mark.parametrize(
    "offset", ["-0000", "+1401", "+1430", "-1201", "-1230", "+1500", "+0960", "0900", "+900", "+09:00", "Z", "UTC", 900]
)
def test_a_bad_offset_counts_as_none(offset: Any) -> None:
    found = dataset(StudyDate="20260110", StudyTime="0915", TimezoneOffsetFromUTC=offset)
    without_site, with_site = context(), context(site_timezone="Asia/Tokyo")
    assert moment(found, *STUDY, without_site) == "2026-01-10"
    assert moment(found, *STUDY, with_site) == "2026-01-10T09:15:00+09:00"
    assert warnings(without_site) == warnings(with_site) == [("TimezoneOffsetFromUTC", "bad-value")]


@pytest.mark.parametrize(("time", "fhir"), [("235960", "23:59:59"), ("235960.75", "23:59:59.75")])
def test_a_leap_second_is_the_second_before_and_noted(time: str, fhir: str) -> None:
    at_hand = context(strict=True)
    found = dataset(StudyDate="20161231", StudyTime=time, TimezoneOffsetFromUTC="+0000")
    assert moment(found, *STUDY, at_hand) == f"2016-12-31T{fhir}+00:00"
    assert warnings(at_hand) == [("StudyTime", "leap-second")]


@pytest.mark.parametrize(
    ("site", "day", "time", "fhir"),
    [
        # clocks go from 2 to 3: that hour is not there
        ("Europe/Berlin", "20250330", "0159", "2025-03-30T01:59:00+01:00"),
        ("Europe/Berlin", "20250330", "0200", "2025-03-30"),
        ("Europe/Berlin", "20250330", "025959.999999", "2025-03-30"),
        ("Europe/Berlin", "20250330", "0300", "2025-03-30T03:00:00+02:00"),
        # clocks go from 3 to 2: that hour comes twice, the first is meant
        ("Europe/Berlin", "20251026", "0200", "2025-10-26T02:00:00+02:00"),
        ("Europe/Berlin", "20251026", "0259", "2025-10-26T02:59:00+02:00"),
        ("Europe/Berlin", "20251026", "0300", "2025-10-26T03:00:00+01:00"),
        ("America/New_York", "20251102", "0130", "2025-11-02T01:30:00-04:00"),
        # half an hour of summer time
        ("Australia/Lord_Howe", "20251005", "0215", "2025-10-05"),
        # a day that an island skipped
        ("Pacific/Apia", "20111230", "1200", "2011-12-30"),
        # before standard time
        ("Europe/Amsterdam", "18500101", "1200", "1850-01-01"),
    ],
)
def test_the_site_has_changed_its_clocks(site: str, day: str, time: str, fhir: str) -> None:
    assert moment(dataset(StudyDate=day, StudyTime=time), *STUDY, context(site_timezone=site)) == fhir


def test_zones_are_known_where_the_system_has_none() -> None:
    zoneinfo.reset_tzpath(to=())
    try:
        assert zoneinfo.ZoneInfo.no_cache("Europe/Berlin").utcoffset(datetime(2025, 7, 10)) == timedelta(hours=2)  # noqa: DTZ001
    finally:
        zoneinfo.reset_tzpath()


def test_an_item_takes_the_offset_of_its_instance() -> None:
    item = dataset(StudyDate="20260110", StudyTime="0915", TimezoneOffsetFromUTC="+0100")
    assert moment(item, *STUDY, context(), dataset(TimezoneOffsetFromUTC="-0330")) == "2026-01-10T09:15:00-03:30"


@pytest.mark.parametrize(
    ("sent", "site", "fhir"),
    [
        ("20260110091620.5-0330", "Europe/Berlin", "2026-01-10T09:16:20.5-03:30"),
        ("20260110091620", "Europe/Berlin", "2026-01-10T09:16:20+09:00"),
        ("202601100916", "", "2026-01-10T09:16:00+09:00"),
        ("2026011009", "", "2026-01-10"),
        ("20260110", "", "2026-01-10"),
        ("20260110+0900", "", "2026-01-10"),
        ("202601", "", "2026-01"),
        ("2026-0330", "", "2026"),
        ("", "", None),
        (None, "", None),
    ],
)
def test_a_dt_value_has_its_own_offset_or_that_of_its_instance(sent: Any, site: str, fhir: str | None) -> None:
    at_hand = context(site_timezone=site)
    assert from_dt(sent, "DateTime", dataset(TimezoneOffsetFromUTC="+0900"), at_hand) == fhir
    assert not warnings(at_hand)


def test_a_dt_value_without_any_offset_takes_that_of_the_site_or_is_a_date() -> None:
    assert from_dt("20260110091620", "DateTime", dataset(), context(site_timezone="Asia/Tokyo")) == "2026-01-10T09:16:20+09:00"
    assert from_dt("20260110091620", "DateTime", dataset(), context()) == "2026-01-10"


@pytest.mark.parametrize(
    ("sent", "fhir"),
    [
        ("20260110091620-0000", "2026-01-10T09:16:20+09:00"),
        ("20260110091620+1500", "2026-01-10T09:16:20+09:00"),
        ("20260110096120+0900", "2026-01-10"),
        ("20260110091620.1234567", "2026-01-10"),
        ("20260231091620", None),
        ("20269", None),
        ("2026-01-10T09:16:20", None),
        (20260110091620, None),
        ({"a": 1}, None),
    ],
)
def test_the_bad_part_of_a_dt_value_is_dropped(sent: Any, fhir: str | None) -> None:
    at_hand = context()
    assert from_dt(sent, "DateTime", dataset(TimezoneOffsetFromUTC="+0900"), at_hand) == fhir
    assert warnings(at_hand) == [("DateTime", "bad-value")]


def test_only_a_moment_with_a_zone_is_an_instant() -> None:
    assert has_zone("2026-01-10T09:15:00+09:00")
    assert not has_zone("2026-01-10")
    assert as_instant("2026-01-10T09:15:00+09:00") == "2026-01-10T09:15:00+09:00"
    assert as_instant("2026-01-10") is as_instant(None) is None


@pytest.mark.parametrize(
    ("moments", "first"),
    [
        ([], None),
        ([None, None], None),
        ([None, "2026-01-10"], "2026-01-10"),
        (["2026-01-11", "2026-01-10"], "2026-01-10"),
        (["2026-01-10T10:00:00+09:00", "2026-01-10T09:15:00.5+09:00"], "2026-01-10T09:15:00.5+09:00"),
        # half past ten in Berlin is half past nine in London
        (["2026-01-10T10:30:00+01:00", "2026-01-10T09:45:00+00:00"], "2026-01-10T10:30:00+01:00"),
        # of two on one day the one with a time is kept
        (["2026-01-10", "2026-01-10T09:15:00+09:00"], "2026-01-10T09:15:00+09:00"),
        # a date is the start of its day
        (["2026-01-10T09:15:00+09:00", "2026-01-09"], "2026-01-09"),
        (["2026-01-09T23:00:00+09:00", "2026-01-10"], "2026-01-09T23:00:00+09:00"),
        (["2026", "2026-01-01", "2026-01"], "2026-01-01"),
    ],
)
def test_the_earliest_moment_is_found(moments: list[str | None], first: str | None) -> None:
    assert earliest(moments) == first
    assert earliest(reversed(moments)) == first


@given(junk_datasets(*STUDY, "TimezoneOffsetFromUTC", "DateTime"))
def test_no_input_breaks_a_moment(junk: dict[str, Any]) -> None:
    at_hand = context(site_timezone="Europe/Berlin")
    found = Dataset(junk)
    moments = [moment(found, *STUDY, at_hand), from_dt(found.first("DateTime"), "DateTime", found, at_hand)]
    assert earliest(moments) in moments
