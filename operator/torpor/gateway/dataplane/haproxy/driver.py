"""HAProxy driven as a `DataPlane`.

What is wanted (routes, lanes, homes) is kept here and outlives HAProxy: every start of HAProxy
begins with files rendered from it. While HAProxy runs, differences are sent through the runtime
API, so HAProxy is never reloaded. HAProxy is this process's child and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from torpor.errors import DataPlaneError, SlotsExhausted
from torpor.gateway.dataplane.base import Holder, Lane, LaneLoad, Refused, Server
from torpor.gateway.dataplane.haproxy import stats
from torpor.gateway.dataplane.haproxy.config import (
    HOME_MAP,
    HOST_MAP,
    MAPS,
    PATH_MAP,
    SLOT_MAP,
    TIMEOUT_MAP,
    Options,
    render_config,
    render_map,
    slot_names,
)
from torpor.gateway.dataplane.haproxy.holdserver import HoldServer, Kind, Released
from torpor.gateway.dataplane.haproxy.process import HaproxyProcess
from torpor.gateway.dataplane.haproxy.runtime import RuntimeSocket
from torpor.gateway.dataplane.haproxy.slots import Member, Slot, SlotPool, Stage
from torpor.gateway.dataplane.haproxy.steps import (
    Step,
    arguments,
    cut_server,
    leave_servers,
    remove_server,
    set_entry,
    set_map,
    take_servers,
)
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey
from torpor.settings import GatewaySettings
from torpor.telemetry.metrics import SLOTS_TOTAL, SLOTS_USED

PEERS = 16
"""Other gateways that this one can forward to."""
_REAP_SECONDS = 0.1
_LEAVE_EXTRA_SECONDS = 10.0
_PEER_LEAVE_SECONDS = 600.0
_AGAIN_POLL_SECONDS = 0.05
_AGAIN_TRIES = 40
_FD_RESERVE = 2000

_log = logging.getLogger(__name__)


class HaproxyPlane:
    """One HAProxy process and what it should do. Port 0 in the settings takes a free one."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        listen_address: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._listeners = [
            _listener(listen_address, settings.http_port),
            _listener(listen_address, settings.peer_port),
        ]
        public, peer = self._listeners
        self._options = Options(
            run_directory=Path(settings.run_directory),
            public_fd=public.fileno(),
            peer_fd=peer.fileno(),
            slots=settings.slots,
            peers=PEERS,
            max_connections=_max_connections(),
        )
        self._lanes: dict[FunctionKey, Lane] = {}
        self._wanted_routes = Routes({}, frozenset())
        self._homes: dict[FunctionKey, str] = {}
        self._peers: dict[str, Server] = {}
        self._shown: dict[str, dict[str, str]] = {name: {} for name in MAPS}
        self._slots = SlotPool[FunctionKey](slot_names("b", settings.slots))
        self._peer_slots = SlotPool[str](slot_names("p", PEERS))
        self._rows = itertools.count(1)
        self._life = 0
        self._lock = asyncio.Lock()
        self._leftovers = asyncio.Event()
        self._waits: dict[FunctionKey, asyncio.Task[None]] = {}
        self._waiting: Counter[FunctionKey] = Counter()
        self._holder: Holder | None = None
        self._runtime = RuntimeSocket(self._options.admin_socket)
        self._holds = HoldServer(self._options.hold_socket, self._decide)
        self._process = HaproxyProcess(
            settings.haproxy,
            self._options.config,
            self._options.admin_socket,
            [public.fileno(), peer.fileno()],
            self._prepare,
        )
        self._reaper: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listeners[0].getsockname()[1])

    @property
    def peer_port(self) -> int:
        """Where other gateways connect."""
        return int(self._listeners[1].getsockname()[1])

    @property
    def up(self) -> bool:
        """Whether HAProxy runs."""
        return self._process.up

    @property
    def pid(self) -> int | None:
        """HAProxy's process id, None while there is none."""
        return self._process.pid

    async def start(self, holder: Holder) -> None:
        """Start HAProxy and take requests; DataPlaneError if it does not start."""
        self._holder = holder
        self._options.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        SLOTS_TOTAL.set(self._options.slots)
        await self._holds.start()
        await self._process.start()
        self._reaper = asyncio.create_task(self._reap(), name="haproxy-reaper")

    async def stop(self) -> None:
        """Refuse new connections, let open requests end within `drain_seconds`, then end."""
        for listener in self._listeners:
            # HAProxy keeps its copy open while it drains: only this ends the listening for both.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        await _cancel([self._reaper] if self._reaper else [])
        # HAProxy would wait for this connection's end too.
        self._runtime.close()
        await self._process.stop(self._settings.drain_seconds)
        await _cancel(list(self._waits.values()))
        await self._holds.stop()
        self._runtime.close()

    async def set_routes(self, routes: Routes) -> None:
        """Know these hosts and paths from now on; anything else is answered 404."""
        async with self._lock:
            self._wanted_routes = routes
            steps = [
                step
                for name, wanted in self._route_maps().items()
                for step in set_map(self._shown[name], self._options.map(name), wanted)
            ]
            await self._perform(steps)

    async def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> None:
        """Forward the requests of `homes` to the gateways named there; `peers` says where they are.

        A function whose home is not in `peers` is served here.
        """
        async with self._lock:
            self._homes = {key: name for key, name in homes.items() if name in peers}
            self._peers = {
                name: Server(name, address, port, 0) for name, (address, port) in peers.items()
            }
            for name, peer in self._peers.items():
                if taken := self._bind_peer(name):
                    await self._perform(self._slot_steps(taken, (peer,), 0.0))
            home_map = self._options.map(HOME_MAP)
            await self._perform(list(set_map(self._shown[HOME_MAP], home_map, self._home_map())))
            for name, slot in self._peer_slots.slots():
                if name not in self._peers:
                    await self._perform(self._slot_steps(slot, (), _PEER_LEAVE_SECONDS))
                    self._peer_slots.give_back(name, self._clock())

    def _bind_peer(self, name: str) -> Slot | None:
        """Return the peer's slot; without one left, its functions are served here."""
        try:
            return self._peer_slots.bind(name)
        except SlotsExhausted:
            _log.warning("no slot is left for the gateway %s: its functions are served here", name)
            return None

    async def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        """Bring one function to `lane`; None when it is asleep or gone.

        DataPlaneError while HAProxy is away: the state is kept and HAProxy starts with it.
        """
        async with self._lock:
            before = self._lanes.pop(key, None)
            if lane is not None:
                self._lanes[key] = lane
                await self._perform(self._lane_steps(key, lane))
            elif before or self._slots.find(key):
                await self._retire(key, before)
            SLOTS_USED.set(len(self._slots))

    async def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        """Return the load of every function that has a lane."""
        bound = [(key, slot) for key, slot in self._slots.slots() if key in self._lanes]
        life = self._life
        answers = await self._runtime.run([stats.command(slot.name) for _, slot in bound])
        if life != self._life:
            raise DataPlaneError("HAProxy was started again")
        return {
            key: self._load(key, slot, seen)
            for (key, slot), answer in zip(bound, answers, strict=True)
            if (seen := stats.parse(answer))
        }

    def _load(self, key: FunctionKey, slot: Slot, seen: stats.BackendStats) -> LaneLoad:
        instances: Counter[str] = Counter()
        for row, member in slot.members.items():
            instances[member.server.name] += seen.in_flight.get(row, 0)
        return LaneLoad(
            in_flight=instances.total(),
            queued=seen.queued + self._waiting[key],
            requests=slot.requests(seen.total),
            instances=dict(instances),
        )

    def _lane_steps(self, key: FunctionKey, lane: Lane) -> list[Step]:
        slot = self._slots.bind(key)
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

    async def _retire(self, key: FunctionKey, before: Lane | None) -> None:
        slot = self._slots.find(key)
        if slot is None:
            return
        seconds = (before.timeout_seconds if before else 0.0) + _LEAVE_EXTRA_SECONDS
        await self._perform(
            [
                *self._entry(SLOT_MAP, key, None),
                *self._entry(TIMEOUT_MAP, key, None),
                *self._leave(slot, (), seconds),
            ]
        )
        self._slots.give_back(key, self._clock())
        self._leftovers.set()

    def _slot_steps(self, slot: Slot, servers: Iterable[Server], seconds: float) -> list[Step]:
        kept = tuple(servers)
        return [*take_servers(slot, kept, self._new_row), *self._leave(slot, kept, seconds)]

    def _leave(self, slot: Slot, kept: Iterable[Server], seconds: float) -> list[Step]:
        steps = leave_servers(slot, kept, self._clock() + seconds)
        if steps:
            self._leftovers.set()
        return steps

    def _entry(self, name: str, key: FunctionKey, value: str | None) -> Iterable[Step]:
        return set_entry(self._shown[name], self._options.map(name), str(key), value)

    async def _perform(self, steps: list[Step]) -> None:
        refused = await self._attempt(steps)
        if refused:
            raise DataPlaneError("HAProxy refused: " + "; ".join(refused[:5]))

    async def _attempt(self, steps: list[Step]) -> list[str]:
        if not steps:
            return []
        life = self._life
        answers = await self._runtime.run([step.command for step in steps])
        if life != self._life:
            raise DataPlaneError("HAProxy was started again")
        refused: list[str] = []
        for step, answer in zip(steps, answers, strict=True):
            if step.succeeded(answer):
                step.done()
            else:
                refused.append(f"{step.command}: {answer.strip()}")
        return refused

    async def _decide(self, key: FunctionKey, kind: Kind) -> Released | Refused:
        assert self._holder is not None
        for _ in range(_AGAIN_TRIES):
            verdict = await self._holder.hold(key)
            if isinstance(verdict, Refused):
                return verdict
            if kind is Kind.AGAIN:
                await self._until_usable(key)
            slot = self._slots.find(key)
            if slot:
                slot.quiet_since = self._clock()
                return Released(slot.name, verdict.cold_ms is not None)
            if self._slots.exhausted:
                return Refused(503, "slots-exhausted", "Too many functions are awake here.", 1)
            await asyncio.sleep(_AGAIN_POLL_SECONDS)
        return Refused(503, "unavailable", "The function stopped before it could answer.", 1)

    async def _until_usable(self, key: FunctionKey) -> None:
        wait = self._waits.get(key)
        if wait is None:
            wait = asyncio.create_task(self._poll_usable(key), name=f"haproxy-usable-{key}")
            self._waits[key] = wait
            wait.add_done_callback(lambda _: self._waits.pop(key, None))
        self._waiting[key] += 1
        try:
            await asyncio.shield(wait)
        finally:
            self._waiting[key] -= 1

    async def _poll_usable(self, key: FunctionKey) -> None:
        # HAProxy's own view counts: where it sees no usable server the request would come back.
        deadline = self._clock() + self._options.hold_seconds
        while self._clock() < deadline:
            slot = self._slots.find(key)
            if slot is None:
                return
            try:
                [answer] = await self._runtime.run([stats.command(slot.name)])
            except DataPlaneError:
                # HAProxy went, and with it every request that waits here.
                return
            seen = stats.parse(answer)
            if seen and seen.usable:
                return
            await asyncio.sleep(_AGAIN_POLL_SECONDS)

    async def _reap(self) -> None:
        while True:
            await self._leftovers.wait()
            await asyncio.sleep(_REAP_SECONDS)
            async with self._lock:
                try:
                    if not await self._reap_once():
                        self._leftovers.clear()
                except DataPlaneError as error:
                    # A new HAProxy begins without leftovers; else the next round tries again.
                    _log.info("servers could not be removed yet: %s", error)
            SLOTS_USED.set(len(self._slots))

    async def _reap_once(self) -> bool:
        owned: list[tuple[FunctionKey | str, Slot]] = []
        owned.extend(self._slots.slots())
        owned.extend(self._peer_slots.slots())
        busy_slots = [item for item in owned if item[1].given_back or item[1].leaving()]
        life = self._life
        answers = await self._runtime.run([stats.command(slot.name) for _, slot in busy_slots])
        steps: list[Step] = []
        for (owner, slot), answer in zip(busy_slots, answers, strict=True):
            seen = stats.parse(answer)
            if seen is None or life != self._life:
                continue
            slot.total = seen.total
            steps.extend(self._removals(slot, seen))
            if slot.is_free(seen.current, self._clock()):
                self._release(owner)
        # A server that a connection still hangs on is refused, and asked for again.
        await self._attempt(steps)
        return bool(busy_slots)

    def _removals(self, slot: Slot, seen: stats.BackendStats) -> list[Step]:
        steps: list[Step] = []
        for member in slot.leaving():
            overdue = member.deadline is not None and self._clock() > member.deadline
            if overdue:
                steps.append(cut_server(slot, member))
            if overdue or seen.in_flight.get(member.row, 0) == 0:
                steps.extend(remove_server(slot, member))
        return steps

    def _release(self, owner: FunctionKey | str) -> None:
        if isinstance(owner, FunctionKey):
            self._slots.release(owner)
        else:
            self._peer_slots.release(owner)

    def _prepare(self) -> None:
        """Write HAProxy's files from what is wanted, and begin the model anew with it."""
        self._life += 1
        self._runtime.close()
        for key, _ in self._slots.slots():
            if key not in self._lanes:
                self._slots.give_back(key, self._clock())
        self._slots.restarted()
        self._peer_slots.restarted()
        servers: dict[str, list[str]] = {}
        for key, lane in self._lanes.items():
            if self._slots.find(key) or not self._slots.exhausted:
                servers.update(self._born(self._slots.bind(key), lane.servers))
        for name, peer in self._peers.items():
            if slot := self._bind_peer(name):
                servers.update(self._born(slot, (peer,)))
        self._shown = self._all_maps()
        self._options.lua.write_text(files(__package__).joinpath("hold.lua").read_text())
        for name, entries in self._shown.items():
            self._options.map(name).write_text(render_map(entries))
        self._options.config.write_text(render_config(self._options, servers))

    def _born(self, slot: Slot, servers: Iterable[Server]) -> dict[str, list[str]]:
        members = [Member(self._new_row(), server, Stage.READY) for server in servers]
        slot.members = {member.row: member for member in members}
        return {slot.name: [f"{item.row} {arguments(item.server)}" for item in members]}

    def _all_maps(self) -> dict[str, dict[str, str]]:
        bound = {key: slot for key, slot in self._slots.slots() if key in self._lanes}
        return {
            **self._route_maps(),
            HOME_MAP: self._home_map(),
            SLOT_MAP: {str(key): slot.name for key, slot in bound.items() if self._lanes[key].open},
            TIMEOUT_MAP: {
                str(key): str(int(self._lanes[key].timeout_seconds * 1000)) for key in bound
            },
        }

    def _route_maps(self) -> dict[str, dict[str, str]]:
        routes = self._wanted_routes
        return {
            HOST_MAP: {host: str(key) for host, key in routes.hosts.items()},
            PATH_MAP: {str(key): str(key) for key in routes.keys},
        }

    def _home_map(self) -> dict[str, str]:
        bound = {name: slot.name for name, slot in self._peer_slots.slots()}
        return {str(key): bound[name] for key, name in self._homes.items() if name in bound}

    def _new_row(self) -> str:
        return f"s{next(self._rows)}"


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _listener(address: str | None, port: int) -> socket.socket:
    if address is None and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096
        )
    return socket.create_server((address or "", port), backlog=4096)


def _max_connections() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(100, min(8000, (hard - _FD_RESERVE) // 2))
