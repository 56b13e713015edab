"""`events:putEvents` and `sqs:sendMessage` tasks against the events API and a real nats-server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.support.engine_rig import make_execution, make_machine
from tests.support.events_rig import events_api
from tests.support.servers.nats import needs_nats
from torpor.aws.access import Access
from torpor.triggers.event import from_structured
from torpor.workflows.asl.events import Dispatch, TaskFailed, TaskSubmitted, TaskSucceeded
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import parse_resource
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.events import Events
from torpor.workflows.records import Options

pytestmark = needs_nats
PUT = "arn:aws:states:::events:putEvents"
SEND = "arn:aws:states:::sqs:sendMessage"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def job(resource: str, argument: Any) -> Job:
    parsed = parse_resource(resource)
    assert parsed is not None
    machine = make_machine({}, options=Options(namespace="shop"))
    execution = make_execution(machine, {}, "e", 0.0)
    dispatch = Dispatch(1, 2, parsed, Payload(argument), None, None)
    return Job(execution, machine, "s", dispatch, f"{execution.arn}/1/2", "token", TRACE)


def entry(**more: Any) -> dict[str, Any]:
    return {"Source": "shop.saga", "DetailType": "Paid", "Detail": {"n": 1}, **more}


async def test_events_are_published_once_with_the_execution_among_their_resources() -> None:
    time = "2026-01-02T03:04:05Z"
    given = job(PUT, {"Entries": [entry(EventBusName="orders", Time=time), entry()]})
    async with events_api(Access({}, "hush")) as rig, Events(rig.url, "hush") as events:
        outcome = await events.run(given)
        again = await events.run(given)
        (message,) = await rig.of_bus("orders", 1)
        (other,) = await rig.of_bus("default", 1)
        held = await rig.at.streams.held("bus_shop_orders")
    assert isinstance(outcome, TaskSucceeded)
    assert isinstance(again, TaskSucceeded)
    found, event = outcome.output.value, from_structured(message.data)
    assert found["FailedEntryCount"] == 0
    assert found["Entries"][0] == {"EventId": event.id}
    assert found["Entries"] == again.output.value["Entries"]
    assert found["SdkHttpMetadata"]["HttpStatusCode"] == 200
    assert (event.data, event.time) == ({"n": 1}, "2026-01-02T03:04:05.000Z")
    assert event.traceparent == TRACE
    resources = json.loads(str(event.extensions["awsresources"]))
    assert resources == [given.execution.arn, given.machine.arn]
    assert from_structured(other.data).type == "Paid"
    assert held == {"torpor.bus.shop.orders": 1}


async def test_entries_that_are_not_taken_fail_the_task() -> None:
    async with events_api() as rig, Events(rig.url) as events:
        bad = await events.run(job(PUT, {"Entries": [entry(), entry(Source="aws.s3")]}))
        foreign = await events.run(job(PUT, {"Entries": [entry(EventBusName="other.orders")]}))
        many = await events.run(job(PUT, {"Entries": [entry()] * 11}))
        nothing = await events.run(job(PUT, {}))
    assert isinstance(bad, TaskFailed)
    assert isinstance(foreign, TaskFailed)
    assert isinstance(many, TaskFailed)
    assert isinstance(nothing, TaskFailed)
    assert bad.error == "EventBridge.FailedEntry"
    assert json.loads(bad.cause or "")["FailedEntryCount"] == 1
    assert foreign.error == "EventBridge.AccessDeniedException"
    assert many.error == nothing.error == "EventBridge.ValidationException"


async def test_a_message_is_sent_and_the_task_over_at_once_or_at_its_token() -> None:
    body = {"token": "t", "n": 1}
    async with events_api() as rig, Events(rig.url) as events:
        client = rig.boto("sqs")
        await asyncio.to_thread(client.create_queue, QueueName="shop.jobs")
        given = {"QueueUrl": f"{rig.url}/000000000000/shop.jobs", "MessageBody": body}
        sent = await events.run(job(SEND, given))
        waiting = await events.run(job(f"{SEND}.waitForTaskToken", {**given, "QueueUrl": "jobs"}))
        (message,) = await rig.of_queue("jobs", 1)
        missing = await events.run(job(SEND, {**given, "QueueUrl": "nothing"}))
    assert isinstance(sent, TaskSucceeded)
    assert isinstance(waiting, TaskSubmitted)
    assert set(sent.output.value) == {
        "MD5OfMessageBody",
        "MessageId",
        "SdkHttpMetadata",
        "SdkResponseMetadata",
    }
    assert from_structured(message.data).data == body
    assert isinstance(missing, TaskFailed)
    assert missing.error == "SQS.QueueDoesNotExistException"


async def test_an_events_api_that_is_away_is_an_error_of_the_client() -> None:
    async with Events("http://127.0.0.1:1") as events:
        outcome = await events.run(job(PUT, {"Entries": [entry()]}))
    assert isinstance(outcome, TaskFailed)
    assert outcome.error == "EventBridge.SdkClientException"
