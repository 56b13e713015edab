"""Which server takes a request, and when: a FIFO queue before servers with a hard limit.

The same promise as HAProxy's per-server `maxconn` with `leastconn`, for the plane that runs in
this process. All of it runs on one event loop, so that a check and the change after it are one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from torpor.gateway.dataplane.base import Lane, LaneLoad, Server


class Place:
    """A server as the lane keeps it: what is in it now, and whether it may get more."""

    __slots__ = ("in_flight", "listed", "served", "server")

    def __init__(self, server: Server) -> None:
        self.server = server
        self.in_flight = 0
        self.served = 0
        self.listed = True

    @property
    def free(self) -> bool:
        """Whether it may take one more request now."""
        limit = self.server.limit
        return self.listed and (limit == 0 or self.in_flight < limit)


class Admission:
    """The servers and the queue of one function."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._queue: deque[asyncio.Future[Place | None]] = deque()
        self._requests = 0
        self.lane: Lane | None = None

    @property
    def open(self) -> bool:
        """Whether new requests may come here without asking the activator."""
        return self.lane is not None and self.lane.open and bool(self.lane.servers)

    @property
    def empty(self) -> bool:
        """Whether no request is inside or waits."""
        return not self._queue and not any(place.in_flight for place in self._places.values())

    def apply(self, lane: Lane | None) -> None:
        """Follow `lane`: new servers take from the queue at once, others only finish."""
        self.lane = lane
        wanted = {server.name: server for server in (lane.servers if lane else ())}
        for name, place in self._places.items():
            place.listed = name in wanted
        for name, server in wanted.items():
            place = self._places.setdefault(name, Place(server))
            place.server = server
        self._forget_left()
        self._advance()
        if not wanted:
            self._send_back()

    async def enter(self) -> Place | None:
        """Wait for a place in arrival order; None when the function has no server any more."""
        if not (self.lane and self.lane.servers):
            return None
        if not self._queue and (place := self._pick()):
            return self._take(place)
        turn: asyncio.Future[Place | None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            self._give_back(turn)
            raise

    def leave(self, place: Place) -> None:
        """Free a place that `enter` returned."""
        place.in_flight -= 1
        self._forget_left()
        self._advance()

    def load(self) -> LaneLoad:
        """Return what is inside and waits now."""
        instances: Mapping[str, int] = {
            name: place.in_flight for name, place in self._places.items()
        }
        waiting = sum(not turn.done() for turn in self._queue)
        return LaneLoad(sum(instances.values()), waiting, self._requests, instances)

    def _pick(self) -> Place | None:
        free = [place for place in self._places.values() if place.free]
        return min(free, key=lambda place: (place.in_flight, place.served), default=None)

    def _take(self, place: Place) -> Place:
        place.in_flight += 1
        place.served += 1
        self._requests += 1
        return place

    def _advance(self) -> None:
        while self._queue and (place := self._pick()):
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(self._take(place))

    def _send_back(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)

    def _give_back(self, turn: asyncio.Future[Place | None]) -> None:
        if turn in self._queue:
            self._queue.remove(turn)
            return
        if turn.done() and not turn.cancelled() and (place := turn.result()):
            self.leave(place)

    def _forget_left(self) -> None:
        self._places = {
            name: place for name, place in self._places.items() if place.listed or place.in_flight
        }
