"""How much one caller may ask at once. Not: how large a request may be, or what one may cost.

Theory of operation
-------------------
For each caller of late there is a bucket of tokens and a count of its requests in work. A request takes a token; they
come back at the set rate, up to two seconds' worth, so that a viewer which opens a study is not held up. A request is in
work until its answer has been sent, or nobody is left to send it.

Who is nobody in particular (public routes; the local host, which asks for no token) is not limited: those routes reach
storage at most once in five seconds, and one bucket for all strangers would let one of them keep the others out.

Each process keeps its own count: the numbers are per instance of the app. What is kept is bounded: the caller that was
seen longest ago is forgotten, and begins anew.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from shared.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.access import Caller

MAX_CALLERS = 10_000
"""So many callers are remembered."""
BURST_SECONDS = 2.0
"""So many seconds' worth of tokens may be saved up."""
_WHEN_TOO_MANY_AT_ONCE = 1
"""Seconds after which a caller may find some of its own requests done."""


class CallerLimits(Protocol):
    """Admits requests."""

    def admit(self, caller: Caller) -> Callable[[], None]:
        """Take a request in; give what is to be called when it is done.

        Raises
        ------
        TooManyRequests
            The caller has to wait.
        """
        ...


class TokenBucket:
    """Tokens that come at a rate, and are saved up to a number.

    Parameters
    ----------
    rate
        Tokens a second, above 0.
    size
        How many are there at most, and at first.
    monotonic
        Gives the time, in seconds.
    """

    __slots__ = ("_at", "_monotonic", "_rate", "_size", "_tokens")

    def __init__(self, rate: float, size: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._size, self._monotonic = rate, size, monotonic
        self._tokens, self._at = size, monotonic()

    def take(self) -> float:
        """Take a token and give 0; where there is none, give the seconds until there is."""
        now = self._monotonic()
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0


@dataclass(slots=True)
class _Seen:
    """What is known of one caller."""

    bucket: TokenBucket | None
    at_once: int = 0


class _Stay:
    """A request in work. Called when it is done; where it is forgotten instead, it is done, too."""

    __slots__ = ("_seen",)

    def __init__(self, seen: _Seen) -> None:
        seen.at_once += 1
        self._seen: _Seen | None = seen

    def __call__(self) -> None:
        if self._seen is not None:
            self._seen.at_once -= 1
            self._seen = None

    __del__ = __call__


class LimitsPerCaller:
    """Holds every caller to a number of requests a second, and to a number in work.

    Parameters
    ----------
    per_second, at_once
        The limits; 0 for none.
    monotonic
        Gives the time, in seconds.
    """

    def __init__(self, per_second: int, at_once: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second, self._at_once, self._monotonic = per_second, at_once, monotonic
        self._callers: OrderedDict[str, _Seen] = OrderedDict()

    def admit(self, caller: Caller) -> Callable[[], None]:
        """Take a request in; give what is to be called when it is done.

        Raises
        ------
        TooManyRequests
            The caller has as many requests in work as it may, or sends them faster.
        """
        if not caller.subject:
            return _nothing
        seen = self._seen(caller.subject)
        if self._at_once and seen.at_once >= self._at_once:
            raise TooManyRequests(f"A caller may have {self._at_once} requests in work (CALLER_REQUESTS_AT_ONCE).", _WHEN_TOO_MANY_AT_ONCE)
        wait = seen.bucket.take() if seen.bucket else 0
        if wait:
            raise TooManyRequests(f"A caller may send {self._per_second} requests a second (CALLER_REQUESTS_PER_SECOND).", math.ceil(wait))
        return _Stay(seen)

    def _seen(self, subject: str) -> _Seen:
        seen = self._callers.get(subject)
        if seen is None:
            seen = self._callers[subject] = _Seen(self._new_bucket())
            if len(self._callers) > MAX_CALLERS:
                self._callers.popitem(last=False)
        else:
            self._callers.move_to_end(subject)
        return seen

    def _new_bucket(self) -> TokenBucket | None:
        if not self._per_second:
            return None
        return TokenBucket(self._per_second, self._per_second * BURST_SECONDS, self._monotonic)


def limits_per_caller(per_second: int, at_once: int) -> CallerLimits | None:
    """Make the limits; None where there is none."""
    return LimitsPerCaller(per_second, at_once) if per_second or at_once else None


def _nothing() -> None:
    """Do nothing."""
