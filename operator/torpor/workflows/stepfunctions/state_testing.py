"""TestState: one state, in memory; nothing is stored, nothing is started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from torpor.aws.errors import Refused, validation
from torpor.aws.shapes import Flag, Group, Number, OneOf, Values, shape_of
from torpor.workflows.asl.events import Dispatch, TaskFailed
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Identity
from torpor.workflows.asl.payload import EMPTY
from torpor.workflows.asl.problem import InvalidDefinition, Problem
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.asl.run import Limits
from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.timestamps import epoch_seconds
from torpor.workflows.asl.validate import check_definition, create_error
from torpor.workflows.asl.validate.findings import Code
from torpor.workflows.beside import check_beside, work_beside
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.inspection import Exchange, inspect
from torpor.workflows.stepfunctions.mocks import MOCK, mocked
from torpor.workflows.stepfunctions.payloads import read_payload
from torpor.workflows.stepfunctions.service import Action, Answer, Service, present
from torpor.workflows.stepfunctions.shapes import ARN, DATA, DEFINITION, NAME
from torpor.workflows.stepfunctions.trial import Outcome, Setup, Trial, conclude

ALONE = "StateName"
"""What a state that is tested without its machine is called, in its context object too."""
_ELSEWHERE = (Code.MISSING_TARGET, Code.MISSING_END_STATE)
"""Findings about other states, which a state that is tested alone does not have."""


class _Outside:
    """The service's time and randomness, with the task token that the caller named."""

    def __init__(self, service: Service, token: str) -> None:
        self._outside = service.outside
        self._token = token

    def now(self) -> float:
        return self._outside.now()

    def uuid(self) -> str:
        return self._outside.uuid()

    def random(self) -> float:
        return self._outside.random()

    def task_token(self, frame: int, ticket: int) -> str:
        return self._token


async def test_state(service: Service, values: Values) -> Answer:
    """TestState: one state, in memory; its task is done really unless it is mocked."""
    setup = await check_beside(values["definition"], partial(_setup, service, values))
    outcome, exchange = mocked(setup.state, values), Exchange()
    context = _json(values, "context")
    outside = _Outside(service, _part(context, "Task", "Token") or service.outside.uuid())
    bare = Trial(setup, outside, frozenset({"Retry", "Catch"}))
    task = await work_beside(bare.enter)
    if bare.waits:
        if outcome is None:
            outcome = await _done(service, task, exchange)
        await work_beside(partial(bare.settle, outcome))
    result = await work_beside(partial(conclude, setup, outside, bare, outcome))
    failure = result.failure
    level = values.get("inspectionLevel", "INFO")
    return present(
        status=result.verdict.value,
        output=result.output and result.output.text,
        nextState=result.next,
        error=failure and failure.error,
        cause=failure and failure.cause,
        inspectionData=(
            None
            if level == "INFO"
            else inspect(setup, outside, task, outcome, result)
            | (exchange.members if level == "TRACE" else {})
        ),
    )


async def _done(service: Service, task: Dispatch | None, exchange: Exchange) -> Outcome:
    """What a task really comes to."""
    if task is None or service.tasks is None or task.resource.pattern is Pattern.TASK_TOKEN:
        raise validation("This state can only be tested with a mock.")
    end = await service.tasks.run_once(task, exchange)
    return Fault(end.error, end.cause) if isinstance(end, TaskFailed) else end.output


def _setup(service: Service, values: Values) -> Setup:
    name, state, language = _state(values)
    kind = state.get("Type")
    if kind in ("Map", "Parallel") and "mock" not in values:
        raise Refused(
            "InvalidDefinition",
            "TestState API does not support Map or Parallel states. Supported state types include: "
            "[Task, Wait, Pass, Succeed, Fail, Choice]",
        )
    _check_state(name, state, language, values["definition"])
    context = _json(values, "context")
    configuration = values.get("stateConfiguration", {})
    item = _part(context, "Map", "Item")
    items = _json(configuration, "mapItemReaderData")
    return Setup(
        name,
        state,
        language,
        _identity(service, values, context),
        _json(values, "variables") or {},
        (item.get("Index", 0), item.get("Value")) if isinstance(item, dict) else None,
        items if isinstance(items, list) else None,
        configuration.get("mapIterationFailureCount", 0),
        configuration.get("retrierRetryCount", 0),
        Limits(service.settings.payload_bytes),
    )


