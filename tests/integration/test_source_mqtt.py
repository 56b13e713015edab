"""MQTT as a source, against mosquitto and NATS's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.source_rig import Rig
from tests.support.servers.certificates import certificates
from tests.support.servers.mosquitto import mosquitto, needs_mosquitto
from tests.support.servers.nats import nats_server, needs_nats
from tests.support.source_victim import killed_with
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.mqtt import open_source

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
VERSIONS = pytest.mark.parametrize("version", ["3.1.1", "5"])


def rig(port: int, *topics: str, **settings: Any) -> Rig:
    found = {"url": f"mqtt://127.0.0.1:{port}", "topics": list(topics), **settings}
    return Rig(open_source, "mqtt", found)


@contextlib.asynccontextmanager
async def publisher(port: int, **options: Any) -> AsyncIterator[aiomqtt.Client]:
    options = {"protocol": aiomqtt.ProtocolVersion.V5, **options}
    async with aiomqtt.Client("127.0.0.1", port, **options) as client:
        yield client


def said(content_type: str | None = None, **user: str) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if content_type is not None:
        properties.ContentType = content_type
    properties.UserProperty = list(user.items())
    return properties


@needs_mosquitto
@VERSIONS
async def test_wildcards_every_qos_and_retained(version: str) -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        await client.publish("plant/1/state", b"old", qos=1, retain=True)
        at = rig(server.port, "plant/+/state", "alarm/#", qos=2, version=version)
        async with at.reading() as reader:
            (retained,) = await reader.events(1)
            for qos in (0, 1, 2):
                await client.publish("plant/2/state", json.dumps({"qos": qos}), qos=qos)
                await client.publish("plant/2/other", b"nobody asked", qos=qos)
            await client.publish("alarm/fire/hall", b"\xff", qos=1)
            events = await reader.events(4)
    assert (retained.subject, retained.data) == ("plant/1/state", "old")
    assert retained.attributes["mqttretained"] is True
    assert (retained.type, retained.source) == (
        "dev.torpor.mqtt",
        f"mqtt://127.0.0.1:{server.port}",
    )
    assert [event.data for event in events] == [{"qos": 0}, {"qos": 1}, {"qos": 2}, b"\xff"]
    assert [event.attributes["mqttqos"] for event in events] == [0, 1, 1, 1]
    assert [event.subject for event in events[2:]] == ["plant/2/state", "alarm/fire/hall"]
    assert len({event.id for event in events}) == 4


async def retained(client: aiomqtt.Client, topic: str) -> None:
    """Wait until the broker has kept what was published; NATS does so after it says it has it."""
    async with asyncio.timeout(20):
        while True:
            await client.subscribe(topic)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    if (await anext(aiter(client.messages))).retain:
                        return


@needs_nats
async def test_the_mqtt_of_nats_which_is_killed() -> None:
    async with nats_server(sync_interval="always", mqtt_port=0) as server:
        port = server.mqtt_port
        assert port is not None
        at = rig(port, "plant/+/state", "alarm/#", qos=2, version="3.1.1", secret="nats")
        at.secrets = {"nats": {"username": b"any", "password": server.token.encode()}}
        options: dict[str, Any] = {"username": "any", "password": server.token}
        options["protocol"] = aiomqtt.ProtocolVersion.V311
        async with publisher(port, **options) as client:
            await client.publish("plant/1/state", b"old", qos=1, retain=True)
            await retained(client, "plant/1/state")
            async with at.reading() as reader:
                first = await reader.events(1)
                for qos in (0, 1, 2):
                    await client.publish("alarm/fire", str(qos), qos=qos)
                assert {event.data for event in await reader.events(3)} == {0, 1, 2}
            await client.publish("alarm/fire", b"3", qos=1)
        assert first[0].attributes["mqttretained"] is True
        server.kill()
        async with at.reading() as reader:
            with pytest.raises(SourceAway):
                await reader.subscribed()
        await asyncio.to_thread(server.start)
        later: set[Any] = set()
        async with at.reading() as reader:
            while 3 not in later:
                later |= {event.data for event in await reader.events(1)}
        at.secrets = {"nats": {"username": b"any", "password": b"hunter2"}}
        async with at.reading() as reader:
            with pytest.raises(SourceMisconfigured, match="username and password"):
                await reader.subscribed()


@needs_mosquitto
async def test_user_properties_carry_a_cloudevent_and_the_trace() -> None:
    structured = {"specversion": "1.0", "id": "b", "source": "/s", "type": "t", "data": 2}
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "#")
        async with at.reading() as reader:
            await reader.subscribed()
            made = said(specversion="1.0", id="a", source="/s", type="t", MyOwn="x")
            await client.publish("a", b"1", properties=made)
            kind = said("application/cloudevents+json; charset=utf-8")
            await client.publish("a", json.dumps(structured), properties=kind)
            traced = said("text/plain", traceparent=TRACEPARENT, tracestate="a=b")
            await client.publish("a", b"3", properties=traced)
            binary, whole, plain = await reader.events(3)
    assert (binary.id, binary.type, binary.source, binary.data) == ("a", "t", "/s", 1)
    assert (whole.id, whole.type, whole.source, whole.data) == ("b", "t", "/s", 2)
    assert (plain.data, plain.datacontenttype) == ("3", "text/plain")
    assert (plain.traceparent, plain.attributes["tracestate"]) == (TRACEPARENT, "a=b")


@needs_mosquitto
async def test_what_is_no_event_comes_with_its_bytes_and_reading_goes_on() -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "#")
        async with at.reading() as reader:
            await reader.subscribed()
            await client.publish("a", b"{", properties=said("application/json"))
            await client.publish("a", b"1", properties=said(specversion="1.0", id="a"))
            await client.publish("a", b"2")
            raws = [(await reader.undecodable()).raw for _ in range(2)]
            (event,) = await reader.events(1)
    assert (raws, event.data) == ([b"{", b"1"], 2)


@needs_mosquitto
@VERSIONS
async def test_what_was_not_acknowledged_comes_again_and_what_came_meanwhile(version: str) -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "n", version=version)
        async with at.reading() as reader:
            await reader.subscribed()
            for number in range(10):
                await client.publish("n", str(number), qos=1)
            taken = await reader.take(10)
            for received in taken[:4]:
                await received.ack()
            await taken[4].nak()
            with pytest.raises(SourceAway):
                await reader.take(1)
        await client.publish("n", b"10", qos=2)
        async with at.reading() as reader:
            assert [event.data for event in await reader.events(7)] == list(range(4, 11))


@needs_mosquitto
@VERSIONS
async def test_what_a_killed_reader_had_comes_again(version: str) -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "n", version=version)
        async with at.reading() as reader:
            await reader.subscribed()
        for number in range(20):
            await client.publish("n", str(number), qos=2)
        await killed_with("mqtt", at.settings, 20)
        for number in range(20, 40):
            await client.publish("n", str(number), qos=2)
        async with at.reading() as reader:
            found = [*await reader.events(20), *await reader.events(20)]  # 20 are in flight
        assert [event.data for event in found] == list(range(40))


@needs_mosquitto
@VERSIONS
async def test_nothing_is_lost_when_the_broker_is_stopped_and_started_again(version: str) -> None:
    async with mosquitto() as server:
        at = rig(server.port, "n", version=version)
        async with at.reading() as reader:
            await reader.subscribed()
            async with publisher(server.port) as client:
                for number in range(100):
                    await client.publish("n", str(number), qos=1)
            first = [event.data for event in await reader.events(10)]
            await server.stop()  # killed, mosquitto itself forgets what it took last
            with pytest.raises(SourceAway):
                await reader.take(200)
        await server.start()
        async with publisher(server.port) as client:
            for number in range(100, 150):
                await client.publish("n", str(number), qos=2)
        found = set(first)
        async with at.reading() as reader:
            while len(found) < 150:
                found |= {event.data for event in await reader.events(1)}
    assert found == set(range(150))


@needs_mosquitto
async def test_topics_that_a_trigger_no_longer_names_end() -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "old", "kept")
        async with at.reading() as reader:
            await reader.subscribed()
        at.settings = {**at.settings, "topics": ["kept"]}
        async with at.reading() as reader:
            await reader.subscribed()
            await client.publish("old", b"1", qos=1)
            await client.publish("kept", b"2", qos=1)
            assert [event.subject for event in await reader.events(1)] == ["kept"]


@needs_mosquitto
@VERSIONS
async def test_a_deleted_triggers_session_is_forgotten(version: str) -> None:
    async with mosquitto() as server, publisher(server.port) as client:
        at = rig(server.port, "n", version=version)
        async with at.reading() as reader:
            await reader.subscribed()
        await client.publish("n", b"1", qos=1)
        await open_source(at.trigger, at.world()).forget()
        async with at.reading() as reader:
            await reader.subscribed()
            await client.publish("n", b"2", qos=1)
            assert [event.data for event in await reader.events(1)] == [2]


@needs_mosquitto
@VERSIONS
async def test_what_somebody_must_change_is_said_without_the_password(version: str) -> None:
    async with mosquitto(users={"torpor": "right"}) as server:
        at = rig(server.port, "#", version=version, secret="mqtt")
        at.secrets = {"mqtt": {"username": b"torpor", "password": b"hunter2"}}
        async with at.reading() as reader:
            with pytest.raises(SourceMisconfigured, match="username and password") as told:
                await reader.subscribed()
        assert "hunter2" not in str(told.value)
        at.secrets = {"mqtt": {"username": b"torpor", "password": b"right"}}
        async with at.reading() as reader:
            await reader.subscribed()


@pytest.mark.parametrize("topic", ["a/#/b", "a+", "#a", ""])
async def test_a_topic_that_is_none_is_refused(topic: str) -> None:
    with pytest.raises(SourceMisconfigured, match="topics"):
        async with rig(1883, topic).reading():
            pass


async def test_a_url_with_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(SourceMisconfigured, match="Secret") as told:
        async with rig(1883, "a", url="mqtt://me:hunter2@broker").reading():
            pass
    assert "hunter2" not in str(told.value)


@needs_mosquitto
async def test_a_broker_that_is_not_there_is_away_and_tls_asks_for_our_certificate(
    tmp_path: Path,
) -> None:
    made = certificates(tmp_path)
    async with mosquitto(certificates=made) as server:
        at = rig(server.port, "a", url=f"mqtts://localhost:{server.port}", secret="mqtt")
        at.secrets = {"mqtt": made.secret}
        async with at.reading() as reader:
            await reader.subscribed()
        await server.stop()
        async with at.reading() as reader:
            with pytest.raises(SourceAway, match="refused"):
                await reader.subscribed()
