"""Parallel and Map: starting children, joining their results, failing for them.

A branch or an iteration is a frame below the state's own. Results arrive one by one and are kept by
index, so that a commit writes the one that came in and not the list.
"""

from __future__ import annotations

import math
from typing import Any

from torpor.workflows.asl import fault
from torpor.workflows.asl.events import ReadItems, WriteResults
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Join, Log, Phase
from torpor.workflows.asl.payload import Payload, json_text
from torpor.workflows.asl.program import Map, Parallel, State
from torpor.workflows.asl.reading import Reading, Setting
from torpor.workflows.asl.recovery import error_output
from torpor.workflows.asl.run import Run
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope
from torpor.workflows.asl.states import effective_input, is_number, unexpected_type

DEFAULT_DISTRIBUTED_CONCURRENCY = 1_000
"""Children of a distributed Map at a time when its definition sets no MaxConcurrency."""
_ABORTED = ("Task", "Wait", "Map", "Parallel")


def run_parallel(run: Run, frame: Frame, state: Parallel) -> None:
    """Parallel (ASL, "Parallel State"): every branch gets the same input."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    if state.parameters is not None:
        data = state.parameters.evaluate(scope, data)
    run.event(frame, "ParallelStateStarted", {})
    frame.join = Join(len(state.branches), last_event=frame.last_event)
    run.wait(frame, Phase.JOIN, None)
    shared = frame.input if data is frame.input.value else Payload(data)
    for index, block in enumerate(state.branches):
        frame.join.running += 1
        run.ready.append(_child(run, frame, index, block, shared))


def _child(run: Run, parent: Frame, index: int, block: int, input: Payload) -> Frame:
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
    return child


def run_map(run: Run, frame: Frame, state: Map) -> None:
    """Map (ASL, "Map State"): its items are here, or must be read first."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    if state.reader is None:
        start_items(run, frame, state, _items(state, scope, data))
        return
    reader = state.reader
    limit = _count(reader.max_items, scope, data)
    arguments = {} if reader.arguments is None else reader.arguments.evaluate(scope, data)
    ticket = run.wait(frame, Phase.READ, None)
    most = None if limit is None else int(limit)
    run.step.effects.append(
        ReadItems(frame.id, ticket, reader.resource, arguments, reader.config, most)
    )


def _items(state: Map, scope: Scope, data: Json) -> list[Json]:
    items = data
    if isinstance(state.items, Reading):
        items = state.items.read(scope, data)
    elif state.items is not None:
        items = state.items.evaluate(scope, data)
    if isinstance(items, list):
        return items
    if state.language is QueryLanguage.JSONATA:
        cause = f"Map state input must be an array but was: {json_text(items)}"
        raise Fault(fault.QUERY_EVALUATION, cause)
    path = "$"
    if isinstance(state.items, Reading) and state.items.path is not None:
        path = state.items.path.text
    raise Fault(fault.RUNTIME, f'Reference path "{path}" must point to array.')


