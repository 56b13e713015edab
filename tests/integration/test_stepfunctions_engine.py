"""The whole of it: a boto3 client, the API, the engine, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.postgres import needs_postgres
from tests.support.stepfunctions_rig import ROLE, Rig
from tests.support.stepfunctions_whole import Whole, serving_whole
from torpor.workflows.asl.events import (
    Input,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
)
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.engine.base import Job

pytestmark = needs_postgres

LAMBDA = "arn:aws:lambda:us-east-1:000000000000:function:"


class Functions:
    """Functions of these tests: `double`, and `gate`, which fails until it is opened."""

    def __init__(self) -> None:
        self.open = False
        self.tokens: list[str] = []

    async def run(self, job: Job) -> Input | None:
        task = job.dispatch
        if task.resource.pattern is Pattern.TASK_TOKEN:
            self.tokens.append(job.token)
            return TaskSubmitted(task.frame, task.ticket, Payload({}))
        if task.resource.name == "gate" and not self.open:
            return TaskFailed(task.frame, task.ticket, "Closed", "come back later")
        return TaskSucceeded(task.frame, task.ticket, Payload(task.argument.value * 2))


@dataclass
class Api(Whole):
    """The whole of it, with these functions."""

    functions: Functions = field(default_factory=Functions)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    functions = Functions()
    async with serving_whole({"lambda": functions}) as rig:
        yield Api(rig.client, rig.port, ledger=rig.ledger, functions=functions)


async def machine(api: Rig, state: dict[str, Any], **more: Any) -> str:
    text = json.dumps({"StartAt": "S", "States": {"S": {**state, "End": True}}})
    name = more.pop("name", "m")
    made = await api("create_state_machine", name=name, definition=text, roleArn=ROLE, **more)
    return str(made["stateMachineArn"])


async def start(api: Rig, state: dict[str, Any], **more: Any) -> str:
    arn = await machine(api, state)
    return str((await api("start_execution", stateMachineArn=arn, **more))["executionArn"])


async def until(api: Rig, arn: str, status: str = "SUCCEEDED") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(200):
        found = await api("describe_execution", executionArn=arn)
        if found["status"] == status:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {found}")


async def test_a_function_is_called(api: Api) -> None:
    arn = await start(api, {"Type": "Task", "Resource": f"{LAMBDA}double"}, input="21")
    assert (await until(api, arn))["output"] == "42"
    events = (await api("get_execution_history", executionArn=arn))["events"]
    assert [event["type"] for event in events] == [
        "ExecutionStarted",
        "TaskStateEntered",
        "LambdaFunctionScheduled",
        "LambdaFunctionStarted",
        "LambdaFunctionSucceeded",
        "TaskStateExited",
        "ExecutionSucceeded",
    ]
    scheduled = events[2]["lambdaFunctionScheduledEventDetails"]
    assert scheduled["resource"] == f"{LAMBDA}double"
    assert scheduled["input"] == "21"


async def test_assigned_variables_are_json_texts(api: Api) -> None:
    state = {"Type": "Pass", "Assign": {"text": "a", "list": [1]}}
    arn = await start(api, state)
    await until(api, arn)
    events = (await api("get_execution_history", executionArn=arn, reverseOrder=True))["events"]
    details = events[1]["stateExitedEventDetails"]
    assert details["assignedVariables"] == {"text": '"a"', "list": "[1]"}


async def test_the_same_start_is_one_execution(api: Api) -> None:
    arn = await machine(api, {"Type": "Wait", "Seconds": 600})
    first = await api("start_execution", stateMachineArn=arn, name="e", input='{"a": 1}')
    assert await api("start_execution", stateMachineArn=arn, name="e", input='{"a": 1}') == first
    refused = await api.refusal("start_execution", stateMachineArn=arn, name="e", input="2")
    assert refused[0] == "ExecutionAlreadyExists"
    stopped = await api("stop_execution", executionArn=first["executionArn"], error="E")
    found = await until(api, first["executionArn"], "ABORTED")
    assert (found["error"], found["stopDate"]) == ("E", stopped["stopDate"])


async def test_a_token_is_answered(api: Api) -> None:
    state = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "ask", "Payload": {"token.$": "$$.Task.Token"}},
    }
    arn = await start(api, state)
    for _ in range(200):
        if api.functions.tokens:
            break
        await asyncio.sleep(0.05)
    token = api.functions.tokens[0]
    await api("send_task_heartbeat", taskToken=token)
    await api("send_task_success", taskToken=token, output='"yes"')
    assert (await until(api, arn))["output"] == '"yes"'
    assert (await api.refusal("send_task_success", taskToken=token, output="1"))[0] == (
        "TaskTimedOut"
    )
    assert (await api.refusal("send_task_heartbeat", taskToken=token[:-2]))[0] == "InvalidToken"


async def test_an_activity(api: Api) -> None:
    activity = (await api("create_activity", name="work"))["activityArn"]
    arn = await start(api, {"Type": "Task", "Resource": activity}, input="1")
    task: dict[str, Any] = {}
    for _ in range(100):
        task = await api("get_activity_task", activityArn=activity, workerName="me")
        if task:
            break
    await api("send_task_failure", taskToken=task["taskToken"], error="E", cause="C")
    found = await until(api, arn, "FAILED")
    assert (found["error"], found["cause"]) == ("E", "C")


async def test_a_redrive(api: Api) -> None:
    arn = await start(api, {"Type": "Task", "Resource": f"{LAMBDA}gate"}, input="4")
    assert (await until(api, arn, "FAILED"))["redriveStatus"] == "REDRIVABLE"
    api.functions.open = True
    await api("redrive_execution", executionArn=arn)
    found = await until(api, arn)
    assert (found["output"], found["redriveCount"]) == ("8", 1)
    listed = await api(
        "list_executions", stateMachineArn=found["stateMachineArn"], redriveFilter="REDRIVEN"
    )
    assert [one["executionArn"] for one in listed["executions"]] == [arn]


async def test_express(api: Api) -> None:
    state = {"Type": "Task", "Resource": f"{LAMBDA}double"}
    arn = await machine(api, state, type="EXPRESS")
    found = await api("start_sync_execution", stateMachineArn=arn, input="5")
    assert (found["status"], found["output"]) == ("SUCCEEDED", "10")
    assert (await api("start_execution", stateMachineArn=arn))["executionArn"]


async def test_a_map_run_is_changed_while_it_runs(api: Api) -> None:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "W",
        "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}},
    }
    state = {"Type": "Map", "Label": "Each", "MaxConcurrency": 1, "ItemProcessor": processor}
    arn = await start(api, state, input="[1, 2, 3]")
    runs: list[dict[str, Any]] = []
    for _ in range(200):
        runs = (await api("list_map_runs", executionArn=arn))["mapRuns"]
        if runs:
            break
        await asyncio.sleep(0.05)
    run = runs[0]["mapRunArn"]
    found = await api("describe_map_run", mapRunArn=run)
    assert (found["itemCounts"]["running"], found["maxConcurrency"]) == (1, 1)
    await api("update_map_run", mapRunArn=run, maxConcurrency=2)
    for _ in range(200):
        found = await api("describe_map_run", mapRunArn=run)
        if found["itemCounts"]["running"] == 2:
            break
        await asyncio.sleep(0.05)
    assert found["itemCounts"]["running"] == 2
    children = (await api("list_executions", mapRunArn=run))["executions"]
    assert {child["mapRunArn"] for child in children} == {run}
    child = children[0]["executionArn"]
    assert (await api("describe_execution", executionArn=child))["status"] == "RUNNING"
    for name in ("stop_execution", "redrive_execution"):
        assert (await api.refusal(name, executionArn=child))[0] in (
            "ValidationException",
            "ExecutionNotRedrivable",
        )
    whole = await api("describe_state_machine_for_execution", executionArn=child)
    assert (whole["mapRunArn"], whole["label"]) == (run, "Each")


async def test_listings_come_in_pages(api: Api) -> None:
    arn = await machine(api, {"Type": "Pass"})
    for number in range(5):
        await api("start_execution", stateMachineArn=arn, name=f"e{number}")
    first = await api("list_executions", stateMachineArn=arn, maxResults=3)
    rest = await api(
        "list_executions", stateMachineArn=arn, maxResults=3, nextToken=first["nextToken"]
    )
    names = [one["name"] for one in first["executions"] + rest["executions"]]
    assert names == ["e4", "e3", "e2", "e1", "e0"]


async def test_machines_versions_and_aliases_are_kept(api: Api) -> None:
    arn = await machine(api, {"Type": "Pass"}, publish=True, tags=[{"key": "k", "value": "v"}])
    routing = [{"stateMachineVersionArn": f"{arn}:1", "weight": 100}]
    made = await api("create_state_machine_alias", name="live", routingConfiguration=routing)
    live = made["stateMachineAliasArn"]
    execution = (await api("start_execution", stateMachineArn=live))["executionArn"]
    found = await until(api, execution)
    assert (found["stateMachineAliasArn"], found["stateMachineVersionArn"]) == (live, f"{arn}:1")
    events = (await api("get_execution_history", executionArn=execution))["events"]
    assert events[0]["executionStartedEventDetails"]["stateMachineAliasArn"] == live
    assert (await api("list_tags_for_resource", resourceArn=arn))["tags"] == [
        {"key": "k", "value": "v"}
    ]
    await api("delete_state_machine", stateMachineArn=arn)
    refused = await api.refusal("start_execution", stateMachineArn=live)
    assert refused[0] == "StateMachineDoesNotExist"


async def test_a_tested_state_calls_the_function(api: Api) -> None:
    state = {"Type": "Task", "Resource": f"{LAMBDA}double", "End": True}
    found = await api("test_state", definition=json.dumps(state), roleArn=ROLE, input="3")
    assert (found["status"], found["output"]) == ("SUCCEEDED", "6")