def _state(values: Values) -> tuple[str, dict[str, Json], str]:
    """The state to test: its name, its definition, and the language of its machine."""
    try:
        definition = json.loads(values["definition"])
    except (ValueError, RecursionError):
        problems = check_definition(values["definition"])
        raise Refused(*create_error(problems, values["definition"])) from None
    if not isinstance(definition, dict):
        raise Refused("InvalidDefinition", "Invalid State Machine Definition: not an object")
    language = definition.get("QueryLanguage", QueryLanguage.JSONPATH.value)
    wanted = values.get("stateName")
    if wanted is None and "States" in definition:
        raise validation("stateName is needed to test a state of a state machine.")
    if wanted is None:
        return ALONE, definition, language
    for name, state in _states(definition):
        if name == wanted:
            return name, state, language
    raise validation(f"State not found in the definition: '{wanted}'")


def _states(machine: Any) -> Iterator[tuple[str, dict[str, Json]]]:
    """Every state of a machine, those of branches and processors too."""
    states = machine.get("States") if isinstance(machine, dict) else None
    for name, state in states.items() if isinstance(states, dict) else ():
        if isinstance(state, dict):
            yield name, state
            nested = [state.get("ItemProcessor"), state.get("Iterator")]
            branches = state.get("Branches")
            for inner in [*nested, *(branches if isinstance(branches, list) else [])]:
                yield from _states(inner)


def _check_state(name: str, state: Mapping[str, Json], language: str, text: str) -> None:
    machine = {"StartAt": name, "QueryLanguage": language, "States": {name: state}}
    problems = [
        Problem(found.code, found.message, _own(found.location, name), found.severity)
        for found in check_definition(machine)
        if found.code not in _ELSEWHERE
    ]
    if problems:
        raise Refused(*create_error(problems, text))
    try:
        Trial(Setup(name, state, language, _NOBODY, {}), _NOWHERE)
    except InvalidDefinition as wrong:
        raise Refused(*create_error(wrong.problems, text)) from None


def _own(location: str, name: str) -> str:
    return location.removeprefix(f"/States/{name}") or "/"


def _identity(service: Service, values: Values, context: Json) -> Identity:
    """Who the state thinks it runs for: what the caller's context object says, else anybody."""
    text = values.get("input")
    most = service.settings.payload_bytes
    given = EMPTY if text is None else read_payload(text, "input", most, errors.invalid_input)
    machine_name = _part(context, "StateMachine", "Name") or service.outside.uuid()
    machine_arn = _part(context, "StateMachine", "Id") or service.settings.place.machine(
        machine_name
    )
    name = _part(context, "Execution", "Name") or service.outside.uuid()
    started = _part(context, "Execution", "StartTime")
    arn = machine_arn.replace(":stateMachine:", ":express:") + f":{name}"
    return Identity(
        _part(context, "Execution", "Id") or arn,
        name,
        _part(context, "Execution", "RoleArn") or values.get("roleArn", ""),
        machine_arn,
        machine_name,
        (epoch_seconds(started) if isinstance(started, str) else None) or service.outside.now(),
        given,
    )


def _part(context: Json, group: str, name: str) -> Any:
    inner = context.get(group) if isinstance(context, dict) else None
    return inner.get(name) if isinstance(inner, dict) else None


def _json(values: Values, member: str) -> Json:
    text = values.get(member)
    if text is None:
        return None
    return read_payload(text, member, None, errors.invalid_member(member)).value


class _Nowhere:
    def now(self) -> float:
        return 0.0

    def uuid(self) -> str:
        return ""

    def random(self) -> float:
        return 0.0

    def task_token(self, frame: int, ticket: int) -> str:
        return ""


_NOWHERE = _Nowhere()
_NOBODY = Identity("", "", "", "", "", 0.0, EMPTY)

ACTIONS: Mapping[str, Action] = {
    "TestState": Action(
        shape_of(
            ("definition",),
            definition=DEFINITION,
            roleArn=ARN,
            input=DATA,
            inspectionLevel=OneOf(("INFO", "DEBUG", "TRACE")),
            revealSecrets=Flag(),
            variables=DATA,
            stateName=NAME,
            mock=MOCK,
            context=DATA,
            stateConfiguration=Group(
                {
                    "retrierRetryCount": Number(0),
                    "errorCausedByState": NAME,
                    "mapIterationFailureCount": Number(0),
                    "mapItemReaderData": DATA,
                }
            ),
        ),
        test_state,
    ),
}
