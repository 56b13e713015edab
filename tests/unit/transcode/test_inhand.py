"""Being asked to stop: what is nearly done is finished, the rest is dropped."""

from __future__ import annotations

import asyncio
from math import inf

import pytest

from torpor.checkpoint import Stop, Stopped
from torpor.transcode.inhand import InHand, unless_stopped
from torpor.transcode.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_told_by_the_speed_so_far() -> None:
    clock = Clock()
    hand = InHand("h264-720p", 300, clock)
    clock.now += 10
    assert 0 < hand.left_seconds() < 1
    hand.done = 100
    assert hand.left_seconds() == 20
    hand.is_encoded = True
    assert hand.left_seconds() == 0


def test_audio_is_told_by_how_much_of_its_length_is_done() -> None:
    clock = Clock()
    hand = InHand("audio", 0, clock)
    clock.now += 10
    hand.heard = 0.01
    assert hand.left_seconds() == pytest.approx(990)
    hand.heard = 1.0
    assert 0 < hand.left_seconds() < 1


async def work() -> str:
    await asyncio.sleep(0.3)
    return "made"


@pytest.mark.parametrize("left_seconds", [19.9, 0.0])
async def test_work_that_ends_five_seconds_before_the_grace_is_finished(
    left_seconds: float,
) -> None:
    stop = Stop(25.0, clock=Clock())
    stop.request()
    assert await unless_stopped(work(), stop, lambda: left_seconds) == "made"


@pytest.mark.parametrize(("grace_seconds", "left_seconds"), [(25.0, 20.1), (2.0, 0.1), (9.0, inf)])
async def test_work_that_would_take_longer_is_dropped_at_once(
    grace_seconds: float, left_seconds: float
) -> None:
    stop = Stop(grace_seconds, clock=Clock())
    stop.request()
    with pytest.raises(Stopped):
        await unless_stopped(work(), stop, lambda: left_seconds)


@pytest.mark.parametrize(("grace_seconds", "is_made"), [(25.0, True), (5.0, False)])
async def test_work_of_unknown_speed_is_waited_for_within_the_grace(
    grace_seconds: float, is_made: bool
) -> None:
    stop = Stop(grace_seconds, clock=Clock())
    stop.request()
    making = unless_stopped(work(), stop, InHand("audio", 0).left_seconds)
    (made,) = await asyncio.gather(making, return_exceptions=True)
    assert isinstance(made, Stopped) != is_made


async def test_work_that_is_committing_is_never_dropped() -> None:
    stop = Stop(0.0, clock=Clock())
    stop.request()
    assert await unless_stopped(work(), stop, lambda: 0.0) == "made"


async def test_nobody_asked_nothing_is_dropped() -> None:
    assert await unless_stopped(work(), Stop(0.0), lambda: inf) == "made"


def test_seconds_are_useful_redone_or_idle_and_sum_up_to_the_time_that_went_by() -> None:
    clock = Clock()
    books = Ledger(2, clock)
    clock.now += 3
    books.started()
    counted, lost = InHand("a", 10, clock), InHand("b", 10, clock)
    books.take(counted)
    books.take(lost)
    clock.now += 8
    counted.counts = True
    books.drop(counted)
    assert books.seconds().redone == {"b": 4}
    books.drop(lost)
    clock.now += 5
    now = books.seconds()
    assert (now.useful, now.redone, now.startup, now.idle) == ({"a": 4}, {"b": 4}, 3, 5)
