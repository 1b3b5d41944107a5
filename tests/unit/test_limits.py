"""How much a caller may ask at once: every caller for itself, within bounded memory (threat T18)."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from shared import limits
from shared.access import ANYBODY, Caller
from shared.errors import TooManyRequests
from shared.limits import LimitsPerCaller, TokenBucket, limits_per_caller

ALICE, BOB = Caller("alice"), Caller("bob")


class Seconds:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def admitted(per_caller: LimitsPerCaller, caller: Caller, tries: int) -> int:
    """Tell how many of so many requests, each done at once, get in."""
    count = 0
    for _ in range(tries):
        with suppress(TooManyRequests):
            per_caller.admit(caller)()
            count += 1
    return count


def test_a_bucket_gives_what_it_holds_and_then_what_comes(seconds: Seconds) -> None:
    bucket = TokenBucket(10, 3, seconds)
    assert [bucket.take() for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]
    seconds.now += 0.2
    assert [bucket.take() for _ in range(3)] == [0, pytest.approx(0, abs=1e-9), pytest.approx(0.1)]
    seconds.now += 1000
    assert [bucket.take() == 0 for _ in range(4)] == [True, True, True, False]


def test_a_burst_of_two_seconds_is_let_in_and_then_the_rate(seconds: Seconds) -> None:
    per_caller = LimitsPerCaller(100, 0, seconds)
    assert admitted(per_caller, ALICE, 500) == 200
    seconds.now += 1
    assert admitted(per_caller, ALICE, 500) == 100


def test_a_caller_that_is_too_fast_is_told_when_to_come_again(seconds: Seconds) -> None:
    per_caller = LimitsPerCaller(1, 0, seconds)
    admitted(per_caller, ALICE, 2)
    with pytest.raises(TooManyRequests, match="CALLER_REQUESTS_PER_SECOND") as raised:
        per_caller.admit(ALICE)
    assert raised.value.retry_after_seconds == 1


def test_as_many_requests_are_in_work_as_the_limit_says() -> None:
    per_caller = LimitsPerCaller(0, 2)
    first, _second = per_caller.admit(ALICE), per_caller.admit(ALICE)
    with pytest.raises(TooManyRequests, match="CALLER_REQUESTS_AT_ONCE"):
        per_caller.admit(ALICE)
    first()
    per_caller.admit(ALICE)


def test_leaving_twice_makes_room_once() -> None:
    per_caller = LimitsPerCaller(0, 2)
    first, second = per_caller.admit(ALICE), per_caller.admit(ALICE)
    first()
    first()
    third = per_caller.admit(ALICE)
    with pytest.raises(TooManyRequests):
        per_caller.admit(ALICE)
    second()
    third()


def test_a_request_that_everybody_forgot_is_not_in_work() -> None:
    per_caller = LimitsPerCaller(0, 1)
    leave = per_caller.admit(ALICE)
    del leave
    gc.collect()
    per_caller.admit(ALICE)


def test_a_refused_request_takes_nothing(seconds: Seconds) -> None:
    per_caller = LimitsPerCaller(1, 1, seconds)
    leave = per_caller.admit(ALICE)
    assert admitted(per_caller, ALICE, 50) == 0
    leave()
    assert admitted(per_caller, ALICE, 50) == 1


def test_one_caller_does_not_keep_another_out(seconds: Seconds) -> None:
    per_caller = LimitsPerCaller(10, 1, seconds)
    stay = per_caller.admit(ALICE)
    admitted(per_caller, ALICE, 100)
    assert admitted(per_caller, BOB, 5) == 5
    stay()


def test_nobody_in_particular_is_not_limited(seconds: Seconds) -> None:
    assert admitted(LimitsPerCaller(1, 1, seconds), ANYBODY, 1000) == 1000


def test_the_caller_seen_longest_ago_is_forgotten(seconds: Seconds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 3)
    per_caller = LimitsPerCaller(1, 0, seconds)
    admitted(per_caller, ALICE, 2)
    for name in ("b", "c", "d"):
        per_caller.admit(Caller(name))
    assert len(per_caller._callers) == 3
    assert admitted(per_caller, ALICE, 5) == 2


@pytest.mark.parametrize(("per_second", "at_once", "limited"), [(0, 0, False), (1, 0, True), (0, 1, True)])
def test_zero_switches_a_limit_off(per_second: int, at_once: int, limited: bool) -> None:
    assert (limits_per_caller(per_second, at_once) is not None) is limited
