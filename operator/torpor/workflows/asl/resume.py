"""What has to be done outside again for a frontier that was loaded from storage.

Effects are not stored: they follow from the frames. A task that was dispatched but not answered is
dispatched again with the same ticket, so with the same idempotency key.
"""

from __future__ import annotations

from torpor.workflows.asl import map_run
from torpor.workflows.asl.events import Effect, Step
from torpor.workflows.asl.fault import RUNTIME
from torpor.workflows.asl.frontier import Frame, Frontier, Phase, Status
from torpor.workflows.asl.program import Map, Program, State, Task
from torpor.workflows.asl.run import Limits, Outside, Run
from torpor.workflows.asl.task import dispatch_of


def outstanding(program: Program, frontier: Frontier, outside: Outside) -> list[Effect]:
    """The effects that a running execution's frames wait for; the frontier's frames are kept.

    Reads and writes of a distributed Map are asked for under a new ticket.
    """
    if frontier.status is not Status.RUNNING:
        return []
    run = Run(program, frontier, outside, Limits())
    for frame in list(frontier.frames.values()):
        _effect_of(run, frame, run.state_of(frame))
    return run.step.effects


def _effect_of(run: Run, frame: Frame, state: State) -> None:
    if frame.phase is Phase.TASK and isinstance(state, Task):
        run.step.effects.append(dispatch_of(frame, state))
    elif frame.phase is Phase.READ and isinstance(state, Map):
        map_run.read(run, frame, state)
    elif frame.phase is Phase.WRITE and isinstance(state, Map) and frame.join is not None:
        map_run.write(run, frame, state, frame.join)


def abandon(program: Program, frontier: Frontier, outside: Outside, cause: str) -> Step:
    """End an execution that the engine itself cannot go on with (States.Runtime)."""
    run = Run(program, frontier, outside, Limits())
    root = frontier.frames.get(0)
    if frontier.status is Status.RUNNING and root is not None:
        run.aside(root, "ExecutionFailed", {"error": RUNTIME, "cause": cause})
        run.end(Status.FAILED, None, RUNTIME, cause)
    return run.step
