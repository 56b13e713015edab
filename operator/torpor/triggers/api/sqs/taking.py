"""Messages of a queue for a receiver.

A message that is taken is at once put off for its visibility time-out, in the broker itself: it
comes again then unless it was deleted, whatever becomes of this process. All receivers of a queue
share one consumer; a queue that a Trigger reads has none to give.

A FIFO queue has a consumer for each of its partitions, with one message in flight, so that what
comes after a message in its group is not given out before that is deleted. Groups of one partition
wait for one another. Only partitions that hold something are asked: what was asked for and is not
wanted after all would count as received.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from torpor.resources.names import FunctionKey
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.sqs.queues import Queue
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import BrokerFull
from torpor.triggers.broker.publishing import Outgoing, ReservePublisher
from torpor.triggers.broker.pulling import Message, PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.delays import NOT_BEFORE, remaining_seconds
from torpor.triggers.event import from_structured

MOST_IN_FLIGHT = 120_000
"""Messages received and neither deleted nor visible again, as on AWS."""
_MOST_IDLE = 16
_NO_ROOM_SECONDS = 5.0
"""Until a message is tried again that the queue of its redrive had no room for."""
_ASK_SECONDS = 0.02
"""How long a partition of a FIFO queue is asked: what it can give it gives at once."""
_PAUSE_SECONDS = 0.2
"""Between two looks at all partitions, while none gives anything."""


class Taking:
    """Takes messages. `close` it at the end."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._redriving = ReservePublisher(parts.connection)
        self._idle: dict[tuple[str, str], list[PullConsumer]] = {}
        self._looks = 0

    async def take(
        self, queue: Queue, most: int, visible_after: int, wait_seconds: float
    ) -> list[Message]:
        """Return up to `most` messages, put off for `visible_after` seconds.

        Raises BrokerAway, and BrokerRefused when the queue is gone or read by a Trigger.
        """
        deadline = self._parts.wall() + wait_seconds
        fetch = self._fetch_in_order if names.is_fifo(queue.key.name) else self._fetch
        while True:
            messages = await fetch(queue, most, max(0.0, deadline - self._parts.wall()))
            found = [each for each in messages if await self._is_due(each, queue)]
            for message in found:
                await message.nak(visible_after)
            if found or self._parts.wall() >= deadline:
                return found

    async def close(self) -> None:
        """Stop listening."""
        for consumers in self._idle.values():
            for consumer in consumers:
                await consumer.close()
        self._idle.clear()

    async def _fetch(self, queue: Queue, most: int, wait_seconds: float) -> list[Message]:
        subject = names.queue_filter(queue.key.namespace, queue.key.name)
        spec = ConsumerSpec(
            queue.stream, names.RECEIVERS_CONSUMER, subject, max_ack_pending=MOST_IN_FLIGHT
        )
        async with self._lent(spec) as consumer:
            try:
                return await consumer.fetch(most, wait_seconds)
            except BrokerAway:  # the queue may have been deleted and made anew since the last call
                return await consumer.fetch(most, 0.0)

    async def _fetch_in_order(self, queue: Queue, most: int, wait_seconds: float) -> list[Message]:
        subject = names.queue_filter(queue.key.namespace, queue.key.name)
        held = await self._parts.streams.held(queue.stream, subject)
        found = await self._look(queue, sorted(held), most)
        if not found:
            await asyncio.sleep(min(wait_seconds, _PAUSE_SECONDS))
        return found

    async def _look(self, queue: Queue, subjects: list[str], most: int) -> list[Message]:
        """Ask the partitions for one message each, no more of them than are wanted."""
        self._looks += 1
        first = self._looks % max(1, len(subjects))
        turns = subjects[first:] + subjects[:first]
        found: list[Message] = []
        while turns and len(found) < most:
            asked, turns = turns[: most - len(found)], turns[most - len(found) :]
            for told in await asyncio.gather(
                *(self._one(queue, subject) for subject in asked), return_exceptions=True
            ):
                if isinstance(told, BaseException):
                    raise told
                found += told
        return found

    async def _one(self, queue: Queue, subject: str) -> list[Message]:
        partition = int(subject.rpartition(".")[2])
        name = names.receivers_consumers(queue.stream)[partition]
        async with self._lent(ConsumerSpec(queue.stream, name, subject, max_ack_pending=1)) as one:
            return await one.fetch_one(_ASK_SECONDS)

    async def _is_due(self, message: Message, queue: Queue) -> bool:
        """Whether a message is to be given out; what is done with it otherwise is done here."""
        now = self._parts.wall()
        wait = remaining_seconds(message.headers, now)
        kept = queue.attributes.number("MessageRetentionPeriod")
        redrive = queue.attributes.redrive
        if wait:
            await message.nak(wait)
        elif kept is not None and message.stored_seconds + kept < now:
            await message.ack()
        elif redrive is not None and receives(message) > redrive.most_receives:
            await self._redrive(message, redrive.target)
        else:
            return True
        return False

    async def _redrive(self, message: Message, target: FunctionKey) -> None:
        """First it is in the other queue, then it leaves this one."""
        headers = {key: value for key, value in message.headers.items() if key != NOT_BEFORE}
        partition = self._parts.partitions.partition(target, from_structured(message.data))
        subject = names.queue_subject(target.namespace, target.name, partition)
        number = f"{message.seq} {message.stored_seconds}"
        identity = names.message_id(message.stream, number, str(target))
        await self._parts.streams.ensure_queue(target.namespace, target.name)
        outgoing = Outgoing(subject, message.data, identity, headers)
        try:
            await self._redriving.publish_batch([outgoing])
        except BrokerFull:
            await message.nak(_NO_ROOM_SECONDS)  # what is healthy is given out meanwhile
            return
        await message.ack()

    @contextlib.asynccontextmanager
    async def _lent(self, spec: ConsumerSpec) -> AsyncIterator[PullConsumer]:
        """A consumer for one call; what a call that fails or is left may have begun is given up."""
        idle = self._idle.setdefault((spec.stream, spec.name), [])
        consumer = idle.pop() if idle else self._consumer(spec)
        try:
            yield consumer
        except BaseException:
            await consumer.close()
            raise
        if len(idle) < _MOST_IDLE:
            idle.append(consumer)
        else:
            await consumer.close()

    def _consumer(self, spec: ConsumerSpec) -> PullConsumer:
        return PullConsumer(self._parts.connection, self._parts.streams, spec)


def receives(message: Message) -> int:
    """How often it was given out: a delayed message was, as a rule, put off once before that."""
    return max(1, message.delivered - (NOT_BEFORE in message.headers))
