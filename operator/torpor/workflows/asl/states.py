"""The bodies of the states that do no work outside: Pass, Choice, Wait, Succeed, Fail."""

from __future__ import annotations

import math

from torpor.expressions.values import is_number, is_whole, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.failing import fail
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Phase
from torpor.workflows.asl.program import Choice, Fail, Pass, State, Succeed, Wait
from torpor.workflows.asl.reading import Setting, out_of_range, wrong_type
from torpor.workflows.asl.run import Run
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope
from torpor.workflows.asl.timestamps import epoch_seconds
from torpor.workflows.asl.transition import assigned, finish, leave, put_out

MAX_WAIT_SECONDS = 2_147_483_647
"""The longest Wait that AWS accepts at run time: 2^31 - 1 seconds."""


def effective_input(state: State, scope: Scope) -> Json:
    """The state's input after InputPath; JSONata states take theirs as it is."""
    path = state.input_path
    return scope.input if path is None else path.read(scope, scope.input)


def run_pass(run: Run, frame: Frame, state: Pass) -> None:
    """Pass (ASL, "Pass State")."""
    scope = run.scope(frame, state)
    result = effective_input(state, scope)
    if state.has_result:
        result = state.result
    elif state.parameters is not None:
        result = state.parameters.evaluate(scope, result)
    finish(run, frame, state, scope, result)


def run_succeed(run: Run, frame: Frame, state: Succeed) -> None:
    """Succeed (ASL, "Succeed State")."""
    scope = run.scope(frame, state)
    finish(run, frame, state, scope, effective_input(state, scope))


def run_fail(run: Run, frame: Frame, state: Fail) -> None:
    """Fail (ASL, "Fail State"): its error rises to the state around it at once."""
    scope = run.scope(frame, state)
    error = _text(state.error, scope)
    fail(run, frame, Fault(error, _text(state.cause, scope)))


def _text(setting: Setting | None, scope: Scope) -> str | None:
    if setting is None:
        return None
    value = setting.read(scope, scope.input)
    if not isinstance(value, str):
        if setting.by_path:
            cause = f"The {setting.name} parameter does not reference a string: {setting.text}"
            raise Fault(fault.RUNTIME, cause)
        raise wrong_type(setting, "string", value)
    return value


def run_choice(run: Run, frame: Frame, state: Choice) -> None:
    """Choice (ASL, "Choice State"): the first rule that matches, else Default."""
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    target, assign, output_template = state.next, state.assign, state.output
    for branch in state.branches:
        if branch.rule.matches(scope, data):
            target, assign, output_template = branch.next, branch.assign, branch.output
            break
    if target is None:
        cause = "Failed to transition out of the state. The state does not point to a next state."
        raise Fault(fault.RUNTIME, cause)
    variables = assigned(assign, scope, data)
    output = put_out(state, scope, data)
    if output_template is not None:
        output = output_template.evaluate(scope, data)
    leave(run, frame, state, output, variables, target)


def run_wait(run: Run, frame: Frame, state: Wait) -> None:
    """Wait (ASL, "Wait State"): the frame sleeps; nothing runs meanwhile.

    Of a timestamp the whole seconds count, as AWS documents it.
    """
    scope = run.scope(frame, state)
    data = effective_input(state, scope)
    seconds = _wait_seconds(run, state, scope, data)
    if seconds > MAX_WAIT_SECONDS:
        raise Fault(fault.RUNTIME, "Wait state delay is too long.")
    run.wait(frame, Phase.WAIT, run.now + max(0.0, seconds))


def wait_over(run: Run, frame: Frame, state: Wait) -> None:
    """The end of a Wait: the state's input is its output."""
    scope = run.scope(frame, state)
    finish(run, frame, state, scope, effective_input(state, scope))


def _wait_seconds(run: Run, state: Wait, scope: Scope, data: Json) -> float:
    if state.seconds is not None:
        return _seconds(state.seconds, scope, data)
    setting = state.timestamp
    assert setting is not None, "a Wait has seconds or a timestamp"
    value = setting.read(scope, data)
    moment = epoch_seconds(value) if isinstance(value, str) else None
    if moment is None:
        shown = value if isinstance(value, str) else json_text(value)
        cause = (
            f"The {setting.name} parameter does not reference a valid ISO-8601 extended offset "
            f"date-time format string: {setting.text} == {shown}"
        )
        raise Fault(_fault_of(state), cause)
    return math.floor(moment) - run.now


def _fault_of(state: State) -> str:
    jsonata = state.language is QueryLanguage.JSONATA
    return fault.QUERY_EVALUATION if jsonata else fault.RUNTIME


def _seconds(setting: Setting, scope: Scope, data: Json) -> float:
    value = setting.read(scope, data)
    whole = is_number(value) and (is_whole(value) or not setting.by_path)
    if whole and value >= 0:
        return float(min(value, MAX_WAIT_SECONDS + 1))
    if setting.by_path:
        cause = (
            f"The {setting.name} parameter does not reference a valid integer: "
            f"{setting.text} == {json_text(value)}"
        )
        raise Fault(fault.RUNTIME, cause)
    if is_number(value):
        raise out_of_range(setting, f"{setting.name} cannot be negative: {value}")
    raise wrong_type(setting, "number", value)
