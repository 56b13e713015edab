"""FIFO queues by a real boto3 client over the socket, with a real nats-server behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
import pytest

from tests.support.events_rig import EventsRig, events_api
from tests.support.servers.nats import needs_nats
from torpor.triggers.broker import names
from torpor.triggers.broker.names import partition_of
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.delivery.inboxes import consumers
from torpor.triggers.event import from_structured

pytestmark = needs_nats
NAME = "shop.Orders.fifo"
STREAM = "queue_shop_Orders+fifo"


@dataclass(frozen=True, slots=True)
class Fifo:
    """A queue, and its calls."""

    rig: EventsRig
    client: Any
    url: str

    async def send(self, group: str, body: str, unique: str | None = None) -> dict[str, Any]:
        return await self.call(
            "send_message",
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=unique or body,
        )

    async def receive(self, most: int = 1, wait: int = 5, **more: Any) -> list[dict[str, Any]]:
        answer = await self.call(
            "receive_message", MaxNumberOfMessages=most, WaitTimeSeconds=wait, **more
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    async def delete(self, message: dict[str, Any]) -> None:
        await self.call("delete_message", ReceiptHandle=message["ReceiptHandle"])

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        method = getattr(self.client, name)
        answer: dict[str, Any] = await asyncio.to_thread(method, QueueUrl=self.url, **arguments)
        return answer


@contextlib.asynccontextmanager
async def fifo(**attributes: str) -> AsyncIterator[Fifo]:
    async with events_api() as rig:
        client = rig.boto("sqs")
        wanted = {"FifoQueue": "true", **attributes}
        made = await asyncio.to_thread(client.create_queue, QueueName=NAME, Attributes=wanted)
        yield Fifo(rig, client, made["QueueUrl"])


async def test_a_group_is_received_in_order_one_after_another() -> None:
    async with fifo() as queue:
        for number in range(4):
            await queue.send("a", f"a{number}")
        (first,) = await queue.receive(10)
        assert await queue.receive(wait=0) == []
        await queue.delete(first)
        again = {"VisibilityTimeout": 1}
        (second,) = await queue.receive(10, **again)
        (repeated,) = await queue.receive(10)
        await queue.delete(repeated)
        rest = []
        for _ in range(2):
            (message,) = await queue.receive(10)
            await queue.delete(message)
            rest.append(message["Body"])
    assert [first["Body"], second["Body"], repeated["Body"]] == ["a0", "a1", "a1"]
    assert rest == ["a2", "a3"]


async def test_groups_do_not_wait_for_one_another() -> None:
    groups = [f"g{number}" for number in range(40)]
    partitions = {names.partition_of(json.dumps(group)) for group in groups}
    async with fifo() as queue:
        for group in groups:
            await queue.send(group, group)
        wanted: dict[str, Any] = {"VisibilityTimeout": 60, "AttributeNames": ["All"]}
        found = await queue.receive(10, **wanted)
        assert len(found) == 10
        assert {message["Attributes"]["ApproximateReceiveCount"] for message in found} == {"1"}
        others = await queue.receive(10, **wanted)
    told = {message["Attributes"]["MessageGroupId"] for message in [*found, *others]}
    assert len(found) + len(others) == len(told) == len(partitions) == 16


async def test_a_short_poll_does_not_take_long_while_all_partitions_are_in_flight() -> None:
    async with fifo(VisibilityTimeout="60") as queue:
        groups = {partition_of(f'"g{number}"'): f"g{number}" for number in range(200)}
        for group in groups.values():
            for number in range(2):
                await queue.send(group, f"{group}.{number}")
        received = 0
        while received < len(groups):
            received += len(await queue.receive(10))
        began = time.monotonic()
        assert await queue.receive(most=1, wait=0) == []
        assert time.monotonic() - began < 1.2  # one after another they have 0.1 s each
    assert received == len(groups) == names.PARTITIONS


async def test_receivers_at_once_get_each_message_once_and_each_group_in_order() -> None:
    groups, each = ("a", "b", "c"), 12
    taken: list[str] = []

    async def work(receiver: Fifo) -> None:
        while len(taken) < len(groups) * each:
            for message in await receiver.receive(3, 1):
                taken.append(message["Body"])
                await receiver.delete(message)

    async with fifo() as queue:
        for number in range(each):
            for group in groups:
                await queue.send(group, f"{group}{number}")
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            for number in range(3):
                receiver = Fifo(queue.rig, queue.rig.boto("sqs"), queue.url)
                tasks.create_task(work(receiver), name=f"receiver {number}")
    for group in groups:
        expected = [f"{group}{number}" for number in range(each)]
        assert [body for body in taken if body[0] == group] == expected


async def test_what_has_the_same_deduplication_id_is_sent_once() -> None:
    async with fifo() as queue:
        first = await queue.send("a", "one", "same")
        second = await queue.send("b", "two", "same")
        third = await queue.send("a", "three")
        wanted = ["MessageDeduplicationId", "SequenceNumber"]
        (message,) = await queue.receive(AttributeNames=wanted)
        held = await queue.rig.at.streams.held(STREAM)
    assert first["SequenceNumber"] == second["SequenceNumber"] < third["SequenceNumber"]
    assert message["Attributes"] == {
        "MessageDeduplicationId": "same",
        "SequenceNumber": first["SequenceNumber"],
    }
    assert sum(held.values()) == 2


async def test_each_group_may_have_deduplication_ids_of_its_own() -> None:
    scoped = {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
    async with fifo(**scoped) as queue:
        for group in ("a", "b", "a"):
            await queue.send(group, "x")
        held = await queue.rig.at.streams.held(STREAM)
    assert sum(held.values()) == 2


async def test_the_content_may_tell_messages_apart() -> None:
    async with fifo(ContentBasedDeduplication="true") as queue:
        for body in ("x", "y", "x"):
            await queue.call("send_message", MessageBody=body, MessageGroupId="a")
        held = await queue.rig.at.streams.held(STREAM)
        found = await queue.call("get_queue_attributes", AttributeNames=["All"])
    assert sum(held.values()) == 2
    attributes = found["Attributes"]
    assert attributes["FifoQueue"] == attributes["ContentBasedDeduplication"] == "true"
    assert attributes["DeduplicationScope"] == "queue"
    assert attributes["QueueArn"].endswith(":shop.Orders.fifo")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MessageDeduplicationId": "d"}, "MessageGroupId"),
        ({"MessageGroupId": "g"}, "ContentBasedDeduplication"),
        (
            {"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1},
            "not valid for this queue type",
        ),
    ],
)
async def test_a_message_without_its_place_is_refused(given: dict[str, Any], said: str) -> None:
    async with fifo() as queue:
        with pytest.raises(botocore.exceptions.ClientError, match=said):
            await queue.call("send_message", MessageBody="x", **given)


@pytest.mark.parametrize(("name", "fifo"), [("a.fifo", None), ("a", "true"), ("a.fifo", "false")])
async def test_a_fifo_queue_is_one_by_name_and_by_attribute(name: str, fifo: str | None) -> None:
    attributes = {} if fifo is None else {"FifoQueue": fifo}
    async with events_api() as rig:
        client = rig.boto("sqs")
        with pytest.raises(botocore.exceptions.ClientError, match=r"ends with \.fifo"):
            await asyncio.to_thread(client.create_queue, QueueName=name, Attributes=attributes)


async def test_a_group_goes_on_when_its_poisoned_message_is_a_dead_letter() -> None:
    async with fifo() as queue:
        dead = await asyncio.to_thread(
            queue.client.create_queue,
            QueueName="shop.dead.fifo",
            Attributes={"FifoQueue": "true"},
        )
        arn = "arn:aws:sqs:us-east-1:000000000000:shop.dead.fifo"
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        await queue.call("set_queue_attributes", Attributes={"RedrivePolicy": policy})
        await queue.send("a", "poison")
        await queue.send("a", "good")
        (poison,) = await queue.receive(VisibilityTimeout=0)
        (good,) = await queue.receive(AttributeNames=["All"])
        (buried,) = await Fifo(queue.rig, queue.client, dead["QueueUrl"]).receive()
    assert [each["Body"] for each in (poison, good, buried)] == ["poison", "good", "poison"]
    assert good["Attributes"]["ApproximateReceiveCount"] == "1"


async def test_a_queue_that_an_event_made_is_one_for_sqs_too() -> None:
    structured = {"Content-Type": "application/cloudevents+json"}
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "partitionkey": "a"}
    async with events_api() as rig:
        path = "/v1/namespaces/shop/queues/Orders.fifo/events"
        status, _, _ = await rig.post(path, json.dumps(event).encode(), structured)
        client = rig.boto("sqs")
        made = await asyncio.to_thread(
            client.create_queue, QueueName=NAME, Attributes={"FifoQueue": "true"}
        )
        queue = Fifo(rig, client, made["QueueUrl"])
        (message,) = await queue.receive(AttributeNames=["MessageGroupId"])
    assert status == 202
    assert json.loads(message["Body"])["id"] == "1"
    assert message["Attributes"] == {"MessageGroupId": "a"}


async def test_a_trigger_takes_over_and_keeps_the_order_of_groups() -> None:
    source = {"queue": {"name": "Orders.fifo"}}
    async with fifo() as queue:
        await queue.send("a", "0")
        assert len(await queue.receive(VisibilityTimeout=0)) == 1
        await queue.send("a", "1")
        await queue.rig.put({"source": source, "target": {"function": {"name": "f"}}})
        (definition,) = queue.rig.parts.definitions.known.values()
        assert definition.trigger.ordering_key == "partitionkey"
        specs = consumers(definition.trigger, 30)
        spec = specs[names.partition_of('"a"')]
        at = queue.rig.at
        taking = PullConsumer(at.connection, at.streams, spec)
        bodies = []
        for _ in range(2):
            (message,) = await taking.fetch(1, 5)
            await message.ack()
            bodies.append(from_structured(message.data).data)
        code = botocore.exceptions.ClientError
        with pytest.raises(code, match="read by the Trigger shop/t"):
            await queue.receive()
    assert bodies == ["0", "1"]
