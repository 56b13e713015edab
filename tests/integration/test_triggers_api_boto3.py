"""EventBridge and SQS by a real boto3 client over the socket, with a real nats-server behind."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions
import orjson
import pytest

from tests.support.events_rig import EventsRig, events_api
from tests.support.servers.nats import exists, needs_nats
from torpor.resources.trigger import Trigger
from torpor.triggers.broker import api
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.bus_index import BusIndex
from torpor.triggers.delivery.inboxes import consumers
from torpor.triggers.event import from_structured

pytestmark = needs_nats
FUNCTION = {"function": {"name": "f"}}


async def call(method: Any, **arguments: Any) -> Any:
    """A call of boto3, which blocks, without the transport's part of its answer."""
    answer = await asyncio.to_thread(method, **arguments)
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    return answer


async def refusal(method: Any, **arguments: Any) -> tuple[str, str]:
    """The code and message that boto3 raises."""
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        await asyncio.to_thread(method, **arguments)
    error = raised.value.response["Error"]
    return error["Code"], error["Message"]


def entry(**more: Any) -> dict[str, Any]:
    return {"Source": "my app", "DetailType": "Order placed", "Detail": '{"total": 3}', **more}


async def test_entries_become_events_on_their_buses() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    arn = "arn:aws:events:us-east-1:000000000000:event-bus/shop.orders"
    async with events_api() as rig:
        answer = await call(
            rig.boto("events").put_events,
            Entries=[
                entry(EventBusName="shop.orders", Time=moment, TraceHeader=trace),
                entry(EventBusName=arn, Resources=["arn:a"]),
                entry(),
            ],
        )
        first, second = (from_structured(m.data) for m in await rig.of_bus("orders", 2))
        (third,) = await rig.of_bus("default", 1, "default")
    assert answer["FailedEntryCount"] == 0
    assert [each["EventId"] for each in answer["Entries"]][:2] == [first.id, second.id]
    assert (first.source, first.type, first.data) == ("my%20app", "Order placed", {"total": 3})
    assert first.time == "2026-01-02T03:04:05.000Z"
    assert first.traceparent == "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"
    assert second.extensions["awsresources"] == '["arn:a"]'
    assert from_structured(third.data).type == "Order placed"


async def test_patterns_written_for_eventbridge_match_what_came_by_put_events() -> None:
    pattern = {
        "source": ["my app"],
        "detail-type": [{"prefix": "Order"}],
        "detail": {"total": [{"numeric": [">", 2]}]},
        "resources": ["arn:a"],
    }
    async with events_api() as rig:
        spec = {"source": {"bus": {"name": "orders"}}, "target": FUNCTION}
        await rig.put({**spec, "filter": {"pattern": pattern}})
        entries = [entry(EventBusName="shop.orders", Resources=["arn:a"])]
        await call(rig.boto("events").put_events, Entries=entries)
        (message,) = await rig.of_bus("orders", 1)
        index = BusIndex()
        for key, definition in rig.parts.definitions.known.items():
            index.put(key, definition)
    assert [each.trigger.key.name for each in index.matching(from_structured(message.data), 1)] == [
        "t"
    ]


async def test_entries_that_cannot_be_taken_leave_the_others_alone() -> None:
    async with events_api() as rig:
        bad = [
            entry(Detail="{"),
            entry(Detail="[1]"),
            entry(Source="aws.s3"),
            entry(EventBusName="Not_a_name"),
            {"Source": "s", "Detail": "{}"},
            entry(EventBusName="shop.orders"),
        ]
        answer = await call(rig.boto("events").put_events, Entries=bad)
        assert len(await rig.of_bus("orders", 1)) == 1
    assert answer["FailedEntryCount"] == 5
    codes = [each.get("ErrorCode") for each in answer["Entries"]]
    assert codes == [
        "MalformedDetail",
        "MalformedDetail",
        "NotAuthorizedForSourceException",
        "InvalidArgument",
        "InvalidArgument",
        None,
    ]
    assert answer["Entries"][4]["ErrorMessage"] == (
        "Parameter DetailType is not valid. Reason: DetailType is a required argument."
    )


