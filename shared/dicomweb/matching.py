"""What it means that a value matches: exact, lists, wildcards, ranges and the words of a name.

A matcher judges a DICOM JSON element. Beside that it has a ``Hint``: something that is true of every element it
matches, from which a planner chooses where to look. A hint may let through what does not match, never the reverse.

Case never counts; accents count, but for person names. Padding at the end of a value never counts. An attribute
with several values matches where one of them does.

References
----------
PS3.4 C.2.2.2 "Attribute Matching"; PS3.18 8.3.4.1 "Matching".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from shared.dicom.text import PADDING, fold, fold_case, name_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Element: TypeAlias = "Mapping[str, Any]"
"""An element of the DICOM JSON model: ``{"vr": …, "Value": […]}``."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What is true of every value that matches; texts are as ``fold`` gives them, UIDs as they are.

    Attributes
    ----------
    exact
        The whole value is one of these; empty where unknown.
    prefix
        The value begins with this (VR other than PN).
    word_prefixes
        Each begins some word of the name (VR PN).
    low, high
        Inclusive bounds of a date (``yyyymmdd``) or time; None where open.
    """

    exact: tuple[str, ...] = ()
    prefix: str = ""
    word_prefixes: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None


class Matcher(Protocol):
    """The meaning of one search key's value."""

    @property
    def hint(self) -> Hint:
        """Say what is true of every element that matches."""
        ...

    def matches(self, element: Element | None) -> bool:
        """Judge an element; None where the dataset has none."""
        ...


def _texts(element: Element | None) -> Iterator[str]:
    """Give the values of an element as texts; of a person name its component groups."""
    for value in (element or {}).get("Value", ()):
        if isinstance(value, dict):
            yield from _name_texts(value)
        elif value is not None:
            yield str(value)


_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def _name_texts(name: Mapping[str, Any]) -> Iterator[str]:
    """Give each component group of a name, and all of them as DICOM writes them (PS3.5 6.2.1 "Person Name")."""
    groups = [str(name.get(group) or "") for group in _GROUPS]
    yield from filter(None, groups)
    if any(groups[1:]):
        yield "=".join(groups).rstrip("=")


def _fold_name(value: str) -> str:
    """Fold a person name; components that are empty at the end of a group do not count."""
    return "=".join(group.rstrip("^ ") for group in fold(value).split("=")).rstrip("=")


def strip(value: str) -> str:
    """Drop the padding of a value."""
    return value.strip(PADDING)


_NORMAL_FORM: dict[str, Callable[[str], str]] = {"PN": _fold_name, "UI": strip}


def normal_form(vr: str) -> Callable[[str], str]:
    """Give the function that brings values of a VR into the form in which they are compared."""
    return _NORMAL_FORM.get(vr, fold_case)


