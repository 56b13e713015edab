"""The lanes of all functions, for the plane in this process: who is inside, waits, may come."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torpor.gateway.dataplane.admission import Admission, Place
from torpor.gateway.dataplane.base import Lane, LaneLoad
from torpor.resources.names import FunctionKey

_DEFAULT_TIMEOUT_SECONDS = 30.0


class Lanes:
    """Keeps a function as long as it has a lane or requests from when it had one.

    A request waits at most `queue_seconds` for a server.
    """

    def __init__(self, queue_seconds: float) -> None:
        self._queue_seconds = queue_seconds
        self._admissions: dict[FunctionKey, Admission] = {}
        self._present: Counter[FunctionKey] = Counter()
        self._reserved: Mapping[FunctionKey, int] = {}

    def set_reserved(self, shares: Mapping[FunctionKey, int]) -> None:
        """Let no more requests of these functions be present at once."""
        self._reserved = shares

    def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        """Bring one function to `lane`; what is inside goes on."""
        self._admissions.setdefault(key, Admission()).apply(lane)
        self._forget_if_done(key)

    def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        """Return the load of every function that is kept."""
        return {key: admission.load() for key, admission in self._admissions.items()}

    def is_open(self, key: FunctionKey) -> bool:
        """Return whether new requests may come in without asking the activator."""
        admission = self._admissions.get(key)
        return admission is not None and admission.open

    def has_room(self, key: FunctionKey) -> bool:
        """Return whether one more request may be present, as far as anything is reserved."""
        return self._present[key] < self._reserved.get(key, math.inf)

    def timeout_seconds(self, key: FunctionKey) -> float:
        """Return how long its servers may be silent."""
        lane = self._admissions[key].lane
        return lane.timeout_seconds if lane else _DEFAULT_TIMEOUT_SECONDS

    @contextmanager
    def presence(self, key: FunctionKey) -> Iterator[None]:
        """Count a request as present, held or inside, until the block ends."""
        self._present[key] += 1
        try:
            yield
        finally:
            self._present[key] -= 1
            self._forget_if_done(key)

    async def enter(self, key: FunctionKey) -> Place | None:
        """Wait for a place, in arrival order; None where there is no server (any more).

        TimeoutError after `queue_seconds`. `leave` must follow.
        """
        admission = self._admissions.get(key)
        if admission is None:
            return None
        async with asyncio.timeout(self._queue_seconds):
            return await admission.enter()

    def leave(self, key: FunctionKey, place: Place) -> None:
        """Free a place that `enter` returned."""
        self._admissions[key].leave(place)

    def _forget_if_done(self, key: FunctionKey) -> None:
        admission = self._admissions.get(key)
        if admission is not None and admission.lane is None and admission.empty:
            del self._admissions[key]
        if not self._present[key]:
            del self._present[key]
