"""The Parallel state: every branch gets the same input, and the first failure is the state's."""

from __future__ import annotations

from torpor.workflows.asl.failing import fail
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Join, Phase
from torpor.workflows.asl.join import (
    abort_siblings,
    finish_join,
    join_of,
    keep_result,
    start_child,
)
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Parallel
from torpor.workflows.asl.run import Ended, Run
from torpor.workflows.asl.states import effective_input


def run_parallel(run: Run, frame: Frame, state: Parallel) -> None:
    """Parallel (ASL, "Parallel State"): start every branch."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    if state.parameters is not None:
        data = state.parameters.evaluate(scope, data)
    run.event(frame, "ParallelStateStarted", {})
    frame.join = Join(len(state.branches), last_event=frame.last_event)
    run.wait(frame, Phase.JOIN, None)
    shared = frame.input if data is frame.input.value else Payload(data)
    for index, block in enumerate(state.branches):
        run.ready.append(start_child(run, frame, index, block, shared))


def branch_ended(run: Run, frame: Frame, state: Parallel, ended: Ended) -> None:
    """One branch is over: keep its output, or fail for it."""
    if isinstance(ended.outcome, Fault):
        abort_siblings(run, frame, ended.child)
        fail(run, frame, ended.outcome)
        return
    keep_result(run, frame, ended.child, ended.outcome)
    frame.last_event = ended.child.last_event
    go_on(run, frame, state)


def go_on(run: Run, frame: Frame, state: Parallel) -> None:
    """End the state if every branch is done."""
    join = join_of(frame)
    if len(join.results) == join.total:
        finish_join(run, frame, state, [join.results[index].value for index in range(join.total)])
