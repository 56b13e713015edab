"""Heartbeats of tasks: kept in memory as timers.

After a recovery every task has one whole interval of grace. A heartbeat that another engine
receives is passed on through the inbox, at most once per half of its interval.
"""

from __future__ import annotations

from torpor.workflows.asl.frontier import Frame
from torpor.workflows.engine.timers import Alarm, Kind, Timers
from torpor.workflows.engine.tokens import TaskRef
from torpor.workflows.engine.world import Clock

_MOST_REMEMBERED = 10_000


class Heartbeats:
    """Sets back the timers that miss heartbeats."""

    def __init__(self, timers: Timers, clock: Clock) -> None:
        self._timers = timers
        self._clock = clock
        self._passed_on: dict[TaskRef, float] = {}

    def expect(self, execution_arn: str, frame: Frame) -> None:
        """Begin, or begin again, to wait for a task's next heartbeat; None of it: do nothing."""
        if frame.heartbeat is None:
            return
        alarm = Alarm(execution_arn, frame.id, frame.ticket, Kind.HEARTBEAT)
        self._timers.set(self._clock.now() + frame.heartbeat, alarm)

    def forget(self, execution_arn: str, frame: int) -> None:
        """Wait no more."""
        self._timers.clear(execution_arn, frame, Kind.HEARTBEAT)

    def worth_passing_on(self, task: TaskRef, interval_seconds: float) -> bool:
        """Whether the owner of the task must hear of a heartbeat that came here."""
        now = self._clock.now()
        if now < self._passed_on.get(task, 0.0) + interval_seconds / 2:
            return False
        if len(self._passed_on) >= _MOST_REMEMBERED:
            self._passed_on.clear()
        self._passed_on[task] = now
        return True
