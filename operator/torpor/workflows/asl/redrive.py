"""RedriveExecution: run again what failed, was aborted or timed out; what succeeded is kept."""

from __future__ import annotations

from torpor.workflows.asl import fault, iterate, parallel
from torpor.workflows.asl.frontier import Frame, Phase, Status
from torpor.workflows.asl.program import Map, Parallel, State
from torpor.workflows.asl.run import Run


def revive(run: Run) -> list[Frame]:
    """Bring an ended execution back to life; returns the frames whose states must run again.

    None of them when the execution succeeded: there is nothing to run again.
    """
    frontier = run.frontier
    if frontier.status is Status.SUCCEEDED or not frontier.frames:
        return []
    exceeded = frontier.error == fault.DATA_LIMIT
    frontier.status, frontier.error, frontier.cause = Status.RUNNING, None, None
    frontier.redrive_count += 1
    if run.program.timeout_seconds is not None:
        frontier.deadline = run.now + run.program.timeout_seconds
    root = frontier.frames[0]
    run.event(root, "ExecutionRedriven", {"redriveCount": frontier.redrive_count})
    for frame in list(frontier.frames.values()):
        if frame.id not in frontier.frames:
            continue
        _forget(run, frame)
        if exceeded and frame.join is not None and not _has_children(run, frame):
            frame.join = None
    parents = {frame.parent for frame in frontier.frames.values()}
    return [frame for frame in frontier.frames.values() if frame.id not in parents]


def _has_children(run: Run, frame: Frame) -> bool:
    return next(run.frontier.children(frame.id), None) is not None


def _forget(run: Run, frame: Frame) -> None:
    """Forget a frame's retries and, for a Map Run, the children that did not succeed.

    Those run again from their start, within the Map Run's concurrency limit.
    """
    frame.retries, frame.retry_count = {}, 0
    run.frontier.touched.add(frame.id)
    join, state = frame.join, run.state_of(frame)
    if join is None or not isinstance(state, Map) or not state.distributed:
        return
    run.frontier.arrived.extend((frame.id, index) for index in join.failed)
    join.failed.clear()
    join.next_index = 0
    join.running = 0
    _drop_below(run, frame)
    details = {"mapRunArn": join.map_run, "redriveCount": run.frontier.redrive_count}
    run.event(frame, "MapRunRedriven", details)


def _drop_below(run: Run, frame: Frame) -> None:
    for child in list(run.frontier.children(frame.id)):
        _drop_below(run, child)
        run.remove(child)


def resume(run: Run, frame: Frame, state: State) -> bool:
    """Let a state with finished children go on from there; False if its body must run again."""
    if frame.join is None or frame.join.items == []:
        return False
    frame.phase = Phase.JOIN
    if isinstance(state, Map):
        iterate.start_more(run, frame, state)
    elif isinstance(state, Parallel):
        parallel.go_on(run, frame, state)
    return True
