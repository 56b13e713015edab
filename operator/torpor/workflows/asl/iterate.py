"""The Map state: its items, and the iterations over them."""

from __future__ import annotations

from torpor.workflows.asl import map_run
from torpor.workflows.asl.batch import batched
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
from torpor.workflows.asl.map_fields import (
    read_concurrency,
    read_count,
    read_items,
    read_percentage,
)
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Map
from torpor.workflows.asl.run import Ended, Run
from torpor.workflows.asl.scope import Json, Scope
from torpor.workflows.asl.states import effective_input


def run_map(run: Run, frame: Frame, state: Map) -> None:
    """Map (ASL, "Map State"): its items are in the input, or must be read first."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    items = read_items(state, scope, data) if state.reader is None else []
    concurrency = read_concurrency(state.max_concurrency, scope, data)
    run.event(frame, "MapStateStarted", {"length": len(items)})
    join = Join(len(items), concurrency, items)
    join.tolerated_count = read_count(state.tolerated_count, scope, data)
    join.tolerated_percentage = read_percentage(state.tolerated_percentage, scope, data)
    if state.distributed:
        map_run.begin(run, frame, state, join)
    join.last_event = frame.last_event
    frame.join = join
    run.wait(frame, Phase.JOIN, None)
    if state.reader is not None:
        map_run.read(run, frame, state)
    else:
        start_items(run, frame, state, items)


def start_items(run: Run, frame: Frame, state: Map, items: list[Json]) -> None:
    """Begin the iterations over items that are known."""
    join = join_of(frame)
    if state.batcher is not None:
        scope = run.scope(frame, state)
        data = effective_input(state, scope)
        chosen = [_chosen(run, frame, state, pair, scope, data) for pair in enumerate(items)]
        items, join.weights = batched(run, state.batcher, scope, data, chosen)
    join.items, join.total = items, len(items)
    if frame.phase is not Phase.JOIN:
        run.wait(frame, Phase.JOIN, None)
    start_more(run, frame, state)


def _chosen(
    run: Run, frame: Frame, state: Map, pair: tuple[int, Json], scope: Scope, data: Json
) -> Json:
    """The input of one iteration: the item, or what ItemSelector makes of it."""
    if state.item_selector is None:
        return pair[1]
    if state.uses_context:
        extra = {"Map": {"Item": {"Index": pair[0], "Value": pair[1]}}}
        scope = run.scope(frame, state, extra=extra)
    return state.item_selector.evaluate(scope, data)


def start_more(run: Run, frame: Frame, state: Map) -> None:
    """Start iterations until the concurrency limit, and end the state when none is left."""
    join = join_of(frame)
    while join.next_index < join.total:
        if join.next_index not in join.results and join.next_index not in join.failed:
            if join.max_concurrency and join.running >= join.max_concurrency:
                return
            _start_item(run, frame, state, join)
        join.next_index += 1
    if join.running == 0:
        _all_done(run, frame, state, join)


def _start_item(run: Run, frame: Frame, state: Map, join: Join) -> None:
    assert join.items is not None, "a Map in its join has items"
    index, item = join.next_index, join.items[join.next_index]
    value = item
    if state.batcher is None and state.item_selector is not None:
        scope = run.scope(frame, state)
        value = _chosen(run, frame, state, (index, item), scope, effective_input(state, scope))
    frame.last_event = join.last_event
    child = start_child(run, frame, index, state.block, Payload(value))
    child.item = (index, item)
    if state.distributed:
        map_run.begin_child(run, join, child)
    else:
        run.event(child, "MapIterationStarted", {"name": state.name, "index": index})
    run.ready.append(child)


def iteration_ended(run: Run, frame: Frame, state: Map, ended: Ended) -> None:
    """One iteration is over: keep its output and start the next, or fail for it."""
    if state.distributed:
        if map_run.child_ended(run, frame, state, ended):
            start_more(run, frame, state)
    elif isinstance(ended.outcome, Fault):
        _record_end(run, state, ended.child, "MapIterationFailed")
        abort_siblings(run, frame, ended.child)
        fail(run, frame, ended.outcome)
    else:
        join_of(frame).last_event = ended.child.last_event
        keep_result(run, frame, ended.child, ended.outcome)
        _record_end(run, state, ended.child, "MapIterationSucceeded")
        frame.last_event = ended.child.last_event
        start_more(run, frame, state)


def _record_end(run: Run, state: Map, child: Frame, type: str) -> None:
    run.event(child, type, {"name": state.name, "index": child.index})


def _all_done(run: Run, frame: Frame, state: Map, join: Join) -> None:
    if state.writer is not None:
        map_run.write(run, frame, state, join)
        return
    if state.distributed:
        run.event(frame, "MapRunSucceeded", {})
    finish_join(run, frame, state, [map_run.result_at(join, index) for index in range(join.total)])
