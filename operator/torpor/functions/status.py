"""What is told of a Function: the status made from what was observed. Pure.

A function at zero is Ready: it serves, only later. What its instances suffered from is kept while
it sleeps or tries again, until another generation or an instance that serves says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from torpor.functions import decisions
from torpor.functions.cold_starts import ColdStarts
from torpor.functions.decisions import Rescaled
from torpor.functions.lateness import LATE, Unstarted, late
from torpor.functions.pod_template import selector
from torpor.resources.conditions import (
    ACTIVE,
    BLOCKING,
    FAILED_CREATE,
    IMAGE_PULL,
    INVALID_WINDOW,
    READY,
    RECONCILING,
    STALLED,
    Condition,
    Problem,
    Truth,
    find,
    merge,
    moment,
    timestamp,
)
from torpor.resources.function import Function
from torpor.scaling.provisioned import fault

ACTIVE_GRAIN_SECONDS = 60
"""How exact `lastActiveTime` is while instances run; a finer one would be a write a second."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Function's children as they are.

    `blocked` is why they could not be brought to what they should be; `trouble` is what the
    instances that do not start suffer from. `rolling` while instances of an older template live.
    `unstarted` while there are instances and none of their containers was started.
    """

    desired: int = 0
    ready: int = 0
    starting: int = 0
    rolling: bool = False
    exists: bool = True
    blocked: Problem | None = None
    trouble: Problem | None = None
    unstarted: Unstarted | None = None


@dataclass(frozen=True, slots=True)
class RunCounts:
    """A Job Function's runs whose Jobs there are; `last` is the id of the newest, if any."""

    active: int = 0
    succeeded: int = 0
    failed: int = 0
    last: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the autoscaler tells: why replicas last changed, and how cold starts went.

    `changes` of the replicas are those of late, the latest last. `late` while replicas are asked
    for and none of them was ready within the startup time. `runs` are those there are.
    """

    reason: str | None = None
    cold_starts: ColdStarts | None = None
    changes: Sequence[Rescaled] = ()
    late: bool = False
    runs: RunCounts = RunCounts()


def status(
    function: Function, observed: Observed, seen: Seen, domain: str, now: datetime
) -> dict[str, Any]:
    """Return the whole status; equal to `function.status` when there is nothing new to tell."""
    previous = function.status
    trouble = _kept_trouble(function, observed)
    if seen.late and not observed.ready and _may_be_late(trouble, observed):
        trouble = late(function, observed.unstarted)
    labels = selector(function)
    found = {
        "observedGeneration": function.generation,
        "url": _url(function, domain),
        "selector": ",".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "replicas": {
            "desired": observed.desired,
            "ready": observed.ready,
            "starting": observed.starting,
        },
        "reason": seen.reason or previous.get("reason"),
        "lastActiveTime": _last_active(previous, observed, trouble, now),
        "coldStart": _cold_starts(seen.cold_starts) or previous.get("coldStart"),
        "decisions": previous.get("decisions"),
        "conditions": merge(
            previous.get("conditions", ()),
            _conditions(function, observed, trouble),
            now,
            function.generation,
        ),
    }
    known = {name: value for name, value in found.items() if value is not None}
    if known == previous:
        return known  # what is only remembered is no reason to write
    lately = decisions.told(previous.get("decisions", ()), seen.changes)
    return {**known, "decisions": lately} if lately else known


def run_status(
    function: Function, blocked: Problem | None, runs: RunCounts, domain: str, now: datetime
) -> dict[str, Any]:
    """Return the whole status of a Job Function; equal to `function.status` when nothing is new."""
    counts = {"active": runs.active, "succeeded": runs.succeeded, "failed": runs.failed}
    found = (
        Condition(READY, Truth.FALSE, blocked.reason, blocked.message)
        if blocked
        else Condition(READY, Truth.TRUE, "TakesRuns", "a call of it is a run"),
        Condition(ACTIVE, Truth.TRUE, "Running", "runs of it have not ended")
        if runs.active
        else Condition(ACTIVE, Truth.FALSE, "NoRuns", "no run of it goes on"),
        Condition(RECONCILING, Truth.FALSE, "UpToDate", "its objects are as they should be"),
        _stalled(blocked),
    )
    previous = function.status.get("conditions", ())
    return {
        "observedGeneration": function.generation,
        "url": _url(function, domain),
        "runs": {**counts, **({"last": runs.last} if runs.last else {})},
        "conditions": merge(previous, found, now, function.generation),
    }


def refusal(obj: Mapping[str, Any], problem: Problem, now: datetime) -> dict[str, Any]:
    """Return the status of an object that is not understood as a Function."""
    previous = obj.get("status") or {}
    generation = int(obj["metadata"].get("generation", 0))
    found = (
        Condition(READY, Truth.FALSE, problem.reason, problem.message),
        Condition(STALLED, Truth.TRUE, problem.reason, problem.message),
    )
    conditions = merge(previous.get("conditions", ()), found, now, generation)
    return {**previous, "observedGeneration": generation, "conditions": conditions}


def _url(function: Function, domain: str) -> str:
    return f"http://{function.key.name}.{function.key.namespace}.{domain}"


def _cold_starts(found: ColdStarts | None) -> dict[str, Any] | None:
    if found is None:
        return None
    columns = {"last": found.last, "p50": found.p50, "p95": found.p95}
    return {
        "samples": found.count,
        **{name: _whole_milliseconds(values) for name, values in columns.items()},
    }


def _whole_milliseconds(phases: Mapping[str, float]) -> dict[str, int]:
    return {phase: round(value) for phase, value in phases.items()}


def _active(observed: Observed) -> bool:
    return observed.desired + observed.ready + observed.starting > 0


def _last_active(
    previous: Mapping[str, Any], observed: Observed, trouble: Problem | None, now: datetime
) -> str | None:
    last: str | None = previous.get("lastActiveTime")
    if _active(observed):
        if last and trouble and not observed.ready:
            return last  # it tries to start over and over, which is no activity
        stale = last is None or (now - moment(last)).total_seconds() >= ACTIVE_GRAIN_SECONDS
        return timestamp(now) if stale else last
    was_active = find(previous.get("conditions", ()), ACTIVE)
    fell_asleep = was_active is not None and was_active.get("status") == Truth.TRUE.value
    return timestamp(now) if fell_asleep else last


def _conditions(
    function: Function, observed: Observed, trouble: Problem | None
) -> tuple[Condition, ...]:
    return (
        _ready(observed, trouble),
        _activity(observed),
        _reconciling(observed),
        _stalled(observed.blocked, trouble, _window_fault(function)),
    )


def _kept_trouble(function: Function, observed: Observed) -> Problem | None:
    """Return what instances fail with, or the last ones failed with if nothing mended it since.

    The kubelet shows one lasting trouble in turns: it tries, it waits, it tries again. What was
    told of it stays until an instance serves, so that a broken function is not written for ever.
    """
    told, now = _told_trouble(function), observed.trouble
    if told is None:
        return now
    if now is None:
        if observed.starting:
            return told if _outlasts_an_attempt(told) else None
        return None if observed.ready else told
    between_attempts = told.final and now.reason in _ENDINGS
    return told if between_attempts or now.reason == told.reason == IMAGE_PULL else now


def _may_be_late(trouble: Problem | None, observed: Observed) -> bool:
    """Return whether being late is all there is to tell; of what, the instances there are tell."""
    return trouble is None or (trouble.reason in LATE and observed.starting > 0)


def _outlasts_an_attempt(told: Problem) -> bool:
    """Return whether an instance that starts says nothing against it; that there is one may."""
    return told.reason in LATE or (told.final and told.reason != FAILED_CREATE)


def _told_trouble(function: Function) -> Problem | None:
    """Return what instances of this generation were last said to fail with."""
    conditions = function.status.get("conditions", ())
    for kind, failing in ((STALLED, Truth.TRUE), (READY, Truth.FALSE)):
        found = find(conditions, kind)
        if found is None or found.get("status") != failing.value or found["reason"] in _OURS:
            continue
        if found.get("observedGeneration") == function.generation:
            return Problem(str(found["reason"]), str(found["message"]), final=kind == STALLED)
    return None


_ENDINGS = frozenset({"Completed", "Error", "OOMKilled"})
"""How a container ended that the kubelet is about to start again."""
PENDING = "Pending"
_OURS = BLOCKING | {PENDING, INVALID_WINDOW}
"""Reasons that are looked at anew on every visit, unlike what instances failed with."""


def _ready(observed: Observed, trouble: Problem | None) -> Condition:
    if observed.blocked:
        return Condition(READY, Truth.FALSE, observed.blocked.reason, observed.blocked.message)
    if not observed.exists:
        return Condition(READY, Truth.UNKNOWN, PENDING, "its objects are being made")
    if observed.ready:
        return Condition(READY, Truth.TRUE, "Serving", "instances serve")
    if trouble:
        return Condition(READY, Truth.FALSE, trouble.reason, trouble.message)
    if observed.desired:
        return Condition(READY, Truth.TRUE, "Waking", "an instance starts; requests are held")
    return Condition(READY, Truth.TRUE, "AtZero", "asleep; a request wakes it")


def _activity(observed: Observed) -> Condition:
    if observed.ready:
        return Condition(ACTIVE, Truth.TRUE, "Serving", "instances serve")
    if _active(observed):
        return Condition(ACTIVE, Truth.TRUE, "Waking", "an instance starts")
    return Condition(ACTIVE, Truth.FALSE, "AtZero", "no instance runs")


def _reconciling(observed: Observed) -> Condition:
    if not observed.exists and not observed.blocked:
        return Condition(RECONCILING, Truth.TRUE, PENDING, "its objects are being made")
    if observed.rolling:
        return Condition(RECONCILING, Truth.TRUE, "RollingOut", "instances are being replaced")
    return Condition(RECONCILING, Truth.FALSE, "UpToDate", "its objects are as they should be")


def _window_fault(function: Function) -> Problem | None:
    """Return why a provisioned window can never open; it serves on without."""
    found = fault(function.scaling.provisioned)
    return Problem(INVALID_WINDOW, str(found), final=True) if found else None


def _stalled(*problems: Problem | None) -> Condition:
    problem = next((item for item in problems if item and item.final), None)
    if problem:
        return Condition(STALLED, Truth.TRUE, problem.reason, problem.message)
    return Condition(STALLED, Truth.FALSE, "Progressing", "nothing waits for a person")
