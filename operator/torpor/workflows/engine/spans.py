"""Tells an execution's trace, out of what its commits made durable.

A span is told by the engine that wrote the end of its work, and only then: of a task done twice
after a crash there is one. Starts come from the history, so that they outlive an engine.
"""

from __future__ import annotations

from collections.abc import Mapping

from torpor.telemetry.tracing import Emit, Kind, Span
from torpor.workflows.asl.context import child_execution_arn
from torpor.workflows.asl.events import Cancel, Dispatch, HistoryEvent
from torpor.workflows.asl.frontier import Frame, Phase, Status
from torpor.workflows.asl.program import Task
from torpor.workflows.engine.attempts import Attempt, Attempts, Place
from torpor.workflows.engine.dispatching import Spawn
from torpor.workflows.engine.mail import is_waiting
from torpor.workflows.engine.resident import Resident
from torpor.workflows.engine.tokens import TaskRef
from torpor.workflows.engine.tracing import execution_span_id, task_span_id, trace_of
from torpor.workflows.engine.turns import Work
from torpor.workflows.ledger.base import Ledger, LedgerError
from torpor.workflows.ledger.tokens import token_of
from torpor.workflows.records import HistoryRow

ABORTED = "Aborted"
"""The error of a task that nobody waited for any more."""
_WORKS = ("LambdaFunction", "Activity", "Task")
_ENDS = {
    f"{work}{ending}": error
    for work in _WORKS
    for ending, error in (
        ("Succeeded", None),
        ("Failed", "States.TaskFailed"),
        ("TimedOut", "States.Timeout"),
    )
}
"""The events that end an attempt, and the error of those whose details name none."""
_MIDDLES = frozenset({"TaskSubmitted", "ActivityStarted"})
_BEGINS = frozenset(f"{work}Scheduled" for work in _WORKS)
_MOST_EVENTS = 8
"""Events that an attempt has at most from its begin to its end."""


class Spans:
    """Emits the spans of an engine's executions."""

    def __init__(self, emit: Emit, ledger: Ledger, spawn: Spawn) -> None:
        self._emit = emit
        self._ledger = ledger
        self._spawn = spawn

    def loaded(self, resident: Resident) -> None:
        """Know again what a frontier waits for that was just loaded."""
        if not trace_of(resident.execution).is_sampled:
            return
        self._tell_unanswered(resident)
        known = resident.attempts or _none(resident)
        attempts = resident.attempts = Attempts(known.began_at)
        before = {attempt.task: attempt.started_at for attempt in known}
        for frame in resident.frontier.frames.values():
            if frame.phase in (Phase.TASK, Phase.TOKEN):
                started_at = before.get(TaskRef(resident.arn, frame.id, frame.ticket))
                attempts.add(_attempt(resident, frame, started_at or _entered(resident, frame)))

    def committed(self, resident: Resident, work: Work) -> None:
        """Tell what ended in a step that is durable, and note what began."""
        attempts = resident.attempts
        if attempts is None:
            if not trace_of(resident.execution).is_sampled:
                return
            attempts = resident.attempts = _none(resident)
        self._tell_unanswered(resident)
        times: dict[Place, float] = {}
        for event in work.history:
            times[event.scope, event.id] = event.at
            self._follow(resident, attempts, event)
        for effect in work.effects:
            if isinstance(effect, Cancel):
                self._aborted(resident, attempts, effect, work)
        for effect in work.effects:
            if isinstance(effect, Dispatch):
                _begin(resident, attempts, effect, times)
        if not resident.running:
            self._emit(_run_span(resident, attempts.began_at, _end_of(resident, work)))

    def _tell_unanswered(self, resident: Resident) -> None:
        """Tell what the commit before a loading ended, if that was written: its answer was lost."""
        events, attempts = resident.unanswered, resident.attempts
        if not events or attempts is None or _all_wait(resident, attempts):
            return
        for event in events:
            self._follow(resident, attempts, event)
        for attempt in attempts:
            if not is_waiting(resident.frontier, attempt.task):
                self._attempt_ended(resident, attempt, events[-1].at, ABORTED)

    def _follow(self, resident: Resident, attempts: Attempts, event: HistoryEvent) -> None:
        before = (event.scope, event.previous)
        if event.type == "ExecutionRedriven":
            attempts.began_at = event.at
        elif event.type in _MIDDLES:
            attempts.move(before, (event.scope, event.id))
        elif event.type in _ENDS:
            attempt = attempts.take(before)
            if attempt is not None:
                error = None
                if not event.type.endswith("Succeeded"):
                    error = str(event.details.get("error") or _ENDS[event.type])
                self._attempt_ended(resident, attempt, event.at, error)

    def _aborted(self, resident: Resident, attempts: Attempts, cancel: Cancel, work: Work) -> None:
        attempt = attempts.take_task(TaskRef(resident.arn, cancel.frame, cancel.ticket))
        if attempt is not None:
            self._attempt_ended(resident, attempt, _end_of(resident, work), ABORTED)

    def _attempt_ended(
        self, resident: Resident, attempt: Attempt, at: float, error: str | None
    ) -> None:
        if attempt.started_at is not None:
            self._emit(_attempt_span(resident, attempt, attempt.started_at, at, error))
            return

        async def look_up() -> None:
            started_at = await self._started_at(attempt)
            self._emit(_attempt_span(resident, attempt, started_at or at, at, error))

        _ = self._spawn(look_up(), f"span {attempt.task.key}")

    async def _started_at(self, attempt: Attempt) -> float | None:
        """When a retry began that another engine dispatched, from the history; None: unknown."""
        scope, last = attempt.place
        arn = child_execution_arn(scope) if scope else attempt.task.execution_arn
        try:
            for _ in range(_MOST_EVENTS):
                row = await self._event(arn, last)
                if row is None:
                    return None
                if row.type in _BEGINS:
                    return row.at
                last = row.previous
        except LedgerError:
            return None
        return None

    async def _event(self, arn: str, id: int) -> HistoryRow | None:
        page = await self._ledger.history(arn, 1, token_of([id - 1]), False)
        return page.items[0] if page.items else None


