"""The circuit breaker over time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torpor.resources.trigger import CircuitBreaker
from torpor.triggers.delivery.breaker import Breaker, Passage

SETTINGS = CircuitBreaker(
    failure_rate=0.5,
    window_seconds=60,
    open_seconds=30,
    minimum_deliveries=4,
    fallback=None,
)


def after(ends: str, at: float = 0.0) -> Breaker:
    """A breaker after deliveries at one time: `f` failed, `s` succeeded."""
    breaker = Breaker(SETTINGS)
    for end in ends:
        breaker.settle(breaker.passage(at), at, failed=end == "f")
    return breaker


def test_it_opens_at_the_rate_and_not_before_enough_deliveries() -> None:
    assert after("fff").passage(0) is Passage.FREE
    assert after("ffff").passage(0) is Passage.BARRED
    assert after("sssff").passage(0) is Passage.FREE
    assert after("sssfff").passage(0) is Passage.BARRED


def test_failures_before_the_window_do_not_count() -> None:
    breaker = after("fff")
    for _ in range(3):
        breaker.settle(breaker.passage(60), 60, failed=True)
    assert breaker.closed


def test_open_it_bars_for_a_time_then_lets_one_through() -> None:
    breaker = after("ffff")
    assert (breaker.wait_seconds(10), breaker.passage(29.9)) == (20, Passage.BARRED)
    assert [breaker.passage(30) for _ in range(3)] == [
        Passage.PROBE,
        Passage.BARRED,
        Passage.BARRED,
    ]
    assert breaker.wait_seconds(30) > 0


def test_the_probe_closes_it_or_opens_it_anew() -> None:
    well, ill = after("ffff"), after("ffff")
    well.settle(well.passage(30), 31, failed=False)
    ill.settle(ill.passage(30), 31, failed=True)
    assert well.passage(31) is Passage.FREE
    assert ill.wait_seconds(31) == 30


def test_a_probe_that_was_not_made_leaves_the_way_to_the_next() -> None:
    breaker = after("ffff")
    breaker.forgo(breaker.passage(30))
    assert breaker.passage(30) is Passage.PROBE


def test_what_ends_while_it_is_open_changes_nothing() -> None:
    breaker = after("ffff")
    breaker.settle(Passage.FREE, 1, failed=False)
    assert breaker.passage(2) is Passage.BARRED


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60))
def test_with_fewer_failures_than_the_rate_it_stays_closed(ends: list[tuple[float, bool]]) -> None:
    breaker, now = Breaker(SETTINGS), 0.0
    window: list[tuple[float, bool]] = []
    for passed, failed in ends:
        now += passed
        if not breaker.closed:
            return
        breaker.settle(Passage.FREE, now, failed=failed)
        window = [*((at, bad) for at, bad in window if at > now - 60), (now, failed)]
        bad = sum(each for _, each in window)
        assert breaker.closed is (len(window) < 4 or bad < 0.5 * len(window))