@dataclass(frozen=True, slots=True)
class OneOf:
    """The whole value is one of some: single value matching, and lists.

    References
    ----------
    PS3.4 C.2.2.2.1 "Single Value Matching", C.2.2.2.2 "List of UID Matching".
    """

    values: frozenset[str]
    vr: str

    @property
    def hint(self) -> Hint:
        """The values themselves."""
        return Hint(exact=tuple(sorted(self.values if self.vr == "UI" else map(fold, self.values))))

    def matches(self, element: Element | None) -> bool:
        """Judge an element."""
        form = normal_form(self.vr)
        return any(form(text) in self.values for text in _texts(element))


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The whole value fits a pattern: ``*`` is any characters, ``?`` is one.

    References
    ----------
    PS3.4 C.2.2.2.4 "Wild Card Matching".
    """

    pattern: str
    vr: str
    _expression: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_expression", _wildcard_expression(self.pattern))

    @property
    def hint(self) -> Hint:
        """What stands before the first wildcard; of a name its words, whose last may go on."""
        prefix = fold(re.split(r"[*?]", self.pattern, maxsplit=1)[0])
        return Hint(word_prefixes=tuple(name_words(prefix))) if self.vr == "PN" else Hint(prefix=prefix)

    def matches(self, element: Element | None) -> bool:
        """Judge an element."""
        form = normal_form(self.vr)
        return any(self._expression.fullmatch(form(text)) for text in _texts(element))


def _wildcard_expression(pattern: str) -> re.Pattern[str]:
    """Translate a pattern so that matching takes no more than its length times the value's.

    Between two stars the leftmost match is as good as any later one, so each is an atomic group that is
    never tried again; otherwise ``*a*a*a*…`` would cost exponential time.
    """
    first, *others = (re.escape(part).replace(r"\?", ".") for part in pattern.split("*"))
    if not others:
        return re.compile(first, re.DOTALL)
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(f"{first}{middle}.*{others[-1]}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a name begin with these, side by side and in this order ("fuzzy matching").

    References
    ----------
    PS3.4 C.2.2.2.1.1 "Attributes of VR of PN", fuzzy semantic matching.
    """

    prefixes: tuple[str, ...]

    @property
    def hint(self) -> Hint:
        """The prefixes."""
        return Hint(word_prefixes=self.prefixes)

    def matches(self, element: Element | None) -> bool:
        """Judge an element."""
        return any(self._match(name_words(fold(text))) for text in _texts(element))

    def _match(self, words: list[str]) -> bool:
        return any(
            all(word.startswith(prefix) for word, prefix in zip(words[start:], self.prefixes, strict=False))
            for start in range(len(words) - len(self.prefixes) + 1)
        )


@dataclass(frozen=True, slots=True)
class Between:
    """A date, or a time, from ``low`` to ``high``, both included; None is open. Values that are none never match.

    References
    ----------
    PS3.4 C.2.2.2.5 "Range Matching".
    """

    low: str | None
    high: str | None
    vr: str

    @property
    def hint(self) -> Hint:
        """The bounds; a single date is known as a whole, while a time has many spellings."""
        exact = (self.low,) if self.low is not None and self.low == self.high and self.vr == "DA" else ()
        return Hint(exact=exact, low=self.low, high=self.high)

    def matches(self, element: Element | None) -> bool:
        """Judge an element."""
        return any(self._holds(POINTS[self.vr](strip(text))) for text in _texts(element))

    def _holds(self, point: str | None) -> bool:
        return point is not None and (self.low is None or self.low <= point) and (self.high is None or point <= self.high)


_DATE = re.compile(r"\d{8}", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])(?:([0-5]\d)(?:([0-5]\d|60)(?:\.(\d{1,6}))?)?)?", re.ASCII)


def _date_point(text: str) -> str | None:
    """Give a date as it is, or None where it is no real one."""
    if not _DATE.fullmatch(text):
        return None
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
    return text


def _time_point(text: str) -> str | None:
    """Give a time to the microsecond (what is missing is zero), or None where it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return f"{hours}{minutes or '00'}{seconds or '00'}.{(fraction or ''):0<6}"


POINTS: dict[str, Callable[[str], str | None]] = {"DA": _date_point, "TM": _time_point}
"""By VR, what brings a value into the form in which it is ordered; None where it is no value of that VR."""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number, however it is written."""

    value: int

    @property
    def hint(self) -> Hint:
        """Nothing: a number has many spellings."""
        return Hint()

    def matches(self, element: Element | None) -> bool:
        """Judge an element."""
        return any(whole_number(strip(text)) == self.value for text in _texts(element))


_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


def whole_number(text: str) -> int | None:
    """Give the value of an integer string, or None where it is none."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class InItem:
    """An attribute of some item of a sequence matches.

    References
    ----------
    PS3.4 C.2.2.2.6 "Sequence Matching".
    """

    tag: str
    inner: Matcher

    @property
    def hint(self) -> Hint:
        """Nothing: what is within sequences is not indexed."""
        return Hint()

    def matches(self, element: Element | None) -> bool:
        """Judge the sequence."""
        items = (element or {}).get("Value", ())
        return any(self.inner.matches(item.get(self.tag)) for item in items if isinstance(item, dict))
