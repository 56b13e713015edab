"""Tasks in flight: at most so many at once, and lanes take turns when there are more.

A lane is a workflow, or one concurrency key of it: a thousand tasks of one do not hold up the one
task of another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from torpor.telemetry.metrics import WORKFLOW_TASKS, WORKFLOW_TASKS_QUEUED
from torpor.workflows.engine.tokens import TaskRef

log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Work:
    """Something to be done for one wait of a frame; `lane` shares the places in flight fairly."""

    task: TaskRef
    lane: str
    do: Callable[[], Awaitable[None]]


class Dispatcher:
    """Runs `Work`, one at a time for each frame."""

    def __init__(self, spawn: Spawn, most_in_flight: int) -> None:
        self._spawn = spawn
        self._most = most_in_flight
        self._lanes: OrderedDict[str, deque[Work]] = OrderedDict()
        self._known: dict[str, dict[int, Work]] = {}
        self._running: dict[TaskRef, asyncio.Task[None]] = {}
        self._stopped = False

    @property
    def in_flight(self) -> int:
        """Tasks being done now."""
        return len(self._running)

    @property
    def executions(self) -> set[str]:
        """The executions that have a task in flight."""
        return {task.execution_arn for task in self._running}

    def busy(self, execution_arn: str) -> bool:
        """Whether work of this execution is queued or in flight."""
        return execution_arn in self._known

    def submit(self, work: Work) -> None:
        """Queue work; the same task again, queued or in flight, is not done twice at once."""
        frames = self._known.setdefault(work.task.execution_arn, {})
        known = frames.get(work.task.frame)
        if known is not None and known.task == work.task:
            return
        if known is not None:
            self.cancel(known.task)
            frames = self._known.setdefault(work.task.execution_arn, {})
        frames[work.task.frame] = work
        self._lanes.setdefault(work.lane, deque()).append(work)
        WORKFLOW_TASKS_QUEUED.inc()
        self._fill()

    def cancel(self, task: TaskRef) -> None:
        """Forget a task, and stop it when it is in flight."""
        frames = self._known.get(task.execution_arn, {})
        known = frames.get(task.frame)
        if known is not None and known.task == task:
            self._forget(known)
        running = self._running.get(task)
        if running is not None:
            running.cancel()

    def drop(self, execution_arn: str) -> None:
        """Forget and stop every task of an execution."""
        for work in list(self._known.get(execution_arn, {}).values()):
            self.cancel(work.task)

    def stop(self) -> None:
        """Begin no more tasks; those in flight go on."""
        self._stopped = True

    async def drained(self) -> None:
        """Wait until nothing is in flight; only after `stop`."""
        while self._running:
            await asyncio.wait(list(self._running.values()))

    def _fill(self) -> None:
        while self._lanes and len(self._running) < self._most and not self._stopped:
            lane, queue = self._lanes.popitem(last=False)
            work = queue.popleft()
            if queue:
                self._lanes[lane] = queue
            WORKFLOW_TASKS_QUEUED.dec()
            if self._is_current(work):
                self._begin(work)

    def _begin(self, work: Work) -> None:
        running = self._spawn(_done(work), f"task {work.task.key}")
        self._running[work.task] = running
        WORKFLOW_TASKS.inc()
        # A callback and not a `finally`: a task cancelled before its first step runs none.
        running.add_done_callback(lambda _: self._ended(work))

    def _ended(self, work: Work) -> None:
        del self._running[work.task]
        WORKFLOW_TASKS.dec()
        self._forget(work)
        self._fill()

    def _is_current(self, work: Work) -> bool:
        return self._known.get(work.task.execution_arn, {}).get(work.task.frame) is work

    def _forget(self, work: Work) -> None:
        if not self._is_current(work):
            return
        frames = self._known[work.task.execution_arn]
        del frames[work.task.frame]
        if not frames:
            del self._known[work.task.execution_arn]


async def _done(work: Work) -> None:
    """Do the work; a defect in it ends no other execution's work, nor the engine."""
    try:
        await work.do()
    except Exception:
        log.exception("the work of a task failed", extra={"fields": {"task": work.task.key}})
