"""The circuit breaker: a target that fails most of the time is left alone for a while. Pure.

Closed, it counts the deliveries of a window; open, none is made; after `open_seconds` one delivery
is let through (half open), and its end closes it or opens it anew. Each process has its own.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from torpor.resources.trigger import CircuitBreaker


class Passage(Enum):
    """Whether a delivery may go to the target."""

    FREE = "free"
    PROBE = "probe"
    """It may, and what comes of it decides; `settle` or `forgo` must be called."""
    BARRED = "barred"


class Breaker:
    """The state of one Trigger's breaker. All times are seconds of one monotonic clock."""

    def __init__(self, settings: CircuitBreaker) -> None:
        self._settings = settings
        self._ends: deque[tuple[float, bool]] = deque()
        """When deliveries of the window ended, and whether they failed."""
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether deliveries go through as if there were no breaker."""
        return self._opened_at is None

    def passage(self, now: float) -> Passage:
        """Return whether a delivery may be made, and count it as the probe if it is to be one."""
        if self._opened_at is None:
            return Passage.FREE
        if self._probing or now < self._opened_at + self._settings.open_seconds:
            return Passage.BARRED
        self._probing = True
        return Passage.PROBE

    def wait_seconds(self, now: float) -> float:
        """Return how long it stays shut: 0 when a delivery may be made."""
        if self._opened_at is None:
            return 0.0
        remaining = self._opened_at + self._settings.open_seconds - now
        return max(remaining, 0.1) if self._probing else max(remaining, 0.0)

    def settle(self, passage: Passage, now: float, *, failed: bool) -> None:
        """Take note of the end of a delivery that had this passage."""
        if passage is Passage.PROBE:
            self._probing = False
            self._opened_at = now if failed else None
            self._forget()
        elif self._opened_at is None:
            self._count(now, failed)

    def forgo(self, passage: Passage) -> None:
        """Take note that a delivery was not made after all."""
        if passage is Passage.PROBE:
            self._probing = False

    def _count(self, now: float, failed: bool) -> None:
        self._ends.append((now, failed))
        self._failed += failed
        while self._ends[0][0] <= now - self._settings.window_seconds:
            self._failed -= self._ends.popleft()[1]
        enough = len(self._ends) >= self._settings.minimum_deliveries
        if enough and self._failed >= self._settings.failure_rate * len(self._ends):
            self._opened_at = now
            self._forget()

    def _forget(self) -> None:
        self._ends.clear()
        self._failed = 0
