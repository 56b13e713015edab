"""A message in flight: taken from the broker, and not settled yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.pulling import Message
from torpor.triggers.broker.receipts import Receipts
from torpor.triggers.delivery.dedupe import Claim
from torpor.triggers.delivery.piece import Piece
from torpor.triggers.delivery.recent import Recent
from torpor.triggers.delivery.record import FRESH, Record, RecordKey

MessageId = tuple[int, float]
"""The number of a message in its stream, and when it was stored."""


@dataclass(slots=True, eq=False)
class Item:
    """`message` is its latest delivery: a message that comes again while in flight replaces it.

    When the connection on which it came is lost, its answer goes over the next one. The methods
    raise BrokerAway when there is none.
    """

    message: Message
    key: RecordKey
    receipts: Receipts
    piece: Piece | None = None
    record: Record = FRESH
    claim: Claim | None = None
    recent: Recent | None = None
    settled: bool = field(default=False)

    @property
    def id(self) -> MessageId:
        """What tells it from all other messages of its stream."""
        return self.message.seq, self.message.stored_seconds

    @property
    def content(self) -> Piece:
        """The event, once it was read."""
        assert self.piece is not None, "the event was read"
        return self.piece

    @property
    def is_accounted_for(self) -> bool:
        """Whether it is known how each of its earlier deliveries ended."""
        return self.record.accounts_for(self.message.delivered)

    async def ack(self) -> None:
        """Have it done."""
        try:
            await self.message.ack()
        except BrokerAway:
            await self.receipts.ack(self.message.receipt)
        self.settled = True

    async def put_off(self, seconds: float) -> None:
        """Have it delivered again, that much later at the earliest."""
        try:
            await self.message.nak(seconds)
        except BrokerAway:
            await self.receipts.put_off(self.message.receipt, seconds)
        self.settled = True

    async def in_progress(self) -> None:
        """Have it delivered to nobody else for another ack wait."""
        try:
            await self.message.in_progress()
        except BrokerAway:
            await self.receipts.in_progress(self.message.receipt)

    async def give_back(self, delay_seconds: float) -> None:
        """Have it delivered again, unless it is settled. Without the broker it is anyway."""
        if not self.settled:
            with contextlib.suppress(BrokerAway):
                await self.message.nak(delay_seconds)


async def for_each(items: Sequence[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do the work on all items at once; of what fails the first is raised once all have ended."""
    if len(items) == 1:
        return await work(items[0])
    found = await asyncio.gather(*(work(item) for item in items), return_exceptions=True)
    for failure in found:
        if failure is not None:
            raise failure


class Keeper:
    """Keeps what is in flight from being delivered to somebody else, however long it takes.

    What a target works on longer than the broker's ack wait is said to be in progress, again and
    again. A process that dies says so no more.
    """

    def __init__(self, ack_wait_seconds: float) -> None:
        self.ack_wait_seconds = ack_wait_seconds
        self._held: set[Item] = set()

    def hold(self, items: Iterable[Item]) -> None:
        """Keep these from now on."""
        self._held.update(items)

    def release(self, items: Iterable[Item]) -> None:
        """Keep these no longer."""
        self._held.difference_update(items)

    async def run(self) -> None:
        """Say it four times in an ack wait, for ever."""
        while True:
            await asyncio.sleep(self.ack_wait_seconds / 4)
            try:
                for item in tuple(self._held):
                    if not item.settled:  # its batch goes on, and it has its own next time
                        await item.in_progress()
            except BrokerAway:
                continue  # nothing can be said: the next time may be early enough
