"""A Redis stream as a source, against a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.integration.source_rig import Rig
from tests.support.servers.certificates import certificates
from tests.support.servers.daemon import Daemon
from tests.support.servers.redis import needs_redis, redis_server
from tests.support.source_victim import killed_with
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.redis import open_source

pytestmark = needs_redis

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def rig(server: Daemon, **settings: Any) -> Rig:
    found = {"url": f"redis://127.0.0.1:{server.port}/0", "stream": "orders", **settings}
    return Rig(open_source, "redis", found)


async def add(server: Daemon, *entries: dict[Any, Any], stream: str = "orders") -> list[str]:
    client = redis.asyncio.Redis(port=server.port)
    try:
        return [_text(await client.xadd(stream, entry)) for entry in entries]
    finally:
        await client.aclose()


def _text(identifier: bytes | str) -> str:
    return identifier.decode() if isinstance(identifier, bytes) else identifier


async def test_an_entry_is_an_event_by_its_fields() -> None:
    async with redis_server() as server, rig(server).reading() as reader:
        await reader.subscribed()
        identifiers = await add(
            server,
            {"data": '{"n": 1}', "traceparent": TRACEPARENT},
            {"data": b"\xff\x00"},
            {"city": "Köln", "n": "3"},
            {"ce_specversion": "1.0", "ce_id": "a", "ce_source": "/shop", "ce_type": "made",
             "data": "5"},
            {"data": '{"specversion":"1.0","id":"b","source":"/shop","type":"made","data":6}'},
        )  # fmt: skip
        events = await reader.events(5)
    first = events[0]
    assert (first.id, first.type, first.subject) == (identifiers[0], "dev.torpor.redis", "orders")
    assert first.source == f"redis://127.0.0.1:{server.port}/0/orders"
    assert first.traceparent == TRACEPARENT
    assert [event.data for event in events] == [
        {"n": 1}, b"\xff\x00", {"city": "Köln", "n": "3"}, 5, 6,
    ]  # fmt: skip
    assert [(event.id, event.source) for event in events[3:]] == [("a", "/shop"), ("b", "/shop")]


async def test_what_is_no_event_comes_with_its_bytes_and_reading_goes_on() -> None:
    async with redis_server() as server, rig(server).reading() as reader:
        await reader.subscribed()
        await add(
            server,
            {"data": "{", "content-type": "application/cloudevents+json"},
            {"ce_id": "a", "data": "x"},
            {"b": b"\xff"},
            {"data": "1"},
        )
        raws = [(await reader.undecodable()).raw for _ in range(3)]
        (event,) = await reader.events(1)
    assert (raws, event.data) == ([b"{", b"x", b"b=\xff"], 1)


async def test_a_new_group_begins_where_it_is_told_and_then_where_it_was() -> None:
    async with redis_server() as server:
        await add(server, {"data": "1"})
        whole = rig(server, startAt="earliest", group="whole")
        async with whole.reading() as reader:
            assert [event.data for event in await reader.events(1)] == [1]
        await add(server, {"data": "2"})
        async with whole.reading() as reader:
            assert [event.data for event in await reader.events(1)] == [2]
        async with rig(server).reading() as reader:
            await reader.subscribed()
            await add(server, {"data": "3"})
            assert [event.data for event in await reader.events(1)] == [3]


async def test_what_was_not_acknowledged_comes_again() -> None:
    async with redis_server() as server:
        at = rig(server)
        async with at.reading() as reader:
            await reader.subscribed()
            await add(server, *({"data": str(n)} for n in range(300)))
            taken = await reader.take(300)
            for received in taken[:100]:
                await received.ack()
            await taken[100].nak()
            with pytest.raises(SourceAway, match="was not stored"):
                await reader.take(1)
        async with at.reading() as reader:
            assert [event.data for event in await reader.events(200)] == list(range(100, 300))


async def test_what_a_dead_reader_had_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torpor.triggers.sources.redis.CLAIM_IDLE_SECONDS", 0.5)
    async with redis_server() as server:
        client = redis.asyncio.Redis(port=server.port)
        at = rig(server, group="g")
        async with at.reading() as reader:
            await reader.subscribed()
        await add(server, {"data": "1"})
        await client.xreadgroup("g", "a-dead-one", {"orders": ">"})
        async with at.reading() as reader:
            assert [event.data for event in await reader.events(1)] == [1]
        assert (await client.xpending("orders", "g"))["pending"] == 0
        await client.aclose()


async def test_what_a_killed_reader_had_comes_again_before_what_is_newer() -> None:
    async with redis_server() as server:
        at = rig(server, startAt="earliest")
        await add(server, *({"data": str(n)} for n in range(20)))
        await killed_with("redis", at.settings, 20)
        await add(server, *({"data": str(n)} for n in range(20, 40)))
        async with at.reading() as reader:
            assert [event.data for event in await reader.events(40)] == list(range(40))


def test_one_process_reads_at_a_time() -> None:
    settings = {"url": "redis://127.0.0.1:6379/0", "stream": "orders"}
    at = Rig(open_source, "redis", settings)
    assert open_source(at.trigger, at.world()).exclusive


async def test_nothing_is_lost_when_the_server_is_killed_or_emptied() -> None:
    async with redis_server() as server:
        at = rig(server)
        async with at.reading() as reader:
            await reader.subscribed()
            await add(server, {"data": "1"})
            await reader.events(1)
            await server.kill()
            with pytest.raises(SourceAway):
                await reader.take(1)
        await server.start()
        await add(server, {"data": "2"})
        async with at.reading() as reader:
            assert (await reader.events(2))[-1].data == 2
            client = redis.asyncio.Redis(port=server.port)
            await client.flushall()
            await add(server, {"data": "3"})
            assert [event.data for event in await reader.events(1)] == [3]
        await client.flushall()
        await client.aclose()
        await add(server, {"data": "4"})
        async with at.reading() as reader:
            assert [event.data for event in await reader.events(1)] == [4]


async def test_what_somebody_must_change_is_said_without_the_password(tmp_path: Path) -> None:
    async with redis_server(password="right") as server:
        wrong = rig(server, secret="redis")
        wrong.secrets = {"redis": {"password": b"hunter2"}}
        async with wrong.reading() as reader:
            with pytest.raises(SourceMisconfigured, match="username and password") as told:
                await reader.take(1)
        assert "hunter2" not in str(told.value)
        with pytest.raises(SourceMisconfigured, match="Secret") as refused:
            async with rig(server, url=f"redis://:hunter2@127.0.0.1:{server.port}/0").reading():
                pass
        assert "hunter2" not in str(refused.value)
    async with redis_server() as server:
        client = redis.asyncio.Redis(port=server.port)
        await client.set("orders", "no stream")
        await client.aclose()
        async with rig(server).reading() as reader:
            with pytest.raises(SourceMisconfigured, match="WRONGTYPE"):
                await reader.take(1)


async def test_tls_with_a_certificate_of_ours(tmp_path: Path) -> None:
    made = certificates(tmp_path)
    async with redis_server(certificates=made) as server:
        at = rig(
            server, url=f"rediss://localhost:{server.port}", secret="redis", startAt="earliest"
        )
        at.secrets = {"redis": made.secret}
        async with at.reading() as reader:
            await reader.subscribed()
        at.secrets = {"redis": {}}
        async with at.reading() as reader:
            with pytest.raises(SourceAway, match="certificate"):
                await reader.subscribed()
