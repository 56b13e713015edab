"""How many replicas a function should have now, and why.

A raise follows the mean over the window or over the burst window, whichever asks for more. A
shrink waits until nothing in a whole window has asked for more, and until the load is clearly
below what is there, so that a load that trembles does not make pods come and go. Zero is reached
in the same steps, once nothing was present for long enough.

An instance that is removed has as long as a request may take. What stays longer, such as a
WebSocket, would be cut: while most of what is in flight does, no instance that has any is given
away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torpor.resources.function import Concurrency, Scaling
from torpor.scaling.values import Averages, Decision, Direction, Observation, Sight

BURST_FACTOR = 2
"""A burst wants at least this many times what is there."""
SHRINK_BELOW = 0.8
"""Shrinking begins below this part of the target: a load that varies by 10 % around its mean never
goes from above a target to below four fifths of it (1.1 x 0.8 < 0.9)."""
_TOLERANCE = 1e-6
"""What a mean may be above a whole number of targets by rounding alone."""


@dataclass(frozen=True, slots=True)
class _Need:
    """What one signal asks for: `wanted` now, at least `kept` when shrinking."""

    wanted: int
    kept: int
    reason: str
    burst: bool = False


def decide(spec: Scaling, seen: Observation, now: float) -> Decision:
    """Return the replicas that the function should have at `now`, and why."""
    if spec.paused:
        return _stay(seen, "scaling is paused")
    idle = _idle_reason(spec, seen, now)
    needs = _needs(spec, seen, idle)
    top = max(needs, key=lambda need: need.wanted)
    if seen.replicas > spec.max_replicas:
        return Decision(spec.max_replicas, f"maxReplicas {spec.max_replicas}", Direction.DOWN)
    raised = _raised(spec, seen, top)
    if raised.replicas > seen.replicas:
        return raised
    return _lowered(spec, seen, needs, idle, now) or _stay(seen, top.reason)


def target_of(concurrency: Concurrency) -> int:
    """Return the requests in one pod to aim at: the target, but never more than the limit."""
    limit = concurrency.limit
    return min(concurrency.target, limit) if limit else concurrency.target


def _needs(spec: Scaling, seen: Observation, idle: str) -> list[_Need]:
    needs = [_floor(spec, seen)]
    asleep = seen.replicas == 0 and not seen.present
    if not asleep and not idle:  # else what the windows remember is over
        target = target_of(spec.concurrency)
        needs.append(_need(spec, seen, seen.concurrency, target, "in flight {:.0f}"))
        if _is_lasting(spec, seen):
            kept = min(seen.busy, seen.replicas)
            needs.append(_Need(0, kept, f"{kept} instances have requests that last"))
        if rate := spec.requests_per_second:
            needs.append(_need(spec, seen, seen.requests_per_second, rate, "{:.0f} requests/s"))
    for name, value in seen.lag.items():
        wanted = _ceil(value)
        reason = f"lag of {name} {value:.1f} x target = {wanted}"
        needs.append(_Need(wanted, _kept(seen, value), reason))
    return needs


def _floor(spec: Scaling, seen: Observation) -> _Need:
    floor = max(spec.min_replicas, min(seen.provisioned, spec.max_replicas))
    if seen.provisioned > spec.min_replicas:
        return _Need(floor, floor, f"provisioned {floor}")
    return _Need(floor, floor, f"minReplicas {floor}" if floor else "nothing present")


def _need(spec: Scaling, seen: Observation, means: Averages, target: int, words: str) -> _Need:
    stable, burst = _ceil(means.stable / target), _ceil(means.burst / target)
    mean, seconds = means.stable, spec.window_seconds
    if burst > stable:
        mean, seconds = means.burst, spec.burst_window_seconds
    bursting = burst >= BURST_FACTOR * max(1, seen.capacity)
    wanted = max(stable, burst)
    said = f"{words.format(mean)} over {seconds} s / target {target} = {wanted}"
    kept = _kept(seen, max(means.stable, means.burst, means.peak) / target)
    return _Need(wanted, kept, f"burst: {said}" if bursting else said, bursting)


def _is_lasting(spec: Scaling, seen: Observation) -> bool:
    """Return whether requests stay for a window or longer, in the mean (Little, 1961)."""
    return seen.concurrency.stable > seen.requests_per_second.stable * spec.window_seconds


def _kept(seen: Observation, load: float) -> int:
    """Return what to shrink to for a load in targets; all that is there if it is not clearly less.

    Where a few pods' share of four fifths rounds up to all of them, nothing is given away.
    """
    return seen.replicas if _ceil(load / SHRINK_BELOW) >= seen.replicas else _ceil(load)


def _raised(spec: Scaling, seen: Observation, top: _Need) -> Decision:
    floor = _floor(spec, seen)
    most = spec.max_scale_up_factor * max(1, seen.ready)
    wanted = max(floor.wanted, min(top.wanted, most))
    reason = top.reason
    if wanted < top.wanted:
        reason += f", at most {most} in one step"
    if wanted > spec.max_replicas:
        wanted = spec.max_replicas
        reason += f", at most {wanted}"
    return Decision(wanted, reason, Direction.UP, top.burst)


def _lowered(
    spec: Scaling, seen: Observation, needs: list[_Need], idle: str, now: float
) -> Decision | None:
    if seen.replicas == 0:
        return None
    needed = max(needs[0].kept, 0 if idle else max(1, *(need.kept for need in needs)))
    if needed >= seen.replicas:
        return None
    if blocked := _blocked(spec, seen, idle, now):
        return _stay(seen, blocked)
    if seen.replicas == 1:
        return Decision(0, idle, Direction.ZERO)
    slowest = math.ceil(seen.replicas / spec.max_scale_down_factor)
    highest = max(needs, key=lambda need: need.kept)
    return Decision(max(needed, slowest, 1), idle or highest.reason, Direction.DOWN)


def _idle_reason(spec: Scaling, seen: Observation, now: float) -> str:
    """Return why nothing keeps the function awake; empty when something does."""
    quiet = now - seen.quiet_since
    if seen.present or seen.lagging or quiet < spec.idle_seconds:
        return ""
    if seen.sight is not Sight.CLEAR or now - seen.watched_since < spec.idle_seconds:
        return ""
    idle = f"idle {quiet:.0f} s"
    return f"{idle}; it did not start: {seen.trouble}" if seen.trouble else idle


def _blocked(spec: Scaling, seen: Observation, idle: str, now: float) -> str:
    """Return why nothing may shrink yet; empty when it may."""
    if seen.sight is Sight.BLIND:
        return "no gateway answers: nothing shrinks"
    if seen.waiting and seen.capacity > seen.ready:
        return "requests wait for instances that start: nothing shrinks"
    if now - seen.watched_since < spec.window_seconds:
        return f"watched for less than {spec.window_seconds} s: nothing shrinks"
    if not idle and now - seen.raised_at < spec.window_seconds:
        return f"raised less than {spec.window_seconds} s ago: nothing shrinks"
    return ""


def _stay(seen: Observation, reason: str) -> Decision:
    return Decision(seen.replicas, reason, Direction.STAY)


def _ceil(value: float) -> int:
    return math.ceil(value - _TOLERANCE)
