"""What the data plane has inside of one function, by its last reading, and how far to trust that.

A reading is a moment old: what was let through or changed after it was asked for is not in it.
"""

from __future__ import annotations

import math

from torpor.gateway.dataplane.base import LaneLoad
from torpor.gateway.lane import LaneKeeper
from torpor.gateway.pace import Pacer
from torpor.gateway.tally import EMPTY

QUIET_SECONDS = 0.1
"""A request let through may take this long to show in the data plane's load."""


class Inside:
    """The last reading; times are monotonic seconds."""

    __slots__ = ("_lane", "_pacer", "_read_at", "load")

    def __init__(self, lane: LaneKeeper, pacer: Pacer) -> None:
        self._lane = lane
        self._pacer = pacer
        self._read_at = -math.inf
        self.load: LaneLoad = EMPTY

    @property
    def count(self) -> int:
        """Requests that an instance has or that wait for a place in one."""
        return self.load.in_flight + self.load.queued

    @property
    def has_drained(self) -> bool:
        """Whether a lane that takes nothing new has nothing left."""
        return self._lane.is_draining and self._is_fresh and not self.count

    @property
    def is_forgotten(self) -> bool:
        """Whether nothing is left of all that was let through."""
        return not self.count and self._pacer.shows(self._read_at)

    def take(self, load: LaneLoad, read_at: float) -> None:
        """Take in a reading that was asked for at `read_at`."""
        self.load, self._read_at = load, read_at
        self._pacer.seen(read_at)

    def is_empty(self, now: float) -> bool:
        """Return whether it is certain that nothing is inside, nor on its way there."""
        quiet = now >= self._pacer.released_at + QUIET_SECONDS
        return self._lane.is_closed and self._is_fresh and quiet and not self.count

    @property
    def _is_fresh(self) -> bool:
        return self._read_at >= self._lane.applied_at
