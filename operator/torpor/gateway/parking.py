"""A function on its way to zero: nothing new goes in, and its leader decides what comes next.

A park that nobody ends is over after `PARK_SECONDS`, so a leader that dies parks nothing for good.
"""

from __future__ import annotations

import asyncio
import math

from torpor.errors import DataPlaneError
from torpor.gateway.holdqueue import HoldQueue
from torpor.gateway.inside import Inside
from torpor.gateway.sampling import Sampler
from torpor.resources.load import PARK_SECONDS, ParkAnswer

DRAIN_SECONDS = 1.0
"""How long a park is waited for before what is left is told."""


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


async def drain(inside: Inside, queue: HoldQueue, sampler: Sampler) -> ParkAnswer:
    """Wait until nothing is left inside, something waits outside, or the time is up.

    DataPlaneError if it could not be seen in time that nothing is left.
    """
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while not queue and not inside.is_empty(clock()):
                await sampler.next()
    except TimeoutError:
        pass
    answer = ParkAnswer(inside.load.in_flight, inside.load.queued, len(queue))
    if not answer.present and not inside.is_empty(clock()):
        raise DataPlaneError("it could not be seen in time that the function is drained")
    return answer
