"""The attempts at tasks that an execution waits for, while they last: what their spans will tell.

An attempt is found by its frame and ticket, or by the last event that it has in its history: the
event of its end names that one as the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torpor.workflows.engine.tokens import TaskRef

Place = tuple[str, int]
"""An event: the scope of its history, and its id there."""


@dataclass(slots=True)
class Attempt:
    """One dispatch of a task; `number` counts from 1, `started_at` is in seconds since the epoch.

    `started_at` is None after a recovery when only the history knows it.
    """

    task: TaskRef
    place: Place
    state: str
    resource: str
    number: int
    started_at: float | None


@dataclass(slots=True)
class Attempts:
    """Those of one execution that are under way; `began_at` is the start of the execution's run."""

    began_at: float
    _by_frame: dict[int, Attempt] = field(default_factory=dict)
    _by_place: dict[Place, Attempt] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._by_frame.values())

    def add(self, attempt: Attempt) -> None:
        """An attempt begins; the one before it in its frame is over."""
        before = self._by_frame.get(attempt.task.frame)
        if before is not None:
            self._by_place.pop(before.place, None)
        self._by_frame[attempt.task.frame] = attempt
        self._by_place[attempt.place] = attempt

    def move(self, old: Place, new: Place) -> None:
        """An event that does not end an attempt follows its last one."""
        attempt = self._by_place.pop(old, None)
        if attempt is not None:
            attempt.place = new
            self._by_place[new] = attempt

    def take(self, before: Place) -> Attempt | None:
        """Remove the attempt that an event ends; `before` is the event before that one."""
        attempt = self._by_place.pop(before, None)
        if attempt is not None:
            del self._by_frame[attempt.task.frame]
        return attempt

    def take_task(self, task: TaskRef) -> Attempt | None:
        """Remove the attempt at a task, None when it has ended already."""
        attempt = self._by_frame.get(task.frame)
        if attempt is None or attempt.task != task:
            return None
        return self.take(attempt.place)
