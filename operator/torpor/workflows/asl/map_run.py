"""The Map Run of a distributed Map: its children are executions with a history of their own."""

from __future__ import annotations

from torpor.expressions.values import json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.context import child_execution_arn
from torpor.workflows.asl.events import MapRunChanged, ReadItems, WriteResults
from torpor.workflows.asl.failing import fail
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Join, Log, Phase
from torpor.workflows.asl.join import finish_join, join_of, keep_result
from torpor.workflows.asl.map_fields import read_count
from torpor.workflows.asl.program import Map
from torpor.workflows.asl.recovery import error_output
from torpor.workflows.asl.run import Ended, Run, present
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.states import effective_input

DEFAULT_CONCURRENCY = 1_000
"""Children of a Map Run at a time when the definition sets no MaxConcurrency."""


def begin(run: Run, frame: Frame, state: Map, join: Join) -> None:
    """Start the Map Run of a state."""
    arn = run.frontier.identity.machine_arn.replace(":stateMachine:", ":mapRun:", 1)
    join.map_run = f"{arn}/{state.label or state.name}:{run.outside.uuid()}"
    join.max_concurrency = join.max_concurrency or DEFAULT_CONCURRENCY
    run.event(frame, "MapRunStarted", {"mapRunArn": join.map_run})


def change(run: Run, event: MapRunChanged) -> list[Frame]:
    """Set other limits for a Map Run; returns its frame, when it still runs."""
    found = [
        frame
        for frame in run.frontier.frames.values()
        if frame.phase is Phase.JOIN and join_of(frame).map_run == event.map_run
    ]
    for frame in found:
        join = join_of(frame)
        if event.max_concurrency is not None:
            join.max_concurrency = event.max_concurrency or DEFAULT_CONCURRENCY
        if event.tolerated_count is not None:
            join.tolerated_count = event.tolerated_count
        if event.tolerated_percentage is not None:
            join.tolerated_percentage = event.tolerated_percentage
        run.frontier.touched.add(frame.id)
    return found


def read(run: Run, frame: Frame, state: Map) -> None:
    """Have the items read (ASL, "ItemReader")."""
    reader = state.reader
    assert reader is not None, "only a Map with an ItemReader reads its items"
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    most = read_count(reader.max_items, scope, data)
    arguments = {} if reader.arguments is None else reader.arguments.evaluate(scope, data)
    ticket = run.wait(frame, Phase.READ, None)
    run.step.effects.append(
        ReadItems(
            frame.id,
            ticket,
            reader.resource,
            arguments,
            reader.config,
            None if most is None else int(most),
        )
    )


def begin_child(run: Run, join: Join, child: Frame) -> None:
    """Make a frame an execution of its own: its own history, and no variables from outside."""
    child.outer = {}
    child.log = Log(f"{join.map_run}:{child.index}", child.id)
    run.event_after(child, 0, "ExecutionStarted", {"input": child.input})
    child.last_event = 0


def child_ended(run: Run, frame: Frame, state: Map, ended: Ended) -> bool:
    """A child is over; whether the Map Run goes on with the next one."""
    child, outcome = ended.child, ended.outcome
    if not isinstance(outcome, Fault):
        keep_result(run, frame, child, outcome)
        run.event(child, "ExecutionSucceeded", {"output": outcome})
        return True
    join = join_of(frame)
    details = present(error=outcome.error, cause=outcome.cause)
    run.event(child, "ExecutionFailed", details)
    join.failed[child.index] = (outcome.error, outcome.cause)
    run.frontier.arrived.append((frame.id, child.index))
    run.prune(child)
    run.remove(child)
    join.running -= 1
    if _tolerates(join):
        return True
    cause = "The specified tolerated failure threshold was exceeded"
    failed(run, frame, state, Fault(fault.EXCEED_TOLERATED_FAILURES, cause))
    return False


def failed(run: Run, frame: Frame, state: Map, failure: Fault) -> None:
    """The Map Run failed: by too many failed children, or because of its reader or writer."""
    run.event(frame, "MapRunFailed", present(error=failure.error, cause=failure.cause))
    fail(run, frame, failure)


def _tolerates(join: Join) -> bool:
    """Whether the failures so far stay within ToleratedFailureCount and …Percentage."""
    weights = join.weights
    failures = sum(weights[index] for index in join.failed) if weights else len(join.failed)
    total = sum(weights) if weights else join.total
    count, percentage = join.tolerated_count, join.tolerated_percentage
    if count is None and percentage is None:
        return failures == 0
    within_count = count is None or failures <= count
    return within_count and (percentage is None or failures * 100 <= percentage * total)


def result_at(join: Join, index: int) -> Json:
    """The result of one iteration: its output, or the error of a tolerated failure."""
    if index in join.failed:
        return error_output(Fault(*join.failed[index]))
    return join.results[index].value


def write(run: Run, frame: Frame, state: Map, join: Join) -> None:
    """Have the results written (ASL, "ResultWriter")."""
    writer = state.writer
    assert writer is not None, "only a Map with a ResultWriter writes its results"
    assert join.map_run is not None, "only a Map Run has a ResultWriter"
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    arguments = {} if writer.arguments is None else writer.arguments.evaluate(scope, data)
    results = [_record(run, join, index) for index in range(join.total)]
    ticket = run.wait(frame, Phase.WRITE, None)
    run.step.effects.append(
        WriteResults(
            frame.id, ticket, writer.resource, arguments, writer.config, join.map_run, results
        )
    )


def ask_again(run: Run, frame: Frame, state: Map) -> None:
    """Have done under a new ticket what the state waits for."""
    if frame.phase is Phase.READ:
        read(run, frame, state)
    else:
        write(run, frame, state, join_of(frame))


def written(run: Run, frame: Frame, state: Map, result: Json) -> None:
    """The results are written: the Map Run is over."""
    run.event(frame, "MapRunSucceeded", {})
    finish_join(run, frame, state, result)


def _record(run: Run, join: Join, index: int) -> dict[str, Json]:
    """One line of a result file, with AWS's members."""
    assert join.items is not None, "a Map in its join has items"
    record: dict[str, Json] = {
        "ExecutionArn": child_execution_arn(f"{join.map_run}:{index}"),
        "Input": json_text(join.items[index]),
        "Name": str(index),
        "StateMachineArn": run.frontier.identity.machine_arn,
    }
    if index in join.failed:
        return {**record, "Status": "FAILED", **error_output(Fault(*join.failed[index]))}
    return {**record, "Status": "SUCCEEDED", "Output": join.results[index].text}
