"""When each Trigger had its last event: kept in the broker, to the minute, by every replica.

It is read off the metrics, so that no event costs a write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import (
    TRIGGER_DEAD_LETTERED,
    TRIGGER_DELIVERED,
    TRIGGER_MATCHED,
    TRIGGER_RETRIED,
)
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.definitions import Definition

_LOOK_SECONDS = 60.0
_LIVE_SECONDS = 400 * 86_400
_COUNTERS = (TRIGGER_MATCHED, TRIGGER_DELIVERED, TRIGGER_RETRIED, TRIGGER_DEAD_LETTERED)


class Activity:
    """The times, by Trigger. `known` are the Triggers in force; `wall` is Unix time."""

    def __init__(
        self,
        connection: Connection,
        known: Callable[[], Mapping[FunctionKey, Definition]],
        *,
        wall: Callable[[], float],
    ) -> None:
        self._bucket = Bucket(connection, names.BUCKET_ACTIVITY, _LIVE_SECONDS)
        self._known = known
        self._wall = wall
        self._counts: dict[FunctionKey, float] = {}
        self._last: dict[FunctionKey, float] = {}

    @property
    def last(self) -> Mapping[FunctionKey, float]:
        """When each Trigger had its last event, as far as this replica knows (Unix time)."""
        return MappingProxyType(self._last)

    async def read(self) -> Mapping[FunctionKey, float]:
        """Return what all replicas know. Raises BrokerAway."""
        for entry in await self._bucket.entries():
            key = FunctionKey(*names.parse_trigger_key(entry.key))
            at = float(orjson.loads(entry.value or b"0"))
            self._last[key] = max(at, self._last.get(key, 0.0))
        return self.last

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            counts = _counts()
            for key in tuple(self._known()):
                await self._look(key, counts.get(key, 0.0))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, key: FunctionKey, count: float) -> None:
        if count == self._counts.get(key, 0.0):
            return
        self._last[key] = self._wall()
        try:
            value = orjson.dumps(self._last[key])
            await self._bucket.put(names.trigger_key(key.namespace, key.name), value)
        except (BrokerAway, BrokerRefused):
            return  # the next look finds the same difference
        self._counts[key] = count


def _counts() -> Mapping[FunctionKey, float]:
    """What each Trigger did so far: one pass over four counters, not over every metric."""
    found: dict[FunctionKey, float] = {}
    for counter in _COUNTERS:
        for sample in (each for family in counter.collect() for each in family.samples):
            if sample.name.endswith("_total"):
                key = FunctionKey(sample.labels["namespace"], sample.labels["trigger"])
                found[key] = found.get(key, 0.0) + sample.value
    return found
