"""What each Trigger has still to deliver: what could be delivered now, and what has to wait.

Only the former keeps a Function awake. What waits is counted from the records of failed attempts,
which say when each event is tried again; where events are in order, all behind the first wait too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Entry
from torpor.triggers.broker.streams import Streams
from torpor.triggers.broker.watching import watch
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.courier import CourierPhase
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.delivery.inboxes import Held, held
from torpor.triggers.delivery.record import RecordKey, attempts_bucket, decode

_RESTING = frozenset({CourierPhase.ABSENT, CourierPhase.OPEN})


@dataclass(frozen=True, slots=True)
class Backlog:
    """Events: `lag` can be delivered or are being delivered, `waiting` come to that later."""

    lag: int = 0
    waiting: int = 0

    def put_off(self, more: int) -> Backlog:
        """Return it with more that wait."""
        return Backlog(self.lag, self.waiting + more)


class Backlogs:
    """The backlogs of all Triggers; `run` follows the records of failed attempts."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        deliveries: Deliveries,
        *,
        wall: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._deliveries = deliveries
        self._wall = wall
        self._later: dict[RecordKey, float] = {}
        """When each event that waits is tried again (Unix time)."""

    async def run(self) -> None:
        """Follow the records, for ever."""
        async for entries in watch(self._connection, attempts_bucket(self._connection)):
            for entry in entries:
                self._note(entry)

    async def survey(
        self, known: Mapping[FunctionKey, Definition]
    ) -> Mapping[FunctionKey, Backlog]:
        """Return the backlogs of these Triggers, at the cost of `held`. Raises BrokerAway."""
        waiting = self._waiting()
        return {
            key: self._backlog(known[key].trigger, partitions, waiting.get(key, {}))
            for key, partitions in (await held(self._streams, known)).items()
        }

    def _note(self, entry: Entry) -> None:
        """Take note of a record; of one that another version wrote nothing is known."""
        try:
            key = RecordKey.parse(entry.key)
            later = None if entry.value is None else decode(entry).next_seconds
        except (ValueError, LookupError, TypeError):
            return
        if later is None:
            self._later.pop(key, None)
        else:
            self._later[key] = later

    def _waiting(self) -> Mapping[FunctionKey, Held]:
        """What waits now, and forget what does so no more."""
        now = self._wall()
        self._later = {key: at for key, at in self._later.items() if at > now}
        found: dict[FunctionKey, Counter[int]] = {}
        for key in self._later:
            found.setdefault(key.trigger, Counter())[key.partition] += 1
        return found

    def _backlog(self, trigger: Trigger, partitions: Held, waiting: Held) -> Backlog:
        total = sum(partitions.values())
        state = self._deliveries.state(trigger.key)
        if trigger.suspended or (state is not None and state.phase in _RESTING):
            return Backlog(0, total)
        if trigger.ordering_key is not None:
            later = sum(count for partition, count in partitions.items() if waiting.get(partition))
        else:
            later = min(total, sum(waiting.values()))
        return Backlog(total - later, later)
