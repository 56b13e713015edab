"""How fast held requests are let through to instances that have no hard limit. Pure.

Up to the target there is room at once. Where the target stays full, as with requests that never
end, an instance that is up still takes more than its target: each is given at least another
target's worth a second, and more if those who wait would not all go before their time is up. So
nobody waits out a hold while an instance is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TICK_SECONDS = 0.05
"""How often time alone may let requests through."""
_SHOWS_SECONDS = 0.02
_HOLD_USED = 0.9
"""Part of the hold time within which all are let through."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Those who wait (at least one), since when the first does, and how long each may."""

    held: int
    oldest: float
    hold_seconds: float


class Pacer:
    """What was let through of late, and what may be; times are monotonic seconds.

    `_credit` is what time alone allows. What goes by room is taken from it too, down to a second's
    worth below nothing, so that time allows nothing while room suffices.
    """

    __slots__ = ("_credit", "_earned_at", "_unseen", "released_at")

    def __init__(self) -> None:
        self._earned_at: float | None = None
        self._credit = -math.inf
        self._unseen = 0
        self.released_at = -math.inf

    def shows(self, read_at: float) -> bool:
        """Return whether a load read at `read_at` has all in it that was let through."""
        return read_at >= self.released_at + _SHOWS_SECONDS

    def seen(self, read_at: float) -> None:
        """Take in that the load was read."""
        if self.shows(read_at):
            self._unseen = 0

    def released(self, count: int, now: float) -> None:
        """Take in that `count` requests were let through."""
        self._unseen += count
        self._credit -= count
        self.released_at = now

    def rest(self) -> None:
        """Take in that nobody waits, or that there is nothing to go to."""
        self._earned_at, self._credit = None, -math.inf

    def room(self, crowd: Crowd, inside: int, capacity: int, now: float) -> int:
        """Return how many may go now; `capacity` is the target of all usable instances."""
        left_seconds = crowd.oldest + crowd.hold_seconds * _HOLD_USED - now
        if left_seconds <= 0:
            return crowd.held
        self._earn(crowd.held, capacity, left_seconds, now)
        by_target = capacity - inside - self._unseen
        return max(0, min(crowd.held, max(by_target, math.floor(self._credit))))

    def _earn(self, held: int, capacity: int, left_seconds: float, now: float) -> None:
        since = now if self._earned_at is None else self._earned_at
        credit = max(self._credit, -float(capacity))
        per_second = max(float(capacity), (held - credit) / max(left_seconds, TICK_SECONDS))
        self._credit, self._earned_at = credit + per_second * (now - since), now
