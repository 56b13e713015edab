"""Workflows on the cluster, driven by boto3: they outlive their engines, and show in kubectl."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config

from tests.cluster.api import Json, Refused, condition, until
from tests.cluster.harness import SETTINGS, SYSTEM, Lab
from torpor.platform.kubernetes.resources import DEPLOYMENTS, PODS, WORKFLOWS
from torpor.resources.names import API_VERSION, LABEL_COMPONENT, FunctionKey
from torpor.workflows.machines import machine_name

pytestmark = pytest.mark.timeout(300)

ENDPOINT = os.environ.get("TORPOR_TEST_WORKFLOWS", f"http://127.0.0.1:{SETTINGS.https_port}")
"""The Step Functions API: the node port that tests/cluster/engine-port.yaml gives it."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DONE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
PATIENT = {
    "StartAt": "BookFlight",
    "States": {
        "BookFlight": {
            "Type": "Task",
            "Resource": "arn:aws:lambda:bookFlight",
            "ResultPath": "$.flight",
            "Next": "Pause",
        },
        "Pause": {"Type": "Wait", "Seconds": 6, "Next": "Both"},
        "Both": {
            "Type": "Parallel",
            "Branches": [
                {"StartAt": name, "States": {name: {"Type": "Task", "Resource": arn, "End": True}}}
                for name, arn in (
                    ("BookHotel", "arn:aws:lambda:bookHotel"),
                    ("BookCar", "arn:aws:lambda:bookCar"),
                )
            ],
            "ResultPath": "$.rest",
            "End": True,
        },
    },
}


@pytest.fixture(autouse=True)
async def engines(lab: Lab) -> None:
    found = await lab.api.find(DEPLOYMENTS.path(SYSTEM, "torpor-engine"))
    if not (found or {}).get("status", {}).get("readyReplicas"):
        pytest.skip(f"no engine in {SYSTEM}: run `make cluster-install`")


