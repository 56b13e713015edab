"""What Parallel and Map share: starting the frames below them, and going on when those are done.

Results arrive one by one and are kept by index, so that a commit writes the one that came in and
not the list.
"""

from __future__ import annotations

from torpor.workflows.asl.frontier import Frame, Join, Phase
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Map, Parallel
from torpor.workflows.asl.run import Run
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.transition import finish

_ABORTED = ("Task", "Wait", "Map", "Parallel")
"""The states whose end by another branch's failure has a history event of its own."""


def start_child(run: Run, parent: Frame, index: int, block: int, input: Payload) -> Frame:
    """A new frame below another one, at the start of a block; the caller makes it ready."""
    frontier = run.frontier
    child = Frame(
        frontier.next_frame,
        parent.id,
        index,
        block,
        run.program.blocks[block].start_at,
        input,
        parent.log,
        outer=parent.scope_variables(),
        last_event=parent.last_event,
        item=parent.item,
    )
    frontier.next_frame += 1
    frontier.frames[child.id] = child
    frontier.touched.add(child.id)
    join_of(parent).running += 1
    return child


def join_of(frame: Frame) -> Join:
    """What a frame that has children knows of them."""
    assert frame.join is not None, "a frame with children is in its join"
    return frame.join


def keep_result(run: Run, parent: Frame, child: Frame, output: Payload) -> None:
    """A child ran to its end: keep its output, drop its frame."""
    join = join_of(parent)
    run.remove(child)
    join.running -= 1
    join.results[child.index] = output
    run.frontier.arrived.append((parent.id, child.index))


def finish_join(run: Run, frame: Frame, state: Parallel | Map, result: Json) -> None:
    """All children are done: the state has its result."""
    run.aside(frame, f"{state.kind}StateSucceeded", {})
    scope = run.scope(frame, state)
    if state.result_selector is not None:
        result = state.result_selector.evaluate(scope, result)
    finish(run, frame, state, scope, result)


def abort_siblings(run: Run, parent: Frame, failed: Frame) -> None:
    """Record that the other children are stopped, because one of them failed."""
    state = run.state_of(parent)
    parent.last_event = failed.last_event
    for sibling in list(run.frontier.children(parent.id)):
        if sibling is failed:
            continue
        _abort(run, sibling)
        if isinstance(state, Map):
            details = {"name": state.name, "index": sibling.index}
            run.event(sibling, "MapIterationAborted", details)
        parent.last_event = max(parent.last_event, sibling.last_event)


def _abort(run: Run, frame: Frame) -> None:
    state = run.state_of(frame)
    if frame.phase is Phase.READY:
        return
    if frame.join is not None:
        for child in list(run.frontier.children(frame.id)):
            if child.log.scope != frame.log.scope:
                continue
            _abort(run, child)
            if isinstance(state, Map):
                run.event(child, "MapIterationAborted", {"name": state.name, "index": child.index})
            frame.last_event = max(frame.last_event, child.last_event)
        if frame.join.map_run is not None:
            run.event(frame, "MapRunAborted", {})
    if state.kind in _ABORTED:
        run.event(frame, f"{state.kind}StateAborted", {})
