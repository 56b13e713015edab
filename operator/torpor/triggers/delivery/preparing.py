"""The first half of a delivery: from a message to the event as its target is to be given it.

record of failed attempts -> event -> filter (of a queue) -> large data -> transform
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torpor.resources.trigger import SourceKind
from torpor.triggers.broker.objects import ObjectMissing
from torpor.triggers.broker.pulling import Message
from torpor.triggers.claims import redeem
from torpor.triggers.delays import remaining_seconds
from torpor.triggers.delivery.attempts import given_up
from torpor.triggers.delivery.item import Item, for_each
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.piece import UNCHANGED, Piece, identity_of
from torpor.triggers.delivery.plan import Plan
from torpor.triggers.delivery.readmission import OCCASION
from torpor.triggers.delivery.settling import Settling
from torpor.triggers.event import Event, MalformedEvent, from_structured, to_json, to_structured
from torpor.triggers.hops import HOP
from torpor.triggers.transform import TransformFailed


class Preparing:
    """Prepares the messages of one Trigger."""

    def __init__(self, plan: Plan, parts: DeliveryParts, settling: Settling) -> None:
        self._plan = plan
        self._trigger = plan.trigger
        self._parts = parts
        self._settling = settling

    async def ready(self, items: Sequence[Item]) -> list[Item]:
        """Return those that are to be delivered, read; the others are settled.

        Raises BrokerAway.
        """
        found: set[Item] = set()

        async def prepare(item: Item) -> None:
            if await self._prepare(item):
                found.add(item)

        if any(_may_have_record(item.message) for item in items):
            await for_each(items, prepare)
        else:
            for item in items:
                await prepare(item)  # nothing to wait for, as a rule
        return [item for item in items if item in found]

    async def _prepare(self, item: Item) -> bool:
        """Read the event and what is known of it; False when that already ended its delivery."""
        message = item.message
        if await self._settling.again(item):
            return False
        if _may_have_record(message):
            item.record = await self._parts.records.read(item.key)
        now = self._parts.wall()
        if (early := remaining_seconds(message.headers, now)) > 0:
            await self._settling.put_off(item, now + early)
            return False
        try:
            event = from_structured(message.data)
        except MalformedEvent as error:
            await self._settling.bury(item, f"it is no event: {error}")
            return False
        identity = identity_of(message, self._trigger.uid)
        occasion = message.headers.get(OCCASION, "")
        trace = message.headers.get(HOP) or event.traceparent or ""
        item.piece = Piece(identity, event, message.data, occasion=occasion, trace=trace)
        reason = self._given_up(item)
        if reason:
            await self._settling.bury(item, reason)
            return False
        return await self._shape(item, event)

    def _given_up(self, item: Item) -> str:
        age, record = self._parts.wall() - item.message.stored_seconds, item.record
        return given_up(record.attempts, record.begun, age, self._trigger.delivery)

    async def _shape(self, item: Item, event: Event) -> bool:
        """Filter what comes from a queue, fetch large data, transform."""
        try:
            event = await redeem(event, self._parts.world.objects)
            if not self._wanted(event):
                await self._settling.unwanted(item)
                return False
            transform = self._plan.transform
            value = UNCHANGED if transform is None else transform.apply(to_json(event))
            if event is not item.content.event or value is not UNCHANGED:
                encoded = item.content.encoded
                encoded = encoded if event is item.content.event else to_structured(event)
                item.piece = replace(item.content, event=event, encoded=encoded, value=value)
        except (ObjectMissing, TransformFailed, MalformedEvent) as error:
            await self._settling.bury(item, str(error))
            return False
        return True

    def _wanted(self, event: Event) -> bool:
        if self._trigger.source.kind is not SourceKind.QUEUE:
            return True
        return self._plan.filter.matches(event)


def _may_have_record(message: Message) -> bool:
    """A switch of the Trigger's ordering gives it new consumers, which count deliveries anew."""
    return message.delivered > 1 or message.inherited
