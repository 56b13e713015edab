"""What a committed step asks to be done: tasks, reads, writes, timers, and the end.

Nothing here is stored. After a recovery the same effects follow from the frontier, with the same
tickets, so that a task has one idempotency key however often it is dispatched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from torpor.telemetry.metrics import WORKFLOW_TASK_SECONDS
from torpor.workflows.asl.events import (
    Cancel,
    Dispatch,
    Effect,
    Input,
    ItemsRead,
    ReadItems,
    ResultsWritten,
    TaskFailed,
    WriteResults,
)
from torpor.workflows.asl.fault import ITEM_READER_FAILED, RESULT_WRITER_FAILED, Fault
from torpor.workflows.asl.frontier import Frame, Phase
from torpor.workflows.asl.program import Task
from torpor.workflows.asl.resource import Pattern, Resource
from torpor.workflows.asl.task import dispatch_of
from torpor.workflows.engine.base import Integration, Items, Job
from torpor.workflows.engine.dispatching import Dispatcher, Work
from torpor.workflows.engine.mail import is_waiting
from torpor.workflows.engine.nested import Followed, Followers
from torpor.workflows.engine.resident import Resident
from torpor.workflows.engine.tokens import TaskRef, TaskTokens
from torpor.workflows.engine.tracing import traceparent
from torpor.workflows.ledger.base import ActivityTask, Ledger, LedgerAway

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5
_SYNC = (Pattern.SYNC, Pattern.SYNC_JSON)
E = TypeVar("E")
Do = Callable[[Resident, E], Awaitable[None]]
Deliver = Callable[[Resident, Input], None]
Moved = ReadItems | WriteResults
Move = Callable[[Resident, Any], Awaitable[Input]]


class Effects:
    """Has effects done and delivers what comes of them."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        ledger: Ledger,
        integrations: Mapping[str, Integration],
        items: Items,
        tokens: TaskTokens,
        followers: Followers,
        deliver: Deliver,
    ) -> None:
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._integrations = integrations
        self._items = items
        self._tokens = tokens
        self._followers = followers
        self._deliver = deliver

    def carry_out(self, resident: Resident, effects: list[Effect]) -> None:
        """Begin what is to be done; the end of an execution is not among it."""
        for effect in effects:
            match effect:
                case Dispatch():
                    self._dispatch(resident, effect)
                case Cancel(frame, ticket):
                    self._cancel(TaskRef(resident.arn, frame, ticket))
                case ReadItems(frame, ticket):
                    read = partial(self._guarded, self._read, ITEM_READER_FAILED)
                    self._begin(resident, TaskRef(resident.arn, frame, ticket), read, effect)
                case WriteResults(frame, ticket):
                    write = partial(self._guarded, self._write, RESULT_WRITER_FAILED)
                    self._begin(resident, TaskRef(resident.arn, frame, ticket), write, effect)
                case _:
                    continue

    def busy(self, execution_arn: str) -> bool:
        """Whether anything is under way for an execution that only this process knows of."""
        return self._dispatcher.busy(execution_arn) or self._followers.busy(execution_arn)

    def drop(self, execution_arn: str) -> None:
        """Stop all that is under way for an execution."""
        self._dispatcher.drop(execution_arn)
        self._followers.drop(execution_arn)

    def follow(self, resident: Resident, frame: Frame) -> None:
        """Wait for the end of what a frame's task submitted, where its service can tell."""
        state = resident.revision.program.blocks[frame.block].states[frame.state]
        if frame.phase is not Phase.TOKEN or not isinstance(state, Task):
            return
        service = self._integration(state.resource)
        if state.resource.pattern in _SYNC and isinstance(service, Followed):
            job = self._job(resident, dispatch_of(frame, state), frame)
            task = TaskRef(resident.arn, frame.id, frame.ticket)
            self._followers.follow(
                task, service, job, lambda outcome: self._deliver(resident, outcome)
            )

    def _cancel(self, task: TaskRef) -> None:
        self._dispatcher.cancel(task)
        self._followers.cancel(task)

    def _dispatch(self, resident: Resident, dispatch: Dispatch) -> None:
        task = TaskRef(resident.arn, dispatch.frame, dispatch.ticket)
        if not is_waiting(resident.frontier, task):
            return
        if dispatch.resource.service == "activity":
            self._begin(resident, task, self._offer, dispatch)
            return
        self._begin(resident, task, self._run, dispatch)

    def _begin(self, resident: Resident, task: TaskRef, do: Do[E], effect: E) -> None:
        work = partial(self._surely, task, do, resident, effect)
        self._dispatcher.submit(Work(task, resident.lane, work))

    async def _surely(self, task: TaskRef, do: Do[E], resident: Resident, effect: E) -> None:
        """Do it; its state fails when it cannot be done, for nobody would do it again."""
        try:
            await do(resident, effect)
        except Exception as defect:
            log.exception("the work of a task failed", extra={"fields": {"task": task.key}})
            cause = f"An internal error of the engine: {type(defect).__name__}: {defect}"
            failure = TaskFailed(task.frame, task.ticket, "States.Runtime", cause)
            self._deliver(resident, failure)

    async def _offer(self, resident: Resident, dispatch: Dispatch) -> None:
        """Let workers have the task; its start comes back by the inbox."""
        if resident.owned is None:
            cause = "An express execution cannot wait for a worker of an activity."
            failure = TaskFailed(dispatch.frame, dispatch.ticket, "States.Runtime", cause)
            self._deliver(resident, failure)
            return
        task = ActivityTask(resident.arn, dispatch.frame, dispatch.ticket, dispatch.argument)
        while True:
            try:
                await self._ledger.offer(dispatch.resource.text, task)
                return
            except LedgerAway:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _run(self, resident: Resident, dispatch: Dispatch) -> None:
        frame = resident.frontier.frames.get(dispatch.frame)
        if frame is None:
            return
        job = self._job(resident, dispatch, frame)
        service = dispatch.resource.service
        began = time.perf_counter()
        outcome = await self._outcome(job)
        result = "failed" if isinstance(outcome, TaskFailed) else "ok"
        seconds = time.perf_counter() - began
        WORKFLOW_TASK_SECONDS.labels(service, result).observe(seconds)
        _log_end(job, result, seconds)
        if outcome is not None:
            self._deliver(resident, outcome)

    def _job(self, resident: Resident, dispatch: Dispatch, frame: Frame) -> Job:
        task = TaskRef(resident.arn, dispatch.frame, dispatch.ticket)
        return Job(
            resident.execution,
            resident.revision.machine,
            frame.state,
            dispatch,
            task.key,
            self._tokens.issue(task, resident.execution.started_at),
            traceparent(resident.execution, task.key),
        )

    async def _outcome(self, job: Job) -> Input | None:
        dispatch = job.dispatch
        integration = self._integration(dispatch.resource)
        if integration is None:
            cause = f"The resource {dispatch.resource.text} is not supported by this installation."
            return TaskFailed(dispatch.frame, dispatch.ticket, "States.Runtime", cause)
        try:
            return await integration.run(job)
        except Exception as defect:
            fields = {"task": job.key, "execution": job.execution.arn, "traceparent": job.trace}
            log.exception("an integration failed", extra={"fields": fields})
            cause = f"{type(defect).__name__}: {defect}"
            return TaskFailed(dispatch.frame, dispatch.ticket, "States.Runtime", cause)

    def _integration(self, resource: Resource) -> Integration | None:
        exact = self._integrations.get(f"{resource.service}:{resource.action}")
        return exact or self._integrations.get(resource.service)

    async def _guarded(self, do: Move, error: str, resident: Resident, request: Moved) -> None:
        """Deliver what comes of a read or write: whatever an object holds fails its state only."""
        frame, ticket = request.frame, request.ticket
        outcome: Input
        try:
            outcome = await do(resident, request)
        except Fault as failure:
            outcome = TaskFailed(frame, ticket, failure.error, failure.cause)
        except Exception as defect:
            fields = {"execution": resident.arn, "frame": frame, "error": error}
            log.exception("items could not be read or written", extra={"fields": fields})
            outcome = TaskFailed(frame, ticket, error, f"{type(defect).__name__}: {defect}")
        self._deliver(resident, outcome)

    async def _read(self, resident: Resident, request: ReadItems) -> Input:
        items = await self._items.read(resident.revision.machine, request)
        return ItemsRead(request.frame, request.ticket, items)

    async def _write(self, resident: Resident, request: WriteResults) -> Input:
        written = await self._items.write(resident.revision.machine, request)
        return ResultsWritten(request.frame, request.ticket, written)


def _log_end(job: Job, result: str, seconds: float) -> None:
    """One line for each task: what a span would tell."""
    fields = {
        "execution": job.execution.arn,
        "state": job.state,
        "resource": job.dispatch.resource.text,
        "traceparent": job.trace,
        "result": result,
        "seconds": round(seconds, 4),
    }
    log.info("task ended", extra={"fields": fields})


def waits_long(frame: Frame) -> bool:
    """Whether a frame only waits for a timer, a token or the frames below it."""
    return frame.phase in (Phase.WAIT, Phase.TOKEN, Phase.RETRY, Phase.JOIN)
