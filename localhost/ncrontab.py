"""NCRONTAB, the timer trigger's schedule: six fields, from seconds to days of the week.

As the real host reads them: a five-field expression starts at minutes; names of months and days may be used;
both the day of the month and the day of the week must fit (cron proper asks for either).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_YEARS_AHEAD = 9
"""29 February comes again within eight years and a bit."""


@dataclass(frozen=True, slots=True)
class _Field:
    label: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The values at which each field fits; days of the week count from Sunday, 0."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    def next_after(self, moment: datetime) -> datetime:
        """Give the first fitting second after ``moment``, in its time zone.

        Raises
        ------
        ValueError
            There is none, as for 30 February.
        """
        candidate = moment.replace(microsecond=0) + timedelta(seconds=1)
        last_year = moment.year + _YEARS_AHEAD
        while candidate.year <= last_year:
            later = self._skip(candidate)
            if later is None:
                return candidate
            candidate = later
        raise ValueError("The schedule never fits any date.")

    def _skip(self, at: datetime) -> datetime | None:
        """Give the start of the next month, day, hour, minute or second to try; None where all fits."""
        midnight = at.replace(hour=0, minute=0, second=0)
        if at.month not in self.months:
            return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        if at.day not in self.days or at.isoweekday() % 7 not in self.weekdays:
            return midnight + timedelta(days=1)
        if at.hour not in self.hours:
            return at.replace(minute=0, second=0) + timedelta(hours=1)
        if at.minute not in self.minutes:
            return at.replace(second=0) + timedelta(minutes=1)
        return None if at.second in self.seconds else at + timedelta(seconds=1)


def parse_schedule(expression: str) -> Schedule:
    """Read an NCRONTAB expression.

    Raises
    ------
    ValueError
        It has not five or six fields, or a field is out of its range.
    """
    parts = expression.split()
    if len(parts) == len(_FIELDS) - 1:
        parts.insert(0, "0")
    if len(parts) != len(_FIELDS):
        raise ValueError(f"A schedule has six fields, from second to day of week, not {len(parts)}.")
    return Schedule(*(_values(part, field) for part, field in zip(parts, _FIELDS, strict=True)))


def _values(text: str, field: _Field) -> frozenset[int]:
    return frozenset(value for item in text.split(",") for value in _item_values(item, field))


def _item_values(item: str, field: _Field) -> range:
    span, slash, step_text = item.partition("/")
    step = _number(step_text, field) if slash else 1
    if span == "*":
        low, high = field.low, field.high
    elif "-" in span:
        low, high = (_number(end, field) for end in span.split("-", 1))
    else:
        low = _number(span, field)
        high = field.high if slash else low
    if not (field.low <= low <= high <= field.high and step > 0):
        raise ValueError(f"The {field.label} lies outside {field.low} to {field.high}.")
    return range(low, high + 1, step)


def _number(text: str, field: _Field) -> int:
    if text.isdecimal():
        return int(text)
    if text[:3].lower() in field.names:
        return field.low + field.names.index(text[:3].lower())
    raise ValueError(f"The {field.label} is neither a number nor a name.")