def start_items(run: Run, frame: Frame, state: Map, items: list[Json]) -> None:
    """Begin the iterations over items that are known."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    concurrency = _concurrency(state, scope, data)
    run.event(frame, "MapStateStarted", {"length": len(items)})
    join = Join(len(items), concurrency, items, last_event=frame.last_event)
    join.tolerated_count = _count(state.tolerated_count, scope, data)
    join.tolerated_percentage = _percentage(state.tolerated_percentage, scope, data)
    if state.distributed:
        join.max_concurrency = concurrency or DEFAULT_DISTRIBUTED_CONCURRENCY
        _begin_map_run(run, frame, state, join)
        _batch(run, frame, state, join, data)
    frame.join = join
    run.wait(frame, Phase.JOIN, None)
    start_more(run, frame, state)


def _begin_map_run(run: Run, frame: Frame, state: Map, join: Join) -> None:
    identity = run.frontier.identity
    label = state.label or state.name
    arn = identity.machine_arn.replace(":stateMachine:", ":mapRun:")
    join.map_run = f"{arn}/{label}:{run.outside.uuid()}"
    run.event(frame, "MapRunStarted", {"mapRunArn": join.map_run})
    join.last_event = frame.last_event


def _concurrency(state: Map, scope: Scope, data: Json) -> int:
    setting = state.max_concurrency
    if setting is None:
        return 0
    value = _number(setting, scope, data, "integer")
    if value < 0 or value != int(value):
        raise _not_a(setting, value, "integer")
    return int(value)


def _count(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    if setting is None:
        return None
    value = _number(setting, scope, data, "integer")
    if value < 0:
        raise Fault(fault.RUNTIME, f"{setting.name.removesuffix('Path')} cannot be negative.")
    return value


def _percentage(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    if setting is None:
        return None
    value = _number(setting, scope, data, "float")
    if not 0 <= value <= 100:
        name = setting.name.removesuffix("Path")
        raise Fault(fault.RUNTIME, f"{name} must be between 0 and 100.")
    return value


def _number(setting: Setting, scope: Scope, data: Json, kind: str) -> float:
    value = setting.read(scope, data)
    if setting.name.endswith("Path") and isinstance(value, str):
        try:
            value = int(value) if kind == "integer" else float(value)
        except ValueError:
            raise _not_a(setting, value, kind) from None
    if is_number(value) and math.isfinite(value):
        return float(value)
    raise _not_a(setting, value, kind)


def _not_a(setting: Setting, value: Json, kind: str) -> Fault:
    if not setting.name.endswith("Path"):
        return unexpected_type(setting, "number", value)
    shown = value if isinstance(value, str) else json_text(value)
    return Fault(
        fault.RUNTIME,
        f'The {setting.name} field refers to value "{shown}" which is not a valid {kind}: '
        f"{setting.text}",
    )


def _batch(run: Run, frame: Frame, state: Map, join: Join, data: Json) -> None:
    """Replace the items by batches of them (ASL, "ItemBatcher")."""
    batcher = state.batcher
    if batcher is None or join.items is None:
        return
    scope = run.scope(frame, state)
    most = _count(batcher.max_items, scope, data) or math.inf
    most_bytes = _count(batcher.max_bytes, scope, data) or math.inf
    common: dict[str, Json] = {}
    if batcher.batch_input is not None:
        common["BatchInput"] = batcher.batch_input.evaluate(scope, data)
    batches: list[list[Json]] = []
    size = 0
    for index, item in enumerate(join.items):
        value = _selected(run, frame, state, index, item, data)
        length = len(json_text(value).encode())
        if not batches or len(batches[-1]) >= most or size + length > most_bytes:
            batches.append([])
            size = 0
        batches[-1].append(value)
        size += length
    join.items = [{**common, "Items": batch} for batch in batches]
    join.weights = [len(batch) for batch in batches]
    join.total = len(batches)


def _selected(run: Run, frame: Frame, state: Map, index: int, item: Json, data: Json) -> Json:
    """The input of one iteration: the item, or what ItemSelector makes of it."""
    if state.item_selector is None:
        return item
    extra = {"Map": {"Item": {"Index": index, "Value": item}}}
    return state.item_selector.evaluate(run.scope(frame, state, extra=extra), data)


def start_more(run: Run, frame: Frame, state: Map) -> None:
    """Start iterations until the concurrency limit, and end the state when none is left."""
    join = frame.join
    assert join is not None and join.items is not None, "a Map in its join has items"
    while join.next_index < join.total:
        if join.max_concurrency and join.running >= join.max_concurrency:
            return
        index = join.next_index
        if index not in join.results and index not in join.failed:
            _start_item(run, frame, state, join, index)
        join.next_index = index + 1
    if join.running == 0:
        _join_done(run, frame, state, join)


def _start_item(run: Run, frame: Frame, state: Map, join: Join, index: int) -> None:
    assert join.items is not None, "a Map in its join has items"
    item = join.items[index]
    value = item
    if state.batcher is None and state.item_selector is not None:
        scope = run.scope(frame, state)
        value = _selected(run, frame, state, index, item, effective_input(state, scope))
    frame.last_event = join.last_event
    child = _child(run, frame, index, state.block, Payload(value))
    child.item = (index, item)
    join.running += 1
    if state.distributed:
        child.outer = {}
        child.log = Log(f"{join.map_run}:{index}", child.id)
        run.event(child, "ExecutionStarted", {"input": child.input})
        child.last_event = 0
    else:
        run.event(child, "MapIterationStarted", {"name": state.name, "index": index})
    run.ready.append(child)


def child_succeeded(run: Run, parent: Frame, child: Frame, output: Payload) -> None:
    """A branch or iteration ran to its end."""
    state, join = run.state_of(parent), parent.join
    assert join is not None, "a parent of frames is in its join"
    run.remove(child)
    join.running -= 1
    join.results[child.index] = output
    run.frontier.arrived.append((parent.id, child.index))
    if isinstance(state, Map):
        if state.distributed:
            run.event(child, "ExecutionSucceeded", {"output": output})
        else:
            join.last_event = child.last_event
            details = {"name": state.name, "index": child.index}
            parent.last_event = run.event(child, "MapIterationSucceeded", details)
        _go_on(run, parent, state)
    else:
        parent.last_event = child.last_event
        if len(join.results) == join.total:
            _join_done(run, parent, state, join)


def _go_on(run: Run, frame: Frame, state: Map) -> None:
    """Start the next iterations; one that cannot be selected fails the Map itself."""
    try:
        start_more(run, frame, state)
    except Fault as failure:
        run.fail(frame, run.evaluation_failed(frame, state, failure))


def _join_done(run: Run, frame: Frame, state: State, join: Join) -> None:
    if isinstance(state, Map) and state.writer is not None:
        _write(run, frame, state, join)
        return
    finish_join(run, frame, state, [_result_at(join, index) for index in range(join.total)])


def _result_at(join: Join, index: int) -> Json:
    if index in join.failed:
        return error_output(Fault(*join.failed[index]))
    return join.results[index].value


def _write(run: Run, frame: Frame, state: Map, join: Join) -> None:
    writer = state.writer
    assert writer is not None and join.map_run is not None, "only a Map Run writes its results"
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    arguments = {} if writer.arguments is None else writer.arguments.evaluate(scope, data)
    results = [_record(run, state, join, index) for index in range(join.total)]
    ticket = run.wait(frame, Phase.WRITE, None)
    run.step.effects.append(
        WriteResults(
            frame.id, ticket, writer.resource, arguments, writer.config, join.map_run, results
        )
    )


def _record(run: Run, state: Map, join: Join, index: int) -> dict[str, Json]:
    """One line of a result file, with AWS's members."""
    assert join.items is not None, "a Map in its join has items"
    record: dict[str, Json] = {
        "ExecutionArn": f"{join.map_run}:{index}".replace(":mapRun:", ":execution:"),
        "Input": json_text(join.items[index]),
        "Name": str(index),
        "StateMachineArn": run.frontier.identity.machine_arn,
    }
    if index in join.failed:
        return {**record, "Status": "FAILED", **error_output(Fault(*join.failed[index]))}
    return {**record, "Status": "SUCCEEDED", "Output": join.results[index].text}


