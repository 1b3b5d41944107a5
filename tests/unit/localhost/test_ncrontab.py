"""Timers fire when NCRONTAB says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localhost.ncrontab import parse_schedule

START = datetime(2026, 1, 31, 23, 59, 30, 500_000, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * * *", "2026-01-31 23:59:31"),
        ("*/20 * * * * *", "2026-01-31 23:59:40"),
        ("0 * * * * *", "2026-02-01 00:00:00"),
        ("* * * * *", "2026-02-01 00:00:00"),
        ("0 */5 * * * *", "2026-02-01 00:00:00"),
        ("0 7/20 * * * *", "2026-02-01 00:07:00"),
        ("0 30 9 * * *", "2026-02-01 09:30:00"),
        ("0 0 0 * * Mon-Fri", "2026-02-02 00:00:00"),
        ("0 0 0 * * 0", "2026-02-01 00:00:00"),
        ("0 0 0 13 * 5", "2026-02-13 00:00:00"),
        ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 0 0 31 * *", "2026-03-31 00:00:00"),
        ("0 0 12 1 jan,July *", "2026-07-01 12:00:00"),
        ("59 59 23 31 12 *", "2026-12-31 23:59:59"),
    ],
)
def test_a_schedule_gives_the_next_fitting_second(expression: str, expected: str) -> None:
    assert parse_schedule(expression).next_after(START) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "* * * * * * *", "60 * * * * *", "* * 24 * * *", "* * * 0 * *", "* * * * 13 *", "* * * * * 7"]
)
def test_a_schedule_out_of_range_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"schedule has|outside"):
        parse_schedule(expression)


@pytest.mark.parametrize("expression", ["a * * * * *", "5-1 * * * * *", "*/0 * * * * *", "1,,2 * * * * *", "- * * * * *"])
def test_nonsense_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"outside|neither"):
        parse_schedule(expression)


def test_a_date_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never"):
        parse_schedule("0 0 0 30 2 *").next_after(START)


@given(st.integers(0, 59), st.integers(1, 59), st.integers(0, 23), st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001
def test_the_next_time_is_the_first_that_fits(second: int, step: int, hour: int, moment: datetime) -> None:
    schedule = parse_schedule(f"{second} */{step} {hour} * * *")
    found = schedule.next_after(moment)
    assert (found.second, found.minute % step, found.hour) == (second, 0, hour)
    assert moment < found <= moment + timedelta(days=1)
    assert schedule.next_after(found - timedelta(seconds=1)) == found
