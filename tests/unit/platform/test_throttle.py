"""Token bucket and backoff in made-up time."""

from __future__ import annotations

import pytest

from torpor.platform.kubernetes.throttle import Backoff, TokenBucket


def test_a_burst_passes_then_the_rate_holds_and_quiet_time_refills() -> None:
    now = 100.0
    bucket = TokenBucket(rate_per_second=10, burst=3, clock=lambda: now)
    waits = [bucket.reserve() for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert not bucket.try_take()
    now = 110.0
    assert [bucket.try_take() for _ in range(4)] == [True, True, True, False]


def test_delays_double_up_to_the_most_and_keep_at_least_half() -> None:
    backoff = Backoff(first_seconds=1, most_seconds=5)
    assert [backoff.delay(n, lambda: 1.0) for n in (1, 2, 3, 4, 1000)] == [1, 2, 4, 5, 5]
    assert backoff.delay(2, lambda: 0.0) == 1
