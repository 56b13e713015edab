"""A RabbitMQ queue as a source, against a real broker."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from tests.integration.source_rig import Rig
from tests.support.servers.certificates import certificates
from tests.support.servers.daemon import Daemon
from tests.support.servers.rabbitmq import needs_rabbitmq, rabbitmq
from tests.support.source_victim import killed_with
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.rabbitmq import open_source

pytestmark = needs_rabbitmq

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def rig(server: Daemon, **settings: Any) -> Rig:
    found = {"url": f"amqp://127.0.0.1:{server.port}", "queue": "orders", **settings}
    return Rig(open_source, "rabbitmq", found)


@contextlib.asynccontextmanager
async def administered(server: Daemon) -> AsyncIterator[AbstractChannel]:
    """A channel of a publisher that waits until the broker has what is published."""
    async with await aio_pika.connect(host="127.0.0.1", port=server.port) as connection:
        yield await connection.channel()


async def publish(channel: AbstractChannel, body: bytes, **properties: Any) -> None:
    properties.setdefault("delivery_mode", aio_pika.DeliveryMode.PERSISTENT)
    message = aio_pika.Message(body, **properties)
    await channel.default_exchange.publish(message, routing_key="orders")


async def test_what_messages_become_and_what_comes_again() -> None:
    async with rabbitmq() as server, administered(server) as channel:
        with pytest.raises(SourceMisconfigured, match="no such queue: declare it"):
            async with rig(server).reading() as reader:
                await reader.subscribed()
        queue = await channel.declare_queue("orders", durable=True)
        at = rig(server)
        made = {"cloudEvents:specversion": "1.0", "cloudEvents:id": "a", "cloudEvents:source": "/s",
                "cloudEvents:type": "t", "cloudEvents:time": datetime(2026, 1, 2, tzinfo=UTC),
                "cloudEvents:size": 3}  # fmt: skip
        async with at.reading() as reader:
            await reader.subscribed()
            await publish(
                channel,
                b'{"n": 1}',
                message_id="m-1",
                timestamp=datetime(2026, 1, 2, 3, tzinfo=UTC),
                headers={"traceparent": TRACEPARENT},
            )
            await publish(channel, b"\xff")
            await publish(channel, b"2", headers=made, content_type="application/json")
            await publish(channel, b"{", content_type="application/json")
            await publish(channel, b"x", headers={"ce-id": "no type"})
            await publish(channel, b"text", content_type="text/plain")
            first, raw, event = await reader.events(3)
            broken = [(await reader.undecodable()).raw for _ in range(2)]
            (text,) = await reader.events(1)
        assert (first.id, first.type, first.subject) == ("m-1", "dev.torpor.rabbitmq", "orders")
        assert first.source == f"amqp://127.0.0.1:{server.port}/%2F/orders"
        assert (first.data, first.time) == ({"n": 1}, "2026-01-02T03:00:00Z")
        assert first.traceparent == TRACEPARENT
        assert (raw.data, raw.datacontenttype) == (b"\xff", "application/octet-stream")
        assert (event.id, event.source, event.data, event.attributes["size"]) == ("a", "/s", 2, 3)
        assert event.time == "2026-01-02T00:00:00Z"
        assert (broken, text.data) == ([b"{", b"x"], "text")

        async with at.reading() as reader:
            await reader.subscribed()
            for number in range(300):  # more than what is taken before the first is acknowledged
                await publish(channel, str(number).encode())
            taken = await reader.take(256)
            for received in taken[:100]:
                await received.ack()
            await taken[100].nak()
        async with at.reading() as reader:
            again = await reader.events(200)
        assert {event.data for event in again} == set(range(100, 300))
        assert again[0].attributes["redelivered"] is True

        for number in range(20):
            await publish(channel, str(number).encode())
        await killed_with("rabbitmq", at.settings, 20)
        for number in range(20, 40):
            await publish(channel, str(number).encode())
        async with at.reading() as reader:
            again = await reader.events(40)
        assert [event.data for event in again] == list(range(40))

        async with at.reading() as reader:
            await reader.subscribed()
            await queue.delete(if_empty=False, if_unused=False)
            with pytest.raises(SourceAway, match="deleted the queue"):
                await reader.take(1)


async def test_nothing_is_lost_when_the_broker_is_killed_and_started_again() -> None:
    async with rabbitmq() as server:
        async with administered(server) as channel:
            await channel.declare_queue("orders", durable=True)
            for number in range(100):
                await publish(channel, str(number).encode())
        at = rig(server)
        async with at.reading() as reader:
            found = {event.data for event in await reader.events(10)}
            taken = await reader.take(1)
            await server.kill()
            with pytest.raises(SourceAway):
                await reader.take(200)
            with pytest.raises(SourceAway):
                await taken[0].ack()
        async with at.reading() as reader:
            with pytest.raises(SourceAway):
                await reader.subscribed()
        await server.start()
        async with at.reading() as reader:
            while len(found) < 100:
                found |= {event.data for event in await reader.events(1)}
        assert found == set(range(100))

        at.settings = {**at.settings, "secret": "rabbit"}
        at.secrets = {"rabbit": {"username": b"guest", "password": b"hunter2"}}
        async with at.reading() as reader:
            with pytest.raises(SourceMisconfigured, match="username and password") as told:
                await reader.subscribed()
        assert "hunter2" not in str(told.value)
        async with rig(server, url=f"amqp://127.0.0.1:{server.port}/nowhere").reading() as reader:
            with pytest.raises(SourceMisconfigured, match="virtual host 'nowhere'"):
                await reader.subscribed()


async def test_tls_with_a_certificate_of_ours(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    user = {"username": b"guest", "password": b"guest"}
    async with rabbitmq(made) as server:
        url = f"amqps://localhost:{server.port}"
        context = ssl.create_default_context(cafile=str(made.ca))
        context.load_cert_chain(made.client, made.client_key)
        async with await aio_pika.connect(
            host="localhost", port=server.port, ssl=True, ssl_context=context
        ) as connection:
            channel = await connection.channel()
            await channel.declare_queue("orders", durable=True)
            await publish(channel, b"1")
        at = rig(server, url=url, secret="rabbit")
        at.secrets = {"rabbit": {**user, "ca.crt": made.ca.read_bytes()}}
        async with at.reading() as reader:
            with pytest.raises((SourceAway, SourceMisconfigured)):
                await reader.subscribed()
        at.secrets = {"rabbit": {**user, **made.secret}}
        async with at.reading() as reader:
            (event,) = await reader.events(1)
    assert event.data == 1


@pytest.mark.parametrize(("ordering", "one_reader"), [(None, False), ("data.k", True)])
def test_one_process_reads_at_a_time_where_order_matters(
    ordering: str | None, one_reader: bool
) -> None:
    at = Rig(open_source, "rabbitmq", {"url": "amqp://127.0.0.1:5672", "queue": "orders"})
    trigger = replace(at.trigger, ordering_key=ordering)
    assert open_source(trigger, at.world()).exclusive is one_reader
