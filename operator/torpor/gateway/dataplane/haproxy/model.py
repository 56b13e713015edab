"""What HAProxy should do, and what it was last known to do. Pure.

What is wanted (routes, lanes, homes) outlives HAProxy: each life of it begins with files rendered
from here. In between, each change of what is wanted is turned into steps, and a step that HAProxy
took is noted here. All methods belong to whoever holds the driver's lock.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from torpor.errors import SlotsExhausted
from torpor.gateway.dataplane.base import Lane, Server
from torpor.gateway.dataplane.haproxy.config import render_config
from torpor.gateway.dataplane.haproxy.layout import (
    ASYNC_BACKEND,
    HOME_MAP,
    HOST_MAP,
    MAPS,
    PATH_MAP,
    RESERVED_MAP,
    ROUTE_MAP,
    SLOT_MAP,
    TIMEOUT_MAP,
    Options,
    slot_names,
)
from torpor.gateway.dataplane.haproxy.slots import Member, Slot, SlotPool, Stage
from torpor.gateway.dataplane.haproxy.steps import (
    Step,
    arguments,
    leave_servers,
    set_entry,
    set_map,
    take_servers,
)
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey

_LEAVE_EXTRA_SECONDS = 10.0
_PEER_LEAVE_SECONDS = 600.0

_log = logging.getLogger(__name__)


class Model:
    """The wanted state and its image in HAProxy. Times are those of `clock`, in seconds."""

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self._options = options
        self._clock = clock
        self._routes = Routes({}, frozenset())
        self._homes: dict[FunctionKey, str] = {}
        self._peers: dict[str, Server] = {}
        self._reserved: dict[str, str] = {}
        self._shown: dict[str, dict[str, str]] = {name: {} for name in MAPS}
        self._peer_slots = SlotPool[str](slot_names("p", options.peers))
        self._rows = itertools.count(1)
        self.lanes: dict[FunctionKey, Lane] = {}
        self.slots = SlotPool[FunctionKey](slot_names("b", options.slots))

    def bound(self) -> list[tuple[FunctionKey, Slot]]:
        """Return the slot of every function that has a lane and one of the slots."""
        return [(key, slot) for key, slot in self.slots.slots() if key in self.lanes]

    def busy(self) -> list[tuple[FunctionKey | str, Slot]]:
        """Return the slots that somebody or something is about to leave, with their owners."""
        owned: Iterator[tuple[FunctionKey | str, Slot]] = itertools.chain(
            self.slots.slots(), self._peer_slots.slots()
        )
        return [(owner, slot) for owner, slot in owned if slot.given_back or slot.leaving()]

    def release(self, owner: FunctionKey | str) -> None:
        """Let others have the slot of a function or of a gateway."""
        if isinstance(owner, FunctionKey):
            self.slots.release(owner)
        else:
            self._peer_slots.release(owner)

    # Steps to what is wanted

    def set_routes(self, routes: Routes) -> list[Step]:
        """Want these routes; return the steps to them."""
        self._routes = routes
        maps = self._route_maps().items()
        return [*self._job_steps(), *(step for each in maps for step in self._map(*each))]

    def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> Iterator[list[Step]]:
        """Want these homes; yield the steps to them, each list to be taken before the next."""
        self._homes = {key: name for key, name in homes.items() if name in peers}
        self._peers = {
            name: Server(name, address, port, 0) for name, (address, port) in peers.items()
        }
        for name, peer in self._peers.items():
            if taken := self._bind_peer(name):
                yield self._slot_steps(taken, (peer,), 0.0)
        yield self._map(HOME_MAP, self._home_map())
        for name, slot in self._peer_slots.slots():
            if name not in self._peers:
                yield self._slot_steps(slot, (), _PEER_LEAVE_SECONDS)
                self._peer_slots.give_back(name, self._clock())

    def set_reserved(self, shares: Mapping[FunctionKey, int]) -> list[Step]:
        """Want these shares; return the steps to them."""
        self._reserved = {str(key): str(share) for key, share in shares.items()}
        return self._map(RESERVED_MAP, self._reserved)

    def want(self, key: FunctionKey, lane: Lane) -> list[Step]:
        """Want this lane; return the steps to it. SlotsExhausted if there is no slot for it."""
        self.lanes[key] = lane
        slot = self.slots.bind(key)
        timeout = str(int(lane.timeout_seconds * 1000))
        closing = () if lane.open else self._entry(SLOT_MAP, key, None)
        opening = self._entry(SLOT_MAP, key, slot.name) if lane.open else ()
        return [
            *closing,
            *self._entry(TIMEOUT_MAP, key, timeout),
            *take_servers(slot, lane.servers, self._new_row),
            *opening,
            *self._leave(slot, lane.servers, lane.timeout_seconds + _LEAVE_EXTRA_SECONDS),
        ]

    def forget(self, key: FunctionKey) -> list[Step]:
        """Want no lane; return the steps after which `retire` may be called."""
        before = self.lanes.pop(key, None)
        slot = self.slots.find(key)
        if slot is None:
            return []
        seconds = (before.timeout_seconds if before else 0.0) + _LEAVE_EXTRA_SECONDS
        return [
            *self._entry(SLOT_MAP, key, None),
            *self._entry(TIMEOUT_MAP, key, None),
            *self._leave(slot, (), seconds),
        ]

    def retire(self, key: FunctionKey) -> None:
        """Give the function's slot back: it rests."""
        self.slots.give_back(key, self._clock())

    def _job_steps(self) -> Iterator[Step]:
        """Yield the steps after which requests of Job Functions, and no others, go to the door."""
        jobs = {str(key) for key in self._routes.jobs}
        shown, path = self._shown[SLOT_MAP], self._options.map(SLOT_MAP)
        for key in [key for key, name in shown.items() if name == ASYNC_BACKEND]:
            if key not in jobs:
                yield from set_entry(shown, path, key, None)
        for key in jobs:
            yield from set_entry(shown, path, key, ASYNC_BACKEND)

    def _map(self, name: str, wanted: Mapping[str, str]) -> list[Step]:
        return list(set_map(self._shown[name], self._options.map(name), wanted))

    def _entry(self, name: str, key: FunctionKey, value: str | None) -> Iterable[Step]:
        return set_entry(self._shown[name], self._options.map(name), str(key), value)

    def _slot_steps(self, slot: Slot, servers: tuple[Server, ...], seconds: float) -> list[Step]:
        return [
            *take_servers(slot, servers, self._new_row),
            *self._leave(slot, servers, seconds),
        ]

    def _leave(self, slot: Slot, kept: Iterable[Server], seconds: float) -> list[Step]:
        return leave_servers(slot, kept, self._clock() + seconds)

    def _bind_peer(self, name: str) -> Slot | None:
        """Return the peer's slot; without one left, its functions are served here."""
        try:
            return self._peer_slots.bind(name)
        except SlotsExhausted:
            _log.warning("no slot is left for the gateway %s: its functions are served here", name)
            return None

    def _new_row(self) -> str:
        return f"s{next(self._rows)}"

    # A new life of HAProxy

    def begin_life(self) -> str:
        """Bind everything that is wanted anew and return the configuration; then see `maps`."""
        for key, _ in self.slots.slots():
            if key not in self.lanes:
                self.slots.give_back(key, self._clock())
        self.slots.restarted()
        self._peer_slots.restarted()
        servers: dict[str, list[str]] = {}
        for key, lane in self.lanes.items():
            if self.slots.find(key) or not self.slots.exhausted:
                servers.update(self._born(self.slots.bind(key), lane.servers))
        for name, peer in self._peers.items():
            if slot := self._bind_peer(name):
                servers.update(self._born(slot, (peer,)))
        self._shown = self._all_maps()
        return render_config(self._options, servers)

    @property
    def maps(self) -> Mapping[str, Mapping[str, str]]:
        """The maps by name, as HAProxy has them."""
        return self._shown

    def _born(self, slot: Slot, servers: Iterable[Server]) -> dict[str, list[str]]:
        members = [Member(self._new_row(), server, Stage.READY) for server in servers]
        slot.members = {member.row: member for member in members}
        return {slot.name: [f"{item.row} {arguments(item.server)}" for item in members]}

    def _all_maps(self) -> dict[str, dict[str, str]]:
        bound = dict(self.bound())
        return {
            **self._route_maps(),
            HOME_MAP: self._home_map(),
            RESERVED_MAP: dict(self._reserved),
            SLOT_MAP: {
                **{str(key): slot.name for key, slot in bound.items() if self.lanes[key].open},
                **{str(key): ASYNC_BACKEND for key in self._routes.jobs},
            },
            TIMEOUT_MAP: {
                str(key): str(int(self.lanes[key].timeout_seconds * 1000)) for key in bound
            },
        }

    def _route_maps(self) -> dict[str, dict[str, str]]:
        routes = self._routes
        return {
            HOST_MAP: {host: str(key) for host, key in routes.hosts.items()},
            PATH_MAP: {str(key): str(key) for key in routes.keys},
            ROUTE_MAP: {key: str(to) for key, to in routes.table.destinations.items()},
        }

    def _home_map(self) -> dict[str, str]:
        bound = {name: slot.name for name, slot in self._peer_slots.slots()}
        return {str(key): bound[name] for key, name in self._homes.items() if name in bound}
