"""What a decision is made from, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType


class Direction(Enum):
    """What a decision does with the replicas."""

    UP = "up"
    DOWN = "down"
    ZERO = "zero"
    STAY = "stay"


class Sight(Enum):
    """How much of the gateways the leader sees: all, not all of them, or none."""

    CLEAR = "clear"
    PARTIAL = "partial"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Averages:
    """Means of one signal over the window and the burst window, up to now.

    `peak` is the highest mean over a burst window that was seen during the window.
    """

    stable: float = 0.0
    burst: float = 0.0
    peak: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything about one function that a decision looks at.

    `replicas` is what was asked for, `ready` the instances that serve. `present` counts requests
    that are in flight, queued or held now, `waiting` those of them that are queued or held.
    `busy` is how many instances have something in flight.
    `lag` maps a trigger to its backlog divided by its target; `provisioned` is the floor of the
    provisioned windows that are open now. `trouble` says why instances do not start, empty when
    nothing is known.

    On the clock of `now`: `quiet_since` is the last moment at which something was present or
    lagging, `watched_since` the one from which the windows have seen everything, `raised_at` the
    one at which replicas last grew, by whomever.
    """

    replicas: int
    ready: int
    present: int = 0
    waiting: int = 0
    busy: int = 0
    concurrency: Averages = Averages()
    requests_per_second: Averages = Averages()
    lag: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    provisioned: int = 0
    quiet_since: float = 0.0
    watched_since: float = 0.0
    raised_at: float = -math.inf
    sight: Sight = Sight.CLEAR
    trouble: str = ""

    @property
    def capacity(self) -> int:
        """Instances that serve or were asked for and start."""
        return max(self.replicas, self.ready)

    @property
    def lagging(self) -> bool:
        """Whether any trigger has something left for the function."""
        return any(value > 0 for value in self.lag.values())


@dataclass(frozen=True, slots=True)
class Decision:
    """The replicas to have now, and why, in words that reach status, logs and the CLI."""

    replicas: int
    reason: str
    direction: Direction
    burst: bool = False
