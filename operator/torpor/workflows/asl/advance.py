"""The one function that runs a workflow: what happened goes in, what is to be done comes out.

No clock, no I/O, no randomness: they come in through `Outside`. The frontier is changed in place
and marks what it changed; the caller writes that, the history and the effects in one transaction,
and only then carries the effects out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torpor.expressions.work import (
    CHARACTERS_PER_UNIT,
    MAX_STEP_WORK,
    begin_step,
)
from torpor.workflows.asl import fault as errors
from torpor.workflows.asl import iterate, map_run, parallel, redrive, states, task
from torpor.workflows.asl.events import (
    ActivityStarted,
    AskAgain,
    Continue,
    HeartbeatMissed,
    Input,
    ItemsRead,
    MapRunChanged,
    Redrive,
    ResultsWritten,
    Start,
    Step,
    Stop,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
    TimedOut,
    TimerFired,
)
from torpor.workflows.asl.failing import evaluation_failed, fail, rise
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Frontier, Log, Phase, Status
from torpor.workflows.asl.program import (
    Choice,
    Fail,
    Map,
    Parallel,
    Pass,
    Program,
    State,
    Succeed,
    Task,
    Wait,
)
from torpor.workflows.asl.run import Ended, Limits, Outside, Run, present

DEFAULT_BUDGET = 1_000
"""States entered in one step at most, so that a loop cannot hold the engine."""
NO_LIMITS = Limits()

Body = Callable[[Run, Frame, Any], None]

_BODIES: dict[type[State], Body] = {
    Pass: states.run_pass,
    Choice: states.run_choice,
    Wait: states.run_wait,
    Succeed: states.run_succeed,
    Fail: states.run_fail,
    Task: task.run_task,
    Parallel: parallel.run_parallel,
    Map: iterate.run_map,
}
_CHILD_ENDED: dict[type[State], Callable[[Run, Frame, Any, Ended], None]] = {
    Parallel: parallel.branch_ended,
    Map: iterate.iteration_ended,
}
_ENTERED = {body.kind: f"{body.kind}StateEntered" for body in _BODIES}


def advance(
    program: Program,
    frontier: Frontier,
    event: Input,
    outside: Outside,
    limits: Limits = NO_LIMITS,
    budget: int = DEFAULT_BUDGET,
    work: int = MAX_STEP_WORK,
) -> Step:
    """Run an execution until every branch waits, it ends, or `budget` states were entered.

    Nor does a step go on to a state with which it would cost more than `work`, unless that is its
    first; `Continue` goes on with it.
    An event that the frontier no longer waits for (late, repeated) changes nothing.
    """
    meter = begin_step()
    run = Run(program, frontier, outside, limits)
    _take(run, event)
    _tell_parents(run)
    while run.step.transitions < budget:
        frame = run.next_ready()
        if frame is None:
            break
        meter.units += len(frame.input.text) // CHARACTERS_PER_UNIT
        if meter.units > work and run.step.transitions:
            run.ready.appendleft(frame)
            break
        _enter(run, frame)
        _tell_parents(run)
    run.step.more = bool(run.ready)
    run.step.work = meter.units
    return run.step


def _enter(run: Run, frame: Frame) -> None:
    state = run.state_of(frame)
    run.step.transitions += 1
    frame.entered_at = run.now
    details = {"name": state.name, "input": frame.input}
    frame.entered_event = run.event(frame, _ENTERED[state.kind], details)
    if frame.retry_count:
        frame.retries, frame.retry_count = {}, 0
    run.frontier.touched.add(frame.id)
    _run_body(run, frame, state)


def _run_body(run: Run, frame: Frame, state: State) -> None:
    _guarded(run, frame, state, _BODIES[type(state)], state)


def _tell_parents(run: Run) -> None:
    """Tell the state around a branch or iteration that it is over; that may end it, too."""
    while run.ended is not None:
        ended, run.ended = run.ended, None
        assert ended.child.parent is not None, "the execution's own frame has nobody to tell"
        frame = run.frontier.frames[ended.child.parent]
        state = run.state_of(frame)
        _guarded(run, frame, state, _CHILD_ENDED[type(state)], state, ended)


def _guarded(
    run: Run, frame: Frame, state: State, part: Callable[..., object], *arguments: Any
) -> None:
    """Call a part of a state; a failed evaluation in it fails the state.

    When the handling of that failure fails as well (in an expression of its Catch), nothing in this
    state handles it any more.
    """
    try:
        part(run, frame, *arguments)
    except Fault as failure:
        try:
            fail(run, frame, evaluation_failed(run, frame, state, failure))
        except Fault as again:
            rise(run, frame, evaluation_failed(run, frame, state, again))


def _take(run: Run, event: Input) -> None:
    if isinstance(event, Start):
        _start(run)
    elif run.frontier.status is not Status.RUNNING:
        if isinstance(event, Redrive):
            _redrive(run)
    elif isinstance(event, Continue):
        frames = sorted(run.frontier.frames.values(), key=lambda frame: frame.id)
        run.ready.extend(frame for frame in frames if frame.phase is Phase.READY)
    elif isinstance(event, Stop):
        _stop(run, "ExecutionAborted", Status.ABORTED, event.error, event.cause)
    elif isinstance(event, TimedOut):
        _stop(run, "ExecutionTimedOut", Status.TIMED_OUT, errors.TIMEOUT, None)
    elif isinstance(event, MapRunChanged):
        for changed in map_run.change(run, event):
            state = run.state_of(changed)
            _guarded(run, changed, state, iterate.start_more, state)
    elif not isinstance(event, Redrive):
        frame = run.frontier.frames.get(event.frame)
        if frame is not None and frame.ticket == event.ticket:
            _take_for(run, frame, event)


def _take_for(run: Run, frame: Frame, event: Any) -> None:
    """Give an event to the frame that waits for it."""
    state = run.state_of(frame)
    waiting = frame.phase in (Phase.TASK, Phase.TOKEN)
    match event:
        case TimerFired():
            _timer_fired(run, frame, state)
        case TaskSubmitted() if waiting:
            task.task_submitted(run, frame, _task(state), event)
        case ActivityStarted() if waiting:
            task.activity_started(run, frame, _task(state), event)
        case TaskSucceeded() if waiting:
            _guarded(run, frame, state, task.task_succeeded, state, event)
        case TaskFailed() if waiting:
            _guarded(run, frame, state, task.task_failed, state, event)
        case HeartbeatMissed() if waiting:
            _guarded(run, frame, state, task.task_timed_out, state, errors.HEARTBEAT_TIMEOUT)
        case ItemsRead() if frame.phase is Phase.READ:
            _guarded(run, frame, state, iterate.start_items, state, event.items)
        case ResultsWritten() if frame.phase is Phase.WRITE:
            _guarded(run, frame, state, map_run.written, state, event.output.value)
        case AskAgain() if frame.phase in (Phase.READ, Phase.WRITE):
            _guarded(run, frame, state, map_run.ask_again, state)
        case TaskFailed() if frame.phase in (Phase.READ, Phase.WRITE):
            failure = Fault(event.error, event.cause)
            _guarded(run, frame, state, map_run.failed, state, failure)


def _task(state: State) -> Task:
    assert isinstance(state, Task), "only a Task waits for an answer"
    return state


def _timer_fired(run: Run, frame: Frame, state: State) -> None:
    if frame.phase is Phase.WAIT:
        _guarded(run, frame, state, states.wait_over, state)
    elif frame.phase is Phase.RETRY:
        frame.due = None
        _run_body(run, frame, state)
    elif frame.phase in (Phase.TASK, Phase.TOKEN):
        _guarded(run, frame, state, task.task_timed_out, state, errors.TIMEOUT)


def _start(run: Run) -> None:
    frontier, block = run.frontier, run.program.blocks[0]
    if frontier.frames or frontier.next_frame:
        return
    identity = frontier.identity
    root = Frame(0, None, 0, 0, block.start_at, identity.input, Log("", 0))
    frontier.frames[0] = root
    frontier.next_frame = 1
    if run.program.timeout_seconds is not None:
        frontier.deadline = run.now + run.program.timeout_seconds
    details = {"input": identity.input, "roleArn": identity.role_arn}
    run.aside(root, "ExecutionStarted", details)
    run.ready.append(root)


def _stop(run: Run, type: str, status: Status, error: str | None, cause: str | None) -> None:
    """End the execution from outside: its last event follows none of the states'.

    One that has not begun begins only to end.
    """
    if not run.frontier.frames:
        _start(run)
    for frame in run.frontier.frames.values():
        if frame.join is not None and frame.join.map_run is not None:
            run.event(frame, "MapRunAborted", {})
    run.event_after(run.frontier.frames[0], 0, type, present(error=error, cause=cause))
    run.end(status, None, error, cause)


def _redrive(run: Run) -> None:
    for frame in redrive.revive(run):
        if run.frontier.frames.get(frame.id) is not frame:
            continue
        if frame.phase is Phase.READY:
            run.ready.append(frame)
            continue
        run.ticket(frame)
        _guarded(run, frame, run.state_of(frame), _redriven, run.state_of(frame))
        _tell_parents(run)


def _redriven(run: Run, frame: Frame, state: State) -> None:
    if not redrive.resume(run, frame, state):
        frame.join = None
        _BODIES[type(state)](run, frame, state)
