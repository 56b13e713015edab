"""The data plane inside this process: what `torpor dev` and the activator's tests run on.

It keeps the promises of the HAProxy plane (hard limits, FIFO, streaming, retries only where nothing
was sent) at the speed of Python, which is enough for one person at a keyboard.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from aiohttp import ClientSession, web

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane import forwarding, problems
from torpor.gateway.dataplane.admission import Place
from torpor.gateway.dataplane.base import Holder, Lane, LaneLoad, Refused, Server
from torpor.gateway.dataplane.connection import Listener, too_large
from torpor.gateway.dataplane.exchange import Call, Unanswered, Unreached, exchange
from torpor.gateway.dataplane.forwarding import Origin
from torpor.gateway.dataplane.holding import held
from torpor.gateway.dataplane.lanes import Lanes
from torpor.gateway.dataplane.target import Target
from torpor.gateway.dataplane.upstream import open_session
from torpor.gateway.dataplane.websocket import is_upgrade, tunnel
from torpor.gateway.heldspans import HeldSpans, Trace
from torpor.gateway.http_table import Destination, NotAllowed
from torpor.gateway.routes import Routes, is_lambda, prefers_async
from torpor.resources.names import (
    HEADER_COLD_START,
    HEADER_FUNCTION,
    HEADER_PATH,
    FunctionKey,
)
from torpor.resources.run import RUNS_PREFIX

_BACKLOG = 1024
_ATTEMPTS = 7  # over 1.3 s: longer than a process that died takes to be back
_FIRST_PAUSE_SECONDS = 0.02
_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_ROUTES = Routes({}, frozenset())
_EVENTS_SECONDS = 30.0
_ASYNC_SECONDS = 60.0  # a run may be waited for 30 s
_LAMBDA_SECONDS = 7200.0  # a call takes as long as its function may


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A server that is no function's, and how long it may be silent."""

    server: Server
    timeout_seconds: float


