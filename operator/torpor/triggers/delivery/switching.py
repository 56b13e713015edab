"""What a Trigger's former deliveries, of any replica, still work on when its order was switched.

A work queue gives a message to one consumer: those of before are deleted by who makes the new ones,
and what they had taken would be delivered twice. They have taken what waits for its next attempt
too, and what was given back: what is in flight where a courier stops is told from that by its
record, which says that an attempt began.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

from torpor.resources.trigger import Trigger
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.kv import Entry
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.broker.watching import watch
from torpor.triggers.delivery.inboxes import consumers
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.record import RecordKey, attempts_bucket, decode

MOST_SECONDS = 60.0
"""As long as deliveries may go on whose Trigger was changed."""
HEARD_SECONDS = 3.0
"""Within it all replicas know of the change, and have noted what is in flight."""
_LOOK_SECONDS = 0.2


async def formers_ended(trigger: Trigger, parts: DeliveryParts) -> None:
    """Wait until nothing is in flight by the consumers of another order, a minute at the most.

    Raises BrokerAway and BrokerRefused.
    """
    streams, formers = parts.world.streams, _formers(trigger)
    if await streams.consumer_state(formers[0].stream, formers[0].name) is None:
        return
    began = _Began(trigger, parts)
    heard_at = parts.clock() + HEARD_SECONDS
    with suppress(TimeoutError):  # what goes on for longer is delivered once more
        async with (
            asyncio.timeout(MOST_SECONDS),
            beside(began.follow(), f"what began of {trigger.key}"),
        ):
            while (  # noqa: ASYNC110 - other processes
                await _taken(streams, formers) and (parts.clock() < heard_at or began.any)
            ):
                await asyncio.sleep(_LOOK_SECONDS)


class _Began:
    """At which events of a Trigger an attempt began that has not ended, by their records."""

    def __init__(self, trigger: Trigger, parts: DeliveryParts) -> None:
        self._trigger = trigger
        self._connection = parts.connection
        self._since = parts.wall()
        self._keys: set[str] = set()

    @property
    def any(self) -> bool:
        """Whether there are any, as far as is known."""
        return bool(self._keys)

    async def follow(self) -> None:
        """Keep it known, for ever."""
        async for entries in watch(self._connection, attempts_bucket(self._connection)):
            for entry in entries:
                if entry.value is not None and self._is_ours(entry) and self._has_begun(entry):
                    self._keys.add(entry.key)
                else:
                    self._keys.discard(entry.key)

    def _is_ours(self, entry: Entry) -> bool:
        try:
            return RecordKey.parse(entry.key).trigger == self._trigger.key
        except ValueError:
            return False

    def _has_begun(self, entry: Entry) -> bool:
        """What was put off after all is not taken any more."""
        try:
            record = decode(entry)
        except (ValueError, LookupError, TypeError):
            return False  # of what another version wrote nothing is known
        return record.begun > 0 and record.next_seconds <= self._since


def _formers(trigger: Trigger) -> list[ConsumerSpec]:
    other = replace(trigger, ordering_key="id" if trigger.ordering_key is None else None)
    return list(consumers(other, 0.0).values())


async def _taken(streams: Streams, formers: list[ConsumerSpec]) -> int:
    states = [await streams.consumer_state(spec.stream, spec.name) for spec in formers]
    return sum(state.unacknowledged for state in states if state is not None)
