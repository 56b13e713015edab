"""Messages of an MQTT broker: `spec.source.mqtt`, MQTT 5 or 3.1.1.

| attribute | of an event that the message is not itself |
| --- | --- |
| type | `dev.torpor.mqtt` |
| source | `mqtt://<host>:<port>` |
| subject | the topic |
| mqttqos | the QoS with which it came |
| mqttretained | true where it was retained before the subscription |

With MQTT 5, user properties named as a CloudEvent's attributes, `specversion` among them, make it
that event, and `traceparent` there is carried on. MQTT gives a message no identity: what is sent
again after a lost acknowledgement has another id.

The session outlives the connection, for a week, so the broker keeps what comes in between. A
message is acknowledged once it is stored. A QoS of 2 is asked of the broker as 1: its exactly-once
trusts in the reader's memory, which does not outlive the reader.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceAway, SourceMisconfigured, SourceWorld
from torpor.triggers.sources.access import (
    Address,
    Credentials,
    heed_cancellation,
    quieted,
    read_address,
    read_credentials,
    said_by,
    tls_context,
)
from torpor.triggers.sources.message import Facts, Message, attribute_text, content_of
from torpor.triggers.sources.settings import settings_of

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_SESSION_SECONDS: Final = 604_800
_KEEP_ALIVE_SECONDS: Final = 20
_ANSWER_SECONDS: Final = 10.0
_WINDOW: Final = 256
"""Messages that MQTT 5 sends before the first of them is acknowledged."""
_MOST_QUEUED: Final = 10_000
_TOPICS_POSITION: Final = "topics"
_LOGGER: Final = "torpor.triggers.sources.mqtt.client"
_REFUSED: Final = frozenset({4, 5, 133, 134, 135, 138, 140})
"""Reasons of a CONNACK that a person must see to: who we are, and what we may."""
_ATTRIBUTE: Final = re.compile("(?!data$)[a-z0-9]+")
_SUBSCRIPTION_FAILED: Final = 128


class Version(StrEnum):
    """The protocol that is spoken."""

    V3 = "3.1.1"
    V5 = "5"


_FORGOTTEN: Final[Mapping[Version, Mapping[str, Any]]] = {
    Version.V3: {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": True},
    Version.V5: {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": True},
}
"""The options of a session that ends with the connection, and an earlier one with it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read."""

    address: Address
    topics: tuple[str, ...]
    qos: int
    version: Version
    secret: str | None


class MqttSource:
    """Reads as one client, whose name is made of the Trigger: a broker allows it once."""

    exclusive = True

    def __init__(self, trigger: Trigger, world: SourceWorld, reading: Reading) -> None:
        self._trigger = trigger
        self._world = world
        self._reading = reading
        named = sha256(f"{trigger.key} {trigger.uid}".encode()).hexdigest()
        self._client_id = f"torpor-{named[:16]}"  # 23 characters: all that 3.1.1 promises

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield the messages that the broker kept, and those that come."""
        world, reading = self._world, self._reading
        credentials = await read_credentials(self._trigger, world.secrets, reading.secret)
        session = f"{self._client_id[7:]}-{int(world.wall() * 1e6):x}"
        with _explained(reading):
            kept = _kept(reading.version)
            async with _client(reading, credentials, self._client_id, kept) as client:
                heed_cancellation()
                await self._choose_topics(client)
                heed_cancellation()
                world.subscribed()
                numbers = itertools.count(1)
                async for message in client.messages:
                    yield self._received(client, message, f"{session}-{next(numbers)}")

    async def forget(self) -> None:
        """Let the broker forget the session of a Trigger that is deleted, and what waits in it."""
        reading = self._reading
        credentials = await read_credentials(self._trigger, self._world.secrets, reading.secret)
        with _explained(reading):
            async with _client(reading, credentials, self._client_id, _FORGOTTEN[reading.version]):
                heed_cancellation()

    async def _choose_topics(self, client: aiomqtt.Client) -> None:
        """Subscribe, and end what the session was subscribed to before the Trigger changed."""
        kept = await self._world.positions.get(self._trigger, _TOPICS_POSITION)
        topics = self._reading.topics
        old = sorted(set(json.loads(kept or b"[]")) - set(topics))
        if old:
            await client.unsubscribe(old)
        answers = await client.subscribe([(topic, min(self._reading.qos, 1)) for topic in topics])
        for topic, answer in zip(topics, list(answers), strict=True):
            _check_subscription(topic, answer)
        wanted = json.dumps(topics).encode()
        if wanted != kept:
            await self._world.positions.put(self._trigger, _TOPICS_POSITION, wanted)

    def _received(
        self, client: aiomqtt.Client, message: aiomqtt.Message, identifier: str
    ) -> Received:
        connection = client._client

        async def ack() -> None:
            if connection.ack(message.mid, message.qos) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise SourceAway(f"{self._reading.address.url}: gone before the acknowledgement")

        async def nak() -> None:
            connection.disconnect()  # the broker sends it again to who comes back

        topic = attribute_text(message.topic.value)
        facts = Facts(
            id=identifier,
            type="dev.torpor.mqtt",
            source=self._reading.address.url,
            subject=topic,
            extensions={
                "mqttqos": message.qos,
                **({"mqttretained": True} if message.retain else {}),
            },
        )
        return Received(content_of(_message(message), facts), ack, nak)


