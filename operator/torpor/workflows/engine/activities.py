"""Activities: tasks that workers outside poll for (GetActivityTask).

A task waits in the engine that owns its execution. Whoever polls is served the oldest task whose
execution still waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.tokens import TaskRef


@dataclass(frozen=True, slots=True)
class Offer:
    """One task that no worker has yet."""

    task: TaskRef
    input: Payload


class Activities:
    """The tasks that wait for workers, and the workers that wait for tasks, by activity ARN."""

    def __init__(self) -> None:
        self._offers: dict[str, deque[Offer]] = {}
        self._pollers: dict[str, deque[asyncio.Future[None]]] = {}

    def offer(self, activity_arn: str, offer: Offer) -> None:
        """Put a task in line; the same task again is not offered twice."""
        line = self._offers.setdefault(activity_arn, deque())
        if any(other.task == offer.task for other in line):
            return
        line.append(offer)
        self._wake(activity_arn)

    def withdraw(self, task: TaskRef) -> None:
        """Take a task out of line."""
        for arn in list(self._offers):
            self._keep(arn, lambda other: other.task != task)

    def drop(self, execution_arn: str) -> None:
        """Take all tasks of an execution out of line."""
        for arn in list(self._offers):
            self._keep(arn, lambda other: other.task.execution_arn != execution_arn)

    def take(self, activity_arn: str) -> Offer | None:
        """The oldest task in line, which leaves it; None when there is none."""
        line = self._offers.get(activity_arn)
        if not line:
            return None
        offer = line.popleft()
        if not line:
            del self._offers[activity_arn]
        return offer

    async def wait(self, activity_arn: str, timeout_seconds: float) -> Offer | None:
        """The next task; None when none comes in time."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            offer = self.take(activity_arn)
            if offer is not None or asyncio.get_running_loop().time() >= deadline:
                return offer
            await self._woken(activity_arn, deadline)

    async def _woken(self, activity_arn: str, deadline: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._pollers.setdefault(activity_arn, deque())
        line.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError:
            return
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._wake(activity_arn)  # the task that this one was woken for is another's now
            raise
        finally:
            if waiter in line:
                line.remove(waiter)

    def _wake(self, activity_arn: str) -> None:
        line = self._pollers.get(activity_arn, deque())
        while line:
            waiter = line.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _keep(self, arn: str, wanted: Callable[[Offer], bool]) -> None:
        line = deque(offer for offer in self._offers[arn] if wanted(offer))
        if line:
            self._offers[arn] = line
        else:
            del self._offers[arn]
