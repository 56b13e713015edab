"""The leader of the inboxes is killed while events are stored: none acknowledged is lost."""

from __future__ import annotations

import asyncio

from tests.chaos.report import Faults
from tests.support.servers.nats import needs_nats, until
from tests.support.servers.nats_cluster import NatsCluster, nats_cluster
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection, connected
from torpor.triggers.broker.kv import Bucket, Entry
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.broker.watching import watch

pytestmark = needs_nats
SUBJECT = names.inbox_subject("shop", "orders")
PUBLISHERS, EACH = 20, 100


async def test_a_killed_leader_costs_seconds_and_no_event(faults: Faults) -> None:
    stored: list[str] = []
    async with nats_cluster() as cluster, connected(cluster.settings) as connection:
        streams = Streams(connection)
        await until(lambda: _made(streams), 60)
        bucket = Bucket(connection, "test_watched")
        await bucket.put("a", b"1")
        lists = watch(connection, bucket)
        assert [entry.key for entry in await anext(lists)] == ["a"]
        async with asyncio.TaskGroup() as tasks:
            for number in range(PUBLISHERS):
                work = _publish(Publisher(connection), number, stored)
                tasks.create_task(work, name=f"publisher {number}")
            await until(lambda: _more_than(stored, PUBLISHERS * EACH // 4), 30)
            killed = await _kill_leader(cluster, connection)
        cluster.start(killed)
        second = await bucket.put("b", b"2")
        assert await anext(lists) == [Entry("b", b"2", second)]
        await lists.aclose()
        assert sorted(await _drained(connection, streams)) == sorted(stored)
    assert len(stored) == PUBLISHERS * EACH
    faults.add("leader of the inboxes killed", 1, f"none of {len(stored)} that were acknowledged")


async def _made(streams: Streams) -> bool:
    try:
        await streams.ensure_base()
    except BrokerAway:
        return False
    return True


async def _publish(publisher: Publisher, number: int, stored: list[str]) -> None:
    for count in range(EACH):
        name = f"{number}.{count}"
        await publisher.publish(SUBJECT, name.encode(), msg_id=name, deadline_seconds=40)
        stored.append(name)


async def _more_than(stored: list[str], count: int) -> bool:
    return len(stored) > count


async def _kill_leader(cluster: NatsCluster, connection: Connection) -> int:
    found = await call(connection, f"STREAM.INFO.{names.INBOX_STREAM}")
    number = int(found["cluster"]["leader"].removeprefix("n"))
    await asyncio.to_thread(cluster.kill, number)
    return number


async def _drained(connection: Connection, streams: Streams) -> list[str]:
    spec = ConsumerSpec(
        names.INBOX_STREAM,
        names.consumer_name("shop", "orders"),
        names.inbox_filter("shop", "orders"),
    )
    consumer, found = PullConsumer(connection, streams, spec), []
    while messages := await consumer.fetch(500, 3):
        found += [message.data.decode() for message in messages]
        for message in messages:
            await message.ack()
    return found
