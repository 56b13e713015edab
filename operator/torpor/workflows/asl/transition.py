"""How a state ends well: its result becomes its output, variables are set, the next begins."""

from __future__ import annotations

from typing import Any

from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Frontier, Phase, Status
from torpor.workflows.asl.jsonpath import write_reference
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Pass, State, Working
from torpor.workflows.asl.run import VARIABLES_FACTOR, Ended, Run
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope
from torpor.workflows.asl.template import Template

Variables = dict[str, Json]

_EXITED = {
    kind: f"{kind}StateExited"
    for kind in ("Task", "Parallel", "Map", "Pass", "Wait", "Choice", "Succeed")
}


def finish(run: Run, frame: Frame, state: State, scope: Scope, result: Json) -> None:
    """End a state's body: merge its result into the output, assign, and go on."""
    raw = frame.input.value
    if state.language is QueryLanguage.JSONATA:
        ending = Scope(raw, scope.context, scope.variables, scope.entropy, result)
        output = result if state.output is None else state.output.evaluate(ending, raw)
        leave(run, frame, state, output, assigned(state.assign, ending, raw))
        return
    variables = assigned(state.assign, scope, result)
    output = _merged(state, raw, result)
    leave(run, frame, state, put_out(state, scope, output), variables)


def _merged(state: State, raw: Json, result: Json) -> Json:
    """The state's input with the result at ResultPath; states without that field replace it."""
    if not isinstance(state, Pass | Working) or state.result_path == "$":
        return result
    return raw if state.result_path is None else write_reference(state.result_path, raw, result)


def put_out(state: State, scope: Scope, output: Json) -> Json:
    """The part of the output that OutputPath selects."""
    path = state.output_path
    return output if path is None else path.read(scope, output)


def assigned(assign: Template | None, scope: Scope, data: Json) -> Variables | None:
    """The variables that a state or rule assigns, None for none."""
    if assign is None:
        return None
    values: Variables = assign.evaluate(scope, data)
    return values


def leave(
    run: Run,
    frame: Frame,
    state: State,
    output: Json,
    variables: Variables | None,
    target: str | None = None,
) -> None:
    """Exit a state: to `target` or its next state, or out of the block."""
    payload = frame.input
    if output is not payload.value:
        payload = Payload(output)
        check_size(run, payload, state.name)
    details: dict[str, Any] = {"name": state.name, "output": payload}
    if variables:
        check_variables(run, frame, variables, state.name)
        details["assignedVariables"] = variables
        frame.assign(variables)
    run.event(frame, _EXITED[state.kind], details)
    frame.join = None
    frame.argument = None
    frame.due = None
    run.frontier.touched.add(frame.id)
    target = target or state.next
    if target is None:
        _end_block(run, frame, payload)
        return
    frame.state = target
    frame.input = payload
    frame.phase = Phase.READY
    run.ready.appendleft(frame)


def check_size(run: Run, payload: Payload, name: str) -> None:
    """Fail with States.DataLimitExceeded when a payload is over the quota."""
    limit = run.limits.payload_bytes
    if limit is not None and payload.size > limit:
        cause = (
            f"The state/task '{name}' returned a result with a size exceeding the maximum number "
            "of bytes service limit."
        )
        raise Fault(fault.DATA_LIMIT, cause)


def check_variables(run: Run, frame: Frame, assigned: Variables, name: str) -> None:
    """Fail with States.DataLimitExceeded when an Assign, or all variables with it, is over quota.

    What all hold is counted only when the sum of the assignments could have reached the quota.
    """
    limit = run.limits.payload_bytes
    if limit is None:
        return
    size, frontier = _size(assigned), run.frontier
    if size > limit:
        raise Fault(
            fault.DATA_LIMIT,
            f"The variables assigned in the state '{name}' have a size exceeding the maximum "
            "number of bytes service limit.",
        )
    bound = frontier.variables_bound
    if bound is None or bound + size > limit * VARIABLES_FACTOR:
        bound = _held(frontier, frame, assigned)
    if bound + size > limit * VARIABLES_FACTOR:
        raise Fault(
            fault.DATA_LIMIT,
            f"With those assigned in the state '{name}' the variables of the execution have a "
            "size exceeding the maximum number of bytes service limit.",
        )
    frontier.variables_bound = bound + size


def _held(frontier: Frontier, frame: Frame, assigned: Variables) -> int:
    """The size of the variables of all frames, without those of `frame` that are set anew."""
    kept = {key: value for key, value in frame.variables.items() if key not in assigned}
    others = (other for other in frontier.frames.values() if other is not frame)
    return _size(kept) + sum(_size(other.variables) for other in others)


def _size(variables: Variables) -> int:
    return sum(Payload(value).size for value in variables.values())


def _end_block(run: Run, frame: Frame, output: Payload) -> None:
    """A block ran to its end: the execution's, a branch's, or an iteration's."""
    if frame.parent is not None:
        run.ended = Ended(frame, output)
        return
    run.event(frame, "ExecutionSucceeded", {"output": output})
    run.remove(frame)
    run.end(Status.SUCCEEDED, output, None, None)
