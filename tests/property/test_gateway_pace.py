"""Without a hard limit: whatever requests take, nobody waits out the hold, and no more than the
target is let in while that is enough."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from torpor.gateway.pace import TICK_SECONDS, Crowd, Pacer

HELD = st.integers(1, 3000)
TARGET = st.integers(1, 200)
HOLD_SECONDS = st.sampled_from((1.0, 5.0, 60.0))
AGE = st.floats(0.0, 0.999)


@given(HELD, TARGET, HOLD_SECONDS, AGE, st.one_of(st.none(), st.integers(1, 400)))
def test_all_go_before_their_time_is_up(
    held: int, target: int, hold_seconds: float, age: float, ticks: int | None
) -> None:
    """`age` is the part of the hold that is over when an instance is there; a request that was
    let through takes `ticks` looks, or never ends."""
    pacer = Pacer()
    now = hold_seconds * age
    inside: list[int] = []
    while held:
        assert now <= hold_seconds * 0.9 + 2 * TICK_SECONDS or now == hold_seconds * age
        inside = [left - 1 for left in inside if left != 1]
        pacer.seen(now)
        crowd = Crowd(held, 0.0, hold_seconds)
        count = pacer.room(crowd, len(inside), target, now)
        assert 0 <= count <= held
        inside += [-1 if ticks is None else ticks] * count
        held -= count
        pacer.released(count, now)
        now += TICK_SECONDS


@given(HELD, TARGET)
def test_the_first_release_is_the_target_and_then_a_targets_worth_a_second(
    held: int, target: int
) -> None:
    pacer, now, gone = Pacer(), 0.0, 0
    for _ in range(200):
        if gone == held:
            break
        pacer.seen(now)
        count = pacer.room(Crowd(held - gone, 0.0, 3600.0), gone, target, now)
        gone += count
        pacer.released(count, now)
        assert gone <= max(target, target * (now + TICK_SECONDS)) + held * now / 3000
        now += TICK_SECONDS