class StepFunctions:
    """A real boto3 client, its calls beside the event loop."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._client = boto3.client(
            "stepfunctions",
            endpoint_url=ENDPOINT,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"mode": "standard", "max_attempts": 10}, read_timeout=20),
        )

    async def call(self, action: str, **request: Any) -> Json:
        """Return the answer to one call, retried by boto3 while no engine answers."""
        return await asyncio.to_thread(getattr(self._client, action), **request)

    async def start(self, name: str, given: Any) -> str:
        """Start an execution of a Workflow and return its ARN."""
        arn = await machine_arn(self._lab, name)
        found = await self.call(
            "start_execution",
            stateMachineArn=arn,
            name=f"test-{secrets.token_hex(6)}",
            input=json.dumps(given),
        )
        return str(found["executionArn"])

    async def ended(self, arn: str, within: float = 60) -> Json:
        """Return the execution once it does not run any more."""

        async def over() -> Json | None:
            found = await self.call("describe_execution", executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        return await until(f"{arn} ended", over, within, every=0.5)

    async def history(self, arn: str) -> Sequence[Json]:
        """Return all events of an execution."""
        found = await self.call("get_execution_history", executionArn=arn, maxResults=1000)
        return list(found["events"])


async def test_a_saga_gives_back_what_was_booked(lab: Lab) -> None:
    await apply_example(lab, "saga/saga.yaml", "trip")
    api = StepFunctions(lab)
    good = await api.start("trip", {"trip": "t1"})
    bad = await api.start("trip", {"trip": "t2", "soldOut": ["car"]})
    booked, refused = await api.ended(good), await api.ended(bad)
    print("booked:", booked["output"], "\nrefused:", refused["error"], refused["cause"])
    assert booked["status"] == "SUCCEEDED"
    assert json.loads(booked["output"])["car"] == {"booking": "car-t1"}
    assert (refused["status"], refused["error"]) == ("FAILED", "NotBooked")
    entered = [name for name, kind in states(await api.history(bad)) if kind == "Entered"]
    assert entered[-3:] == ["CancelHotel", "CancelFlight", "NotBooked"]


async def test_executions_outlive_every_engine(lab: Lab) -> None:
    await apply_example(lab, "saga/saga.yaml", "trip")
    await apply(lab, "patient", definition=PATIENT)
    api = StepFunctions(lab)
    started = [await api.start("patient", {"trip": f"t{number}"}) for number in range(10)]
    for pod in await engine_pods(lab):
        print("killed:", pod)
        await lab.api.delete(PODS.path(SYSTEM, pod), grace_seconds=0)
        await asyncio.sleep(1.0)
    for number, arn in enumerate(started):
        found = await api.ended(arn, within=120)
        assert found["status"] == "SUCCEEDED", found
        output = json.loads(found["output"])
        assert [item["booking"] for item in output["rest"]] == [
            f"hotel-t{number}",
            f"car-t{number}",
        ]
        counted = Counter(states(await api.history(arn)))
        assert set(counted.values()) == {1}, counted
    print(f"{len(started)} executions ended right after all engines were killed")


async def test_waiting_for_a_person_runs_nothing(lab: Lab) -> None:
    await apply_example(lab, "approval/approval.yaml", "expense")
    api = StepFunctions(lab)
    arn = await api.start("expense", {"amount": 500})

    async def token() -> str | None:
        for event in await api.history(arn):
            details = event.get("taskScheduledEventDetails")
            submitted = event["type"] == "TaskSubmitted"
            if details and not submitted:
                found = json.loads(details["parameters"])
                return str(found["Payload"]["token"])
        return None

    given = await until("the task is scheduled", token, within=60)
    await lab.zero("ask-person", within=120)
    assert (await api.call("describe_execution", executionArn=arn))["status"] == "RUNNING"
    await api.call("send_task_success", taskToken=given, output='{"approved": true}')
    found = await api.ended(arn)
    assert (found["status"], json.loads(found["output"])["payment"]) == ("SUCCEEDED", {"paid": 500})


async def test_fan_out_adds_up(lab: Lab) -> None:
    await apply_example(lab, "fan-out/fan-out.yaml", "word-count")
    api = StepFunctions(lab)
    arn = await api.start("word-count", {"texts": ["a b", "c", "d e f"] * 20})
    found = await api.ended(arn, within=120)
    assert found["status"] == "SUCCEEDED", found
    assert json.loads(found["output"]) == {"texts": 60, "words": 120}


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({}, "exactly one of definition"),
        (
            {
                "definition": DONE,
                "definitionFrom": {"configMapKeyRef": {"name": "a", "key": "b"}},
            },
            "exactly one of definition",
        ),
        ({"definition": {"States": DONE["States"]}}, "StartAt"),
        ({"definition": {**DONE, "StartAt": "Nowhere"}}, "StartAt must be the name"),
        ({"definition": {"StartAt": "A", "States": {"A": {"Type": "Run"}}}}, "Unsupported value"),
        ({"definition": DONE, "concurrency": {"limit": 0}}, "concurrency.limit"),
        ({"definition": DONE, "retention": {"days": 9999}}, "retention.days"),
    ],
)
async def test_the_api_server_refuses(lab: Lab, spec: Mapping[str, Any], told: str) -> None:
    with pytest.raises(Refused) as refused:
        await lab.api.apply(workflow(lab, "wrong", spec))
    assert refused.value.status == 422
    assert told in str(refused.value)


async def test_the_type_cannot_change(lab: Lab) -> None:
    await apply(lab, "kind", definition=DONE)
    with pytest.raises(Refused, match="type cannot change"):
        await lab.api.apply(workflow(lab, "kind", {"definition": DONE, "type": "Express"}))


async def test_every_problem_of_a_definition_is_in_ready(lab: Lab) -> None:
    definition = {
        "StartAt": "A",
        "States": {
            "A": {"Type": "Pass", "Next": "Gone"},
            "B": {"Type": "Wait", "Seconds": 1, "Seconds2": 1, "End": True},
            "C": {"Type": "Task", "Resource": "nothing", "End": True},
        },
    }
    await lab.api.apply(workflow(lab, "wrong", {"definition": definition}))
    ready = await until("Ready=False", lambda: not_ready(lab, "wrong"), within=30)
    print(ready["message"])
    assert ready["reason"] == "InvalidDefinition"
    assert ready["message"].startswith("Invalid State Machine Definition: '")
    for place in ("/States/A/Next", "/States/B", "/States/C"):
        assert place in ready["message"]


async def test_a_definition_in_a_config_map_is_followed(lab: Lab) -> None:
    await lab.config_map("asl", {"done.json": json.dumps(DONE)})
    source = {"configMapKeyRef": {"name": "asl", "key": "done.json"}}
    await apply(lab, "from-map", definitionFrom=source)
    before = (await get(lab, "from-map"))["status"]["revision"]
    await lab.config_map("asl", {"done.json": json.dumps({**DONE, "Comment": "changed"})})

    async def changed() -> bool | None:
        now = (await get(lab, "from-map"))["status"]["revision"]
        return True if now != before else None

    await until("another revision", changed, within=30)


async def test_kubectl_shows_the_counts(lab: Lab) -> None:
    await apply(lab, "counted", definition=DONE)
    await apply(lab, "failing", definition=failing())
    api = StepFunctions(lab)
    for _ in range(3):
        await api.ended(await api.start("counted", {}))
    await api.ended(await api.start("failing", {}))

    async def shown() -> str | None:
        text = await lab.kubectl("get", "workflows")
        rows = {line.split()[0]: line.split()[1:6] for line in text.splitlines()[1:]}
        right = rows == {
            "counted": ["True", "Standard", "0", "3", "0"],
            "failing": ["True", "Standard", "0", "0", "1"],
        }
        return text if right else None

    print(await until("the counts in kubectl get workflows", shown, within=30, every=1.0))


async def test_deleting_with_stop_aborts_what_runs(lab: Lab) -> None:
    waits = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 600, "End": True}}}
    await apply(lab, "stops", definition=waits, deletionPolicy="Stop")
    api = StepFunctions(lab)
    arn = await api.start("stops", {})
    await lab.api.delete(WORKFLOWS.path(lab.namespace, "stops"))
    assert (await api.ended(arn, within=30))["status"] == "ABORTED"


def workflow(lab: Lab, name: str, spec: Mapping[str, Any]) -> Json:
    meta = {"name": name, "namespace": lab.namespace}
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": meta, "spec": dict(spec)}


async def apply(lab: Lab, name: str, **spec: Any) -> None:
    """Apply a Workflow and wait until it is Ready."""
    await lab.api.apply(workflow(lab, name, spec))

    async def ready() -> bool | None:
        found = condition(await get(lab, name), "Ready")
        assert found.get("reason") != "InvalidDefinition", found
        return True if found.get("status") == "True" else None

    await until(f"Workflow {name} Ready", ready, within=60)


async def apply_example(lab: Lab, path: str, name: str) -> None:
    """Apply an example's objects; return when its Workflow and its Functions are Ready."""
    for obj in yaml.safe_load_all((EXAMPLES / path).read_text()):
        obj["metadata"]["namespace"] = lab.namespace
        await lab.api.apply(obj)
        if obj["kind"] == "Function":
            await lab.host(obj["metadata"]["name"])
        elif obj["kind"] == "Workflow":
            await apply(lab, name, **obj["spec"])


async def get(lab: Lab, name: str) -> Json:
    return await lab.api.get(WORKFLOWS.path(lab.namespace, name))


async def not_ready(lab: Lab, name: str) -> Mapping[str, Any] | None:
    found = condition(await get(lab, name), "Ready")
    return found if found.get("status") == "False" else None


async def machine_arn(lab: Lab, name: str) -> str:
    arn = str((await get(lab, name))["status"]["arn"])
    assert arn.endswith(":" + machine_name(FunctionKey(lab.namespace, name)))
    return arn


async def engine_pods(lab: Lab) -> list[str]:
    labels = f"{LABEL_COMPONENT}=engine"
    return [pod["metadata"]["name"] for pod in await lab.api.items(PODS, SYSTEM, labels)]


def failing() -> Json:
    return {"StartAt": "F", "States": {"F": {"Type": "Fail", "Error": "E", "Cause": "C"}}}


def states(events: Sequence[Json]) -> list[tuple[str, str]]:
    """Return each state that was entered or left, in order."""
    found = []
    for event in events:
        for kind in ("Entered", "Exited"):
            details = event.get(f"state{kind}EventDetails")
            if details:
                found.append((str(details["name"]), kind))
    return found
