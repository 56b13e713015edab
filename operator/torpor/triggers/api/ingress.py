"""Events into buses, queues and the inboxes of Triggers: what every way in comes down to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import EVENTS_PUBLISHED
from torpor.telemetry.tracing import Kind
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.places import Places
from torpor.triggers.broker import names
from torpor.triggers.broker.link import NoResponders
from torpor.triggers.broker.publishing import Outgoing, Publish, Stored
from torpor.triggers.claims import check_in
from torpor.triggers.event import Event
from torpor.triggers.hops import Stage
from torpor.triggers.inbox import Entrance, enter

_PUBLISH_SECONDS = 8.0
"""A little longer than the election of a leader takes."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that is safe; `duplicate`: it was so before."""

    event: Event
    duplicate: bool


class Ingress:
    """Publishes events. All methods raise BrokerAway, BrokerRefused and InvalidName.

    Also ObjectTooLarge, MessageTooLarge and MalformedEvent for what cannot be stored, and Refused
    when there are too many buses and queues.
    """

    def __init__(self, parts: ApiParts, places: Places) -> None:
        self._parts = parts
        self._places = places

    async def to_bus(self, bus: FunctionKey, events: Sequence[Event]) -> list[Accepted]:
        """Publish to a bus, which is made if need be; they are in it in the order given."""
        subject = names.bus_subject(bus.namespace, bus.name)

        def address(_: Event) -> str:
            return subject

        stream = names.bus_stream(bus.namespace, bus.name)
        stage = self._parts.hops.stage(f"publish {bus}", Kind.SERVER)
        messages = await self._messages(events, address, stage)
        publish = self._parts.publisher.publish_in_order
        stored = await self._publish(lambda: self._places.bus(bus), stream, messages, publish)
        stage.ended()
        EVENTS_PUBLISHED.labels("bus").inc(len(stored))
        return _accepted(events, stored)

    async def to_queue(self, queue: FunctionKey, events: Sequence[Event]) -> list[Accepted]:
        """Publish to a queue, which is made if need be."""

        def address(event: Event) -> str:
            partition = self._parts.partitions.partition(queue, event)
            return names.queue_subject(queue.namespace, queue.name, partition)

        stream = names.queue_stream(queue.namespace, queue.name)
        stage = self._parts.hops.stage(f"publish {queue}", Kind.SERVER)
        messages = await self._messages(events, address, stage)
        publisher, ordered = self._parts.publisher, self._parts.partitions.ordered(queue)
        publish = publisher.publish_in_order if ordered else publisher.publish_batch
        stored = await self._publish(lambda: self._places.queue(queue), stream, messages, publish)
        stage.ended()
        EVENTS_PUBLISHED.labels("queue").inc(len(stored))
        return _accepted(events, stored)

    async def to_inbox(self, entrance: Entrance, event: Event) -> None:
        """Store an event that a Trigger's filter lets pass."""
        encoded = await check_in(event, self._parts.objects)
        stage = self._parts.hops.stage(f"take {entrance.trigger.key}", Kind.SERVER)
        message = entrance.message(event, encoded, stage.passes(event))
        await enter(self._parts.publisher, [message])
        stage.ended()
        EVENTS_PUBLISHED.labels("inbox").inc()

    async def _messages(
        self, events: Sequence[Event], address: Callable[[Event], str], stage: Stage
    ) -> list[Outgoing]:
        return [
            Outgoing(
                address(event),
                await check_in(event, self._parts.objects),
                names.message_id(event.source, event.id, ""),
                stage.passes(event),
            )
            for event in events
        ]

    async def _publish(
        self,
        ensure: Callable[[], Awaitable[None]],
        stream: str,
        messages: Sequence[Outgoing],
        publish: Publish,
    ) -> list[Stored]:
        await ensure()
        try:
            return await publish(messages, deadline_seconds=_PUBLISH_SECONDS)
        except NoResponders:
            if await self._parts.streams.state(stream) is not None:
                raise
        await self._places.forget(stream)
        await ensure()
        return await publish(messages, deadline_seconds=_PUBLISH_SECONDS)


def _accepted(events: Sequence[Event], stored: Sequence[Stored]) -> list[Accepted]:
    pairs = zip(events, stored, strict=True)
    return [Accepted(event, each.duplicate) for event, each in pairs]
