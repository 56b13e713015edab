"""What all deliveries of a process share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.receipts import Receipts
from torpor.triggers.broker.streams import ACK_WAIT_SECONDS
from torpor.triggers.delivery import recent
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.capacity import Capacity, Places
from torpor.triggers.delivery.item import Keeper
from torpor.triggers.delivery.recent import Recents
from torpor.triggers.delivery.record import Records, attempts_bucket
from torpor.triggers.delivery.targets import TargetWorld
from torpor.triggers.event import Event
from torpor.triggers.hops import Hops


class Results(Protocol):
    """Where the answers of asynchronous calls go."""

    async def keep(self, trigger: Trigger, event: Event, answer: Answer) -> None:
        """Keep how the delivery of an event ended: the target's answer, or the last failure.

        It may be told the same end twice. Raises BrokerAway.
        """
        ...


class NoResults:
    """Where nobody asks for answers."""

    async def keep(self, trigger: Trigger, event: Event, answer: Answer) -> None:
        """Forget it."""


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """`wall` gives Unix seconds, `clock` monotonic ones, `chance` numbers from 0 to 1.

    `records` and `recents` are buckets of the broker; `places` those of each Function.
    """

    connection: Connection
    world: TargetWorld
    records: Records
    recents: Recents
    capacity: Capacity
    results: Results
    hops: Hops
    keeper: Keeper
    receipts: Receipts
    places: dict[FunctionKey, Places]
    wall: Callable[[], float]
    clock: Callable[[], float]
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    def places_of(self, function: FunctionKey) -> Places:
        """Return the places of a Function, which all Triggers of this process share."""
        if function not in self.places:
            self.places[function] = Places(lambda: self.capacity.places(function))
        return self.places[function]


def delivery_parts(
    connection: Connection,
    world: TargetWorld,
    capacity: Capacity,
    results: Results,
    hops: Hops,
    *,
    ack_wait_seconds: float = ACK_WAIT_SECONDS,
    wall: Callable[[], float],
    clock: Callable[[], float],
    chance: Callable[[], float],
) -> DeliveryParts:
    """Return the parts of a process; its buckets are made at their first use.

    `ack_wait_seconds` is how long after a dispatcher's death its events come again.
    """
    return DeliveryParts(
        connection=connection,
        world=world,
        records=Records(attempts_bucket(connection)),
        recents=Recents(Bucket(connection, names.BUCKET_RECENT, recent.LIVE_SECONDS)),
        capacity=capacity,
        results=results,
        hops=hops,
        keeper=Keeper(ack_wait_seconds),
        receipts=Receipts(connection),
        places={},
        wall=wall,
        clock=clock,
        chance=chance,
        sleep=asyncio.sleep,
    )
