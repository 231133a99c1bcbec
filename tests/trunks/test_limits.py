"""Calls at once and calls a second."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.trunks.limits import Gate, TokenBucket
from vfax.trunks.options import LimitOptions


def test_a_bucket_without_a_rate_never_makes_anyone_wait() -> None:
    bucket = TokenBucket(0.0, 1)
    assert all(bucket.take(0.0) for _ in range(100))
    assert bucket.wait(0.0) == 0.0


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(2.0, 3)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(10.0) == pytest.approx(0.5)
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert not bucket.take(10.5)


@given(
    st.floats(0.1, 50),
    st.integers(1, 20),
    st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=200),
)
def test_no_pattern_of_calls_gets_more_than_burst_and_rate(rate: float, burst: int, pauses: list[float]) -> None:
    bucket, now, passed = TokenBucket(rate, burst), 5.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now)
        assert passed <= burst + rate * (now - 5.0) + 1e-6


@given(st.floats(0.1, 50), st.integers(1, 5))
def test_who_waits_as_long_as_told_gets_a_turn(rate: float, burst: int) -> None:
    bucket, now = TokenBucket(rate, burst), 0.0
    for _ in range(50):
        now += bucket.wait(now)
        assert bucket.take(now)


def test_a_gate_counts_calls_until_they_leave() -> None:
    gate = Gate("office", LimitOptions(max_calls=2))
    assert gate.enter(0.0).goes
    assert gate.enter(0.0).goes
    turn = gate.enter(0.0)
    assert (turn.goes, turn.wait) == (False, math.inf)
    assert turn.why == "the trunk office has 2 calls, and max_calls = 2 is all that it takes"
    gate.leave()
    assert gate.enter(0.0).goes


def test_a_gate_says_when_to_come_back() -> None:
    gate = Gate("office", LimitOptions(calls_per_second=0.5))
    assert gate.enter(0.0).goes
    turn = gate.enter(1.0)
    assert (turn.goes, gate.running) == (False, 1)
    assert turn.wait == pytest.approx(1.0)
    assert turn.why == "more calls are waiting for the trunk office than calls_per_second = 0.5"
    assert gate.enter(2.0).goes


def test_leaving_more_often_than_entering_does_no_harm() -> None:
    gate = Gate("office", LimitOptions(max_calls=1))
    gate.leave()
    assert gate.enter(0.0).goes
    assert not gate.enter(0.0).goes
