from __future__ import annotations

from dataclasses import replace

import pytest

from torpor.resources.function import Concurrency, Scaling
from torpor.scaling.decide import decide
from torpor.scaling.values import Averages, Decision, Direction, Observation, Sight

SPEC = Scaling(max_replicas=20)
NOW = 1000.0


def steady(value: float) -> Averages:
    return Averages(value, value, value)


def seen(**fields: object) -> Observation:
    base = Observation(replicas=1, ready=1, present=1, quiet_since=NOW, watched_since=NOW - 600)
    return replace(base, **fields)  # type: ignore[arg-type]


def test_raises_to_the_load_divided_by_the_target() -> None:
    decision = decide(SPEC, seen(concurrency=steady(83), present=83), NOW)
    reason = "burst: in flight 83 over 60 s / target 50 = 2"
    assert decision == Decision(2, reason, Direction.UP, burst=True)


def test_the_burst_window_counts_when_it_asks_for_more() -> None:
    means = Averages(stable=90, burst=140, peak=140)
    decision = decide(SPEC, seen(replicas=2, ready=2, concurrency=means), NOW)
    assert decision == Decision(3, "in flight 140 over 6 s / target 50 = 3", Direction.UP)


def test_a_burst_is_at_least_twice_what_is_there() -> None:
    means = Averages(stable=90, burst=200, peak=200)
    for replicas, burst in [(2, True), (3, False)]:
        decision = decide(SPEC, seen(replicas=replicas, ready=1, concurrency=means), NOW)
        assert (decision.replicas, decision.burst) == (4, burst)


def test_stays_when_the_load_fits() -> None:
    decision = decide(SPEC, seen(replicas=2, ready=2, concurrency=steady(83)), NOW)
    assert decision == Decision(2, "in flight 83 over 60 s / target 50 = 2", Direction.STAY)


@pytest.mark.parametrize(
    ("concurrency", "load", "wanted"),
    [
        (Concurrency(target=50, limit=100), 100, 2),
        (Concurrency(target=50, limit=10), 100, 10),
        (Concurrency(target=50, limit=0), 101, 3),
    ],
)
def test_the_target_is_never_above_the_limit(
    concurrency: Concurrency, load: float, wanted: int
) -> None:
    spec = replace(SPEC, concurrency=concurrency)
    assert decide(spec, seen(concurrency=steady(load)), NOW).replicas == wanted


def test_requests_per_second_count_when_they_ask_for_more() -> None:
    spec = replace(SPEC, requests_per_second=50)
    means = {"concurrency": steady(60), "requests_per_second": steady(120)}
    decision = decide(spec, seen(replicas=2, ready=2, **means), NOW)
    assert decision.replicas == 3
    assert decision.reason == "120 requests/s over 60 s / target 50 = 3"


def test_lag_counts_and_is_named() -> None:
    decision = decide(SPEC, seen(lag={"orders": 3.2}), NOW)
    assert decision.replicas == 4
    assert decision.reason == "lag of orders 3.2 x target = 4"


def test_lag_wakes_from_zero_and_keeps_awake() -> None:
    asleep = seen(replicas=0, ready=0, present=0, quiet_since=0.0, lag={"orders": 0.2})
    assert decide(SPEC, asleep, NOW).replicas == 1
    assert decide(SPEC, replace(asleep, replicas=1, ready=1), NOW).replicas == 1


def test_what_passed_before_zero_wakes_nothing() -> None:
    asleep = seen(replicas=0, ready=0, present=0, concurrency=steady(200))
    assert decide(SPEC, asleep, NOW) == Decision(0, "nothing present", Direction.STAY)


def test_held_requests_raise_from_zero() -> None:
    held = seen(replicas=0, ready=0, present=120, waiting=120, concurrency=steady(120))
    assert decide(SPEC, held, NOW).replicas == 3


def test_never_above_the_maximum() -> None:
    decision = decide(SPEC, seen(concurrency=steady(5000)), NOW)
    assert decision.replicas == 20
    assert decision.reason.endswith("= 100, at most 20")


def test_a_lower_maximum_holds_at_once() -> None:
    decision = decide(SPEC, seen(replicas=30, ready=30, watched_since=NOW), NOW)
    assert decision == Decision(20, "maxReplicas 20", Direction.DOWN)


def test_raises_no_faster_than_its_factor() -> None:
    spec = replace(SPEC, max_scale_up_factor=2)
    decision = decide(spec, seen(replicas=3, ready=3, concurrency=steady(900)), NOW)
    assert decision.replicas == 6
    assert decision.reason.endswith("at most 6 in one step")


def test_starting_instances_count_as_capacity() -> None:
    starting = seen(replicas=4, ready=1, concurrency=steady(200), waiting=100)
    assert decide(SPEC, starting, NOW).direction is Direction.STAY


@pytest.mark.parametrize(
    ("spec", "provisioned", "replicas", "reason"),
    [
        (replace(SPEC, min_replicas=2), 0, 2, "minReplicas 2"),
        (SPEC, 3, 3, "provisioned 3"),
        (replace(SPEC, min_replicas=2), 3, 3, "provisioned 3"),
        (replace(SPEC, min_replicas=3), 2, 3, "minReplicas 3"),
        (SPEC, 50, 20, "provisioned 20"),
    ],
)
def test_floors_raise_without_any_load(
    spec: Scaling, provisioned: int, replicas: int, reason: str
) -> None:
    asleep = seen(replicas=0, ready=0, present=0, provisioned=provisioned, quiet_since=0.0)
    assert decide(spec, asleep, NOW) == Decision(replicas, reason, Direction.UP)