def open_source(trigger: Trigger, world: SourceWorld) -> MqttSource:
    """Return the source; SourceMisconfigured says what to write."""
    quieted(_LOGGER)
    with settings_of(trigger) as found:
        reading = Reading(
            address=read_address(found, _PORTS),
            topics=found.texts("topics"),
            qos=found.integer("qos", 1, low=0, high=2),
            version=found.choice("version", Version, Version.V5),
            secret=found.optional_text("secret"),
        )
    bad = [topic for topic in reading.topics if not _is_filter(topic)]
    if bad or not reading.topics:
        text = f"spec.source.mqtt.topics: {bad[0]!r} is none" if bad else "give topics"
        raise SourceMisconfigured(f"{text}: + stands for a whole level, # for all that follow")
    return MqttSource(trigger, world, reading)


def _is_filter(topic: str) -> bool:
    """Return whether it is a topic filter (MQTT 5, section 4.7)."""
    levels = topic.split("/")
    return (
        "\0" not in topic
        and 0 < len(topic.encode()) <= 65_535
        and all(level == "+" or "+" not in level for level in levels)
        and all("#" not in level for level in levels[:-1])
        and (levels[-1] == "#" or "#" not in levels[-1])
    )


def _kept(version: Version) -> Mapping[str, Any]:
    """Return the options of a session that outlives the connection."""
    if version is Version.V3:
        return {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _SESSION_SECONDS
    properties.ReceiveMaximum = _WINDOW
    protocol = aiomqtt.ProtocolVersion.V5
    return {"protocol": protocol, "clean_start": False, "properties": properties}


def _client(
    reading: Reading, credentials: Credentials, identifier: str, session: Mapping[str, Any]
) -> aiomqtt.Client:
    client = aiomqtt.Client(
        reading.address.host,
        reading.address.port,
        username=credentials.username,
        password=credentials.password,
        identifier=identifier,
        logger=logging.getLogger(_LOGGER),
        timeout=_ANSWER_SECONDS,
        keepalive=_KEEP_ALIVE_SECONDS,
        queue_type=_Arrivals,
        tls_context=tls_context(credentials) if reading.address.scheme == "mqtts" else None,
        **session,
    )
    client._client.manual_ack_set(True)
    return client


class _Arrivals(asyncio.Queue[aiomqtt.Message]):
    """What came and was not taken yet: QoS 0, which has no window, is dropped when it is full."""

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if item.qos > 0 or self.qsize() < _MOST_QUEUED:
            super().put_nowait(item)


def _message(message: aiomqtt.Message) -> Message:
    told: dict[str, Any] = {}
    if message.properties is not None:
        told = message.properties.json()  # type: ignore[no-untyped-call]
    headers = {str(name).lower(): value for name, value in told.get("UserProperty", ())}
    attributes = headers if "specversion" in headers else {}
    named = {name: value for name, value in attributes.items() if _ATTRIBUTE.fullmatch(name)}
    return Message(message.payload, told.get("ContentType"), named, headers)


def _check_subscription(topic: str, answer: object) -> None:
    code = answer.value if isinstance(answer, ReasonCode) else answer
    if not isinstance(code, int) or code >= _SUBSCRIPTION_FAILED:
        text = f"the broker refuses the topic {topic!r} ({answer}): let the source's user read it"
        raise SourceMisconfigured(text)


@contextmanager
def _explained(reading: Reading) -> Iterator[None]:
    """Say what the library's errors mean."""
    where = reading.address.url
    try:
        yield
    except aiomqtt.MqttCodeError as error:
        code = error.rc.value if isinstance(error.rc, ReasonCode) else error.rc
        if not isinstance(error, aiomqtt.exceptions.MqttConnectError) or code not in _REFUSED:
            raise SourceAway(f"{where}: {error}") from error
        text = f"{where}: {error}: put the right username and password into the source's secret"
        raise SourceMisconfigured(text) from error
    except (aiomqtt.MqttError, OSError) as error:
        raise SourceAway(f"{where}: {said_by(error)}") from error
