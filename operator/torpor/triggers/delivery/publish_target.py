"""Buses and queues: the event is published, once however often that is tried within two minutes.

A transformed value is the data of the event that is published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from torpor.resources.names import FunctionKey
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import BrokerFull, BrokerRefused
from torpor.triggers.broker.objects import LARGE_BYTES, Objects, ObjectTooLarge
from torpor.triggers.broker.publishing import MessageTooLarge, Outgoing, Publisher
from torpor.triggers.broker.streams import Streams
from torpor.triggers.claims import check_in
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.piece import Piece, Unchanged
from torpor.triggers.event import Event, MalformedEvent
from torpor.triggers.hops import HOP
from torpor.triggers.queue_partitions import QueuePartitions

_PUBLISH_SECONDS = 8.0
"""A little longer than the election of a leader takes."""
_STORED = Answer(HTTPStatus.ACCEPTED)


class BusTarget:
    """One bus of the Trigger's namespace. `scope` tells apart who publishes."""

    def __init__(
        self, streams: Streams, publisher: Publisher, objects: Objects, bus: FunctionKey, scope: str
    ) -> None:
        self._streams = streams
        self._publisher = publisher
        self._objects = objects
        self._key = bus
        self._scope = scope

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Publish one event."""
        return await self.send_batch((piece,), attempt, timeout_seconds)

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Publish all; it succeeds when all are stored."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._ensure()
                messages = [await self._message(piece) for piece in pieces]
                await self._publish(messages)
        except (MalformedEvent, ObjectTooLarge, MessageTooLarge) as error:
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except BrokerFull:
            raise  # its events wait; an attempt was not made
        except BrokerRefused as error:
            return Answer(None, str(error))
        except BrokerAway:
            self._streams.forget(self._stream)
            raise
        except TimeoutError:
            self._streams.forget(self._stream)
            raise BrokerAway(f"{self._key} did not take the event in time") from None
        return _STORED

    @property
    def _stream(self) -> str:
        return names.bus_stream(self._key.namespace, self._key.name)

    async def _ensure(self) -> None:
        await self._streams.ensure_bus(self._key.namespace, self._key.name)

    async def _message(self, piece: Piece) -> Outgoing:
        event, encoded = piece.event, piece.encoded
        if not isinstance(piece.value, Unchanged):
            event = piece.event.with_attributes({"dataschema": None})
            event = event.with_data(piece.value, "application/json")
            encoded = await check_in(event, self._objects)
        elif len(encoded) > LARGE_BYTES:
            encoded = await check_in(event, self._objects)
        headers = {HOP: piece.trace}
        return Outgoing(self._subject(event), encoded, self._message_id(piece), headers)

    def _subject(self, event: Event) -> str:
        return names.bus_subject(self._key.namespace, self._key.name)

    def _message_id(self, piece: Piece) -> str:
        """An event that comes round to the Trigger that published it is not stored again.

        A replay is, once.
        """
        scope = f"{self._scope} {self._key} {piece.occasion}".rstrip()
        return names.message_id(piece.event.source, piece.event.id, scope)

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        await self._publisher.publish_batch(messages, deadline_seconds=_PUBLISH_SECONDS)


class QueueTarget(BusTarget):
    """One queue of the Trigger's namespace."""

    def __init__(
        self,
        streams: Streams,
        publisher: Publisher,
        objects: Objects,
        queue: FunctionKey,
        scope: str,
        partitions: QueuePartitions,
    ) -> None:
        super().__init__(streams, publisher, objects, queue, scope)
        self._partitions = partitions

    @property
    def _stream(self) -> str:
        return names.queue_stream(self._key.namespace, self._key.name)

    async def _ensure(self) -> None:
        await self._streams.ensure_queue(self._key.namespace, self._key.name)

    def _subject(self, event: Event) -> str:
        partition = self._partitions.partition(self._key, event)
        return names.queue_subject(self._key.namespace, self._key.name, partition)

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        ordered = self._partitions.ordered(self._key)
        publisher = self._publisher
        publish = publisher.publish_in_order if ordered else publisher.publish_batch
        await publish(messages, deadline_seconds=_PUBLISH_SECONDS)
