"""Executions, their history, and the tasks of workers, as a boto3 client sees them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.memory_engine import changed_map_runs
from tests.support.stepfunctions_rig import ROLE, SHORT_POLL, Rig, serving
from torpor.workflows.asl.events import MapRunChanged
from torpor.workflows.asl.frontier import Status
from torpor.workflows.records import MapRunSummary

ARN = "arn:aws:states:us-east-1:000000000000"
PASS = {"StartAt": "A", "States": {"A": {"Type": "Pass", "Assign": {"x": [1]}, "End": True}}}
WAIT = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": True}}}
FAIL = {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "because"}}}
TOKEN = {
    "StartAt": "Ask",
    "States": {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
            "End": True,
        }
    },
}


def call(name: str) -> dict[str, Any]:
    resource = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    return {"StartAt": "T", "States": {"T": {"Type": "Task", "Resource": resource, "End": True}}}


def double(given: Any) -> Any:
    return given * 2


failures: list[str] = []


def flaky(given: Any) -> Any:
    if failures:
        raise ValueError(failures.pop())
    return given


@pytest.fixture
async def api() -> AsyncIterator[Rig]:
    async with serving(functions={"double": double, "flaky": flaky}) as rig:
        yield rig


async def machine(api: Rig, definition: dict[str, Any], name: str = "m", **more: Any) -> str:
    text = json.dumps(definition)
    answer = await api("create_state_machine", name=name, definition=text, roleArn=ROLE, **more)
    return str(answer["stateMachineArn"])


async def start(api: Rig, definition: dict[str, Any], **more: Any) -> str:
    arn = await machine(api, definition)
    return str((await api("start_execution", stateMachineArn=arn, **more))["executionArn"])


async def test_an_execution_is_started_and_described(api: Rig) -> None:
    arn = await start(api, call("double"), name="e", input=" 21 ")
    found = await api("describe_execution", executionArn=arn)
    assert found.pop("stopDate") >= found.pop("startDate")
    assert found == {
        "executionArn": f"{ARN}:execution:m:e",
        "stateMachineArn": f"{ARN}:stateMachine:m",
        "name": "e",
        "status": "SUCCEEDED",
        "input": " 21 ",
        "inputDetails": {"included": True},
        "output": "42",
        "outputDetails": {"included": True},
        "redriveCount": 0,
        "redriveStatus": "NOT_REDRIVABLE",
        "redriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
    }


async def test_a_start_without_input_has_an_empty_object(api: Rig) -> None:
    arn = await start(api, PASS)
    assert (await api("describe_execution", executionArn=arn))["input"] == "{}"


async def test_metadata_only_has_no_data(api: Rig) -> None:
    arn = await start(api, PASS)
    found = await api("describe_execution", executionArn=arn, includedData="METADATA_ONLY")
    assert found["inputDetails"] == found["outputDetails"] == {"included": False}
    assert not found.keys() & {"input", "output"}


async def test_the_same_start_is_one_execution(api: Rig) -> None:
    arn = await machine(api, WAIT)
    first = await api("start_execution", stateMachineArn=arn, name="e", input="1")
    assert await api("start_execution", stateMachineArn=arn, name="e", input="1") == first
    refused = await api.refusal("start_execution", stateMachineArn=arn, name="e", input="2")
    assert refused == (
        "ExecutionAlreadyExists",
        f"Execution Already Exists: '{first['executionArn']}'",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "not some json",
            "Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token "
            "'null', 'true' or 'false')",
        ),
        (
            "{'not': 'json'}",
            "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
        ),
        ("", "Invalid execution input."),
    ],
)
async def test_an_input_that_is_no_json(api: Rig, text: str, reason: str) -> None:
    arn = await machine(api, PASS)
    refused = await api.refusal("start_execution", stateMachineArn=arn, input=text)
    assert refused == (
        "InvalidExecutionInput",
        f"Invalid State Machine Execution Input: '{reason}'",
    )


async def test_an_input_over_the_quota(api: Rig) -> None:
    arn = await machine(api, PASS)
    text = json.dumps("x" * 262_143)
    refused = await api.refusal("start_execution", stateMachineArn=arn, input=text)
    assert refused == (
        "ValidationException",
        "1 validation error detected: Value at 'input' failed to satisfy constraint: "
        "Member must have length less than or equal to 262144",
    )


async def test_the_history(api: Rig) -> None:
    arn = await start(api, PASS, input='{"a": 1}')
    events = (await api("get_execution_history", executionArn=arn))["events"]
    for event in events:
        del event["timestamp"]
    assert events == [
        {
            "id": 1,
            "previousEventId": 0,
            "type": "ExecutionStarted",
            "executionStartedEventDetails": {
                "input": '{"a": 1}',
                "inputDetails": {"truncated": False},
                "roleArn": ROLE,
            },
        },
        {
            "id": 2,
            "previousEventId": 0,
            "type": "PassStateEntered",
            "stateEnteredEventDetails": {
                "name": "A",
                "input": '{"a": 1}',
                "inputDetails": {"truncated": False},
            },
        },
        {
            "id": 3,
            "previousEventId": 2,
            "type": "PassStateExited",
            "stateExitedEventDetails": {
                "name": "A",
                "output": '{"a": 1}',
                "outputDetails": {"truncated": False},
                "assignedVariables": {"x": "[1]"},
                "assignedVariablesDetails": {"truncated": False},
            },
        },
        {
            "id": 4,
            "previousEventId": 3,
            "type": "ExecutionSucceeded",
            "executionSucceededEventDetails": {
                "output": '{"a": 1}',
                "outputDetails": {"truncated": False},
            },
        },
    ]


async def test_the_history_comes_in_pages_and_backwards(api: Rig) -> None:
    arn = await start(api, PASS)
    page = await api("get_execution_history", executionArn=arn, reverseOrder=True, maxResults=3)
    token = page["nextToken"]
    rest = await api("get_execution_history", executionArn=arn, reverseOrder=True, nextToken=token)
    assert [event["id"] for event in page["events"] + rest["events"]] == [4, 3, 2, 1]
    refused = await api.refusal("get_execution_history", executionArn=arn, nextToken=token)
    assert refused == ("InvalidToken", "Invalid Token: 'Invalid token'")


async def test_a_history_without_data(api: Rig) -> None:
    arn = await start(api, PASS)
    found = await api("get_execution_history", executionArn=arn, includeExecutionData=False)
    assert "input" not in found["events"][0]["executionStartedEventDetails"]
    assert found["events"][1]["stateEnteredEventDetails"] == {"name": "A"}


@pytest.mark.parametrize(
    "name", ["describe_execution", "get_execution_history", "stop_execution", "redrive_execution"]
)
async def test_an_execution_that_is_not_there(api: Rig, name: str) -> None:
    arn = f"{ARN}:execution:m:nobody"
    refused = await api.refusal(name, executionArn=arn)
    assert refused == ("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")


async def test_executions_are_listed_newest_first(api: Rig) -> None:
    arn = await machine(api, PASS)
    for number in range(4):
        await api("start_execution", stateMachineArn=arn, name=f"e{number}")
    first = await api("list_executions", stateMachineArn=arn, maxResults=3)
    rest = await api("list_executions", stateMachineArn=arn, nextToken=first["nextToken"])
    found = first["executions"] + rest["executions"]
    assert [one["name"] for one in found] == ["e3", "e2", "e1", "e0"]
    running = await api("list_executions", stateMachineArn=arn, statusFilter="RUNNING")
    assert running == {"executions": []}


async def test_a_listing_is_of_a_machine_or_a_map_run(api: Rig) -> None:
    assert (await api.refusal("list_executions"))[0] == "ValidationException"


async def test_an_execution_is_stopped_once(api: Rig) -> None:
    arn = await start(api, WAIT)
    stopped = await api("stop_execution", executionArn=arn, error="Enough", cause="of it")
    found = await api("describe_execution", executionArn=arn)
    assert (found["status"], found["error"], found["cause"]) == ("ABORTED", "Enough", "of it")
    assert await api("stop_execution", executionArn=arn) == stopped


async def test_a_failed_execution_is_redriven(api: Rig) -> None:
    failures[:] = ["not now"]
    arn = await start(api, call("flaky"), input="7")
    found = await api("describe_execution", executionArn=arn)
    assert (found["status"], found["redriveStatus"]) == ("FAILED", "REDRIVABLE")
    await api("redrive_execution", executionArn=arn)
    found = await api("describe_execution", executionArn=arn)
    assert (found["status"], found["output"], found["redriveCount"]) == ("SUCCEEDED", "7", 1)
    assert await api.refusal("redrive_execution", executionArn=arn) == (
        "ExecutionNotRedrivable",
        "Execution is SUCCEEDED and cannot be redriven",
    )


async def test_the_definition_of_an_execution_stays(api: Rig) -> None:
    arn = await start(api, PASS)
    await api(
        "update_state_machine",
        stateMachineArn=f"{ARN}:stateMachine:m",
        definition=json.dumps(FAIL),
    )
    found = await api("describe_state_machine_for_execution", executionArn=arn)
    assert json.loads(found["definition"]) == PASS
    assert "revisionId" not in found


async def test_a_person_answers_a_task(api: Rig) -> None:
    arn = await start(api, TOKEN)
    scheduled = (await api("get_execution_history", executionArn=arn))["events"][2]
    parameters = json.loads(scheduled["taskScheduledEventDetails"]["parameters"])
    token = parameters["Payload"]["token"]
    await api("send_task_heartbeat", taskToken=token)
    assert await api.refusal("send_task_success", taskToken=token, output="{") == (
        "InvalidOutput",
        "Invalid Output: 'Unexpected end-of-input'",
    )
    await api("send_task_success", taskToken=token, output='{"yes": true}')
    found = await api("describe_execution", executionArn=arn)
    assert json.loads(found["output"]) == {"yes": True}
    assert await api.refusal("send_task_success", taskToken=token, output="1") == (
        "TaskTimedOut",
        "Task Timed Out: 'Provided task does not exist anymore'",
    )


async def test_a_person_refuses_a_task(api: Rig) -> None:
    arn = await start(api, TOKEN)
    assert api.engine is not None
    token = next(iter(api.engine.tokens))
    await api("send_task_failure", taskToken=token, error="No", cause="never")
    found = await api("describe_execution", executionArn=arn)
    assert (found["status"], found["error"], found["cause"]) == ("FAILED", "No", "never")


async def test_a_forged_task_token(api: Rig) -> None:
    for name, more in (("success", {"output": "1"}), ("failure", {}), ("heartbeat", {})):
        refused = await api.refusal(f"send_task_{name}", taskToken="forged", **more)
        assert refused == ("InvalidToken", "Invalid Token: 'Invalid token'")


async def test_an_activity_and_its_worker(api: Rig) -> None:
    activity = (await api("create_activity", name="work"))["activityArn"]
    assert (await api("create_activity", name="work"))["activityArn"] == activity
    assert await api("get_activity_task", activityArn=activity) == {}
    state = {"Type": "Task", "Resource": activity, "End": True}
    arn = await start(api, {"StartAt": "T", "States": {"T": state}}, input="5")
    task = await api("get_activity_task", activityArn=activity, workerName="me")
    assert task["input"] == "5"
    await api("send_task_success", taskToken=task["taskToken"], output="6")
    assert (await api("describe_execution", executionArn=arn))["output"] == "6"
    events = (await api("get_execution_history", executionArn=arn))["events"]
    started = [event for event in events if event["type"] == "ActivityStarted"]
    assert started[0]["activityStartedEventDetails"] == {"workerName": "me"}


async def test_activities_are_listed_and_deleted(api: Rig) -> None:
    arns = [(await api("create_activity", name=name))["activityArn"] for name in "ab"]
    found = await api("list_activities", maxResults=1)
    rest = await api("list_activities", nextToken=found["nextToken"])
    assert [one["activityArn"] for one in found["activities"] + rest["activities"]] == arns
    assert (await api("describe_activity", activityArn=arns[0]))["name"] == "a"
    for _ in range(2):
        await api("delete_activity", activityArn=arns[0])
    for name in ("describe_activity", "get_activity_task"):
        assert await api.refusal(name, activityArn=arns[0]) == (
            "ActivityDoesNotExist",
            f"Activity Does Not Exist: '{arns[0]}'",
        )


async def test_a_name_of_an_activity(api: Rig) -> None:
    assert await api.refusal("create_activity", name="a b$") == (
        "InvalidName",
        "Invalid Name: 'a b$'",
    )


async def test_an_express_execution_answers_with_its_end(api: Rig) -> None:
    arn = await machine(api, call("double"), type="EXPRESS")
    found = await api("start_sync_execution", stateMachineArn=arn, name="e", input="[1]")
    assert (found["status"], found["output"], found["name"]) == ("SUCCEEDED", "[1,1]", "e")
    assert found["executionArn"].startswith(f"{ARN}:express:m:e:")
    assert found["billingDetails"] == {
        "billedMemoryUsedInMB": 64,
        "billedDurationInMilliseconds": 100,
    }


async def test_an_express_execution_that_fails(api: Rig) -> None:
    arn = await machine(api, FAIL, type="EXPRESS")
    found = await api("start_sync_execution", stateMachineArn=arn)
    assert (found["status"], found["error"], found["cause"]) == ("FAILED", "E", "because")
    assert "output" not in found


async def test_what_express_executions_do_not_have(api: Rig) -> None:
    arn = await machine(api, PASS, type="EXPRESS")
    execution = (await api("start_execution", stateMachineArn=arn))["executionArn"]
    for name in ("describe_execution", "stop_execution", "get_execution_history"):
        assert await api.refusal(name, executionArn=execution) == (
            "InvalidArn",
            "Invalid Arn: 'Resource type not valid in this context: express'",
        )
    not_here = (
        "StateMachineTypeNotSupported",
        "This operation is not supported by this type of state machine",
    )
    assert await api.refusal("list_executions", stateMachineArn=arn) == not_here
    standard = await machine(api, PASS, "standard")
    assert await api.refusal("start_sync_execution", stateMachineArn=standard) == not_here


async def test_map_runs(api: Rig) -> None:
    arn = await start(api, WAIT, name="e")
    run = f"{ARN}:mapRun:m/Each:0b5a"
    api.records.map_run_rows[run] = MapRunSummary(
        run,
        arn,
        f"{ARN}:stateMachine:m",
        Status.RUNNING,
        1_700_000_000.0,
        None,
        40,
        2.0,
        5.0,
        10,
        3,
        1,
        4,
    )
    listed = (await api("list_map_runs", executionArn=arn))["mapRuns"]
    assert [(one["mapRunArn"], one["stateMachineArn"]) for one in listed] == [
        (run, f"{ARN}:stateMachine:m/Each")
    ]
    found = await api("describe_map_run", mapRunArn=run)
    counts = found["itemCounts"]
    assert (counts["total"], counts["pending"], counts["running"]) == (10, 2, 4)
    assert (found["maxConcurrency"], found["toleratedFailureCount"]) == (40, 2)
    assert await api("update_map_run", mapRunArn=run, maxConcurrency=7) == {}
    assert changed_map_runs(api.records) == [MapRunChanged(run, 7)]
    missing = f"{ARN}:mapRun:m/Each:none"
    assert (await api.refusal("describe_map_run", mapRunArn=missing))[0] == "ResourceNotFound"


async def test_a_larger_quota() -> None:
    async with serving(replace(SHORT_POLL, payload_bytes=None), {"double": double}) as api:
        text = json.dumps("x" * 5 * 1_048_576)
        arn = await start(api, PASS, input=text)
        assert (await api("describe_execution", executionArn=arn))["input"] == text
