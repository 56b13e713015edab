"""Pace: a token bucket, and delays that grow with each failure and differ between processes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]
Random = Callable[[], float]
"""Returns a number in [0, 1)."""


class TokenBucket:
    """Lets `burst` through at once and `rate_per_second` in the long run, in order of asking."""

    def __init__(self, rate_per_second: float, burst: int, clock: Clock = time.monotonic) -> None:
        self._interval = 1.0 / rate_per_second
        self._slack = self._interval * (burst - 1)
        self._clock = clock
        self._next_at = float("-inf")

    def reserve(self) -> float:
        """Take a token, perhaps of the future; return the seconds until it may be used."""
        now = self._clock()
        self._next_at = max(self._next_at, now - self._slack)
        wait = self._next_at - now
        self._next_at += self._interval
        return max(0.0, wait)

    def try_take(self) -> bool:
        """Take a token if one is there."""
        if max(self._next_at, self._clock() - self._slack) > self._clock():
            return False
        self.reserve()
        return True

    async def take(self) -> None:
        """Wait for a token."""
        wait = self.reserve()
        if wait > 0:
            await asyncio.sleep(wait)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubles from `first_seconds` to `most_seconds`; the actual delay is 50-100 % of that."""

    first_seconds: float
    most_seconds: float

    def delay(self, failures: int, rand: Random = random.random) -> float:
        """Return the seconds to wait after the `failures`-th failure in a row (from 1)."""
        full = min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 60))
        return full * (0.5 + rand() / 2)
