"""What the facts about one function call for: which lane, and how many instances."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.gateway.adoption import Adoption
from torpor.gateway.dataplane.base import Lane
from torpor.gateway.holdqueue import HoldQueue
from torpor.gateway.inside import Inside
from torpor.gateway.lane import LaneKeeper
from torpor.gateway.parking import Parking
from torpor.gateway.roster import Roster
from torpor.gateway.terms import Part


@dataclass(slots=True)
class Needs:
    """The facts, and what follows from them.

    `deleted`: the function is no more. `drained`: it was scaled to zero with nothing inside, and no
    instance has come since.
    """

    part: Part
    queue: HoldQueue
    roster: Roster
    lane: LaneKeeper
    inside: Inside
    parking: Parking
    adoption: Adoption
    deleted: bool = False
    drained: bool = False

    @property
    def adopts_at(self) -> float:
        """When this gateway serves the function although another is its home."""
        return self.adoption.begins_at(self.queue.oldest, local=self.part.local)

    def settle(self, now: float) -> None:
        """Begin or end to serve it although another gateway is its home."""
        self.adoption.settle(
            self.queue.oldest, now, local=self.part.local, empty=self.inside.is_forgotten
        )

    def wanted(self) -> Lane | None:
        """Return the lane that the data plane should have; None for none."""
        if not self._serves_here():
            return None
        terms = self.part.terms
        servers = self.roster.servers(self.part.share, h2c=terms.h2c)
        applied = self.lane.applied
        if self.parking:
            keep = servers or applied is not None
            return Lane(False, servers, terms.timeout_seconds) if keep else None
        if servers:
            return Lane(True, servers, terms.timeout_seconds)
        if applied is None or self.drained or self.inside.has_drained:
            return None
        return Lane(False, (), terms.timeout_seconds)

    def instances(self) -> int:
        """Return how many instances a wake must ask for; 0 when nobody waits for one."""
        if not self._is_starving():
            return 0
        return self.part.replicas_for(len(self.queue) + self.inside.load.queued)

    def _is_starving(self) -> bool:
        if self.parking or not self._serves_here():
            return False
        stranded = self.lane.is_draining and self.inside.load.queued > 0
        return bool(self.queue or stranded) and not self.roster.endpoints()

    def _serves_here(self) -> bool:
        return not self.deleted and (self.part.local or bool(self.adoption))