def _attempt_span(
    resident: Resident, attempt: Attempt, started_at: float, ended_at: float, error: str | None
) -> Span:
    return Span(
        trace_of(resident.execution).id,
        task_span_id(attempt.task.key),
        execution_span_id(resident.execution, resident.frontier.redrive_count),
        attempt.state,
        Kind.CLIENT,
        started_at,
        ended_at,
        error,
        {
            "torpor.execution.arn": resident.arn,
            "torpor.state": attempt.state,
            "torpor.resource": attempt.resource,
            "torpor.attempt": attempt.number,
        },
    )


def _run_span(resident: Resident, began_at: float, ended_at: float) -> Span:
    execution, end, trace = resident.execution, resident.frontier, trace_of(resident.execution)
    failed = end.status is not Status.SUCCEEDED
    return Span(
        trace.id,
        execution_span_id(execution, end.redrive_count),
        trace.parent_span_id,
        resident.revision.machine.name,
        Kind.SERVER,
        began_at,
        ended_at,
        (end.error or end.status.value) if failed else None,
        {
            "aws.step_functions.state_machine.arn": execution.machine_arn,
            "torpor.execution.arn": execution.arn,
            "torpor.execution.status": end.status.value,
            "torpor.execution.redrive_count": end.redrive_count,
        },
    )


def _none(resident: Resident) -> Attempts:
    execution = resident.execution
    return Attempts(execution.redriven_at or execution.started_at)


def _begin(
    resident: Resident, attempts: Attempts, dispatch: Dispatch, times: Mapping[Place, float]
) -> None:
    frame = resident.frontier.frames.get(dispatch.frame)
    task = TaskRef(resident.arn, dispatch.frame, dispatch.ticket)
    if frame is not None and is_waiting(resident.frontier, task):
        attempts.add(_attempt(resident, frame, times.get((frame.log.scope, frame.last_event))))


def _attempt(resident: Resident, frame: Frame, started_at: float | None) -> Attempt:
    state = resident.revision.program.blocks[frame.block].states[frame.state]
    assert isinstance(state, Task), "only tasks are in these phases"
    return Attempt(
        TaskRef(resident.arn, frame.id, frame.ticket),
        (frame.log.scope, frame.last_event),
        frame.state,
        state.resource.text,
        frame.retry_count + 1,
        started_at,
    )


def _all_wait(resident: Resident, attempts: Attempts) -> bool:
    return all(is_waiting(resident.frontier, attempt.task) for attempt in attempts)


def _entered(resident: Resident, frame: Frame) -> float | None:
    """When the first attempt of a state began; of a later one only the history knows."""
    first = not frame.retry_count and not resident.frontier.redrive_count
    return frame.entered_at if first else None


def _end_of(resident: Resident, work: Work) -> float:
    return work.history[-1].at if work.history else resident.world.now()
