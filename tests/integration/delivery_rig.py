"""The deliveries of a process against a real broker and real Functions."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.integration.trigger_rig import UNTOLD, manifest
from tests.support.servers.function import Functions
from tests.support.servers.nats import Broker, until
from torpor.invoke import Invoker, Retry
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.streams import Streams
from torpor.triggers.claims import check_in
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.capacity import Capacity, UnknownCapacity
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.delivery.parts import DeliveryParts, NoResults, Results, delivery_parts
from torpor.triggers.delivery.targets import TargetWorld
from torpor.triggers.delivery.workflow_target import StartsExecutions
from torpor.triggers.event import Event
from torpor.triggers.inbox import enter, entrance
from torpor.triggers.queue_partitions import QueuePartitions

QUICK = {"backoff": {"initialSeconds": 0.01, "maxSeconds": 0.05, "jitter": 0}}
"""`delivery` with pauses that tests can wait for."""


def definition(
    name: str = "orders", facts: Mapping[str, Any] | None = None, **spec: Any
) -> Definition:
    """A Trigger in force."""
    obj = manifest(name, **spec)
    return Definition(Trigger.parse(obj), facts or {}, 0.0, 0, 1, obj)


@dataclass(frozen=True)
class Outside:
    """What deliveries use that a test may want otherwise."""

    ack_wait_seconds: float = 30.0
    capacity: Capacity = field(default_factory=UnknownCapacity)
    results: Results = field(default_factory=NoResults)
    engine: StartsExecutions | None = None


@contextlib.asynccontextmanager
async def parts_for(
    connection: Connection, url: str, outside: Outside
) -> AsyncIterator[DeliveryParts]:
    """What deliveries need, with a client of the Functions at `url`."""
    streams, publisher = Streams(connection), Publisher(connection)
    async with Invoker(url, retry=Retry(attempts=1)) as invoker:
        world = TargetWorld(
            invoker,
            outside.engine,
            streams,
            publisher,
            StreamObjects(connection),
            QueuePartitions(),
        )
        yield delivery_parts(
            connection,
            world,
            outside.capacity,
            outside.results,
            UNTOLD,
            ack_wait_seconds=outside.ack_wait_seconds,
            wall=time.time,
            clock=time.monotonic,
            chance=random.random,
        )


@contextlib.asynccontextmanager
async def delivering(
    at: Broker,
    to: Functions,
    *definitions: Definition,
    outside: Outside = Outside(),
) -> AsyncIterator[Deliveries]:
    """Deliver these Triggers beside the block."""
    async with parts_for(at.connection, to.url, outside) as parts:
        deliveries = Deliveries(parts)
        for each in definitions:
            parts.world.partitions.heed(each.trigger.key, each)
            deliveries.heed(each.trigger.key, each)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliveries.run(), name="deliveries")
            try:
                yield deliveries
            finally:
                deliveries.drain(0.5)


async def put(at: Broker, into: Definition, events: Iterable[Event]) -> None:
    """Put events into a Trigger's inbox, as its source would."""
    way = entrance(into.trigger)
    objects = StreamObjects(at.connection)
    await enter(at.publisher, [way.message(each, await check_in(each, objects)) for each in events])


async def dead(at: Broker, count: int) -> list[dict[str, Any]]:
    """Wait for that many dead letters, and return them."""

    async def there() -> bool:
        state = await at.streams.state(names.DEAD_STREAM)
        return state is not None and state.messages >= count

    await until(there, 20)
    return [orjson.loads(data) for data in await stored(at, names.DEAD_STREAM)]


async def stored(at: Broker, stream: str) -> Sequence[bytes]:
    """Return all that a stream holds."""
    from torpor.triggers.broker.reading import read_from

    found = []
    seq = 1
    while (message := await read_from(at.connection, stream, ">", seq)) is not None:
        found.append(message.data)
        seq = message.seq + 1
    return found


async def called(to: Functions, count: int, seconds: float = 20.0) -> None:
    """Wait until that many requests have come."""

    async def there() -> bool:
        return len(to.calls) >= count

    await until(there, seconds)


def key(name: str = "orders") -> FunctionKey:
    return FunctionKey("shop", name)
