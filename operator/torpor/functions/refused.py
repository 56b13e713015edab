"""Remembers which Functions' objects the API server refuses, to ask it again ever more seldom.

A refusal lasts until somebody changes something: the spec, which is tried at once, or what else is
in its way, such as a quota or an admission policy, of which nothing tells.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from torpor.platform.kubernetes.throttle import Backoff, Random
from torpor.resources.conditions import Problem
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

BACKOFF = Backoff(first_seconds=2.0, most_seconds=60.0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the API server said of one generation of a Function, and when to ask it again."""

    uid: str
    generation: int
    problem: Problem
    times: int
    due: float

    def concerns(self, function: Function) -> bool:
        """Return whether it was said of this spec."""
        return (self.uid, self.generation) == (function.uid, function.generation)


class Refusals:
    """The refusals that stand. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float], rand: Random = random.random) -> None:
        self._clock = clock
        self._random = rand
        self._known: dict[FunctionKey, Refusal] = {}

    def standing(self, function: Function) -> Refusal | None:
        """Return what was said of this spec, while it is too early to ask again."""
        found = self._known.get(function.key)
        if found is None or not found.concerns(function) or self._clock() >= found.due:
            return None
        return found

    def note(self, function: Function, problem: Problem) -> Refusal:
        """Remember that it was refused, once more or for the first time."""
        before = self._known.get(function.key)
        times = before.times + 1 if before and before.concerns(function) else 1
        due = self._clock() + BACKOFF.delay(times, self._random)
        found = Refusal(function.uid, function.generation, problem, times, due)
        self._known[function.key] = found
        return found

    def wait_seconds(self, refusal: Refusal) -> float:
        """Return how long to wait before asking again."""
        return max(0.0, refusal.due - self._clock())

    def forget(self, key: FunctionKey) -> None:
        """Hold nothing of a Function that is gone, or whose objects were taken."""
        self._known.pop(key, None)
