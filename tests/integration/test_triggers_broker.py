"""The broker's rooms against a real nats-server: storing, pulling, limits, names, large data."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.support.servers.nats import broker, exists, lag, needs_nats
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import connected
from torpor.triggers.broker.errors import BrokerFull
from torpor.triggers.broker.objects import ObjectMissing, StoreObjects, StreamObjects
from torpor.triggers.broker.publishing import MessageTooLarge, Outgoing, Publisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec, Streams

pytestmark = needs_nats
SUBJECT = names.inbox_subject("shop", "orders")
CONSUMER = ConsumerSpec(
    names.INBOX_STREAM,
    names.consumer_name("shop", "orders"),
    names.inbox_filter("shop", "orders"),
    ack_wait_seconds=1.0,
)


async def test_what_has_one_id_is_stored_once() -> None:
    async with broker() as at:
        first = await at.publisher.publish(SUBJECT, b"a", msg_id="1")
        again = await at.publisher.publish(SUBJECT, b"a", msg_id="1")
        assert not first.duplicate
        assert again.duplicate
        assert again.seq == first.seq
        assert await at.streams.inbox_lag() == {("shop", "orders"): 1}


async def test_a_message_is_there_until_it_is_acknowledged() -> None:
    async with broker() as at:
        await at.publisher.publish(SUBJECT, b"a", headers={"x": "y"})
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        (first,) = await consumer.fetch(10, 5)
        assert (first.data, first.headers["x"], first.delivered) == (b"a", "y", 1)
        await first.nak(delay_seconds=0.2)
        (second,) = await consumer.fetch(10, 5)
        assert second.delivered == 2
        assert await at.streams.inbox_lag() == {("shop", "orders"): 1}
        await second.ack()
        assert await consumer.fetch(10, 0.3) == []
        await lag(at, {})


async def test_a_message_that_nobody_answers_for_comes_again_unless_kept_in_progress() -> None:
    async with broker() as at:
        await at.publisher.publish(SUBJECT, b"a")
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        (first,) = await consumer.fetch(1, 5)
        for _ in range(3):
            assert await consumer.fetch(1, 0.5) == []
            await first.in_progress()
        (second,) = await consumer.fetch(1, 5)
        assert second.delivered == 2
        await second.term()
        await lag(at, {})


async def test_a_waiting_fetch_gets_what_is_published_and_all_that_is_there() -> None:
    async with broker() as at:
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        waiting = asyncio.create_task(consumer.fetch(10, 10))
        await exists(at, CONSUMER.stream, CONSUMER.name)
        await at.publisher.publish(SUBJECT, b"0")
        got = await waiting
        assert [message.data for message in got] == [b"0"]
        await at.publisher.publish_batch([Outgoing(SUBJECT, b"%d" % n) for n in range(25)])
        sizes = [len(await consumer.fetch(10, 5)) for _ in range(3)]
        assert sizes == [10, 10, 5]


async def test_a_full_stream_refuses_what_is_new_and_keeps_what_it_has() -> None:
    async with broker() as at:
        settings = replace(at.server.settings, stream_max_bytes=64 * 1024)
        async with connected(settings) as connection:
            streams = Streams(connection)
            await streams.ensure_queue("shop", "small")
            publisher, subject = Publisher(connection), names.queue_subject("shop", "small")
            fit = 10
            for _ in range(fit):
                await publisher.publish(subject, bytes(4096))
            with pytest.raises(BrokerFull):
                await publisher.publish_batch([Outgoing(subject, bytes(30_000))] * 2)
            state = await streams.state(names.queue_stream("shop", "small"))
            assert state is not None
            assert state.messages in (fit, fit + 1)


async def test_a_full_inbox_leaves_those_of_other_triggers_alone() -> None:
    async with broker() as at:
        settings = replace(at.server.settings, inbox_messages=3)
        async with connected(settings) as connection:
            streams, publisher = Streams(connection), Publisher(connection)
            await streams.ensure_base()
            for _ in range(3):
                await publisher.publish(SUBJECT, b"x")
            with pytest.raises(BrokerFull, match="per subject"):
                await publisher.publish(SUBJECT, b"x")
            await publisher.publish(names.inbox_subject("shop", "bills"), b"x")
            assert await streams.inbox_lag() == {("shop", "orders"): 3, ("shop", "bills"): 1}
            assert await streams.purge(names.INBOX_STREAM, SUBJECT) == 3
            await publisher.publish(SUBJECT, b"x")


async def test_a_message_above_the_servers_limit_is_named_too_large() -> None:
    async with broker() as at:
        with pytest.raises(MessageTooLarge, match="max_payload"):
            await at.publisher.publish(SUBJECT, bytes(5 << 20))
        assert not (await at.publisher.publish(SUBJECT, b"still connected")).duplicate


async def test_buses_and_queues_are_listed_and_their_settings_brought_up_to_date() -> None:
    async with broker() as at:
        await at.streams.ensure_bus("shop", "main")
        await at.streams.ensure_bus("shop", "main", retention_seconds=3600)
        await Streams(at.connection).ensure_bus("shop", "main")
        await at.streams.ensure_queue("shop", "jobs")
        await at.streams.ensure_queue("shop", "jobs")
        assert await at.streams.buses() == [("shop", "main")]
        assert await at.streams.queues() == [("shop", "jobs")]


async def test_turning_order_on_replaces_the_consumer_and_loses_nothing() -> None:
    async with broker() as at:
        await at.publisher.publish(SUBJECT, b"before")
        plain = PullConsumer(at.connection, at.streams, CONSUMER)
        assert len(await plain.fetch(1, 5)) == 1
        ordered = ConsumerSpec(
            names.INBOX_STREAM,
            names.consumer_name("shop", "orders", 0),
            SUBJECT,
            max_ack_pending=1,
        )
        partition = PullConsumer(at.connection, at.streams, ordered)
        (message,) = await partition.fetch(5, 5)
        assert message.data == b"before"


async def test_a_consumer_that_was_deleted_is_made_again() -> None:
    async with broker() as at:
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        assert await consumer.fetch(1, 0.1) == []
        await at.streams.delete_consumer(CONSUMER.stream, CONSUMER.name)
        await at.publisher.publish(SUBJECT, b"a")
        (message,) = await consumer.fetch(1, 10)
        assert message.data == b"a"


async def test_a_purge_is_of_one_trigger_only() -> None:
    async with broker() as at:
        await at.publisher.publish(SUBJECT, b"a")
        await at.publisher.publish(names.inbox_subject("shop", "other", 7), b"b")
        purged = await at.streams.purge(names.INBOX_STREAM, names.inbox_filter("shop", "orders"))
        assert purged == 1
        assert await at.streams.inbox_lag() == {("shop", "other"): 1}


async def test_large_data_comes_back_from_the_broker() -> None:
    async with broker() as at:
        objects, data = StreamObjects(at.connection), bytes(range(256)) * 9000
        assert await objects.get(await objects.put(data)) == data
        assert await objects.get(await objects.put(b"")) == b""
        with pytest.raises(ObjectMissing):
            await objects.get("nats:00:1")


async def test_large_data_comes_back_from_an_object_store() -> None:
    objects = StoreObjects("memory:///")
    assert await objects.get(await objects.put(b"large")) == b"large"
    for reference in ("file:///etc/passwd", "memory:///events/../secret"):
        with pytest.raises(ObjectMissing):
            await objects.get(reference)