async def test_requests_beyond_the_limits_of_eventbridge_are_refused_whole() -> None:
    async with events_api() as rig:
        put = rig.boto("events").put_events
        many = await refusal(put, Entries=[entry()] * 11)
        large = await refusal(put, Entries=[entry(Detail=json.dumps({"a": "x" * 600_000}))] * 2)
        none = await refusal(put, Entries=[{"Source": "s"}])
        unknown = await refusal(rig.boto("events").list_rules)
        assert await rig.at.streams.buses() == []
    assert many[0] == large[0] == none[0] == "ValidationException"
    assert "'Entries' failed to satisfy constraint" in many[1]
    assert large[1] == "Total size of the entries in the request is over the limit."
    assert unknown[0] == "UnknownOperationException"


async def test_a_pattern_can_be_tried() -> None:
    event = {"source": "s", "detail": {"a": 1}}
    async with events_api() as rig:
        attempt = rig.boto("events").test_event_pattern
        text = json.dumps(event)
        yes = await call(attempt, EventPattern='{"detail": {"a": [1]}}', Event=text)
        no = await call(attempt, EventPattern='{"source": ["x"]}', Event=text)
        bad = await refusal(attempt, EventPattern='{"source": "x"}', Event=text)
    assert (yes["Result"], no["Result"], bad[0]) == (True, False, "InvalidEventPatternException")


def taker(source: dict[str, Any]) -> Trigger:
    """The Trigger that `EventsRig.put` puts."""
    metadata = {"namespace": "shop", "name": "t", "uid": "uid-t"}
    return Trigger.parse({"metadata": metadata, "spec": {"source": source, "target": FUNCTION}})


async def made(rig: EventsRig, name: str = "shop.jobs", **attributes: str) -> tuple[Any, str]:
    client = rig.boto("sqs")
    answer = await call(client.create_queue, QueueName=name, Attributes=attributes)
    return client, answer["QueueUrl"]


