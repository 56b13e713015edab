"""What the broker's clients do when it dies, is away, or refuses them."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.servers.nats import broker, exists, lost, nats_server, needs_nats, until
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import BrokerSettings, connected
from torpor.triggers.broker.embedded import EmbeddedNats
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.publishing import Outgoing, Publisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.broker.watching import watch

pytestmark = needs_nats
SUBJECT = names.inbox_subject("shop", "orders")
CONSUMER = ConsumerSpec(
    names.INBOX_STREAM, names.consumer_name("shop", "orders"), names.inbox_filter("shop", "orders")
)


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed_while_we_publish() -> None:
    stored: set[bytes] = set()
    async with broker(sync_interval="always") as at:

        async def publish(worker: int) -> None:
            for number in range(100):
                data = b"%d.%d" % (worker, number)
                await at.publisher.publish(SUBJECT, data, msg_id=data.decode(), deadline_seconds=30)
                stored.add(data)

        async with asyncio.TaskGroup() as tasks:
            for worker in range(20):
                tasks.create_task(publish(worker), name=f"publisher {worker}")
            for after in (300, 900):
                await until(functools.partial(_more_than, stored, after))
                at.server.kill()
                await asyncio.to_thread(at.server.start)
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        found: list[bytes] = []
        while messages := await consumer.fetch(500, 1):
            found += [message.data for message in messages]
            for message in messages:
                await message.ack()
    assert len(stored) == 2000
    assert set(found) == stored
    assert len(found) == len(stored)


async def test_a_waiting_fetch_goes_on_after_a_restart() -> None:
    async with broker() as at:
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        waiting = asyncio.create_task(consumer.fetch(1, 30))
        await exists(at, CONSUMER.stream, CONSUMER.name)
        at.server.kill()
        await asyncio.to_thread(at.server.start)
        await at.publisher.publish(SUBJECT, b"after", msg_id="1")
        async with asyncio.timeout(10):
            (message,) = await waiting
        assert message.data == b"after"


async def test_an_acknowledgement_on_a_lost_connection_says_so_and_the_message_comes_again() -> (
    None
):
    async with broker() as at:
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        await at.publisher.publish(SUBJECT, b"a")
        (message,) = await consumer.fetch(1, 5)
        await asyncio.to_thread(at.server.stop)
        await lost(at.connection)
        with pytest.raises(BrokerAway):
            await message.ack()


async def test_a_broker_that_is_away_costs_a_log_line_and_a_clear_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with broker() as at:
        await asyncio.to_thread(at.server.stop)
        await lost(at.connection)
        for _ in range(3):
            with pytest.raises(BrokerAway, match="the broker is away"):
                await at.publisher.publish(SUBJECT, b"a", deadline_seconds=0.5)
        consumer = PullConsumer(at.connection, at.streams, CONSUMER)
        with pytest.raises(BrokerAway):
            await consumer.fetch(1, 0.3)
        assert at.connection.problem
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in warnings] == ["the broker is away"]


async def test_a_wrong_token_is_not_let_in_and_the_reason_is_told() -> None:
    async with (
        nats_server() as server,
        connected(BrokerSettings(servers=(server.url,), token="guessed")) as connection,
    ):
        with pytest.raises(BrokerAway, match=r"(?i)authorization"):
            await connection.link(2)
        assert not connection.ready


async def test_a_watch_tells_what_changed_while_it_was_cut_off() -> None:
    async with broker() as at:
        bucket = Bucket(at.connection, "test_watched")
        await bucket.put("kept", b"1")
        await bucket.put("deleted", b"1")
        lists = watch(at.connection, bucket)
        first = await anext(lists)
        assert {(entry.key, entry.value) for entry in first} == {("kept", b"1"), ("deleted", b"1")}
        following = asyncio.create_task(anext(lists))
        at.server.kill()
        await asyncio.to_thread(at.server.start)
        await bucket.delete("deleted")
        await bucket.put("new", b"2")
        seen: dict[str, bytes | None] = {}
        async with asyncio.timeout(20):
            while seen != {"deleted": None, "new": b"2"}:
                seen |= {entry.key: entry.value for entry in await following}
                following = asyncio.create_task(anext(lists))
                await asyncio.sleep(0)
        following.cancel()
        await asyncio.wait((following,))
        await lists.aclose()


async def test_the_embedded_server_ends_what_a_killed_process_left_and_keeps_what_it_held(
    tmp_path: Path,
) -> None:
    left = EmbeddedNats(tmp_path)
    left.start()
    async with connected(left.settings) as connection:
        await Streams(connection).ensure_base()
        await Publisher(connection).publish(SUBJECT, b"a")
    process = left._process
    server = EmbeddedNats(tmp_path)
    server.start()
    try:
        assert process is not None
        assert process.wait(10) == 0
        async with connected(server.settings) as connection:
            assert await Streams(connection).inbox_lag() == {("shop", "orders"): 1}
    finally:
        server.stop()


async def _more_than(stored: set[bytes], count: int) -> bool:
    return len(stored) > count


async def test_a_batch_that_a_server_does_not_answer_is_sent_again_as_a_whole() -> None:
    """A server that hangs and comes back has what it read before it hung, once."""
    async with broker() as at:
        messages = [Outgoing(SUBJECT, b"%d" % number, str(number)) for number in range(500)]
        os.kill(at.server.pid or 0, signal.SIGSTOP)
        publishing = asyncio.create_task(at.publisher.publish_batch(messages))
        await asyncio.sleep(4)  # longer than one answer is waited for
        os.kill(at.server.pid or 0, signal.SIGCONT)
        resumed = time.monotonic()
        assert len(await publishing) == 500
        assert time.monotonic() - resumed < 5
        assert await at.streams.inbox_lag() == {("shop", "orders"): 500}
