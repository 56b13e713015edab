"""ValidateStateMachineDefinition and TestState, and what CreateStateMachine refuses."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.conformance.recorded import Case, needed
from tests.support.stepfunctions_rig import ROLE, Rig, serving
from torpor.workflows.asl.events import Dispatch, TaskFailed, TaskSucceeded
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Observer
from torpor.workflows.stepfunctions import state_testing
from torpor.workflows.stepfunctions.trial import conclude


class Doubling:
    """Does the tasks of tested states: numbers are doubled, anything else is an error."""

    async def run_once(self, dispatch: Dispatch, observer: Observer) -> TaskSucceeded | TaskFailed:
        value = dispatch.argument.value
        if isinstance(value, int):
            return TaskSucceeded(dispatch.frame, dispatch.ticket, Payload(value * 2))
        return TaskFailed(dispatch.frame, dispatch.ticket, "TypeError", "no number")


@pytest.fixture
async def api() -> AsyncIterator[Rig]:
    async with serving(tasks=Doubling()) as rig:
        yield rig


async def try_state(api: Rig, state: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = more.pop("input", None)
    if given is not None:
        more["input"] = json.dumps(given)
    answer = await api("test_state", definition=json.dumps(state), roleArn=ROLE, **more)
    if "output" in answer:
        answer["output"] = json.loads(answer["output"])
    return answer


def data(answer: dict[str, Any]) -> dict[str, Any]:
    found = answer["inspectionData"]
    return {
        name: json.loads(value) if isinstance(value, str) else value
        for name, value in found.items()
    }


# --- recorded refusals ------------------------------------------------------------------------

_DESTINATION = {"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:eu-west-1:1:log-group:a:*"}}
# These rows of the recording are about other members of the request, which they do not carry.
_OTHER_MEMBERS: dict[str, dict[str, Any]] = {
    "test_invalid_logging_configuration": {"loggingConfiguration": {"level": "ALL"}},
    "test_multiple_destinations": {
        "loggingConfiguration": {"level": "ALL", "destinations": [_DESTINATION, _DESTINATION]}
    },
    "test_create_with_version_description_no_publish": {"versionDescription": "first"},
}


async def test_recorded_refusals_come_out_of_the_api(api: Rig) -> None:
    rows = needed("asl/rejected.jsonl")
    wrong = [text for row in rows if (text := await _difference(api, row))]
    print(f"asl rejected through the API: {len(rows) - len(wrong)} of {len(rows)}")
    assert wrong == []


async def _difference(api: Rig, row: Case) -> str | None:
    definition = row["definition"]
    text = definition if isinstance(definition, str) else json.dumps(definition)
    if row["kind"] == "validate":
        found = await api("validate_state_machine_definition", definition=text, type=row["type"])
        expected = {
            "result": row["expected_status"],
            "diagnostics": row["diagnostics"],
            "truncated": False,
        }
        return None if found == expected else f"{row['id']}: {found}"
    more: dict[str, Any] = {}
    for name, members in _OTHER_MEMBERS.items():
        if f"::{name}" in row["id"]:
            more = members
    refused = await api.refusal(
        "create_state_machine", name="m", definition=text, roleArn=ROLE, type=row["type"], **more
    )
    expected_refusal = row["error"], row["cause"].rpartition(" operation: ")[2]
    return None if refused == expected_refusal else f"{row['id']}: {refused}"


# --- ValidateStateMachineDefinition -----------------------------------------------------------


async def test_many_problems_are_cut_off(api: Rig) -> None:
    states = {f"S{number}": {"Type": "Pass", "InputPath": 3} for number in range(5)}
    text = json.dumps({"StartAt": "S0", "States": states})
    found = await api("validate_state_machine_definition", definition=text, maxResults=2)
    assert (found["result"], found["truncated"], len(found["diagnostics"])) == ("FAIL", True, 2)


async def test_warnings_come_on_request(api: Rig) -> None:
    state = {"Type": "Pass", "Result": {"a.$": "$.b"}, "End": True}
    text = json.dumps({"StartAt": "A", "States": {"A": state}})
    plain = await api("validate_state_machine_definition", definition=text)
    found = await api("validate_state_machine_definition", definition=text, severity="WARNING")
    assert plain["diagnostics"] == []
    assert found["result"] == "OK"
    assert {one["severity"] for one in found["diagnostics"]} == {"WARNING"}


# --- beside the loop --------------------------------------------------------------------------


async def test_states_are_tested_in_the_one_thread_that_requests_share(
    api: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def concluded(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return conclude(*arguments)

    monkeypatch.setattr(state_testing, "conclude", concluded)
    state = {"Type": "Pass", "End": True}
    await asyncio.gather(*(try_state(api, state, input={}) for _ in range(8)))
    assert threads == ["definitions_0"] * 8


# --- TestState --------------------------------------------------------------------------------


async def test_a_pass_state(api: Rig) -> None:
    state = {"Type": "Pass", "Result": {"a": 1}, "ResultPath": "$.r", "Next": "Elsewhere"}
    found = await try_state(api, state, input={"b": 2})
    assert found == {
        "status": "SUCCEEDED",
        "output": {"b": 2, "r": {"a": 1}},
        "nextState": "Elsewhere",
    }


async def test_the_last_state_has_no_next(api: Rig) -> None:
    assert await try_state(api, {"Type": "Succeed"}, input=1) == {
        "status": "SUCCEEDED",
        "output": 1,
    }


async def test_a_choice_says_where_to(api: Rig) -> None:
    rule = {"Variable": "$.n", "NumericGreaterThan": 5, "Next": "Big"}
    state = {"Type": "Choice", "Choices": [rule], "Default": "Small"}
    assert (await try_state(api, state, input={"n": 7}))["nextState"] == "Big"
    assert (await try_state(api, state, input={"n": 3}))["nextState"] == "Small"


async def test_a_fail_state(api: Rig) -> None:
    found = await try_state(api, {"Type": "Fail", "Error": "E", "Cause": "C"})
    assert found == {"status": "FAILED", "error": "E", "cause": "C"}


async def test_a_wait_does_not_wait(api: Rig) -> None:
    state = {"Type": "Wait", "Seconds": 86_400, "Next": "B"}
    assert (await try_state(api, state, input=1))["nextState"] == "B"


async def test_each_step_of_a_pass_state(api: Rig) -> None:
    state = {
        "Type": "Pass",
        "InputPath": "$.a",
        "Parameters": {"x.$": "$.b"},
        "ResultPath": "$.r",
        "End": True,
    }
    given = {"a": {"b": 3}}
    found = await try_state(api, state, input=given, inspectionLevel="DEBUG")
    assert data(found) == {
        "input": given,
        "afterInputPath": {"b": 3},
        "afterParameters": {"x": 3},
        "afterResultSelector": {"x": 3},
        "afterResultPath": {"a": {"b": 3}, "r": {"x": 3}},
    }


async def test_each_step_of_a_fixed_result(api: Rig) -> None:
    state = {"Type": "Pass", "Result": {"k": "v"}, "End": True}
    found = await try_state(api, state, input={"a": 1}, inspectionLevel="TRACE")
    assert data(found) == {
        "input": {"a": 1},
        "result": {"k": "v"},
        "afterResultSelector": {"k": "v"},
        "afterResultPath": {"k": "v"},
    }


LAMBDA = "arn:aws:lambda:us-east-1:000000000000:function:f"
TASK: dict[str, Any] = {"Type": "Task", "Resource": LAMBDA, "End": True}


async def test_a_task_is_really_done(api: Rig) -> None:
    assert (await try_state(api, TASK, input=21))["output"] == 42
    found = await try_state(api, TASK, input="x")
    assert (found["status"], found["error"], found["cause"]) == (
        "FAILED",
        "TypeError",
        "no number",
    )


async def test_each_step_of_a_mocked_task(api: Rig) -> None:
    state = {
        **TASK,
        "Parameters": {"n.$": "$.n"},
        "ResultSelector": {"s.$": "$.sum"},
        "ResultPath": "$.out",
    }
    found = await try_state(
        api, state, input={"n": 1}, inspectionLevel="DEBUG", mock={"result": '{"sum": 9}'}
    )
    assert found["output"] == {"n": 1, "out": {"s": 9}}
    assert data(found) == {
        "input": {"n": 1},
        "afterInputPath": {"n": 1},
        "afterParameters": {"n": 1},
        "result": {"sum": 9},
        "afterResultSelector": {"s": 9},
        "afterResultPath": {"n": 1, "out": {"s": 9}},
    }


RETRIED = {
    **TASK,
    "Retry": [
        {"ErrorEquals": ["Other"]},
        {"ErrorEquals": ["E"], "IntervalSeconds": 3, "MaxAttempts": 2, "BackoffRate": 2},
    ],
    "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Handle"}],
}
BROKEN = {"errorOutput": {"error": "E", "cause": "C"}}


async def test_an_error_that_would_be_retried(api: Rig) -> None:
    found = await try_state(
        api,
        RETRIED,
        input={},
        mock=BROKEN,
        inspectionLevel="DEBUG",
        stateConfiguration={"retrierRetryCount": 1},
    )
    assert (found["status"], found["error"]) == ("RETRIABLE", "E")
    assert data(found)["errorDetails"] == {"retryIndex": 1, "retryBackoffIntervalSeconds": 6}


async def test_an_error_that_is_caught(api: Rig) -> None:
    found = await try_state(
        api,
        RETRIED,
        input={"a": 1},
        mock=BROKEN,
        inspectionLevel="DEBUG",
        stateConfiguration={"retrierRetryCount": 2},
    )
    assert (found["status"], found["nextState"]) == ("CAUGHT_ERROR", "Handle")
    assert (found["error"], found["cause"]) == ("E", "C")
    assert found["output"] == {"a": 1, "error": {"Error": "E", "Cause": "C"}}
    assert data(found)["errorDetails"] == {"catchIndex": 0}


async def test_variables_and_the_context_object(api: Rig) -> None:
    state = {
        "Type": "Pass",
        "QueryLanguage": "JSONata",
        "Output": "{% [$old, $states.context.Execution.Name, $states.context.Map.Item.Value] %}",
        "Assign": {"new": "{% $old + 1 %}"},
        "End": True,
    }
    context = {"Execution": {"Name": "me"}, "Map": {"Item": {"Index": 1, "Value": "v"}}}
    found = await try_state(
        api,
        state,
        input={},
        variables='{"old": 4}',
        context=json.dumps(context),
        inspectionLevel="DEBUG",
    )
    assert found["output"] == [4, "me", "v"]
    assert data(found)["variables"] == {"old": 4, "new": 5}


MAP: dict[str, Any] = {
    "Type": "Map",
    "ItemsPath": "$.items",
    "MaxConcurrency": 2,
    "ToleratedFailureCount": 1,
    "ItemProcessor": {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I",
        "States": {"I": {"Type": "Pass", "End": True}},
    },
    "End": True,
}


async def test_a_mocked_map(api: Rig) -> None:
    found = await try_state(
        api,
        MAP,
        input={"items": [1, 2]},
        mock={"result": "[3, 4]"},
        inspectionLevel="DEBUG",
        stateConfiguration={"mapIterationFailureCount": 1},
    )
    assert (found["status"], found["output"]) == ("SUCCEEDED", [3, 4])
    seen = data(found)
    assert (seen["afterItemsPath"], seen["maxConcurrency"]) == ([1, 2], 2)
    assert seen["toleratedFailureCount"] == 1


async def test_a_map_with_too_many_failures(api: Rig) -> None:
    found = await try_state(
        api,
        MAP,
        input={"items": [1, 2]},
        mock={"result": "[3, 4]"},
        stateConfiguration={"mapIterationFailureCount": 2},
    )
    assert (found["status"], found["error"], found["cause"]) == (
        "FAILED",
        "States.ExceedToleratedFailureThreshold",
        "The specified tolerated failure threshold was exceeded",
    )


async def test_a_state_is_found_in_its_machine(api: Rig) -> None:
    machine = {"StartAt": "M", "QueryLanguage": "JSONPath", "States": {"M": MAP}}
    found = await try_state(api, machine, stateName="I", input=5)
    assert found == {"status": "SUCCEEDED", "output": 5}


PARALLEL = {
    "Type": "Parallel",
    "Branches": [
        {"StartAt": name, "States": {name: {"Type": "Pass", "End": True}}} for name in "XY"
    ],
    "End": True,
}


@pytest.mark.parametrize(
    ("state", "more", "code", "message"),
    [
        (
            {"Type": "Pass", "End": True},
            {"mock": {"result": "1"}},
            "ValidationException",
            "State type 'Pass' is not supported when a mock is specified",
        ),
        (
            MAP,
            {},
            "InvalidDefinition",
            "TestState API does not support Map or Parallel states. Supported state types include: "
            "[Task, Wait, Pass, Succeed, Fail, Choice]",
        ),
        (
            TASK,
            {"mock": {"result": "1", **BROKEN}},
            "ValidationException",
            "A test mock should have only one of the following fields: [result, errorOutput].",
        ),
        (
            TASK,
            {"mock": {"result": "1"}, "revealSecrets": True},
            "ValidationException",
            "TestState does not support RevealSecrets when a mock is specified.",
        ),
        (MAP, {"mock": {"result": "1"}}, "ValidationException", "Mocked result must be an array."),
        (
            PARALLEL,
            {"mock": {"result": "[1]"}},
            "ValidationException",
            "Mocked result must contain the same number of items as number of Parallel branches.",
        ),
        (
            {"Type": "Pass", "InputPath": 3, "End": True},
            {},
            "InvalidDefinition",
            None,
        ),
        (
            {**TASK, "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"},
            {"input": "{}"},
            "ValidationException",
            None,
        ),
    ],
)
async def test_what_cannot_be_tested(
    api: Rig, state: dict[str, Any], more: dict[str, Any], code: str, message: str | None
) -> None:
    refused = await api.refusal("test_state", definition=json.dumps(state), roleArn=ROLE, **more)
    assert refused[0] == code
    assert message in (None, refused[1])


# --- what is long to check --------------------------------------------------------------------


async def test_others_are_answered_while_a_long_definition_is_checked(api: Rig) -> None:
    expressions = [f"{{% {'+'.join([str(index)] * 90)} %}}" for index in range(2_500)]
    state = {"Type": "Pass", "Output": expressions, "End": True}
    machine = {"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": state}}
    check = api("validate_state_machine_definition", definition=json.dumps(machine))
    async with asyncio.TaskGroup() as group:
        checked = group.create_task(check, name="check")
        await asyncio.sleep(0.2)  # it is on its way: both calls would be answered in any case
        await api("list_activities")
        assert not checked.done()
    (problem,) = checked.result()["diagnostics"]
    assert "more than 131072 characters together" in problem["message"]
