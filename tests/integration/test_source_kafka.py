"""Kafka topics as a source, against a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]

from tests.integration.source_rig import Rig
from tests.support.servers.kafka import Kafka, kafka, needs_kafka
from tests.support.source_victim import killed_with
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.event import Event
from torpor.triggers.sources.kafka import open_source

pytestmark = needs_kafka

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def rig(at: Kafka, topic: str, **settings: Any) -> Rig:
    return Rig(open_source, "kafka", {"brokers": [at.address], "topics": [topic], **settings})


async def make(at: Kafka, topic: str, partitions: int = 1) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=at.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, partitions, 1)])
    await admin.close()


@contextlib.asynccontextmanager
async def producer(at: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    client = AIOKafkaProducer(bootstrap_servers=at.address, acks="all", request_timeout_ms=30_000)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@pytest.fixture(scope="module")
def at() -> Iterator[Kafka]:
    """One broker for all tests: it takes seconds to start."""
    with asyncio.Runner() as runner:
        running = kafka()
        yield runner.run(running.__aenter__())
        runner.run(running.__aexit__(None, None, None))


@pytest.fixture
async def client(at: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    async with producer(at) as made:
        yield made


async def test_what_records_become(at: Kafka, client: AIOKafkaProducer) -> None:
    await make(at, "orders")
    made = [("ce_specversion", b"1.0"), ("ce_id", b"a"), ("ce_source", b"/s"), ("ce_type", b"t"),
            ("content-type", b"application/json")]  # fmt: skip
    structured = {"specversion": "1.0", "id": "b", "source": "/s", "type": "t", "data": 3}
    kind = [("content-type", b"application/cloudevents+json")]
    async with rig(at, "orders").reading() as reader:
        await reader.subscribed()
        send = client.send_and_wait
        traced = [("traceparent", TRACEPARENT.encode())]
        await send("orders", b'{"n": 1}', key=b"k", headers=traced)
        await send("orders", b"2", key=b"k", headers=made)
        await send("orders", json.dumps(structured).encode(), headers=kind)
        await send("orders", b"\xff", key=b"\xfe")
        await send("orders", None, key=b"gone")
        first, binary, whole, raw, tombstone = await reader.events(5)
        await send("orders", b"{", headers=kind)
        await send("orders", b"x", headers=made[:2])
        broken = [(await reader.undecodable()).raw for _ in range(2)]
    assert (first.id, first.type, first.subject) == ("orders/0/0", "dev.torpor.kafka", "k")
    assert (first.source, first.data) == (f"kafka://{at.address}/orders", {"n": 1})
    assert (first.traceparent, first.attributes["partitionkey"]) == (TRACEPARENT, "k")
    assert (binary.id, binary.source, binary.data) == ("a", "/s", 2)
    assert binary.attributes["partitionkey"] == "k"
    assert (whole.id, whole.data) == ("b", 3)
    assert (raw.data, raw.subject, raw.datacontenttype) == (
        b"\xff",
        "fe",
        "application/octet-stream",
    )
    assert (tombstone.subject, tombstone.datacontenttype) == ("gone", None)
    assert broken == [b"{", b"x"]


async def test_a_group_begins_where_it_is_told_and_once(
    at: Kafka, client: AIOKafkaProducer
) -> None:
    await make(at, "begins")
    await client.send_and_wait("begins", b"0")
    latest = rig(at, "begins", group="latest")
    async with latest.reading() as reader:
        await reader.subscribed()
    await client.send_and_wait("begins", b"1")
    async with latest.reading() as reader:  # it had read nothing, and yet had begun
        assert [event.data for event in await reader.events(1)] == [1]
    async with rig(at, "begins", group="earliest", startAt="earliest").reading() as reader:
        assert [event.data for event in await reader.events(2)] == [0, 1]


async def test_what_was_not_acknowledged_comes_again(at: Kafka, client: AIOKafkaProducer) -> None:
    await make(at, "again")
    source = rig(at, "again", startAt="earliest")
    for number in range(100):
        await client.send("again", str(number).encode())
    await client.flush()
    async with source.reading() as reader:
        taken = await reader.take(100)
        for received in taken[:40]:
            await received.ack()
        await taken[40].nak()
        with pytest.raises(SourceAway, match="was not stored"):
            await reader.take(1)
    async with source.reading() as reader:
        again = await reader.events(60)
    assert [event.data for event in again] == list(range(40, 100))
    assert again[0].id == "again/0/40"


async def test_each_key_is_in_order_over_rebalances(at: Kafka, client: AIOKafkaProducer) -> None:
    await make(at, "keys", partitions=4)
    source = rig(at, "keys", startAt="earliest")
    found: list[Event] = []
    async with source.reading() as first:
        await first.subscribed()
        async with source.reading() as second:
            await second.subscribed()
            for number in range(400):
                key = f"k{number % 8}".encode()
                await client.send("keys", str(number).encode(), key=key)
            await client.flush()
            found += await second.events(20)
        while len({event.id for event in found}) < 400:
            found += await first.events(1)
    by_key: dict[str, list[Any]] = {}
    seen: set[str] = set()
    for event in found:
        if event.id not in seen:
            by_key.setdefault(str(event.subject), []).append(event.data)
        seen.add(event.id)
    assert by_key == {f"k{n}": list(range(n, 400, 8)) for n in range(8)}


async def test_what_somebody_must_change_is_said_without_the_password(at: Kafka) -> None:
    await make(at, "guarded")
    with pytest.raises(SourceMisconfigured, match="no topic 'nowhere': make it"):
        async with rig(at, "nowhere").reading() as reader:
            await reader.subscribed()
    settings = {"brokers": [f"127.0.0.1:{at.sasl_port}"], "sasl": "PLAIN", "secret": "kafka"}
    known = rig(at, "guarded", **settings)
    known.secrets = {"kafka": {"username": b"torpor", "password": b"right"}}
    async with known.reading() as reader:
        await reader.subscribed()
    known.secrets = {"kafka": {"username": b"torpor", "password": b"hunter2"}}
    async with known.reading() as reader:
        with pytest.raises(SourceMisconfigured, match="username and password") as told:
            await reader.subscribed()
    assert "hunter2" not in str(told.value)
    secured = rig(at, "guarded", brokers=[f"localhost:{at.tls_port}"], tls=True, secret="tls")
    secured.secrets = {"tls": at.certificates.secret}
    async with secured.reading() as reader:
        await reader.subscribed()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_scram_over_tls_lets_in_who_knows_the_password(
    at: Kafka, client: AIOKafkaProducer, mechanism: str
) -> None:
    topic = mechanism.lower()
    await make(at, topic)
    await client.send_and_wait(topic, b"1")
    brokers = [f"localhost:{at.scram_port}"]
    settings = {"brokers": brokers, "tls": True, "sasl": mechanism, "secret": "kafka"}
    known = rig(at, topic, startAt="earliest", **settings)
    user = {**at.certificates.secret, "username": b"torpor"}
    known.secrets = {"kafka": {**user, "password": b"hunter2"}}
    async with known.reading() as reader:
        with pytest.raises(SourceMisconfigured, match="username and password") as told:
            await reader.subscribed()
    assert "hunter2" not in str(told.value)
    known.secrets = {"kafka": {**user, "password": b"right"}}
    async with known.reading() as reader:
        (event,) = await reader.events(1)
    assert event.data == 1


async def test_what_a_killed_reader_had_comes_again(at: Kafka, client: AIOKafkaProducer) -> None:
    await make(at, "victim")
    source = rig(at, "victim", startAt="earliest")
    for number in range(20):
        await client.send_and_wait("victim", str(number).encode())
    await killed_with("kafka", source.settings, 20)
    async with source.reading() as reader:
        assert [event.data for event in await reader.events(20)] == list(range(20))


async def test_nothing_is_lost_when_the_broker_is_killed_and_started_again(at: Kafka) -> None:
    await make(at, "killed")
    source = rig(at, "killed", startAt="earliest")
    async with source.reading() as reader:
        await reader.subscribed()
        async with producer(at) as client:
            for number in range(50):
                await client.send("killed", str(number).encode())
            await client.flush()
        found = {event.data for event in await reader.events(10)}
        await at.daemon.kill()
        with pytest.raises(SourceAway):
            await reader.take(1000)
    async with source.reading() as reader:
        with pytest.raises(SourceAway):
            await reader.subscribed()
    await at.daemon.start()
    async with producer(at) as client:
        for number in range(50, 60):
            await client.send_and_wait("killed", str(number).encode())
    async with source.reading() as reader:
        while len(found) < 60:
            found |= {event.data for event in await reader.events(1)}
    assert found == set(range(60))