def test_floors_are_not_left_when_idle() -> None:
    spec = replace(SPEC, min_replicas=2)
    idle = seen(replicas=8, ready=8, present=0, quiet_since=NOW - 100)
    assert decide(spec, idle, NOW).replicas == 4
    assert decide(spec, replace(idle, replicas=2, ready=2), NOW).direction is Direction.STAY


def test_paused_leaves_everything_as_it_is() -> None:
    spec = replace(SPEC, paused=True, min_replicas=2)
    for replicas in (0, 1, 50):
        decision = decide(spec, seen(replicas=replicas, concurrency=steady(500)), NOW)
        assert decision == Decision(replicas, "scaling is paused", Direction.STAY)


def test_shrinks_by_its_factor_a_step() -> None:
    spec = replace(SPEC, max_scale_down_factor=3)
    decision = decide(spec, seen(replicas=16, ready=16, concurrency=steady(20)), NOW)
    assert decision == Decision(6, "in flight 20 over 60 s / target 50 = 1", Direction.DOWN)


def test_shrinks_to_what_the_load_needs() -> None:
    assert decide(SPEC, seen(replicas=9, ready=9, concurrency=steady(260)), NOW).replicas == 6


def test_a_load_just_below_the_next_step_does_not_shrink() -> None:
    assert decide(SPEC, seen(replicas=3, ready=3, concurrency=steady(95)), NOW).replicas == 3
    assert decide(SPEC, seen(replicas=3, ready=3, concurrency=steady(79)), NOW).replicas == 2


def test_a_peak_within_the_window_is_kept() -> None:
    means = Averages(stable=40, burst=10, peak=390)
    decision = decide(SPEC, seen(replicas=8, ready=8, concurrency=means), NOW)
    assert decision.direction is Direction.STAY


def test_nothing_shrinks_before_a_full_window_was_watched() -> None:
    early = seen(replicas=8, ready=8, watched_since=NOW - 59)
    assert decide(SPEC, early, NOW).reason == "watched for less than 60 s: nothing shrinks"
    assert decide(SPEC, replace(early, watched_since=NOW - 60), NOW).replicas == 4


def test_nothing_shrinks_for_a_window_after_a_raise_unless_idle() -> None:
    fresh = seen(replicas=8, ready=8, raised_at=NOW - 59)
    assert decide(SPEC, fresh, NOW).reason == "raised less than 60 s ago: nothing shrinks"
    assert decide(SPEC, replace(fresh, raised_at=NOW - 60), NOW).replicas == 4
    assert decide(SPEC, replace(fresh, present=0, quiet_since=NOW - 30), NOW).replicas == 4


def test_nothing_shrinks_while_no_gateway_answers() -> None:
    decision = decide(SPEC, seen(replicas=8, ready=8, sight=Sight.BLIND), NOW)
    assert decision == Decision(8, "no gateway answers: nothing shrinks", Direction.STAY)


def test_nothing_shrinks_while_requests_wait_for_what_starts() -> None:
    slow = seen(replicas=8, ready=1, present=9, waiting=8, concurrency=steady(1))
    decision = decide(SPEC, slow, NOW)
    assert decision.reason == "requests wait for instances that start: nothing shrinks"


IDLE = seen(present=0, quiet_since=NOW - 31)


def test_goes_to_zero_when_idle() -> None:
    assert decide(SPEC, IDLE, NOW) == Decision(0, "idle 31 s", Direction.ZERO)


def test_says_when_it_did_not_start() -> None:
    failed = replace(IDLE, ready=0, trouble="ImagePullBackOff: no such image")
    reason = "idle 31 s; it did not start: ImagePullBackOff: no such image"
    assert decide(SPEC, failed, NOW) == Decision(0, reason, Direction.ZERO)


def test_idle_beats_what_the_windows_remember() -> None:
    idle = replace(IDLE, replicas=4, ready=4, concurrency=Averages(90, 0, 200))
    assert decide(SPEC, idle, NOW) == Decision(2, "idle 31 s", Direction.DOWN)


@pytest.mark.parametrize(
    "awake",
    [
        replace(IDLE, present=1),
        replace(IDLE, lag={"orders": 0.1}),
        replace(IDLE, quiet_since=NOW - 29),
        replace(IDLE, sight=Sight.PARTIAL),
        replace(IDLE, sight=Sight.BLIND),
        replace(IDLE, watched_since=NOW - 59),
        replace(IDLE, provisioned=1),
    ],
)
def test_stays_awake(awake: Observation) -> None:
    assert decide(SPEC, awake, NOW).replicas == 1


def test_an_idle_time_longer_than_the_window_must_be_watched_too() -> None:
    spec = replace(SPEC, idle_seconds=300)
    idle = replace(IDLE, quiet_since=NOW - 301, watched_since=NOW - 299)
    assert decide(spec, idle, NOW).replicas == 1
    assert decide(spec, replace(idle, watched_since=NOW - 300), NOW).replicas == 0


def test_idle_is_never_raised_by_what_the_windows_remember() -> None:
    idle = replace(IDLE, replicas=1, ready=1, concurrency=Averages(90, 0, 200))
    assert decide(SPEC, idle, NOW) == Decision(0, "idle 31 s", Direction.ZERO)
