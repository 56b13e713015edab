"""Lets held requests through, in arrival order, as fast as instances may take them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torpor.gateway.dataplane.base import Go
from torpor.gateway.episode import Episode
from torpor.gateway.holdqueue import HoldQueue
from torpor.gateway.inside import Inside
from torpor.gateway.pace import TICK_SECONDS, Crowd, Pacer
from torpor.gateway.roster import Roster
from torpor.gateway.terms import Part
from torpor.gateway.wake import Waker

GO = Go(None)
"""The verdict on a request that woke nothing."""


@dataclass(frozen=True, slots=True)
class Releaser:
    """The way from the queue to the lane."""

    queue: HoldQueue
    pacer: Pacer
    inside: Inside
    roster: Roster
    waker: Waker
    episode: Episode

    def next_at(self, now: float) -> float:
        """Return when time alone may let somebody through; infinity while nobody waits."""
        return now + TICK_SECONDS if self.queue else math.inf

    def rest(self) -> None:
        """Let nobody through: there is nothing to go to."""
        self.pacer.rest()

    def release(self, part: Part, now: float) -> None:
        """Let through as many as there is room for; the one that woke the function is told."""
        if not self.queue:
            self.rest()
            return
        count = self._room(part, now)
        if not count:
            return
        cold = self.episode.succeed(self.waker.answered_at, self.roster.started(), now)
        self.queue.release(Go(round(cold.total_ms), cold.phases) if cold else GO)
        for _ in range(count - 1):
            self.queue.release(GO)
        self.pacer.released(count, now)

    def _room(self, part: Part, now: float) -> int:
        """Return how many may be let through; a hard limit is paced by the data plane itself."""
        held, oldest = len(self.queue), self.queue.oldest
        if part.share or oldest is None:
            return held
        crowd = Crowd(held, oldest, part.terms.hold_seconds)
        capacity = part.terms.target * len(self.roster.endpoints())
        return self.pacer.room(crowd, self.inside.count, capacity, now)
