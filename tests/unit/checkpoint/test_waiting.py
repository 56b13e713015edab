"""Patience with a store, being asked to stop, and the speed of the work, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from torpor.checkpoint import Patience, Progress, Stop, Stopped, StoreAway, StoreRefused


@dataclass
class Time:
    """A clock that waiting moves."""

    now: float = 100.0
    pauses: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def failing(times: int) -> list[str]:
    return ["away"] * times + ["there"]


def ask(patience: Patience, answers: list[str]) -> str:
    def act() -> str:
        if (answer := answers.pop(0)) == "away":
            raise StoreAway("the store answered 503")
        return answer

    return patience.until_done("cannot write s3://b/k", act)


def test_pauses_grow_to_a_limit(time: Time) -> None:
    patience = Patience(300, time.pause, time.clock, chance=lambda: 0.0)
    assert ask(patience, failing(8)) == "there"
    assert time.pauses == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_chance_shortens_them_to_a_half_at_most(time: Time) -> None:
    patience = Patience(300, time.pause, time.clock, chance=lambda: 1.0)
    ask(patience, failing(3))
    assert time.pauses == [0.25, 0.5, 1]


def test_patience_ends_with_a_last_try_at_its_end(time: Time) -> None:
    patience = Patience(10, time.pause, time.clock, chance=lambda: 0.0)
    with pytest.raises(StoreAway, match=r"cannot write s3://b/k, for 10 s: the store answered 503"):
        ask(patience, failing(50))
    assert (sum(time.pauses), time.pauses[-1]) == (10, 2.5)


def test_a_refusal_is_not_waited_out(time: Time) -> None:
    def act() -> None:
        raise StoreRefused("no such bucket")

    with pytest.raises(StoreRefused):
        Patience(10, time.pause, time.clock).until_done("", act)
    assert time.pauses == []


def test_what_is_left_of_the_grace(time: Time) -> None:
    stop = Stop(30, clock=time.clock)
    stop.raise_if_requested()
    time.now += 1000
    assert (stop.requested, stop.left_seconds) == (False, 30)
    stop.request()
    time.now += 12
    stop.request()
    assert (stop.requested, stop.left_seconds) == (True, 18)
    time.now += 100
    assert stop.left_seconds == 0
    with pytest.raises(Stopped):
        stop.raise_if_requested()
    with pytest.raises(Stopped, match="grace is over"):
        stop.pause(1)


def test_progress_has_ratio_speed_and_time_left(time: Time) -> None:
    progress = Progress(1000, "frames", done=400, clock=time.clock)
    progress.say("encoding")
    for _ in range(10):
        time.now += 1
        progress.advance(20)
    assert progress.snapshot() == {
        "done": 600,
        "total": 1000,
        "unit": "frames",
        "ratio": 0.6,
        "speed": 20.0,
        "leftSeconds": 20.0,
        "message": "encoding",
    }


def test_the_speed_is_that_of_the_last_minute(time: Time) -> None:
    progress = Progress(100_000, clock=time.clock)
    for rate in (100, 10):
        for _ in range(300):
            time.now += 1
            progress.advance(rate)
    assert progress.snapshot()["speed"] == pytest.approx(10, rel=0.05)


def test_work_that_stands_still_gets_slower(time: Time) -> None:
    progress = Progress(100, clock=time.clock)
    time.now += 1
    progress.advance(10)
    time.now += 99
    assert progress.snapshot()["speed"] == pytest.approx(0.1)


@pytest.mark.parametrize(("total", "ratio"), [(None, None), (0, 1.0)])
def test_what_is_not_known_is_none(time: Time, total: int | None, ratio: float | None) -> None:
    progress = Progress(total, clock=time.clock)
    seen = progress.snapshot()
    assert (seen["ratio"], seen["speed"], seen["leftSeconds"]) == (ratio, None, None)


def test_more_than_all_is_all(time: Time) -> None:
    progress = Progress(10, clock=time.clock)
    time.now += 1
    progress.reach(12)
    assert (progress.snapshot()["ratio"], progress.snapshot()["leftSeconds"]) == (1.0, 0.0)
