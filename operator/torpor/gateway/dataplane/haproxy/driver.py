"""HAProxy driven as a `DataPlane`.

What is wanted is kept in the `Model` and outlives HAProxy: every start of HAProxy begins with files
rendered from it. While HAProxy runs, differences are sent through the runtime API, so HAProxy is
never reloaded. HAProxy is this process's child and ends with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from pathlib import Path

from torpor.gateway.dataplane.base import Holder, Lane, LaneLoad
from torpor.gateway.dataplane.haproxy import descriptors, stats
from torpor.gateway.dataplane.haproxy.commands import Commands
from torpor.gateway.dataplane.haproxy.config import render_map
from torpor.gateway.dataplane.haproxy.crowd import Crowd
from torpor.gateway.dataplane.haproxy.drain import Drain
from torpor.gateway.dataplane.haproxy.holdserver import HoldServer
from torpor.gateway.dataplane.haproxy.layout import Options
from torpor.gateway.dataplane.haproxy.model import Model
from torpor.gateway.dataplane.haproxy.passage import Passage
from torpor.gateway.dataplane.haproxy.process import HaproxyProcess
from torpor.gateway.dataplane.haproxy.pulse import Pulse
from torpor.gateway.dataplane.haproxy.reaper import Reaper
from torpor.gateway.dataplane.haproxy.slots import Slot
from torpor.gateway.heldspans import HeldSpans
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey
from torpor.settings import GatewaySettings
from torpor.telemetry.metrics import CONNECTIONS, SLOTS_TOTAL, SLOTS_USED
from torpor.telemetry.tracing import Emit

_log = logging.getLogger(__name__)

PEERS = 16
"""Other gateways that this one can forward to."""
_FD_RESERVE = 2000
"""Open files besides the two and a quarter that HAProxy may have for each connection."""
_FEWEST_CONNECTIONS = 100
_REFUSING_SECONDS = 1.0
"""How long HAProxy has to pass on that what it holds is refused."""


class HaproxyPlane:
    """One HAProxy process and what it should do. Port 0 in the settings takes a free one."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        listen_address: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        emit: Emit | None = None,
    ) -> None:
        """`emit` is told of each request that was held; None where no traces are sent."""
        self._drain_seconds = settings.drain_seconds
        self._listeners = [
            _listener(listen_address, settings.http_port),
            _listener(listen_address, settings.peer_port),
        ]
        public, peer = (listener.fileno() for listener in self._listeners)
        self._options = options = Options(
            run_directory=Path(settings.run_directory),
            public_fd=public,
            peer_fd=peer,
            slots=settings.slots,
            peers=PEERS,
            max_connections=_max_connections(settings.max_connections),
            events=settings.events_address(),
            tells_holds=emit is not None,
        )
        self._lock = asyncio.Lock()
        self._model = Model(options, clock)
        self._commands = Commands(options.admin_socket)
        self._process = HaproxyProcess(
            settings.haproxy, options.config, options.admin_socket, [public, peer], self._prepare
        )
        crowd = Crowd(options.max_connections)
        self._passage = Passage(
            self._model, self._commands, clock, crowd=crowd, wait_seconds=options.hold_seconds
        )
        self._holds = HoldServer(options.hold_socket, self._passage.decide, HeldSpans(emit))
        self._drain = Drain(self._commands, lambda: self._process.up)
        self._reaper = Reaper(self._model, self._commands, self._lock, clock)
        self._pulse = Pulse(self._process, options.admin_socket, clock, crowd)
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: str | None = None

    @property
    def port(self) -> int:
        """Where clients connect."""
        return int(self._listeners[0].getsockname()[1])

    @property
    def peer_port(self) -> int:
        """Where other gateways connect."""
        return int(self._listeners[1].getsockname()[1])

    @property
    def lambda_socket(self) -> Path:
        """Where it expects the Lambda API."""
        return self._options.lambda_socket

    @property
    def async_socket(self) -> Path:
        """Where it expects the door for calls that nobody waits for."""
        return self._options.async_socket

    @property
    def up(self) -> bool:
        """Whether HAProxy runs."""
        return self._process.up

    @property
    def pid(self) -> int | None:
        """HAProxy's process id, None while there is none."""
        return self._process.pid

    def problem(self) -> str | None:
        """Return why HAProxy carries no requests now; None if it does."""
        return self._pulse.problem()

    def lost(self) -> str | None:
        """Return why only a restart of this process would help; None if it would not."""
        return self._broken or self._pulse.lost()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell of a task that should go on for ever and did not: only a restart mends that."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task of the data plane ended", exc_info=error)
            self._broken = f"{task.get_name()} ended: {error!r}"

    async def start(self, holder: Holder) -> None:
        """Start HAProxy and take requests; DataPlaneError if it does not start."""
        self._passage.holder = holder
        self._options.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        SLOTS_TOTAL.set(self._options.slots)
        CONNECTIONS.set(self._options.max_connections)
        await self._holds.start()
        await self._process.start()
        self._tasks = [
            asyncio.create_task(self._reaper.run(), name="haproxy-reaper"),
            asyncio.create_task(self._pulse.run(), name="haproxy-pulse"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Refuse new connections, let open requests end within `drain_seconds`, then end.

        Lanes are followed meanwhile. What is still held then is refused.
        """
        for listener in self._listeners:
            # HAProxy keeps its copy open until it is told: only this ends the listening for both.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        await self._process.retire()
        await self._drain.close_doors()
        if not await self._drain.until_empty(self._drain_seconds):
            _log.info("connections are left after %d s", self._drain_seconds)
            await self._holds.stop()
            await self._drain.until_empty(min(_REFUSING_SECONDS, self._drain_seconds))
        await _cancel(self._tasks)
        self._commands.close()
        await self._process.end()
        await self._passage.stop()
        await self._holds.stop()

    async def set_routes(self, routes: Routes) -> None:
        """Know these hosts and paths from now on; anything else is answered 404."""
        async with self._lock:
            await self._commands.perform(self._model.set_routes(routes))

    async def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> None:
        """Forward the requests of `homes` to the gateways named there; `peers` says where they are.

        A function whose home is not in `peers` is served here.
        """
        async with self._changing():
            for steps in self._model.set_homes(homes, peers):
                await self._commands.perform(steps)

    async def set_reserved(self, shares: Mapping[FunctionKey, int]) -> None:
        """Let no more requests of these functions be inside or held at once, see `DataPlane`."""
        async with self._lock:
            await self._commands.perform(self._model.set_reserved(shares))

    async def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        """Bring one function to `lane`; None when it is asleep or gone.

        DataPlaneError while HAProxy is away: the state is kept and HAProxy starts with it.
        """
        async with self._changing():
            if lane is not None:
                await self._commands.perform(self._model.want(key, lane))
            else:
                await self._commands.perform(self._model.forget(key))
                self._model.retire(key)
            SLOTS_USED.set(len(self._model.slots))

    async def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        """Return the load of every function that has a lane."""
        bound = self._model.bound()
        answers = await self._commands.ask([stats.command(slot.name) for _, slot in bound])
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
            queued=seen.queued + self._passage.waiting(key),
            requests=slot.requests(seen.total),
            instances=dict(instances),
        )

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        async with self._lock:
            try:
                yield
            finally:
                self._reaper.wake()

    def _prepare(self) -> None:
        """Write HAProxy's files from what is wanted, and begin the model anew with it."""
        self._commands.begin_life()
        config = self._model.begin_life()
        self._options.lua.write_text(files(__package__).joinpath("hold.lua").read_text())
        for name, entries in self._model.maps.items():
            self._options.map(name).write_text(render_map(entries))
        self._options.config.write_text(config)


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


def _max_connections(wanted: int) -> int:
    """Return how many connections there are descriptors for; `wanted` at most."""
    allowed = descriptors.raise_limit(wanted * 9 // 4 + _FD_RESERVE)
    most = max(_FEWEST_CONNECTIONS, min(wanted, (allowed - _FD_RESERVE) * 4 // 9))
    if most < wanted:
        _log.warning("%d open files allow for %d connections, not %d", allowed, most, wanted)
    return most
