from __future__ import annotations

import pytest

from torpor.resources.function import Scaling
from torpor.scaling.history import History
from torpor.scaling.meter import Sample
from torpor.scaling.values import Averages, Observation, Sight

SPEC = Scaling()


def observe(history: History) -> Observation:
    return history.observe(
        replicas=1,
        ready=1,
        busy=0,
        lag={},
        provisioned=0,
        watched_since=0.0,
        sight=Sight.CLEAR,
        raised_at=0.0,
        trouble="",
    )


def held(count: int, ready_for: int = 0) -> Sample:
    return Sample(in_flight=ready_for, waiting=count, concurrency=float(count + ready_for))


def test_the_first_sample_counts_at_once() -> None:
    history = History(SPEC, 100.0)
    history.add(held(120), starting=1, now=100.0)
    assert observe(history).concurrency.burst == 120


def test_while_instances_start_a_waiting_request_counts_once() -> None:
    history = History(SPEC, 100.0)
    for second in range(6):
        history.add(held(100 * (second + 1)), starting=1, now=100.0 + second)
    assert observe(history).concurrency.burst == pytest.approx(100)


def test_what_leaves_while_instances_start_is_not_negative() -> None:
    history = History(SPEC, 100.0)
    history.add(held(100), starting=1, now=100.0)
    history.add(held(0), starting=1, now=101.0)
    assert observe(history).concurrency.burst == pytest.approx(50)


def test_when_all_have_started_everything_counts() -> None:
    history = History(SPEC, 100.0)
    history.add(held(100, ready_for=10), starting=0, now=100.0)
    history.add(held(100, ready_for=10), starting=0, now=101.0)
    assert observe(history).concurrency.burst == pytest.approx(110)


def test_quiet_begins_with_the_last_sample_that_had_something() -> None:
    history = History(SPEC, 100.0)
    history.add(held(1), starting=0, now=101.0)
    history.add(Sample(), starting=0, now=102.0)
    assert (observe(history).quiet_since, observe(history).present) == (101.0, 0)


def test_what_was_answered_between_two_looks_is_not_quiet() -> None:
    history = History(SPEC, 100.0)
    history.add(Sample(requests_per_second=3.0), starting=0, now=101.0)
    assert (observe(history).quiet_since, observe(history).present) == (101.0, 0)


def test_requests_per_second_are_kept() -> None:
    history = History(SPEC, 100.0)
    sample = Sample(in_flight=1, concurrency=1.0, requests_per_second=80.0)
    history.add(sample, starting=0, now=100.0)
    assert observe(history).requests_per_second == Averages(80.0, 80.0, 80.0)


def test_load_after_the_idle_time_is_not_an_old_one_going_on() -> None:
    history = History(SPEC, 100.0)
    history.add(Sample(in_flight=500, concurrency=500.0), starting=0, now=101.0)
    for second in range(102, 133):
        history.add(Sample(), starting=0, now=float(second))
    history.add(Sample(in_flight=2, concurrency=2.0), starting=0, now=133.0)
    assert observe(history).concurrency.peak <= 2
