"""Time, randomness and tokens, as a step of an execution asks for them."""

from __future__ import annotations

import time
import uuid
from random import Random
from typing import Protocol

from torpor.workflows.engine.tokens import TaskRef, TaskTokens


class Clock(Protocol):
    """Where the engine takes the time from."""

    def now(self) -> float:
        """Seconds since the epoch."""


class WallClock:
    """The time of this machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class World:
    """The `Outside` of one execution."""

    __slots__ = ("_arn", "_clock", "_random", "_started_at", "_tokens")

    def __init__(
        self, arn: str, clock: Clock, random: Random, tokens: TaskTokens, started_at: float = 0.0
    ) -> None:
        self._arn = arn
        self._started_at = started_at
        self._clock = clock
        self._random = random
        self._tokens = tokens

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._clock.now()

    def uuid(self) -> str:
        """A version 4 UUID from the engine's source of randomness."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def random(self) -> float:
        """A number in [0, 1) from the engine's source of randomness."""
        return self._random.random()

    def task_token(self, frame: int, ticket: int) -> str:
        """The signed token of one wait of this execution."""
        return self._tokens.issue(TaskRef(self._arn, frame, ticket), self._started_at)
