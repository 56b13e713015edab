"""Laws of scaling that hold for every load, whatever else is configured."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from torpor.resources.function import Concurrency, Scaling
from torpor.scaling.decide import decide, target_of
from torpor.scaling.history import History
from torpor.scaling.meter import Sample
from torpor.scaling.values import Averages, Direction, Observation, Sight
from torpor.scaling.window import Window

NOW = 10_000.0


@st.composite
def specs(draw: st.DrawFn) -> Scaling:
    high = draw(st.integers(1, 200))
    limit = draw(st.integers(0, 100))
    return Scaling(
        min_replicas=draw(st.integers(0, high)),
        max_replicas=high,
        concurrency=Concurrency(draw(st.integers(1, 100)), limit),
        requests_per_second=draw(st.none() | st.integers(1, 100)),
        idle_seconds=draw(st.integers(1, 600)),
        window_seconds=draw(st.integers(6, 600)),
        burst_window_seconds=draw(st.integers(1, 6)),
        max_scale_up_factor=draw(st.integers(2, 1000)),
        max_scale_down_factor=draw(st.integers(2, 10)),
    )


loads = st.floats(0, 20_000)
averages = st.builds(Averages, loads, loads, loads)
lags = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.floats(0, 300))
ages = st.floats(0, 2000).map(lambda age: NOW - age)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    present = draw(st.integers(0, 500))
    replicas = draw(st.integers(0, 300))
    return Observation(
        replicas=replicas,
        ready=draw(st.integers(0, replicas)),
        present=present,
        waiting=draw(st.integers(0, present)),
        busy=draw(st.integers(0, replicas)),
        concurrency=draw(averages),
        requests_per_second=draw(averages),
        lag=draw(lags),
        provisioned=draw(st.integers(0, 300)),
        quiet_since=draw(ages),
        watched_since=draw(ages),
        raised_at=draw(ages),
        sight=draw(st.sampled_from(Sight)),
    )


@given(specs(), observations())
def test_never_below_the_floor_nor_above_the_maximum(spec: Scaling, seen: Observation) -> None:
    replicas = decide(spec, seen, NOW).replicas
    floor = max(spec.min_replicas, min(seen.provisioned, spec.max_replicas))
    assert floor <= replicas <= spec.max_replicas


@given(specs(), observations())
def test_the_direction_says_what_happens(spec: Scaling, seen: Observation) -> None:
    decision = decide(spec, seen, NOW)
    difference = decision.replicas - seen.replicas
    expected = {
        Direction.UP: difference > 0,
        Direction.DOWN: difference < 0 and decision.replicas > 0,
        Direction.ZERO: difference == -1 and decision.replicas == 0,
        Direction.STAY: difference == 0,
    }
    assert expected[decision.direction]
    assert decision.reason


@given(specs(), observations())
def test_never_to_zero_while_anything_is_there(spec: Scaling, seen: Observation) -> None:
    if decide(spec, seen, NOW).direction is Direction.ZERO:
        assert not seen.present
        assert not seen.lagging
        assert not seen.provisioned
        assert not spec.min_replicas
        assert seen.sight is Sight.CLEAR
        assert NOW - seen.quiet_since >= spec.idle_seconds
        assert NOW - seen.watched_since >= max(spec.idle_seconds, spec.window_seconds)


@given(specs(), observations())
def test_shrinks_no_faster_than_its_factor_except_to_the_maximum(
    spec: Scaling, seen: Observation
) -> None:
    replicas = decide(spec, seen, NOW).replicas
    if seen.replicas > 1:
        slowest = math.ceil(seen.replicas / spec.max_scale_down_factor)
        assert replicas >= min(slowest, spec.max_replicas)


@given(specs(), observations(), st.floats(0.01, 20_000))
def test_what_lasts_keeps_its_instances_up_to_the_maximum(
    spec: Scaling, seen: Observation, streams: float
) -> None:
    lasting = replace(
        seen,
        present=max(1, seen.present),
        concurrency=Averages(streams, streams, streams),
        requests_per_second=Averages(),
        quiet_since=NOW,
    )
    assert decide(spec, lasting, NOW).replicas >= min(seen.busy, spec.max_replicas)


@given(specs(), observations())
def test_requests_that_come_and_go_keep_no_instance_by_being_there(
    spec: Scaling, seen: Observation
) -> None:
    passing = replace(seen, requests_per_second=Averages(20_000, 20_000, 20_000))
    assert decide(spec, passing, NOW) == decide(spec, replace(passing, busy=0), NOW)


@given(specs(), observations())
def test_grows_no_faster_than_its_factor_except_to_the_floor(
    spec: Scaling, seen: Observation
) -> None:
    replicas = decide(spec, seen, NOW).replicas
    floor = max(spec.min_replicas, min(seen.provisioned, spec.max_replicas))
    assert replicas <= max(seen.replicas, floor, spec.max_scale_up_factor * max(1, seen.ready))


@given(specs(), observations())
def test_nothing_shrinks_before_a_window_was_watched(spec: Scaling, seen: Observation) -> None:
    early = replace(seen, watched_since=NOW - spec.window_seconds + 0.5)
    decision = decide(spec, early, NOW)
    assert decision.replicas >= min(seen.replicas, spec.max_replicas)


@given(specs(), observations(), st.floats(1, 5))
def test_more_load_never_means_fewer_replicas(
    spec: Scaling, seen: Observation, factor: float
) -> None:
    def times(means: Averages) -> Averages:
        return Averages(means.stable * factor, means.burst * factor, means.peak * factor)

    more = replace(
        seen,
        concurrency=times(seen.concurrency),
        requests_per_second=times(seen.requests_per_second),
        lag={name: value * factor for name, value in seen.lag.items()},
    )
    assert decide(spec, more, NOW).replicas >= decide(spec, seen, NOW).replicas


more = st.floats(0, 500)
growths = st.builds(Averages, more, more, more)


@given(
    specs(), observations(), growths, growths, st.integers(0, 50), st.integers(0, 50), lags, lags
)
def test_more_of_anything_never_means_fewer_replicas(
    spec: Scaling,
    seen: Observation,
    concurrency: Averages,
    rate: Averages,
    flying: int,
    waiting: int,
    lag: dict[str, float],
    others: dict[str, float],
) -> None:
    """Each signal grows, or not, whatever the others do."""

    def plus(means: Averages, by: Averages) -> Averages:
        return Averages(means.stable + by.stable, means.burst + by.burst, means.peak + by.peak)

    grown = replace(
        seen,
        present=seen.present + flying + waiting,
        waiting=seen.waiting + waiting,
        concurrency=plus(seen.concurrency, concurrency),
        requests_per_second=plus(seen.requests_per_second, rate),
        lag=others | {name: value + lag.get(name, 0.0) for name, value in seen.lag.items()},
    )
    assert decide(spec, grown, NOW).replicas >= decide(spec, seen, NOW).replicas


@given(specs(), observations())
def test_paused_is_left_alone(spec: Scaling, seen: Observation) -> None:
    assert decide(replace(spec, paused=True), seen, NOW).replicas == seen.replicas


@given(
    st.lists(st.tuples(st.floats(0.05, 20), st.floats(0, 1000)), min_size=1, max_size=60),
    st.integers(2, 30),
    st.integers(1, 2),
)
def test_windows_mean_what_they_say(
    ticks: list[tuple[float, float]], stable: int, burst: int
) -> None:
    """The mean lies within what was added, and equals the exact one for whole seconds."""
    window = Window(stable, burst)
    now = 50.25
    for length, value in ticks:
        window.add(now, now + length, value)
        now += length
    means = window.averages()
    values = [value for _, value in ticks]
    for mean in (means.stable, means.burst, means.peak):
        assert -0.001 <= mean <= max(values) + 0.001
    assert means.peak >= means.burst - 0.001


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=60), st.integers(2, 30))
def test_whole_seconds_are_averaged_exactly(values: list[int], stable: int) -> None:
    window = Window(stable, 2)
    for second, value in enumerate(values):
        window.add(float(second), second + 1.0, value)
    last = values[-stable:]
    assert abs(window.averages().stable - sum(last) / len(last)) < 1e-6


# A function over time


@dataclass
class Run:
    """Ticks of a second: a load in, replicas out; pods take `start_seconds` to be ready."""

    spec: Scaling
    start_seconds: int = 1
    restarted_at: float = 0.0
    replicas: int = 0
    trace: list[int] = field(default_factory=list)
    _now: float = 1000.0
    _raised_at: float = 0.0
    _history: History | None = None
    _starting: list[float] = field(default_factory=list)

    def tick(self, sample: Callable[[int], Sample], lag: float = 0.0) -> int:
        self._now += 1.0
        self._starting = [at for at in self._starting if at > self._now]
        ready = self.replicas - len(self._starting)
        if self._history is None:
            self._history = History(self.spec, self._now)
        self._history.add(sample(ready), len(self._starting), self._now)
        seen = self._history.observe(
            replicas=self.replicas,
            ready=ready,
            busy=0,
            lag={"queue": lag} if lag else {},
            provisioned=0,
            watched_since=self.restarted_at,
            sight=Sight.CLEAR,
            raised_at=self._raised_at,
            trouble="",
        )
        wanted = decide(self.spec, seen, self._now).replicas
        grown = max(0, wanted - self.replicas)
        if grown:
            self._raised_at = self._now
        self._starting += [self._now + self.start_seconds] * grown
        while len(self._starting) > wanted:
            self._starting.pop()
        self.replicas = wanted
        self.trace.append(wanted)
        return wanted

    def restart(self) -> None:
        """Another leader takes over: it knows nothing of what was."""
        self._history = None
        self.restarted_at = self._now


def constant(load: float) -> Callable[[int], Sample]:
    return lambda _: Sample(in_flight=math.ceil(load), concurrency=load)


def turns(trace: Sequence[int]) -> int:
    """How often the replicas changed from growing to shrinking or back."""
    steps = [b - a for a, b in pairwise(trace) if a != b]
    return sum((a > 0) != (b > 0) for a, b in pairwise(steps))


@given(
    st.floats(1, 900),
    st.integers(1, 100),
    st.integers(0, 40),
    st.lists(st.tuples(st.floats(0.9, 1.1), st.integers(1, 30)), min_size=1, max_size=30),
)
def test_a_load_that_trembles_by_ten_percent_does_not_flap(
    load: float, target: int, replicas: int, noise: list[tuple[float, int]]
) -> None:
    """At most once down and then up (from replicas that somebody else chose), never again."""
    spec = Scaling(
        max_replicas=2000,
        concurrency=Concurrency(target, 0),
        window_seconds=10,
        burst_window_seconds=3,
    )
    run = Run(spec, replicas=max(1, replicas))
    for share, seconds in noise:
        for _ in range(seconds):
            run.tick(constant(load * share))
    assert turns(run.trace) <= 1


trembling = st.lists(st.tuples(st.floats(0.9, 1.1), st.integers(1, 90)), min_size=1, max_size=30)


@given(st.floats(0.2, 90), st.integers(0, 40), trembling)
def test_a_lag_that_trembles_by_ten_percent_does_not_flap(
    lag: float, replicas: int, noise: list[tuple[float, int]]
) -> None:
    run = Run(Scaling(max_replicas=2000), replicas=max(1, replicas))
    for share, seconds in noise:
        for _ in range(seconds):
            run.tick(constant(0.0), lag * share)
    assert turns(run.trace) <= 1


@given(st.floats(1, 900), st.integers(1, 100), st.integers(0, 40), trembling)
def test_a_rate_that_trembles_by_ten_percent_does_not_flap(
    rate: float, target: int, replicas: int, noise: list[tuple[float, int]]
) -> None:
    spec = Scaling(max_replicas=2000, requests_per_second=target, window_seconds=10)
    run = Run(spec, replicas=max(1, replicas))
    for share, seconds in noise:
        for _ in range(seconds):
            sample = Sample(requests_per_second=rate * share)
            run.tick(lambda _, sample=sample: sample)  # type: ignore[misc]
    assert turns(run.trace) <= 1


@given(
    specs(),
    st.integers(0, 3),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=1, max_size=60),
)
def test_never_at_zero_while_a_request_is_held(
    spec: Scaling, replicas: int, start_seconds: int, seconds: list[tuple[int, int]]
) -> None:
    """From the first look on, however few are held, whatever is in flight beside them."""
    run = Run(spec, start_seconds=start_seconds, replicas=min(replicas, spec.max_replicas))
    for held, flying in seconds:
        sample = Sample(in_flight=flying, waiting=held, concurrency=float(held + flying))
        run.tick(lambda _, sample=sample: sample)  # type: ignore[misc]
    assert min(run.trace) >= 1


@given(
    specs(),
    st.lists(st.tuples(st.floats(0, 3000), st.floats(0, 300), st.integers(1, 90)), max_size=20),
)
def test_always_within_the_bounds_whatever_comes_and_goes(
    spec: Scaling, phases: list[tuple[float, float, int]]
) -> None:
    run = Run(spec, replicas=spec.min_replicas)
    for load, lag, seconds in phases:
        for _ in range(seconds):
            run.tick(constant(load), lag)
    assert all(spec.min_replicas <= replicas <= spec.max_replicas for replicas in run.trace)


@given(
    st.integers(1, 300),
    st.integers(1, 20),
    st.integers(2, 40),
    st.integers(0, 50),
)
def test_a_slow_start_asks_for_no_more_than_came_in_a_second(
    arrivals: int, target: int, start_seconds: int, extra: int
) -> None:
    """However long pods take, the requests held meanwhile do not add up to a flood."""
    spec = Scaling(max_replicas=100_000, concurrency=Concurrency(target, 0))
    run = Run(spec, start_seconds=start_seconds, replicas=1)
    run._starting = [1000.0 + start_seconds]
    held = extra
    for _ in range(start_seconds - 1):
        held += arrivals
        run.tick(lambda ready, held=held: Sample(waiting=held, concurrency=held))  # type: ignore[misc]
    assert max(run.trace, default=0) <= math.ceil((arrivals + extra) / target)


@given(st.floats(1, 2000), st.integers(1, 30), st.integers(0, 59))
def test_another_leader_shrinks_nothing_for_a_window(
    load: float, replicas: int, seconds: int
) -> None:
    run = Run(Scaling(max_replicas=100), replicas=replicas)
    run.restart()
    for _ in range(seconds):
        run.tick(constant(load))
    assert min(run.trace, default=replicas) >= replicas


@given(specs(), st.lists(st.floats(0, 3000), min_size=1, max_size=20))
def test_a_steady_load_is_given_what_it_needs(spec: Scaling, levels: list[float]) -> None:
    """After a burst window and the steps that the factor allows, capacity is enough."""
    run = Run(spec)
    for level in levels:
        for _ in range(spec.burst_window_seconds + 12):
            run.tick(constant(level))
        needed = math.ceil(level / target_of(spec.concurrency) - 1e-6)
        assert run.replicas >= min(needed, spec.max_replicas)