async def test_queues_are_made_found_listed_and_deleted() -> None:
    async with events_api() as rig:
        client, url = await made(rig, VisibilityTimeout="7")
        assert url == f"{rig.url}/000000000000/shop.jobs"
        assert await call(client.get_queue_url, QueueName="shop.jobs") == {"QueueUrl": url}
        _, plain = await made(rig, "mails")
        assert (await call(client.list_queues))["QueueUrls"] == [plain, url]
        page = await call(client.list_queues, MaxResults=1)
        assert page["QueueUrls"] == [plain]
        rest = await call(client.list_queues, MaxResults=1, NextToken=page["NextToken"])
        assert rest == {"QueueUrls": [url]}
        assert (await made(rig, VisibilityTimeout="7"))[1] == url
        other = {"QueueName": "shop.jobs", "Attributes": {"VisibilityTimeout": "8"}}
        assert (await refusal(client.create_queue, **other))[0] == "QueueAlreadyExists"
        changes = {"DelaySeconds": "1", "RedrivePolicy": ""}
        await call(client.set_queue_attributes, QueueUrl=url, Attributes=changes)
        arguments = {"QueueUrl": url, "AttributeNames": ["All"]}
        found = (await call(client.get_queue_attributes, **arguments))["Attributes"]
        assert found["VisibilityTimeout"] == "7"
        assert found["DelaySeconds"] == "1"
        assert found["QueueArn"] == "arn:aws:sqs:us-east-1:000000000000:shop.jobs"
        await call(client.delete_queue, QueueUrl=url)
        missing = "AWS.SimpleQueueService.NonExistentQueue"
        assert (await refusal(client.get_queue_url, QueueName="shop.jobs"))[0] == missing
        sent = await refusal(client.send_message, QueueUrl=url, MessageBody="x")
        assert sent == (missing, "The specified queue does not exist.")


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"FifoQueue": "true"}, "InvalidParameterValue"),
        ({"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ({"KmsMasterKeyId": "k"}, "InvalidAttributeValue"),
        ({"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ({"RedrivePolicy": "{}"}, "InvalidAttributeValue"),
        ({"Colour": "red"}, "InvalidAttributeName"),
    ],
)
async def test_attributes_that_mean_nothing_here_are_refused(
    attributes: dict[str, str], code: str
) -> None:
    async with events_api() as rig:
        client = rig.boto("sqs")
        found = await refusal(client.create_queue, QueueName="q", Attributes=attributes)
        assert await rig.at.streams.queues() == []
    assert found[0] == code


async def test_a_message_comes_back_byte_for_byte_with_its_attributes() -> None:
    attributes = {
        "colour": {"DataType": "String", "StringValue": "blau"},
        "size": {"DataType": "Number.int", "StringValue": "3"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    bodies = ['{ "a" : 1.50 }', "plain ünïcode\n", '"text"', "[1,\n2]"]
    async with events_api() as rig:
        client, url = await made(rig)
        sent = [
            await call(
                client.send_message, QueueUrl=url, MessageBody=body, MessageAttributes=attributes
            )
            for body in bodies
        ]
        answer = await call(
            client.receive_message,
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        names = {"QueueUrl": url, "AttributeNames": ["All"]}
        numbers = (await call(client.get_queue_attributes, **names))["Attributes"]
        entries = [
            {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
            for n, message in enumerate(answer["Messages"])
        ]
        deleted = await call(client.delete_message_batch, QueueUrl=url, Entries=entries)
        assert await rig.at.streams.held("queue_shop_jobs") == {}
    messages = answer["Messages"]
    assert [message["Body"] for message in messages] == bodies
    assert [message["MessageId"] for message in messages] == [each["MessageId"] for each in sent]
    assert [message["MD5OfBody"] for message in messages] == [
        each["MD5OfMessageBody"] for each in sent
    ]
    assert messages[0]["MessageAttributes"] == attributes
    assert messages[0]["MD5OfMessageAttributes"] == sent[0]["MD5OfMessageAttributes"]
    assert messages[0]["Attributes"]["ApproximateReceiveCount"] == "1"
    assert numbers["ApproximateNumberOfMessages"] == "0"
    assert numbers["ApproximateNumberOfMessagesNotVisible"] == "4"
    assert len(deleted["Successful"]) == 4


async def test_json_is_data_for_the_triggers_of_a_queue() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        await call(client.send_message, QueueUrl=url, MessageBody='{"a": [1]}', MessageGroupId="g")
        await call(client.send_message, QueueUrl=url, MessageBody="hello")
        first, second = [from_structured(m.data) for m in await rig.of_queue("jobs", 2)]
    assert (first.type, first.source) == ("dev.torpor.queue.message", "/queues/shop/jobs")
    assert first.data == {"a": [1]}
    assert first.extensions["partitionkey"] == "g"
    assert (second.data, second.datacontenttype) == ("hello", "text/plain")


async def test_what_came_as_a_cloudevent_is_received_as_one() -> None:
    headers = {"Content-Type": "application/cloudevents+json"}
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": 1}}
    async with events_api() as rig:
        path = "/v1/namespaces/shop/queues/jobs/events"
        assert (await rig.post(path, orjson.dumps(event), headers))[0] == 202
        client = rig.boto("sqs")
        url = (await call(client.get_queue_url, QueueName="shop.jobs"))["QueueUrl"]
        (message,) = (await call(client.receive_message, QueueUrl=url))["Messages"]
    assert json.loads(message["Body"]) == event


async def test_a_large_body_comes_back_too() -> None:
    body = json.dumps({"a": "x" * 900_000})
    async with events_api() as rig:
        client, url = await made(rig)
        await call(client.send_message, QueueUrl=url, MessageBody=body)
        (message,) = (await call(client.receive_message, QueueUrl=url))["Messages"]
        code, _ = await refusal(client.send_message, QueueUrl=url, MessageBody="x" * 1_048_577)
    assert message["Body"] == body
    assert code == "InvalidParameterValue"


async def test_a_message_is_invisible_for_its_time_and_then_comes_again() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        await call(client.send_message, QueueUrl=url, MessageBody="x")
        receive = client.receive_message
        (first,) = (await call(receive, QueueUrl=url, VisibilityTimeout=1))["Messages"]
        assert "Messages" not in await call(receive, QueueUrl=url)
        names = ["ApproximateReceiveCount"]
        (second,) = (await call(receive, QueueUrl=url, WaitTimeSeconds=5, AttributeNames=names))[
            "Messages"
        ]
        assert second["Attributes"] == {"ApproximateReceiveCount": "2"}
        change = {"QueueUrl": url, "ReceiptHandle": second["ReceiptHandle"]}
        await call(client.change_message_visibility, **change, VisibilityTimeout=0)
        (third,) = (await call(receive, QueueUrl=url, WaitTimeSeconds=5))["Messages"]
        handle = {"QueueUrl": url, "ReceiptHandle": third["ReceiptHandle"]}
        await call(client.delete_message, **handle)
        await call(client.delete_message, **handle)
        assert await rig.at.streams.held("queue_shop_jobs") == {}
    assert {first["MessageId"], second["MessageId"]} == {third["MessageId"]}


async def test_a_receiver_that_waits_gets_what_comes() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        waiting = asyncio.create_task(
            call(rig.boto("sqs").receive_message, QueueUrl=url, WaitTimeSeconds=10)
        )
        begun = time.monotonic()
        await asyncio.sleep(0.3)
        await call(client.send_message, QueueUrl=url, MessageBody="x")
        answer = await waiting
    assert answer["Messages"][0]["Body"] == "x"
    assert time.monotonic() - begun < 5


async def test_a_delayed_message_is_not_received_before_its_time() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        begun = time.monotonic()
        await call(client.send_message, QueueUrl=url, MessageBody="late", DelaySeconds=2)
        await call(client.send_message, QueueUrl=url, MessageBody="now")
        receive = client.receive_message
        arguments = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 10}
        (now,) = (await call(receive, **arguments))["Messages"]
        (late,) = (await call(receive, **arguments))["Messages"]
        waited = time.monotonic() - begun
    assert (now["Body"], late["Body"]) == ("now", "late")
    assert 1.9 < waited < 6


async def test_a_message_received_too_often_goes_to_the_dead_letter_queue() -> None:
    target = "arn:aws:sqs:us-east-1:000000000000:shop.dead"
    policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 1})
    async with events_api() as rig:
        client, url = await made(rig, RedrivePolicy=policy)
        await call(client.send_message, QueueUrl=url, MessageBody="x")
        receive = client.receive_message
        (first,) = (await call(receive, QueueUrl=url, VisibilityTimeout=0))["Messages"]
        assert "Messages" not in await call(receive, QueueUrl=url, WaitTimeSeconds=1)
        dead = (await call(client.get_queue_url, QueueName="shop.dead"))["QueueUrl"]
        (second,) = (await call(receive, QueueUrl=dead, WaitTimeSeconds=5))["Messages"]
        assert await rig.at.streams.held("queue_shop_jobs") == {}
    assert (second["Body"], second["MessageId"]) == ("x", first["MessageId"])


async def test_batches_tell_what_was_done_and_what_not() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        entries = [
            {"Id": "a", "MessageBody": "a"},
            {"Id": "b", "MessageBody": "\x00"},
            {"Id": "c", "MessageBody": "c", "DelaySeconds": 901},
        ]
        send = client.send_message_batch
        answer = await call(send, QueueUrl=url, Entries=entries)
        twice = await refusal(send, QueueUrl=url, Entries=[entries[0], entries[0]])
        many = [{"Id": str(n), "MessageBody": "x"} for n in range(11)]
        long = await refusal(send, QueueUrl=url, Entries=many)
        large = [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]
        size = await refusal(send, QueueUrl=url, Entries=large)
        none = await refusal(client.delete_message_batch, QueueUrl=url, Entries=[])
        bad = await refusal(client.delete_message, QueueUrl=url, ReceiptHandle="zzz")
    prefix = "AWS.SimpleQueueService."
    assert [each["Id"] for each in answer["Successful"]] == ["a"]
    assert [each["Code"] for each in answer["Failed"]] == [
        "InvalidMessageContents",
        "InvalidParameterValue",
    ]
    assert twice[0] == f"{prefix}BatchEntryIdsNotDistinct"
    assert long[0] == f"{prefix}TooManyEntriesInBatchRequest"
    assert size[0] == f"{prefix}BatchRequestTooLong"
    assert none[0] == f"{prefix}EmptyBatchRequest"
    assert bad[0] == "ReceiptHandleIsInvalid"


async def test_a_deduplication_id_has_a_message_stored_once() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        for _ in range(2):
            await call(
                client.send_message,
                QueueUrl=url,
                MessageBody="x",
                MessageGroupId="g",
                MessageDeduplicationId="d",
            )
        assert await rig.at.streams.held("queue_shop_jobs") == {"torpor.queue.shop.jobs.0": 1}
        await call(client.purge_queue, QueueUrl=url)
        assert await rig.at.streams.held("queue_shop_jobs") == {}


async def test_a_queue_that_a_trigger_reads_is_not_received_from() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        await rig.put({"source": {"queue": {"name": "jobs"}}, "target": FUNCTION})
        code, message = await refusal(client.receive_message, QueueUrl=url)
        await call(client.send_message, QueueUrl=url, MessageBody="x")
    assert code == "AWS.SimpleQueueService.UnsupportedOperation"
    assert "read by the Trigger shop/t" in message


async def test_a_queue_that_is_the_target_of_a_trigger_is_not_deleted() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        await rig.put({"source": {"bus": {"name": "b"}}, "target": {"queue": {"name": "jobs"}}})
        code, message = await refusal(client.delete_queue, QueueUrl=url)
    assert code == "AWS.SimpleQueueService.UnsupportedOperation"
    assert "the target of the Trigger shop/t" in message


async def test_a_trigger_takes_a_queue_over_from_a_receiver_that_waits() -> None:
    source = {"queue": {"name": "jobs"}}
    (spec,) = consumers(taker(source), 30).values()
    async with events_api() as rig:
        client, url = await made(rig)
        polling = asyncio.create_task(
            asyncio.to_thread(client.receive_message, QueueUrl=url, WaitTimeSeconds=6)
        )
        await exists(rig.at, spec.stream, "sqs")
        await rig.put({"source": source, "target": FUNCTION})
        taking = PullConsumer(rig.at.connection, rig.at.streams, spec)
        assert await taking.fetch(1, 0.5) == []
        with pytest.raises(botocore.exceptions.ClientError, match="is read by a Trigger"):
            await polling
        await call(client.send_message, QueueUrl=url, MessageBody="x")
        (message,) = await taking.fetch(1, 5)
        assert from_structured(message.data).data == "x"
        assert await rig.at.streams.consumer_state(spec.stream, "sqs") is None


async def test_what_two_queues_of_one_name_held_is_redriven_apart() -> None:
    target = "arn:aws:sqs:us-east-1:000000000000:shop.dead"
    policy = json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 1})
    async with events_api() as rig:
        for body in ("first", "second"):
            client, url = await made(rig, RedrivePolicy=policy)
            await call(client.send_message, QueueUrl=url, MessageBody=body)
            once = {"QueueUrl": url, "VisibilityTimeout": 0, "WaitTimeSeconds": 1}
            assert len((await call(client.receive_message, **once))["Messages"]) == 1
            assert "Messages" not in await call(client.receive_message, **once)
            await call(client.delete_queue, QueueUrl=url)
        found = [from_structured(each.data).data for each in await rig.of_queue("dead", 2)]
    assert found == ["first", "second"]


async def test_a_queue_made_anew_is_received_from_at_once() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        assert "Messages" not in await call(client.receive_message, QueueUrl=url)
        await call(client.delete_queue, QueueUrl=url)
        await made(rig)
        await call(client.send_message, QueueUrl=url, MessageBody="x")
        (message,) = (await call(client.receive_message, QueueUrl=url))["Messages"]
    assert message["Body"] == "x"


async def test_names_that_differ_by_case_are_two_queues() -> None:
    async with events_api() as rig:
        client, lower = await made(rig, "jobs")
        _, upper = await made(rig, "Jobs_2-A")
        _, other = await made(rig, "jobs_2-a")
        await call(client.send_message, QueueUrl=upper, MessageBody="x")
        assert "Messages" not in await call(client.receive_message, QueueUrl=other)
        (message,) = (await call(client.receive_message, QueueUrl=upper))["Messages"]
        assert (await call(client.list_queues))["QueueUrls"] == [upper, lower, other]
        long = await refusal(client.create_queue, QueueName="a" * 81)
    assert message["Body"] == "x"
    assert "at most 80" in long[1]


async def test_a_message_whose_body_is_gone_is_told_as_an_error() -> None:
    async with events_api() as rig:
        client, url = await made(rig)
        await call(client.send_message, QueueUrl=url, MessageBody="x" * 900_000)
        await rig.at.streams.purge("torpor_objects", ">")
        code, message = await refusal(client.receive_message, QueueUrl=url, VisibilityTimeout=0)
        await call(client.send_message, QueueUrl=url, MessageBody="whole")
        many = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 5}
        (whole,) = (await call(client.receive_message, **many))["Messages"]
    assert code == "InternalError"
    assert "14 days" in message
    assert whole["Body"] == "whole"


async def test_a_queue_knows_a_deduplication_id_for_five_minutes() -> None:
    async with events_api() as rig:
        await made(rig)
        answer = await api.call(rig.at.connection, "STREAM.INFO.queue_shop_jobs")
    assert answer["config"]["duplicate_window"] == 300 * 10**9
