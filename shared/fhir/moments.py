"""Dates and times of a dataset as FHIR ``date`` and ``dateTime``. A zone is never guessed.

A time of day is only given with its offset from UTC: that of the instance, else that of the operator's site. Without
one, the date alone is given.

References
----------
PS3.5 Table 6.2-1, DA, TM, DT; PS3.3 C.12.1.1.8 "Timezone Offset From UTC"; FHIR R4 2.24.0.1, date, dateTime, instant.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from datetime import date as calendar_date
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from shared.fhir.issues import IssueCode
from shared.fhir.values import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.fhir.context import Context
    from shared.fhir.dataset import Dataset

OFFSET = "TimezoneOffsetFromUTC"

_DATE = re.compile(r"([0-9]{4})(?:([0-9]{2})([0-9]{2})?)?|([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
_TIME = re.compile(r"([0-9]{2})(?:(:?)([0-9]{2})(?:\2([0-9]{2})(\.[0-9]{1,6})?)?)?")
_DATE_TIME = re.compile(r"([0-9]{8})([0-9]{2}[0-9.]*)([+-].*)?")
_OFFSET_AT_END = re.compile(r"[+-][0-9]{4}\Z")
_OFFSET = re.compile(r"[+-](0[0-9]|1[0-4])[0-5][0-9]")
_FIRST_YEAR = 1800


def date(ds: Dataset, keyword: str, context: Context, *, latest: str | None = None) -> str | None:
    """Give a DA attribute as FHIR date: ``YYYY-MM-DD``, or ``YYYY-MM`` or ``YYYY`` where no more was sent.

    Parameters
    ----------
    latest
        FHIR date or dateTime that the date may not be after.
    """
    return _date(ds.first(keyword), keyword, context, latest)


def moment(ds: Dataset, date_keyword: str, time_keyword: str, context: Context, root: Dataset | None = None) -> str | None:
    """Give a pair of DA and TM attributes as FHIR dateTime; None where there is no date.

    Parameters
    ----------
    root
        The instance's dataset, which has the offset from UTC; needed where ``ds`` is an item of a sequence.
    """
    day = date(ds, date_keyword, context)
    return day and _with_time(day, ds.first(time_keyword), time_keyword, _sent_offset(ds if root is None else root, context), context)


def from_dt(value: Any, keyword: str, root: Dataset, context: Context) -> str | None:
    """Give a DT value as FHIR dateTime. Its own offset counts before that of the instance, ``root``."""
    sent = _sent(value)
    parts = _DATE_TIME.fullmatch(sent)
    if parts is None:
        return _date(_OFFSET_AT_END.sub("", sent), keyword, context)
    day = _date(parts[1], keyword, context)
    offset = _offset(parts[3] or "", keyword, context) or _sent_offset(root, context)
    return day and _with_time(day, parts[2], keyword, offset, context)


def has_zone(moment: str) -> bool:
    """Tell whether a FHIR dateTime has a time of day, and so an offset from UTC."""
    return "T" in moment


def as_instant(moment: str | None) -> str | None:
    """Give a dateTime where it is exact enough for a FHIR instant."""
    return moment if moment and has_zone(moment) else None


def earliest(moments: Iterable[str | None]) -> str | None:
    """Give the earliest dateTime. A date counts as the start of its day; of two on one day the one with a time is kept."""
    known = [each for each in moments if each]
    exact = min((each for each in known if has_zone(each)), key=datetime.fromisoformat, default=None)
    dated = min((each for each in known if not has_zone(each)), key=_start_of, default=None)
    if exact is None or dated is None:
        return exact or dated
    return dated if _start_of(dated)[0] < exact[:10] else exact


def _start_of(day: str) -> tuple[str, int]:
    """Order dates by the day they begin with, the exact before the partial."""
    return (day + "-01-01")[:10], -len(day)


def _sent(value: Any) -> str:
    """Give a value as text; one that is no text as such that is neither date nor time."""
    return clean(value) if isinstance(value, str) else "" if value is None else "?"


def _date(value: Any, keyword: str, context: Context, latest: str | None = None) -> str | None:
    sent = _sent(value)
    if not sent:
        return None
    day = _calendar_day(sent)
    limit = (context.today + timedelta(days=1)).isoformat()
    if day is None or _is_after(day, limit) or (latest is not None and _is_after(day, latest)):
        context.notes.drop(keyword)
        return None
    return day


def _calendar_day(sent: str) -> str | None:
    """Spell a date as FHIR does; None where the calendar has no such date, or it is before 1800."""
    parts = _DATE.fullmatch(sent)
    numbers = [part for part in parts.groups() if part] if parts else []
    if not numbers or int(numbers[0]) < _FIRST_YEAR:
        return None
    try:
        calendar_date(*[int(number) for number in [*numbers, "01", "01"][:3]])
    except ValueError:
        return None
    return "-".join(numbers)


def _is_after(day: str, limit: str) -> bool:
    """Compare dates as far as both are known."""
    known = min(len(day), len(limit))
    return day[:known] > limit[:known]


def _with_time(day: str, value: Any, keyword: str, offset: str | None, context: Context) -> str:
    """Add the time of day to a date, where it is exact to the minute and its offset is known or can be computed."""
    time = _time(value, keyword, context) if len(day) == len("YYYY-MM-DD") else None
    if time is None:
        return day
    offset = offset or _site_offset(f"{day}T{time}", context)
    return f"{day}T{time}{offset}" if offset else day


def _time(value: Any, keyword: str, context: Context) -> str | None:
    """Give ``hh:mm:ss[.f]``; None where no minutes were sent, or the time is bad."""
    sent = _sent(value)
    if not sent:
        return None
    parts = _TIME.fullmatch(sent)
    if parts is None or parts[1] > "23" or (parts[3] or "") > "59" or (parts[4] or "") > "60":
        context.notes.drop(keyword)
        return None
    hour, _, minute, second, fraction = parts.groups("")
    if second == "60":  # a leap second, which few systems can store
        context.notes.warn(keyword, IssueCode.LEAP_SECOND)
        second = "59"
    return f"{hour}:{minute}:{second or '00'}{fraction}" if minute else None


def _sent_offset(root: Dataset, context: Context) -> str | None:
    return _offset(root.first(OFFSET), OFFSET, context)


def _offset(value: Any, keyword: str, context: Context) -> str | None:
    """Give ``±hh:mm``; None where none was sent, or a bad one: 12 hours behind to 14 hours ahead of UTC exist."""
    sent = _sent(value)
    if not sent:
        return None
    if not _OFFSET.fullmatch(sent) or sent == "-0000" or not -1200 <= int(sent) <= 1400:
        context.notes.drop(keyword)
        return None
    return f"{sent[:3]}:{sent[3:]}"


def _site_offset(local: str, context: Context) -> str | None:
    """Compute the offset at the operator's site; None without one, and for times that its clocks skip.

    Of an hour that comes twice, the first is meant. Before standard time, offsets had seconds, which FHIR cannot say.
    """
    if not context.settings.site_timezone:
        return None
    there = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(context.settings.site_timezone))
    if there.astimezone(UTC).astimezone(there.tzinfo).replace(tzinfo=None) != there.replace(tzinfo=None):
        return None
    offset = there.isoformat(timespec="minutes")[len("YYYY-MM-DDThh:mm") :]
    return offset if len(offset) == len("+hh:mm") else None
