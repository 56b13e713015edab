"""Follows work that was submitted and ends later: nested executions, and Jobs.

The end of such work is looked for again after a recovery, so nothing about it is stored but the
frame that waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torpor.workflows.asl.events import Input, TaskFailed
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.dispatching import Spawn
from torpor.workflows.engine.tokens import TaskRef

log = logging.getLogger(__name__)


@runtime_checkable
class Followed(Protocol):
    """An integration whose submitted work can be waited for and stopped."""

    async def follow(self, job: Job) -> Input:
        """Wait for the end of work that was submitted; cancellation ends only the waiting."""

    async def abandon(self, job: Job) -> None:
        """Stop the work: nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A piece of work and the task that waits for it."""

    service: Followed
    job: Job
    running: asyncio.Task[None]


class Followers:
    """One waiting task for each submitted piece of work."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._waiting: dict[str, dict[TaskRef, _Waiting]] = {}

    def busy(self, execution_arn: str) -> bool:
        """Whether work of this execution is being followed."""
        return execution_arn in self._waiting

    def follow(
        self, task: TaskRef, service: Followed, job: Job, deliver: Callable[[Input], None]
    ) -> None:
        """Wait for the end of the work and deliver it; following it twice is following it once."""
        waiting = self._waiting.setdefault(task.execution_arn, {})
        if task in waiting:
            return
        running = self._spawn(_follow(task, service, job, deliver), f"follow {task.key}")
        waiting[task] = _Waiting(service, job, running)
        running.add_done_callback(lambda _: self._over(task))

    def cancel(self, task: TaskRef) -> None:
        """Stop waiting, and the work too."""
        found = self._waiting.get(task.execution_arn, {}).get(task)
        if found is not None:
            found.running.cancel()
            _ = self._spawn(_abandon(task, found.service, found.job), f"abandon {task.key}")

    def drop(self, execution_arn: str) -> None:
        """Stop waiting for the work of an execution; the work goes on."""
        for found in self._waiting.get(execution_arn, {}).values():
            found.running.cancel()

    def _over(self, task: TaskRef) -> None:
        waiting = self._waiting[task.execution_arn]
        del waiting[task]
        if not waiting:
            del self._waiting[task.execution_arn]


async def _follow(
    task: TaskRef, service: Followed, job: Job, deliver: Callable[[Input], None]
) -> None:
    try:
        outcome = await service.follow(job)
    except Exception as defect:
        log.exception("following a task failed", extra={"fields": {"task": task.key}})
        cause = f"{type(defect).__name__}: {defect}"
        outcome = TaskFailed(task.frame, task.ticket, "States.Runtime", cause)
    deliver(outcome)


async def _abandon(task: TaskRef, service: Followed, job: Job) -> None:
    try:
        await service.abandon(job)
    except Exception:
        log.exception("stopping a task failed", extra={"fields": {"task": task.key}})
