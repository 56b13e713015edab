"""A function on its way to zero: nothing new goes in, and its leader decides what comes next.

A park that nobody ends is over after `PARK_SECONDS`, so a leader that dies parks nothing for good.
"""

from __future__ import annotations

import math

from torpor.resources.load import PARK_SECONDS

DRAIN_SECONDS = 1.0
"""How long a park is waited for before what is left is told."""
QUIET_SECONDS = 0.1
"""A request let through may take this long to show in the data plane's load."""


class Parking:
    """Whether a function is parked, and until when (monotonic seconds)."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = -math.inf

    def __bool__(self) -> bool:
        return self._until != -math.inf

    @property
    def ends_at(self) -> float:
        """When it ends by itself; infinity when there is nothing to end."""
        return self._until if self else math.inf

    def begin(self, now: float) -> None:
        """Park, or stay parked for another `PARK_SECONDS`."""
        self._until = now + PARK_SECONDS

    def end(self) -> None:
        """Stop being parked."""
        self._until = -math.inf

    def end_if_overdue(self, now: float) -> None:
        """Stop being parked if nothing was heard for `PARK_SECONDS`."""
        if now >= self.ends_at:
            self.end()
