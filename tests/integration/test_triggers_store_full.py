"""A JetStream whose store fills: archives give way, nothing taken is lost, and people are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.integration.trigger_rig import Made, intake_parts, manifest, running, trigger, world
from tests.support.events_rig import events_api
from tests.support.events_role import EVENT, Role, called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import Broker, broker, lost, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Undecodable
from torpor.triggers.broker import names
from torpor.triggers.broker.archives import Archives
from torpor.triggers.broker.connection import BrokerSettings, connected
from torpor.triggers.broker.errors import BrokerFull, StoreFull
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.publishing import Outgoing, ReservePublisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.room import Room
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.delivery.burial import bury_undecodable
from torpor.triggers.inbox import entrance
from torpor.triggers.intake import Intake
from torpor.triggers.positions import StoredPositions
from torpor.triggers.withdrawal import Withdrawal

pytestmark = needs_nats
STORE = 16 << 20
EVENT_BYTES = 100_000
BUS = names.bus_subject("shop", "main")
STREAM = names.bus_stream("shop", "main")
ORDERS = FunctionKey("shop", "orders")
QUEUED = FunctionKey("shop", "queued")
FUNCTION = {"function": {"name": "handler"}}


async def nobody() -> set[tuple[str, str]]:
    """No bus has a Trigger."""
    return set()


async def main_is_read() -> set[tuple[str, str]]:
    """One bus has a Trigger."""
    return {("shop", "main")}


async def nothing(_: Trigger) -> None:
    """The source made nothing at its server."""


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
        archives = Archives(at.connection, at.streams, nobody)
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
        archives = Archives(at.connection, at.streams, main_is_read)
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


async def test_queues_inboxes_and_dead_letters_have_their_shares_and_no_more() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        archives = Archives(at.connection, at.streams, nobody)
        await at.streams.ensure_queue("shop", "much.fifo")
        await at.streams.ensure_queue("shop", "little")
        much, little = (names.queue_subject("shop", name) for name in ("much.fifo", "little"))
        quarter = STORE // 4 // EVENT_BYTES
        for subject in (much, names.dead_subject("shop", "orders")):
            await archives.look()
            await at.publisher.publish_batch([Outgoing(subject, bytes(EVENT_BYTES))] * quarter)
            await archives.look()
            await at.publisher.publish_batch([Outgoing(subject, bytes(EVENT_BYTES))] * 2)
            await archives.look()
            for publisher in (at.publisher, ReservePublisher(at.connection)):
                with pytest.raises(StoreFull, match="that it may have"):
                    await publisher.publish(subject, b"x")
            await at.publisher.publish(little, b"x")
            await at.publisher.publish(names.inbox_subject("shop", "orders"), b"x")
        await at.streams.purge(names.queue_stream("shop", "much.fifo"), ">")
        await archives.look()
        await at.publisher.publish(much, b"x")


async def test_an_inbox_among_many_tiny_events_of_others_is_not_taken_for_full() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        archives = Archives(at.connection, at.streams, nobody)
        small, tiny = (names.inbox_subject("shop", name) for name in ("small", "tiny"))
        large = names.inbox_subject("shop", "large")
        await at.publisher.publish_batch([Outgoing(large, bytes(EVENT_BYTES))] * 40)
        await at.publisher.publish_batch([Outgoing(tiny, b"y")] * 2000)
        await at.publisher.publish(small, bytes(EVENT_BYTES))
        await at.publisher.publish_batch([Outgoing(small, b"x")] * 100)
        await archives.look()
        assert (await at.publisher.publish(small, b"x")).seq == 2142


async def test_between_two_looks_no_more_is_taken_than_the_store_has_room_for() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        archives = Archives(at.connection, at.streams, nobody)
        await archives.look()
        inbox = names.inbox_subject("shop", "orders")
        count = await filled(at, inbox)
        assert 0.4 * STORE < count * EVENT_BYTES < 0.5 * STORE
        assert at.connection.look_wanted.is_set()
        async with running(archives.run()):
            await at.streams.ensure_queue("shop", "q")
            fast = names.queue_subject("shop", "q")
            for _ in range(200):
                with contextlib.suppress(BrokerFull):
                    await at.publisher.publish(fast, bytes(EVENT_BYTES))
        room = await archives.look()
        assert room.used_bytes < 0.9 * STORE
        await Bucket(at.connection, names.BUCKET_LEASES).put("a", b"1")


async def test_what_sources_bring_that_is_no_event_leaves_room_for_leases() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        contents = [Undecodable(bytes([n]) * EVENT_BYTES, "no event") for n in range(250)]
        parts = replace(intake_parts(at), bury=lambda to, what: bury_undecodable(to, what, 0.0))
        intake = Intake(entrance(trigger()), lambda _, at: Made(contents, at), world(), parts)
        archives = Archives(at.connection, at.streams, nobody)
        await archives.look()

        async def refused() -> bool:
            return intake.state.reason == "store-full"

        async with running(archives.run(), intake.run()):
            await until(refused, 20)
        assert (await archives.look()).used_bytes < 0.9 * STORE
        await Bucket(at.connection, names.BUCKET_LEASES).put("a", b"1")


async def test_archives_keep_what_a_trigger_may_want_that_is_not_known_or_cannot_be_read() -> None:
    async with broker(max_store_bytes=STORE) as at:
        at.connection.settings = replace(at.connection.settings, store_bytes=STORE)
        definitions = Definitions(at.connection, at.streams, wall=time.time)
        bucket = Bucket(at.connection, names.BUCKET_TRIGGERS)
        archives = Archives(at.connection, at.streams, definitions.buses)
        async with running(definitions.run()):
            await at.streams.ensure_bus("shop", "main")
            await definitions.put(manifest(), {})
            await at.publisher.publish_batch([Outgoing(BUS, bytes(EVENT_BYTES))] * 100)
            await archives.look()  # the watch may not have heard of it yet
            await bucket.put("shop.newer", b"{}")
            await bucket.delete("shop.orders")
            await archives.look()
            kept = await at.streams.state(STREAM)
            await bucket.delete("shop.newer")
            await archives.look()
            left = await at.streams.state(STREAM)
        assert kept is not None
        assert left is not None
        assert (kept.first_seq, left.first_seq > 1) == (1, True)


async def test_a_size_that_was_learned_is_learned_anew_of_a_server_that_was_started_anew() -> None:
    async with broker(max_store_bytes=STORE) as at:
        archives = Archives(at.connection, at.streams, nobody)
        inbox = names.inbox_subject("shop", "orders")
        await filled(at, inbox)
        assert (await archives.look()).refusal(inbox)
        await asyncio.to_thread(at.server.stop)
        await lost(at.connection)
        at.server._max_store_bytes = 8 * STORE
        await asyncio.to_thread(at.server.start)
        await at.connection.link(20)
        assert not (await archives.look()).refusal(inbox)
        await at.publisher.publish(inbox, bytes(EVENT_BYTES))


async def test_deleting_a_trigger_makes_room_in_a_store_that_is_quite_full() -> None:
    async with broker(max_store_bytes=STORE) as at:
        definitions = Definitions(at.connection, at.streams, wall=time.time)
        await definitions.put(manifest(), {})
        inbox = names.inbox_subject("shop", "orders")
        for size in (EVENT_BYTES, 1000, 10):
            with contextlib.suppress(BrokerFull):
                while True:
                    await at.publisher.publish(inbox, bytes(size))
        positions = StoredPositions(at.connection)
        withdrawal = Withdrawal(definitions, at.streams, positions, nothing)
        try:
            await withdrawal.withdraw(trigger())
        finally:
            await withdrawal.stop()
        assert await definitions.get(ORDERS) is None
        assert await at.streams.inbox_lag() == {}


async def test_what_a_full_queue_does_not_take_waits_and_is_no_dead_letter() -> None:
    async with functions() as to, role(to, max_store_bytes=STORE, store_bytes=STORE) as at:
        spec = {
            "source": {"queue": {"name": "from"}},
            "target": {"queue": {"name": "to"}},
            "delivery": {"maxAttempts": 1},
        }
        await at.put(QUEUED, spec)
        number, detail = 0, ""
        while "that it may have" not in detail:
            number += 1
            detail = str((await publish(at, number, "queues/to"))[1])
        for each in range(20):
            assert (await publish(at, each, "queues/from"))[0] == 202
        source, target = (names.queue_stream("shop", name) for name in ("from", "to"))
        async with connected(BrokerSettings((at.nats.url,), token=at.nats.token)) as connection:
            streams = Streams(connection)

            async def tried() -> bool:
                reader = names.consumer_name("shop", "queued")
                state = await streams.consumer_state(source, reader)
                return state is not None and state.pending == 0

            async def moved() -> bool:
                state = await streams.state(source)
                return state is not None and state.messages == 0

            await until(tried)
            await streams.purge(target, ">")
            await until(moved, 20)
            dead, there = [await streams.state(each) for each in (names.DEAD_STREAM, target)]
        assert dead is not None
        assert there is not None
        assert (dead.messages, there.messages) == (0, 20)


@pytest.mark.parametrize(("used", "redriven"), [(0.92, 1), (0.97, 0)])
async def test_a_queue_is_received_from_while_its_redrive_has_little_or_no_room(
    used: float, redriven: int
) -> None:
    async with events_api() as rig:
        sqs = rig.boto("sqs")
        arn = "arn:aws:sqs:us-east-1:000000000000:shop.dlq"
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        given = {"VisibilityTimeout": "0", "RedrivePolicy": policy}
        await asyncio.to_thread(sqs.create_queue, QueueName="shop.dlq")
        made = await asyncio.to_thread(sqs.create_queue, QueueName="shop.q", Attributes=given)
        for number in range(3):
            url, body = made["QueueUrl"], f"m{number}"
            await asyncio.to_thread(sqs.send_message, QueueUrl=url, MessageBody=body)

        async def received(most: int) -> set[str]:
            found = await asyncio.to_thread(
                sqs.receive_message, QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=2
            )
            return {message["Body"] for message in found.get("Messages", [])}

        assert await received(1) == {"m0"}
        rig.at.connection.room = Room(store_bytes=1 << 30, used_bytes=int(used * (1 << 30)))
        assert await received(10) == {"m1", "m2"}
        dead = await rig.at.streams.state(names.queue_stream("shop", "dlq"))
        assert dead is not None
        assert dead.messages == redriven


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


@pytest.mark.parametrize("more", [{}, {"ordering": {"key": "source"}}], ids=["any", "ordered"])
async def test_a_store_full_of_what_waits_is_told_and_mends_when_it_is_delivered(
    more: dict[str, Any],
) -> None:
    gate = asyncio.Event()

    async def blocked(_: Any) -> int:
        await gate.wait()
        return 204

    async with functions(blocked) as to, role(to, max_store_bytes=STORE) as at:
        await at.put(QUEUED, {"source": {"queue": {"name": "q"}}, "target": FUNCTION, **more})
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
