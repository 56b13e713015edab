"""A JetStream whose store fills: archives give way, nothing taken is lost, and people are told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.events_role import EVENT, Role, called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import Broker, broker, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.archives import Archives
from torpor.triggers.broker.errors import BrokerFull, StoreFull
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.publishing import Outgoing, ReservePublisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec

pytestmark = needs_nats
STORE = 16 << 20
EVENT_BYTES = 100_000
BUS = names.bus_subject("shop", "main")
STREAM = names.bus_stream("shop", "main")
ORDERS = FunctionKey("shop", "orders")
QUEUED = FunctionKey("shop", "queued")
FUNCTION = {"function": {"name": "handler"}}


async def filled(at: Broker, subject: str) -> int:
    """Publish until nothing more goes in; return how many went in."""
    count = 0
    with contextlib.suppress(BrokerFull):
        while True:
            await at.publisher.publish(subject, bytes(EVENT_BYTES))
            count += 1
    return count


async def test_archives_give_way_to_a_share_of_a_store_whose_size_nobody_told() -> None:
    async with broker(max_store_bytes=STORE) as at:
        await at.streams.ensure_bus("shop", "main")
        archives = Archives(at.connection, at.streams, read=set)
        count = await filled(at, BUS)
        with pytest.raises(StoreFull):
            await Bucket(at.connection, names.BUCKET_LEASES).put("a", b"1")
        room = await archives.look()
        assert 0.4 * STORE < room.archive_bytes < 0.5 * STORE < room.store_bytes
        state = await at.streams.state(STREAM)
        assert state is not None
        assert (state.last_seq, state.first_seq > 1) == (count, True)
        await Bucket(at.connection, names.BUCKET_LEASES).put("a", b"1")
        await at.publisher.publish(BUS, b"again")


async def test_what_is_not_routed_stays_and_publishing_ends_before_the_store_is_full() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        await at.streams.ensure_bus("shop", "main")
        await at.streams.ensure_queue("shop", "q")
        router = PullConsumer(
            at.connection, at.streams, ConsumerSpec(STREAM, names.ROUTER_CONSUMER, BUS)
        )
        archives = Archives(at.connection, at.streams, read=lambda: {("shop", "main")})
        outgoing = [Outgoing(BUS, bytes(EVENT_BYTES))] * 10
        for _ in range(9):
            await at.publisher.publish_batch(outgoing)
        messages = await router.fetch(20, 5)
        for message in messages:
            await message.ack()

        async def routed() -> bool:
            state = await at.streams.consumer_state(STREAM, names.ROUTER_CONSUMER)
            return state is not None and state.acknowledged_seq == len(messages)

        await until(routed)
        room = await archives.look()
        state = await at.streams.state(STREAM)
        assert state is not None
        assert 1 < state.first_seq <= len(messages) + 1
        await at.publisher.publish_batch(outgoing * 2)
        kept = await at.streams.state(STREAM)
        room = await archives.look()
        assert room.archive_bytes > 0.5 * STORE
        with pytest.raises(StoreFull, match="not routed yet"):
            await at.publisher.publish(BUS, b"x")
        await at.publisher.publish(names.queue_subject("shop", "q"), b"still taken")
        after = await at.streams.state(STREAM)
        assert kept is not None
        assert after is not None
        assert (after.last_seq, after.first_seq) == (kept.last_seq, len(messages) + 1)
        await router.close()


async def test_an_inbox_may_have_a_quarter_of_the_store_and_no_more() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        archives = Archives(at.connection, at.streams, read=set)
        much, little = (names.inbox_subject("shop", name) for name in ("much", "little"))
        part = STORE // 4 // EVENT_BYTES - 1
        await at.publisher.publish_batch([Outgoing(much, bytes(EVENT_BYTES))] * part)
        await at.publisher.publish_batch([Outgoing(little, bytes(EVENT_BYTES))] * part)
        assert not (await archives.look()).crowded
        await at.publisher.publish_batch([Outgoing(much, bytes(EVENT_BYTES))] * 3)
        assert (await archives.look()).crowded == {("shop", "much")}
        for publisher in (at.publisher, ReservePublisher(at.connection)):
            with pytest.raises(BrokerFull, match="shop/much"):
                await publisher.publish(much, b"x")
        await at.publisher.publish(little, b"x")
        await at.streams.purge(names.INBOX_STREAM, much)
        await archives.look()
        await at.publisher.publish(much, b"x")


async def publish(at: Role, number: int, path: str) -> tuple[int, Any]:
    url = f"http://127.0.0.1:{at.settings.api_port}/v1/namespaces/shop/{path}/events"
    event = {**EVENT, "id": f"{path}-{number}", "data": {"pad": "x" * EVENT_BYTES}}
    headers = {"Content-Type": "application/cloudevents+json"}
    async with at.session.post(url, json=event, headers=headers) as answer:
        return answer.status, await answer.json()


def client(at: Role, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{at.settings.api_port}",
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )


async def reason(at: Role, key: FunctionKey) -> str:
    found = {each.key: each.reason for each in await at.standings.survey()}
    return found[key]


async def test_a_bus_that_fills_the_store_goes_on_delivering_and_loses_nothing() -> None:
    async with functions() as to, role(to, max_store_bytes=STORE) as at:
        await at.put(ORDERS, {"source": {"bus": {"name": "b"}}, "target": FUNCTION})
        taken: list[int] = []
        for number in range(400):
            status, found = await publish(at, number, "buses/b")
            if status == 202:
                taken.append(number)
            else:
                assert (status, found["code"]) in ((507, "store-full"), (503, "broker-away"))
                await asyncio.sleep(0.05)  # a client's pause
        await until(called(to, len(taken)), 30)
        assert {f"buses/b-{number}" for number in taken} <= set(to.ids)
        assert len(taken) * EVENT_BYTES > 1.2 * STORE
        assert await reason(at, ORDERS) == "Subscribed"


async def test_a_store_full_of_what_waits_is_told_and_mends_when_it_is_delivered() -> None:
    gate = asyncio.Event()

    async def blocked(_: Any) -> int:
        await gate.wait()
        return 204

    async with functions(blocked) as to, role(to, max_store_bytes=STORE) as at:
        await at.put(QUEUED, {"source": {"queue": {"name": "q"}}, "target": FUNCTION})
        number = taken = 0
        status = 202
        found: Any = None
        while status == 202:
            status, found = await publish(at, number, "queues/q")
            number, taken = number + 1, taken + (status == 202)
        assert (status, found["code"]) == (507, "store-full")

        async def told() -> bool:
            return await reason(at, QUEUED) == "StoreFull"

        await until(told)
        entry = {"Source": "s", "DetailType": "t", "Detail": "{}", "EventBusName": "shop.b"}
        put = await asyncio.to_thread(client(at, "events").put_events, Entries=[entry])
        assert put["FailedEntryCount"] == 1
        assert "the store is full" in put["Entries"][0]["ErrorMessage"]
        sqs, url = client(at, "sqs"), f"http://127.0.0.1:{at.settings.api_port}/000000000000/shop.q"
        with pytest.raises(ClientError, match=r"ServiceUnavailable.*the store is full"):
            await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody="x")
        gate.set()
        await until(called(to, taken), 30)

        async def mended() -> bool:
            accepted = (await publish(at, number, "queues/q"))[0] == 202
            return accepted and await reason(at, QUEUED) == "Subscribed"

        await until(mended, 20)
