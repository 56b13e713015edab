"""What has to be done again for a frontier that was loaded from storage.

Effects are not stored: they follow from the frames. A task that was dispatched but not answered is
dispatched again with the same ticket, so with the same idempotency key. What takes an evaluation
is an input of the next step, where it has its bounds, its failures and its commit.
"""

from __future__ import annotations

from torpor.workflows.asl.events import AskAgain, Continue, Dispatch, Input, Step
from torpor.workflows.asl.fault import RUNTIME
from torpor.workflows.asl.frontier import Frontier, Phase, Status
from torpor.workflows.asl.program import Program, Task
from torpor.workflows.asl.run import Limits, Outside, Run
from torpor.workflows.asl.task import dispatch_of


def outstanding(program: Program, frontier: Frontier) -> list[Dispatch]:
    """The tasks that a running execution's frames wait for."""
    dispatches = []
    for frame in frontier.frames.values():
        state = program.blocks[frame.block].states[frame.state]
        if frame.phase is Phase.TASK and isinstance(state, Task):
            dispatches.append(dispatch_of(frame, state))
    return dispatches


def unfinished(frontier: Frontier) -> list[Input]:
    """What a running execution goes on with by itself: reads, writes, and states not entered."""
    frames = frontier.frames.values()
    inputs: list[Input] = [
        AskAgain(frame.id, frame.ticket)
        for frame in frames
        if frame.phase in (Phase.READ, Phase.WRITE)
    ]
    if any(frame.phase is Phase.READY for frame in frames):
        inputs.append(Continue())
    return inputs


def abandon(program: Program, frontier: Frontier, outside: Outside, cause: str) -> Step:
    """End an execution that the engine itself cannot go on with (States.Runtime)."""
    run = Run(program, frontier, outside, Limits())
    root = frontier.frames.get(0)
    if frontier.status is Status.RUNNING and root is not None:
        run.aside(root, "ExecutionFailed", {"error": RUNTIME, "cause": cause})
        run.end(Status.FAILED, None, RUNTIME, cause)
    return run.step