class InProcessDataPlane:
    """Listens on `host:port` (0: any free port) and serves until stopped."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        queue_seconds: float = 60.0,
        drain_seconds: float = 10.0,
        header_seconds: float = 10.0,
    ) -> None:
        self._host = host
        self._port = port
        self._drain_seconds = drain_seconds
        self._header_seconds = header_seconds
        self._routes = _NO_ROUTES
        self._lanes = Lanes(queue_seconds)
        self._events: Neighbour | None = None
        self._lambda: Neighbour | None = None
        self._async: Neighbour | None = None
        self._holder: Holder | None = None
        self._spans = HeldSpans(None)
        self._runner: web.ServerRunner | None = None
        self._session: ClientSession | None = None
        self.listening = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that it listens on, once started."""
        return self._port

    async def start(self, holder: Holder) -> None:
        """Begin to accept requests; OSError if the port is taken."""
        self._holder = holder
        self._session = open_session()
        server = Listener(self._serve, header_seconds=self._header_seconds)
        self._runner = web.ServerRunner(server, shutdown_timeout=self._drain_seconds)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=_BACKLOG).start()
        self._port = int(self._runner.addresses[0][1])
        self.listening.set()

    async def stop(self) -> None:
        """Refuse new connections, give open requests `drain_seconds`, then close."""
        try:
            if self._runner:
                await self._runner.cleanup()
        finally:
            if self._session:
                await self._session.close()

    async def set_routes(self, routes: Routes) -> None:
        """Know these addresses from now on."""
        self._routes = routes

    def set_events(self, events: Server) -> None:
        """Know where the events role is from now on."""
        self._events = Neighbour(events, _EVENTS_SECONDS)

    def set_lambda(self, api: Server) -> None:
        """Know where the Lambda API is from now on."""
        self._lambda = Neighbour(api, _LAMBDA_SECONDS)

    def set_async(self, door: Server) -> None:
        """Know where calls that nobody waits for are taken from now on."""
        self._async = Neighbour(door, _ASYNC_SECONDS)

    def set_spans(self, spans: HeldSpans) -> None:
        """Tell of requests that are held from now on."""
        self._spans = spans

    async def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> None:
        """Nothing to do: this plane is the only one there is, so every function is at home."""
        del homes, peers

    async def set_reserved(self, shares: Mapping[FunctionKey, int]) -> None:
        """Let no more requests of these functions be inside or held at once."""
        self._lanes.set_reserved(shares)

    async def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        """Bring one function to `lane`; what is inside goes on."""
        self._lanes.apply(key, lane)

    async def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        """Return the load of every function that has a lane, or requests from when it had one."""
        return self._lanes.loads()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = forwarding.request_id(request.headers, secrets.token_hex(16))
        if too_large(request):
            answer = problems.problem(problems.HEADERS_TOO_LARGE, request_id)
            answer.force_close()
            return answer
        target = Target.of(request)
        if target is None:
            return problems.problem(problems.NO_PATH, request_id)
        path, question, query = target.path.partition("?")
        if path.startswith(RUNS_PREFIX):
            return await self._to_neighbour(request, request_id, target, path, self._async)
        key, seen_path = self._routes.find(target.host, path) or (None, path)
        if key is None and is_lambda(path):
            return await self._to_neighbour(request, request_id, target, path, self._lambda)
        if key is None:
            to = self._routes.find_trigger(request.method, target.host, path)
            if not isinstance(to, Destination):
                return _no_route(to, request_id)
            key, seen_path = to.function, to.rewritten(path)
        seen = Target(f"{seen_path}{question}{query}", target.host)
        if key is None:
            return await self._to_neighbour(request, request_id, seen, path, self._events)
        if key in self._routes.jobs or prefers_async(request.headers.getall("Prefer", ())):
            named = {HEADER_FUNCTION: str(key)}
            return await self._to_neighbour(request, request_id, seen, path, self._async, named)
        if not self._lanes.has_room(key):
            return problems.problem(problems.OVER_RESERVED, request_id)
        with self._lanes.presence(key):
            return await self._deliver(request, request_id, key, seen)

    async def _to_neighbour(
        self,
        request: web.BaseRequest,
        request_id: str,
        target: Target,
        path: str,
        to: Neighbour | None,
        more: Mapping[str, str] = _NOTHING,
    ) -> web.StreamResponse:
        if to is None or self._session is None:
            return problems.problem(problems.UNREACHABLE, request_id)
        headers = forwarding.onward(request.headers, _origin(request, request_id, target))
        headers[HEADER_PATH] = path
        headers.update(more)
        call = Call(request, request_id, target.path, headers, {}, to.timeout_seconds)
        try:
            return await exchange(self._session, call, to.server)
        except (Unreached, Unanswered):
            return problems.problem(problems.UNREACHABLE, request_id)

    async def _deliver(
        self, request: web.BaseRequest, request_id: str, key: FunctionKey, target: Target
    ) -> web.StreamResponse:
        cold_ms: int | None = None
        trace = forwarding.trace_of(request.headers, secrets.token_hex(24))
        let_through = self._lanes.is_open(key)
        pause_seconds, repeated = _FIRST_PAUSE_SECONDS, False
        for _ in range(_ATTEMPTS):
            if not let_through:
                verdict = await held(self._holder, key, request_id, trace, self._spans)
                trace = trace if self._spans.are_off else replace(trace, begun=False)
                if isinstance(verdict, Refused):
                    return problems.problem(verdict, request_id)
                cold_ms = verdict.cold_ms if cold_ms is None else cold_ms
            try:
                place = await self._lanes.enter(key)
            except TimeoutError:
                return problems.problem(problems.QUEUE_TIMEOUT, request_id)
            if place is None:
                let_through = False
                continue
            call = self._call(request, request_id, key, target, cold_ms, trace)
            try:
                return await self._send(call, key, place)
            except Unanswered:
                if repeated:
                    return problems.problem(problems.BROKEN, request_id)
                repeated = True
            except Unreached:
                pass  # nothing was sent
            await asyncio.sleep(pause_seconds)
            pause_seconds *= 2
            let_through = self._lanes.is_open(key)
        return problems.problem(problems.UNREACHABLE, request_id)

    async def _send(self, call: Call, key: FunctionKey, place: Place) -> web.StreamResponse:
        if self._session is None:
            raise DataPlaneError("the data plane is not started")
        carry = tunnel if is_upgrade(call.request) else exchange
        try:
            return await carry(self._session, call, place.server)
        finally:
            self._lanes.leave(key, place)

    def _call(
        self,
        request: web.BaseRequest,
        request_id: str,
        key: FunctionKey,
        target: Target,
        cold_ms: int | None,
        trace: Trace,
    ) -> Call:
        origin = _origin(request, request_id, target)
        return Call(
            request=request,
            request_id=request_id,
            target=target.path,
            headers=forwarding.to_function(request.headers, key, origin, trace),
            extra={} if cold_ms is None else {HEADER_COLD_START: str(cold_ms)},
            timeout_seconds=self._lanes.timeout_seconds(key),
        )


def _origin(request: web.BaseRequest, request_id: str, target: Target) -> Origin:
    return Origin(request.remote or "unknown", target.host, request_id)


def _no_route(found: NotAllowed | None, request_id: str) -> web.Response:
    if found is None:
        return problems.problem(problems.NOT_FOUND, request_id)
    answer = problems.problem(problems.NOT_ALLOWED, request_id)
    answer.headers["Allow"] = found.allow
    return answer
