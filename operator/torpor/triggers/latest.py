"""The latest events of all buses, without their data, for people who watch.

Read from the streams, which keep them anyway: nothing is noted while nobody asks, and what was read
once is not read again. Of hundreds of buses only those are read that took the latest.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from heapq import heapify, heappop, heappush
from typing import Any, Final, Self

from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.listing import BUSES, listed
from torpor.triggers.broker.reading import Kept, read_from
from torpor.triggers.broker.specs import StreamState
from torpor.triggers.event import MalformedEvent, from_structured
from torpor.triggers.hops import HOP

LATEST_PATH: Final = "/v1/events"
MOST: Final = 50
_MOST_CHARACTERS: Final = 1_000
"""Of each attribute: more than anybody reads, and events may be of a MiB."""
_HOP: Final = re.compile(rb"(?im)^" + HOP.encode() + rb": *(\S+)")


@dataclass(frozen=True, slots=True)
class LatestEvent:
    """An event of a bus (`namespace/name`); `time` is Unix time of its arrival there."""

    bus: str
    id: str
    source: str
    type: str
    subject: str
    time: float
    traceparent: str

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(**{**body, "time": float(body["time"])})


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A message of a bus on the way back in time, the newest of all first.

    `order` is minus the Unix time when it was stored, or when a newer one of its bus was while
    `kept` is None: it was not read.
    """

    order: float
    stream: str
    seq: int
    bus: tuple[str, str]
    kept: Kept | None = field(default=None, compare=False)


class LatestEvents:
    """What the buses took last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: Mapping[str, int] = {}
        """The last message that was looked at, by stream."""
        self._known: list[LatestEvent] = []
        self._looking = asyncio.Lock()

    async def look(self) -> list[LatestEvent]:
        """Return the latest, the newest first. Raises BrokerAway.

        Whoever asks may stop waiting: what was read counts as read once all was.
        """
        async with self._looking:
            found = await listed(self._connection, BUSES)
            latest = [*await self._fresh(found.values()), *self._known]
            self._known = sorted(latest, key=lambda event: event.time, reverse=True)[:MOST]
            self._read = {state.name: state.last_seq for state in found.values()}
            return list(self._known)

    async def _fresh(self, streams: Collection[StreamState]) -> list[LatestEvent]:
        """Return the events that were not read yet, the newest first, no more than are told."""
        floors = {state.name: self._floor(state) for state in streams}
        places = [
            _Place(-state.last_seconds, state.name, state.last_seq, bus)
            for state in streams
            if (bus := names.owner(state.name)) is not None
        ]
        heapify(places)
        found: list[LatestEvent] = []
        while places and len(found) < MOST:
            place = heappop(places)
            if place.kept is not None:  # no bus has a newer one
                found += _events(place.bus, place.kept)
                heappush(places, replace(place, seq=place.seq - 1, kept=None))
            elif place.seq > floors[place.stream]:
                heappush(places, await self._looked_at(place))
        return found

    def _floor(self, state: StreamState) -> int:
        """The last message of a stream that nobody needs to look at."""
        before = self._read.get(state.name, 0)
        if before > state.last_seq:  # the bus was deleted and made anew
            before = 0
        return max(before, state.last_seq - MOST, state.first_seq - 1)

    async def _looked_at(self, place: _Place) -> _Place:
        """Return the place with its message; the one before it where that is gone."""
        subject = names.bus_subject(*place.bus)
        kept = await read_from(self._connection, place.stream, subject, place.seq)
        if kept is None or kept.seq != place.seq:
            return replace(place, seq=place.seq - 1)
        return replace(place, order=-kept.stored_seconds, kept=kept)


def _events(bus: tuple[str, str], kept: Kept) -> list[LatestEvent]:
    """Empty for what is no event, which the router tells of."""
    try:
        event = from_structured(kept.data)
    except MalformedEvent:
        return []
    hop = _HOP.search(kept.head)
    return [
        LatestEvent(
            bus="/".join(bus),
            id=event.id[:_MOST_CHARACTERS],
            source=event.source[:_MOST_CHARACTERS],
            type=event.type[:_MOST_CHARACTERS],
            subject=(event.subject or "")[:_MOST_CHARACTERS],
            time=kept.stored_seconds,
            traceparent=hop[1].decode() if hop else event.traceparent or "",
        )
    ]
