"""One function as the autoscaler knows it: its spec, its instances, what was last asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.functions.decisions import OTHERS, Rescaled, appended
from torpor.platform.base import Instance
from torpor.resources.function import Function, Scaling
from torpor.resources.names import FunctionKey
from torpor.resources.reserved import reserved
from torpor.scaling.history import History
from torpor.scaling.meter import Sample
from torpor.scaling.provisioned import NO_WINDOWS, sound
from torpor.scaling.values import Decision, Observation, Sight

_ASLEEP = Sample()
_REREAD_SECONDS = 30.0
_MISMATCH_SECONDS = (1.0, 5.0)
"""How often the scale is read while instances differ from it: at first, and after 10 s."""


@dataclass(frozen=True, slots=True)
class View:
    """What the autoscaler last did and saw of a function; counts are as of the last pass.

    `decision` is the last one that changed replicas (the first one made, before any), `latest` the
    one of the last pass. `last_active_at` is in seconds since 1970. `problem` says what keeps
    the autoscaler from acting. `changes` are those of the replicas of late, the latest last.
    `late` while replicas are asked for and none was ready within the startup time.
    """

    decision: Decision
    latest: Decision
    replicas: int
    ready: int
    starting: int
    present: int = 0
    last_active_at: float | None = None
    problem: str = ""
    changes: tuple[Rescaled, ...] = ()
    late: bool = False

    @property
    def told(self) -> tuple[object, ...]:
        """What a status shows: when it differs, whoever writes the status is called."""
        return self.decision, self.replicas, self.ready, self.starting, self.problem, self.late


class Tracked:
    """One function."""

    __slots__ = (
        "acted_at",
        "asked",
        "begins_anew",
        "changes",
        "counted_at",
        "failures",
        "floor",
        "generation",
        "history",
        "instances",
        "key",
        "problem",
        "raised_at",
        "read_at",
        "retry_at",
        "sample",
        "scaling",
        "size",
        "size_told",
        "spec_problem",
        "starting_since",
        "startup_timeout_seconds",
        "view",
        "windows_since",
    )

    def __init__(self, key: FunctionKey) -> None:
        self.key = key
        self.scaling: Scaling | None = None
        self.startup_timeout_seconds = 0
        self.generation = 0
        self.instances: tuple[Instance, ...] = ()
        self.floor = NO_WINDOWS
        self.asked: int | None = None
        self.read_at = -math.inf
        self.raised_at = -math.inf
        self.history: History | None = None
        self.sample = _ASLEEP
        self.starting_since: float | None = None
        self.spec_problem = ""
        self.problem = ""
        self.failures = 0
        self.retry_at = -math.inf
        self.acted_at = -math.inf
        self.view: View | None = None
        self.begins_anew = False
        self.windows_since = -math.inf
        self.changes: tuple[Rescaled, ...] = ()
        self.counted_at: float | None = None
        self.size: Mapping[str, float] = {}
        self.size_told = False

    @property
    def live(self) -> int:
        """Instances that are not about to leave."""
        return sum(not instance.terminating for instance in self.instances)

    @property
    def ready(self) -> int:
        """Instances that serve."""
        return sum(item.ready and not item.terminating for item in self.instances)

    @property
    def replicas(self) -> int:
        """What was asked for, as far as is known."""
        return self.live if self.asked is None else self.asked

    @property
    def starting(self) -> int:
        """Instances asked for that do not serve yet."""
        return max(0, self.replicas - self.ready)

    def take_spec(self, function: Function) -> None:
        """Follow a new spec, whose instances have all their time to start.

        Windows of another length begin anew. Of the Function only what scaling looks at, and what
        a pod reserves, is kept: the rest is large.
        """
        before, after = self.scaling, function.scaling
        self._take_size(reserved(function))
        self.startup_timeout_seconds = function.startup_timeout_seconds
        if self.generation != function.generation:
            self.generation, self.starting_since = function.generation, None
        if before == after:
            return
        self.scaling = after
        if before and _windows(before) != _windows(after):
            self.history = None
            self.begins_anew = True
        self.floor, wrong = sound(after.provisioned)
        self.spec_problem = str(wrong) if wrong else ""

    def _take_size(self, size: Mapping[str, float]) -> None:
        self.size_told = self.size_told and size == self.size
        self.size = size

    def asked_for(self, replicas: int, now: float) -> None:
        """Note what the scale says; more than before, by whomever, is a reason to stay awake."""
        if self.history and replicas > (self.asked or 0):
            self.history.quiet_since = now
            self.raised_at = now
        self.asked, self.read_at = replicas, now

    def changed_by_others(self, replicas: int, wall: float) -> None:
        """Remember that the scale, which is about to be noted, is not what it was last."""
        if self.asked is not None and self.asked != replicas:
            self.remember(Rescaled(wall, self.asked, replicas, OTHERS))

    def remember(self, change: Rescaled) -> None:
        """Keep a change of the replicas among those of late."""
        self.changes = appended(self.changes, change)

    def read_again(self) -> None:
        """Read the scale before anything else is decided."""
        self.read_at = -math.inf

    def must_read(self, now: float) -> bool:
        """Return whether the scale may have changed unseen."""
        age = now - self.read_at
        if self.asked is None or age >= _REREAD_SECONDS:
            return True
        long_since = self.starting_since is not None and now - self.starting_since > 10.0
        return self.asked != self.live and age >= _MISMATCH_SECONDS[long_since]

    def add(self, sample: Sample, now: float) -> None:
        """Take what the gateways told since the last pass."""
        assert self.scaling is not None
        if self.history is None:
            self.history = History(self.scaling, now)
            if self.begins_anew:
                self.windows_since, self.begins_anew = now, False
        self.sample = sample
        self.history.add(sample, self.starting, now)
        if self.replicas == 0 or self.ready:
            self.starting_since = None
        elif self.starting_since is None:
            self.starting_since = now
        if self._may_still_start(now):
            self.history.quiet_since = now

    def observe(
        self,
        *,
        now: float,
        wall: float,
        watched_since: float,
        sight: Sight,
        lag: Mapping[str, float],
    ) -> Observation:
        """Return what a decision looks at; `add` was called before."""
        assert self.history is not None
        if any(value > 0 for value in lag.values()):
            self.history.quiet_since = now
        return self.history.observe(
            replicas=self.replicas,
            ready=self.ready,
            busy=self._busy(),
            lag=lag,
            provisioned=self.floor.at(wall),
            watched_since=max(watched_since, self.windows_since),
            sight=sight,
            raised_at=self.raised_at,
            trouble=self._trouble(now),
        )

    def failed(self, problem: str, now: float) -> None:
        """Leave the function alone for a while: 1 s, doubling to 30 s."""
        self.problem = problem
        self.retry_at = now + min(30.0, 2.0**self.failures)
        self.failures = min(self.failures + 1, 5)

    def is_late(self, now: float) -> bool:
        """Return whether none of the instances asked for was ready within the startup time."""
        if self.starting_since is None or self.scaling is None:
            return False
        return now - self.starting_since >= self.startup_timeout_seconds

    def succeeded(self) -> None:
        """End the waiting that failures brought."""
        self.problem = ""
        self.failures = 0

    def sleep(self) -> None:
        """Forget what only an awake function needs."""
        self.history = None
        self.starting_since = None
        self.sample = _ASLEEP

    def _busy(self) -> int:
        in_flight = self.sample.instances
        return sum(
            not item.terminating and in_flight.get(item.name, 0) > 0 for item in self.instances
        )

    def _may_still_start(self, now: float) -> bool:
        """Return whether its first instance has time left: it had no chance to be used yet."""
        if self.starting_since is None or self.scaling is None:
            return False
        if any(item.trouble and item.trouble.final for item in self.instances):
            return False
        return now - self.starting_since < self.startup_timeout_seconds

    def _trouble(self, now: float) -> str:
        if self.starting_since is None or self.scaling is None:
            return ""
        for instance in self.instances:
            if instance.trouble:
                return f"{instance.trouble.reason}: {instance.trouble.message}"
        return f"not ready within {self.startup_timeout_seconds} s" if self.is_late(now) else ""


def _windows(scaling: Scaling) -> tuple[int, int, bool]:
    rate = scaling.requests_per_second is not None
    return scaling.window_seconds, scaling.burst_window_seconds, rate
