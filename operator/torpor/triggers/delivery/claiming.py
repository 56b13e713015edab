"""The claims of one Trigger's events: taken before an attempt, and kept while it is made.

A claim ends by itself some seconds after a target could still be at work for a dispatcher that
died. It is renewed meanwhile, so that waking a Function, which may take minutes, is no part of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.delivery.dedupe import Before, Claim, Elsewhere
from torpor.triggers.delivery.item import Item, for_each
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.plan import Plan
from torpor.triggers.delivery.settling import Settling

_MARGIN_SECONDS = 15.0
_RENEW_SECONDS = 5.0
_LONGEST_LOOK_SECONDS = 60.0
"""Between two looks at whether another event with the same key has been delivered."""


class Claiming:
    """Claims events of one Trigger; without `dedupe` all are its own."""

    def __init__(self, plan: Plan, parts: DeliveryParts, settling: Settling) -> None:
        self._trigger = plan.trigger
        self._dedupe = plan.dedupe
        self._seconds = plan.working_seconds + _MARGIN_SECONDS
        self._parts = parts
        self._settling = settling

    async def claimed(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return the items that are ours to deliver; the others are settled."""
        if self._dedupe is None:
            return items
        found: set[Item] = set()

        async def claim(item: Item) -> None:
            if await self._claim(item):
                found.add(item)

        await for_each(items, claim)
        return [item for item in items if item in found]

    @asynccontextmanager
    async def kept(self, items: Sequence[Item]) -> AsyncIterator[None]:
        """Keep the items' claims inside the block."""
        if all(item.claim is None for item in items):
            yield
            return
        async with beside(self._renew(items), f"claims of {self._trigger.key}"):
            yield

    async def _renew(self, items: Sequence[Item]) -> None:
        while True:
            await self._parts.sleep(_RENEW_SECONDS)
            for item in items:
                if item.claim is not None and self._dedupe is not None:
                    with suppress(BrokerAway, BrokerRefused):  # the next time may be early enough
                        item.claim = await self._dedupe.renew(item.claim, self._seconds)

    async def _claim(self, item: Item) -> bool:
        dedupe = self._dedupe
        key = None if dedupe is None else dedupe.key_of(item.content.event)
        if dedupe is None or key is None or item.claim is not None:
            return True
        item.piece = replace(
            item.content, effect=names.message_id("effect", key, self._trigger.uid)
        )
        match await dedupe.claim(key, self._seconds, item.message.receipt):
            case Claim() as claim:
                item.claim = claim
                return True
            case Before(answer):
                await self._settling.repeated(item, answer)
            case Elsewhere(until):
                patience = min(_LONGEST_LOOK_SECONDS, 2.0**item.record.excused)
                await self._settling.put_off(item, min(until, self._parts.wall() + patience))
        return False
