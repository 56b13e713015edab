"""The `inspectionData` of TestState: a state's data after each step of its processing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torpor.expressions.values import json_text
from torpor.workflows.asl.advance import NO_LIMITS
from torpor.workflows.asl.events import Dispatch
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonpath import write_reference
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Map, Parallel, Pass, State, Task
from torpor.workflows.asl.reading import Reading, Setting
from torpor.workflows.asl.run import Outside, Run
from torpor.workflows.asl.scope import Json, QueryLanguage, Scope
from torpor.workflows.asl.states import effective_input
from torpor.workflows.stepfunctions.trial import Outcome, Result, Setup, Trial

Found = tuple[str, Any]


class Exchange:
    """What an HTTP task sent and got (`engine.base.Observer`), as members of `inspectionData`."""

    def __init__(self) -> None:
        self.members: dict[str, Json] = {}

    def sent(self, request: Mapping[str, str]) -> None:
        """Take in the request."""
        self.members["request"] = dict(request)

    def got(self, response: Mapping[str, str]) -> None:
        """Take in the response."""
        self.members["response"] = dict(response)


def inspect(
    setup: Setup, outside: Outside, task: Dispatch | None, outcome: Outcome | None, result: Result
) -> dict[str, Any]:
    """The members of `inspectionData`, as far as the state came; data as JSON texts."""
    trial = Trial(setup, outside)
    frame = trial.frame
    assert frame is not None, "a new trial has its frame"
    state = trial.state
    run = Run(trial.program, trial.frontier, outside, NO_LIMITS)
    data: dict[str, Any] = {"input": setup.identity.input.text}
    try:
        scope = run.scope(frame, state, extra=_token(task, outside))
        data.update(_steps(state, scope, task, outcome))
    except Fault:
        pass  # the step that failed has no data, and those after it were not reached
    data.update(_errors(result))
    if result.variables:
        data["variables"] = json_text(dict(result.variables))
    return data


def _token(task: Dispatch | None, outside: Outside) -> Mapping[str, Json] | None:
    if task is None:
        return None
    return {"Task": {"Token": outside.task_token(task.frame, task.ticket)}}


def _steps(
    state: State, scope: Scope, task: Dispatch | None, outcome: Outcome | None
) -> Iterator[Found]:
    if state.language is QueryLanguage.JSONATA:
        yield from _jsonata_steps(state, scope, task, outcome)
        return
    if isinstance(state, Pass) and state.has_result:
        yield "result", json_text(state.result)
        yield from _result_steps(state, scope, state.result)
        return
    effective = effective_input(state, scope)
    yield "afterInputPath", json_text(effective)
    if isinstance(state, Map):
        yield from _map_steps(state, scope, effective)
    elif isinstance(state, Pass | Task | Parallel):
        template = state.parameters
        given = effective if template is None else template.evaluate(scope, effective)
        given = given if task is None else task.argument.value
        yield "afterParameters", json_text(given)
        if isinstance(state, Pass):
            yield from _result_steps(state, scope, given)
    if isinstance(outcome, Payload):
        yield "result", outcome.text
        yield from _result_steps(state, scope, outcome.value)


def _jsonata_steps(
    state: State, scope: Scope, task: Dispatch | None, outcome: Outcome | None
) -> Iterator[Found]:
    if isinstance(state, Map):
        yield from _settings(state, scope, scope.input)
        return
    if task is not None:
        yield "afterArguments", task.argument.text
    elif isinstance(state, Parallel) and state.parameters is not None:
        yield "afterArguments", json_text(state.parameters.evaluate(scope, scope.input))
    if isinstance(outcome, Payload):
        yield "result", outcome.text


def _result_steps(state: State, scope: Scope, result: Json) -> Iterator[Found]:
    selector = getattr(state, "result_selector", None)
    selected = result if selector is None else selector.evaluate(scope, result)
    yield "afterResultSelector", json_text(selected)
    path = getattr(state, "result_path", "$")
    merged = scope.input if path is None else write_reference(path, scope.input, selected)
    yield "afterResultPath", json_text(merged)


def _map_steps(state: Map, scope: Scope, effective: Json) -> Iterator[Found]:
    if isinstance(state.items, Reading) or state.items is None:
        items = effective if state.items is None else state.items.read(scope, effective)
        yield "afterItemsPath", json_text(items)
    yield from _settings(state, scope, effective)


def _settings(state: Map, scope: Scope, data: Json) -> Iterator[Found]:
    yield "maxConcurrency", int(_number(state.max_concurrency, scope, data) or 0)
    count = _number(state.tolerated_count, scope, data)
    if count is not None:
        yield "toleratedFailureCount", int(count)
    percentage = _number(state.tolerated_percentage, scope, data)
    if percentage is not None:
        yield "toleratedFailurePercentage", percentage


def _number(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    value = None if setting is None else setting.read(scope, data)
    return value if isinstance(value, int | float) else None


def _errors(result: Result) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if result.catch is not None:
        details["catchIndex"] = result.catch
    if result.retry is not None:
        details["retryIndex"] = result.retry
        details["retryBackoffIntervalSeconds"] = int(result.retry_seconds or 0)
    return {"errorDetails": details} if details else {}
