"""What workers outside say of their tasks: the SendTask… calls, and polling for activities.

Any engine takes any of these calls: what concerns an execution of another engine goes through the
ledger.
"""

from __future__ import annotations

import asyncio

from torpor.workflows.asl.events import HeartbeatSeen, TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Frame, Frontier, Phase
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.activities import Activities
from torpor.workflows.engine.base import TaskGone
from torpor.workflows.engine.heartbeats import Heartbeats
from torpor.workflows.engine.inbox import Inbox
from torpor.workflows.engine.mail import too_late, waiting_frame
from torpor.workflows.engine.residents import Residents
from torpor.workflows.engine.tokens import TaskRef, TaskTokens
from torpor.workflows.ledger.base import Ledger, LedgerAway, NotFound

_HEARD_SECONDS = 10.0
"""How long a poll waits until the execution has heard which worker has its task."""
_FIRST_LOOK_SECONDS = 0.005
_LONGEST_LOOK_SECONDS = 0.5


class TaskCalls:
    """The calls about tasks; `engine.base.Api` tells what each does."""

    def __init__(
        self,
        ledger: Ledger,
        residents: Residents,
        inbox: Inbox,
        heartbeats: Heartbeats,
        tokens: TaskTokens,
    ) -> None:
        self._ledger = ledger
        self._residents = residents
        self._inbox = inbox
        self._heartbeats = heartbeats
        self._tokens = tokens
        self._activities = Activities(ledger)

    async def succeed(self, token: str, output: Payload) -> None:
        """SendTaskSuccess: durable when it returns."""
        task, _ = await self._called(token)
        event = TaskSucceeded(task.frame, task.ticket, output)
        await self._inbox.tell(task.execution_arn, event)

    async def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure: durable when it returns."""
        task, _ = await self._called(token)
        event = TaskFailed(task.frame, task.ticket, error, cause)
        await self._inbox.tell(task.execution_arn, event)

    async def heartbeat(self, token: str) -> None:
        """SendTaskHeartbeat."""
        task, frame = await self._called(token)
        if self._residents.get(task.execution_arn) is not None:
            self._heartbeats.expect(task.execution_arn, frame)
        elif frame.heartbeat and self._heartbeats.worth_passing_on(task, frame.heartbeat):
            await self._ledger.post(task.execution_arn, HeartbeatSeen(task.frame, task.ticket))

    async def poll_activity(
        self, arn: str, worker: str | None, wait_seconds: float
    ) -> tuple[str, Payload] | None:
        """GetActivityTask: the next task's token and input; None when none came in time."""
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            taken = await self._activities.wait(arn, worker, deadline)
            if taken is None:
                return None
            task = TaskRef(taken.execution_arn, taken.frame, taken.ticket)
            started_at = await self._heard_of(task)
            if started_at is not None:
                return self._tokens.issue(task, started_at), taken.input

    async def _heard_of(self, task: TaskRef) -> float | None:
        """When the execution started that waits for a task which a worker took; None: none does.

        It is asked until it has heard of the worker.

        What the worker answers must come after it. An execution that does not hear of it in time
        finds it in its inbox before the answer.
        """
        started_at: float | None = None
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _HEARD_SECONDS, _FIRST_LOOK_SECONDS
        while True:
            try:
                frame, started_at = await self._waiting(task)
                heard = frame.phase is Phase.TOKEN
            except (TaskGone, NotFound):
                return None
            except LedgerAway:
                heard = False
                if loop.time() >= deadline and started_at is None:
                    raise
            if heard or loop.time() >= deadline:
                return started_at
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    async def _called(self, token: str) -> tuple[TaskRef, Frame]:
        """The task of a token and the frame that waits for it; TaskRefused, TaskGone."""
        called = self._tokens.read(token)
        frame, started_at = await self._waiting(called.task)
        if started_at != called.started_at:
            raise TaskGone("Task Timed Out: its execution is over, another one has its name")
        return called.task, frame

    async def _waiting(self, task: TaskRef) -> tuple[Frame, float]:
        """The frame that waits for this task, and when its execution started; raises TaskGone.

        The frame is looked up once: a thread may be changing the frontier.
        """
        resident = self._residents.get(task.execution_arn)
        if resident is not None:
            frontier: Frontier | None = resident.frontier
        else:
            frontier = (await self._ledger.load_one(task.execution_arn)).frontier
        frame = None if frontier is None else waiting_frame(frontier, task)
        if frontier is None or frame is None:
            raise too_late()
        return frame, frontier.identity.started_at