def finish_join(run: Run, frame: Frame, state: State, result: Json) -> None:
    """All children are done: the state has its result."""
    assert isinstance(state, Parallel | Map), "only these have children"
    if isinstance(state, Map) and state.distributed:
        run.event(frame, "MapRunSucceeded", {})
    run.aside(frame, f"{state.kind}StateSucceeded", {})
    scope = run.scope(frame, state)
    if state.result_selector is not None:
        result = state.result_selector.evaluate(scope, result)
    run.finish(frame, state, scope, result)


def fail_around(run: Run, parent: Frame, child: Frame, failure: Fault) -> Frame | None:
    """A child failed and nothing in it caught that: what becomes of the state around it.

    Returns the parent when the failure rises to it, None when the Map tolerates it.
    """
    state, join = run.state_of(parent), parent.join
    assert join is not None, "a parent of frames is in its join"
    if isinstance(state, Map) and state.distributed:
        return _map_run_child_failed(run, parent, state, child, failure)
    if isinstance(state, Map):
        details = {"name": state.name, "index": child.index}
        run.event(child, "MapIterationFailed", details)
    parent.last_event = child.last_event
    for sibling in run.frontier.children(parent.id):
        if sibling is not child:
            _abort(run, sibling)
            parent.last_event = max(parent.last_event, sibling.last_event)
    return parent


def _abort(run: Run, frame: Frame) -> None:
    """Record that a running branch is stopped because of another one's failure."""
    for child in run.frontier.children(frame.id):
        if child.log is frame.log:
            _abort(run, child)
    kind = run.state_of(frame).kind
    if kind in _ABORTED and frame.phase is not Phase.READY:
        run.event(frame, f"{kind}StateAborted", {})


def _map_run_child_failed(
    run: Run, parent: Frame, state: Map, child: Frame, failure: Fault
) -> Frame | None:
    join = parent.join
    assert join is not None, "a parent of frames is in its join"
    details: dict[str, Any] = {"error": failure.error, "cause": failure.cause}
    run.event(child, "ExecutionFailed", {k: v for k, v in details.items() if v is not None})
    join.failed[child.index] = (failure.error, failure.cause)
    run.frontier.arrived.append((parent.id, child.index))
    run.prune(child)
    run.remove(child)
    join.running -= 1
    if _tolerates(join):
        _go_on(run, parent, state)
        return None
    failure.error = fault.EXCEED_TOLERATED_FAILURES
    failure.cause = "The specified tolerated failure threshold was exceeded"
    run.event(parent, "MapRunFailed", {"error": failure.error, "cause": failure.cause})
    return parent


def _tolerates(join: Join) -> bool:
    """Whether the failures so far stay within ToleratedFailureCount and …Percentage."""
    weights = join.weights
    failed = sum(weights[index] for index in join.failed) if weights else len(join.failed)
    total = sum(weights) if weights else join.total
    count, percentage = join.tolerated_count, join.tolerated_percentage
    if count is None and percentage is None:
        return failed == 0
    within_count = count is not None and failed <= count
    within_percentage = percentage is not None and failed * 100 <= percentage * total
    if count is None:
        return within_percentage
    if percentage is None:
        return within_count
    return within_count and within_percentage
