"""Brings one function's lane in the data plane to what is wanted, again and again until it is."""

from __future__ import annotations

import asyncio
import logging
import math

from torpor.errors import DataPlaneError, SlotsExhausted
from torpor.gateway.dataplane.base import DataPlane, Lane
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)

APPLY_SECONDS = 2.0
"""How long the data plane may take for one change."""
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0


class LaneKeeper:
    """What the data plane was last brought to; `problem` is why it could not be, None if it was.

    `exhausted` tells that it has no place for one more function.

    While there is a problem it is unknown what the plane does, so nobody may count on `applied`.
    """

    __slots__ = (
        "_failures",
        "_key",
        "_plane",
        "applied",
        "applied_at",
        "exhausted",
        "problem",
        "retry_at",
    )

    def __init__(self, key: FunctionKey, plane: DataPlane) -> None:
        self._key = key
        self._plane = plane
        self._failures = 0
        self.applied: Lane | None = None
        self.applied_at = -math.inf
        self.retry_at = -math.inf
        self.problem: str | None = None
        self.exhausted = False

    @property
    def is_closed(self) -> bool:
        """Whether new requests are certainly handed to the activator."""
        return self.problem is None and (self.applied is None or not self.applied.open)

    @property
    def is_draining(self) -> bool:
        """Whether there is a lane that takes nothing new."""
        return self.applied is not None and not self.applied.open

    def passes(self, wanted: Lane | None) -> bool:
        """Return whether requests certainly go to a server that is still wanted."""
        if self.problem is not None or self.applied is None or wanted is None:
            return False
        if not (self.applied.open and wanted.open):
            return False
        return not set(self.applied.servers).isdisjoint(wanted.servers)

    def is_done(self, wanted: Lane | None) -> bool:
        """Return whether the data plane is certainly as wanted."""
        return self.problem is None and self.applied == wanted

    async def bring(self, wanted: Lane | None) -> None:
        """Apply `wanted` unless it is so already, or the last failure was only just now."""
        clock = asyncio.get_running_loop().time
        if self.is_done(wanted) or clock() < self.retry_at:
            return
        try:
            async with asyncio.timeout(APPLY_SECONDS):
                await self._plane.apply(self._key, wanted)
        except (DataPlaneError, TimeoutError) as error:
            self.exhausted = isinstance(error, SlotsExhausted)
            self._failed(str(error) or f"no answer in {APPLY_SECONDS:g} s", clock())
            return
        self.applied, self.applied_at = wanted, clock()
        self.problem, self._failures, self.retry_at = None, 0, -math.inf
        self.exhausted = False

    def _failed(self, problem: str, now: float) -> None:
        if self.problem is None:
            fields = {"function": str(self._key), "problem": problem}
            log.warning("the data plane did not take a lane", extra={"fields": fields})
        self.problem = problem
        self._failures = min(self._failures + 1, 16)
        backoff = _FIRST_RETRY_SECONDS * 2 ** (self._failures - 1)
        self.retry_at = now + min(_LAST_RETRY_SECONDS, backoff)
