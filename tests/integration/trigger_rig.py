"""Triggers, events and a source of made-up things, for tests of the way into the inboxes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.servers.nats import Broker
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceWorld, Undecodable
from torpor.triggers.broker import names
from torpor.triggers.broker.leases import Leases
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.broker.publishing import Outgoing, ReservePublisher
from torpor.triggers.broker.pulling import Message, PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.definitions import Definitions
from torpor.triggers.event import Event, from_structured, make_event
from torpor.triggers.hops import Hops
from torpor.triggers.intake import IntakeParts
from torpor.triggers.router import RouterParts

UNTOLD = Hops(None, time.time)
"""Where no traces are sent."""


def manifest(name: str = "orders", **spec: Any) -> dict[str, Any]:
    """A Trigger in namespace shop; `spec` adds to a bus source and a Function target."""
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": {
            "source": {"bus": {"name": "main"}},
            "target": {"function": {"name": "handler"}},
            **spec,
        },
    }


def trigger(name: str = "orders", **spec: Any) -> Trigger:
    return Trigger.parse(manifest(name, **spec))


def event(number: int, data: Any = None, **attributes: Any) -> Event:
    return make_event(
        id=str(number),
        source="/test",
        type=attributes.pop("type", "test.made"),
        data={"n": number} if data is None else data,
        **attributes,
    )


@dataclass
class Made:
    """A source that yields what it is given, and remembers what was acknowledged."""

    contents: Iterable[Event | Undecodable]
    world: SourceWorld
    exclusive: bool = False
    acked: list[int] = field(default_factory=list)
    naked: list[int] = field(default_factory=list)

    async def subscribe(self) -> AsyncIterator[Received]:
        self.world.subscribed()
        for number, content in enumerate(self.contents):
            if number in self.acked:
                continue
            yield Received(
                content, self._noting(self.acked, number), self._noting(self.naked, number)
            )
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    def _noting(self, where: list[int], number: int) -> Any:
        async def note() -> None:
            where.append(number)

        return note


class NoSecrets:
    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        return {}


class NoPositions:
    async def get(self, trigger: Trigger, name: str) -> bytes | None:
        return None

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        return None


def world() -> SourceWorld:
    return SourceWorld(
        secrets=NoSecrets(),
        positions=NoPositions(),
        wall=time.time,
        sleep=asyncio.sleep,
        subscribed=lambda: None,
    )


def bury(trigger: Trigger, undecodable: Undecodable) -> Outgoing:
    return Outgoing(
        names.dead_subject(trigger.key.namespace, trigger.key.name),
        undecodable.raw,
        headers={"reason": undecodable.reason},
    )


def intake_parts(at: Broker) -> IntakeParts:
    return IntakeParts(
        publisher=at.publisher,
        objects=StreamObjects(at.connection),
        leases=Leases(at.connection, "test", clock=time.monotonic),
        bury=bury,
        clock=time.monotonic,
        chance=random.random,
        hops=UNTOLD,
    )


def router_parts(at: Broker, definitions: Definitions) -> RouterParts:
    return RouterParts(
        connection=at.connection,
        streams=at.streams,
        publisher=ReservePublisher(at.connection),
        objects=StreamObjects(at.connection),
        leases=Leases(at.connection, f"test-{random.random()}", clock=time.monotonic),
        clock=time.monotonic,
        caught_up=definitions.caught_up,
        hops=UNTOLD,
    )


async def inbox(at: Broker, name: str = "orders") -> list[Message]:
    """Take and acknowledge all that a Trigger's inbox holds."""
    spec = ConsumerSpec(
        names.INBOX_STREAM, names.consumer_name("shop", name), names.inbox_filter("shop", name)
    )
    consumer = PullConsumer(at.connection, at.streams, spec)
    found: list[Message] = []
    while messages := await consumer.fetch(500, 0.2):
        found += messages
        for message in messages:
            await message.ack()
    await consumer.close()
    return found


def numbered(message: Message) -> dict[str, Any]:
    """Return the data of a message's event, which is a JSON object."""
    data = from_structured(message.data).data
    assert isinstance(data, dict)
    return data


@contextlib.asynccontextmanager
async def running(*works: Any) -> AsyncIterator[None]:
    """Run coroutines beside the block."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work, name="rig") for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
