"""The timers of every execution in this process: one heap over what the frontiers say is due.

Timers are not stored apart: a frame's `due` is part of the frontier, so whoever loads a frontier
sets its timers anew. A timer that is replaced or cleared stays in the heap until it comes up or
until dead entries outnumber the living; only entries that are still in force ring.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from torpor.telemetry.metrics import WORKFLOW_TIMER_LAG_SECONDS
from torpor.workflows.engine.world import Clock

_LONGEST_SLEEP_SECONDS = 60.0
"""The wall clock may be set: it is looked at again at least this often."""
_DEAD_ALLOWED = 10_000


class Kind(IntEnum):
    """What a timer stands for."""

    FRAME = 0
    HEARTBEAT = 1
    DEADLINE = 2


@dataclass(frozen=True, slots=True)
class Alarm:
    """A timer that rings. `frame` and `ticket` are 0 for the execution's own deadline."""

    execution_arn: str
    frame: int
    ticket: int
    kind: Kind


_Place = tuple[int, Kind]
_Set = tuple[float, int]


class Timers:
    """At most one timer for each (execution, frame, kind)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = itertools.count()
        self._live: dict[str, dict[_Place, _Set]] = {}
        self._count = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    def set(self, due: float, alarm: Alarm) -> None:
        """Let an alarm ring at `due` (seconds since the epoch), instead of an earlier setting."""
        places = self._live.setdefault(alarm.execution_arn, {})
        place = (alarm.frame, alarm.kind)
        if places.get(place) == (due, alarm.ticket):
            return
        self._count += place not in places
        places[place] = (due, alarm.ticket)
        if not self._heap or due < self._heap[0][0]:
            self._changed.set()
        heapq.heappush(self._heap, (due, next(self._order), alarm))
        if len(self._heap) > 2 * self._count + _DEAD_ALLOWED:
            self._compact()

    def clear(self, execution_arn: str, frame: int, kind: Kind) -> None:
        """Take a timer back."""
        places = self._live.get(execution_arn)
        if places and places.pop((frame, kind), None):
            self._count -= 1
            if not places:
                del self._live[execution_arn]

    def drop(self, execution_arn: str) -> None:
        """Take back all timers of an execution."""
        self._count -= len(self._live.pop(execution_arn, ()))

    def next_due(self, execution_arn: str) -> float | None:
        """When the execution's next timer rings, None without one."""
        places = self._live.get(execution_arn)
        return min(due for due, _ in places.values()) if places else None

    async def run(self, ring: Callable[[Alarm], None]) -> None:
        """Ring every timer when it is due, in order, until cancelled."""
        while True:
            self._changed.clear()
            wait = self._ring_due(ring)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ring_due(self, ring: Callable[[Alarm], None]) -> float:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            due, _, alarm = heapq.heappop(self._heap)
            if self._in_force(due, alarm):
                self.clear(alarm.execution_arn, alarm.frame, alarm.kind)
                WORKFLOW_TIMER_LAG_SECONDS.observe(max(0.0, now - due))
                ring(alarm)
        if not self._heap:
            return _LONGEST_SLEEP_SECONDS
        return min(_LONGEST_SLEEP_SECONDS, max(0.0, self._heap[0][0] - now))

    def _in_force(self, due: float, alarm: Alarm) -> bool:
        places = self._live.get(alarm.execution_arn)
        return places is not None and places.get((alarm.frame, alarm.kind)) == (due, alarm.ticket)

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if self._in_force(entry[0], entry[2])]
        heapq.heapify(self._heap)
