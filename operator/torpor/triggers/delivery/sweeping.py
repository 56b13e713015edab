"""Removes what was delivered and acknowledged, and yet is still in its inbox.

A nats-server that is killed writes some acknowledgements down with the consumer and not with the
stream (seen with 2.15: up to a message for each consumer). Nobody would deliver such a message
again, but it would count as lag for ever and keep a Function awake. All that is up to a consumer's
acknowledgement floor is done with, by the meaning of that word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torpor.resources.names import FunctionKey
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.broker.reading import read_from, remove
from torpor.triggers.broker.streams import ACK_WAIT_SECONDS, ConsumerSpec, Streams
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.inboxes import Held, consumers, held


class Sweeping:
    """Looks at what `known` returns each time; `sweep` is to be called now and then."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        known: Callable[[], Mapping[FunctionKey, Definition]],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._known = known
        self._before: dict[str, int] = {}
        """What each consumer's subjects held at the last look."""

    async def sweep(self) -> int:
        """Look at those inboxes whose number of messages has not changed since the last time.

        Returns how many were removed. A broker that is away is left for the next time.
        """
        try:
            return await self._sweep(self._known())
        except (BrokerAway, BrokerRefused):
            return 0

    async def _sweep(self, known: Mapping[FunctionKey, Definition]) -> int:
        counts: dict[str, int] = {}
        removed = 0
        for key, partitions in (await held(self._streams, known)).items():
            for partition, spec in consumers(known[key].trigger, ACK_WAIT_SECONDS).items():
                counts[spec.name] = _count(partitions, partition)
                if counts[spec.name] and counts[spec.name] == self._before.get(spec.name):
                    removed += await self._remove_done(spec)
        self._before = counts
        return removed

    async def _remove_done(self, spec: ConsumerSpec) -> int:
        state = await self._streams.consumer_state(spec.stream, spec.name)
        if state is None:
            return 0
        removed, seq = 0, 1
        while True:
            found = await read_from(self._connection, spec.stream, spec.filter_subject, seq)
            if found is None or found.seq > state.acknowledged_seq:
                return removed
            await remove(self._connection, spec.stream, found.seq)
            removed, seq = removed + 1, found.seq + 1


def _count(partitions: Held, partition: int | None) -> int:
    return sum(partitions.values()) if partition is None else partitions.get(partition, 0)
