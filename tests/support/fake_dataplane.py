"""A data plane in memory: lanes as applied, requests that pass through them one by one.

`request` does what a carrier does: into an open lane at once, else by way of the holder; at most
`limit` at once in a server; what is inside stays inside until it is done.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.base import Go, Holder, Lane, LaneLoad, Refused
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey


class FakeDataPlane:
    def __init__(self) -> None:
        self.lanes: dict[FunctionKey, Lane] = {}
        self.history: list[tuple[FunctionKey, Lane | None]] = []
        self.routes: Routes | None = None
        self.homes: Mapping[FunctionKey, str] = {}
        self.peers: Mapping[str, tuple[str, int]] = {}
        self.reserved: Mapping[FunctionKey, int] = {}
        self.apply_seconds = 0.001
        self.away = False
        self.blind = False
        """Its load cannot be read, all else works."""
        self.failures: list[bool] = []
        """Of the next calls of apply: fail before (False) or after (True) it took effect."""
        self.inside: dict[FunctionKey, Counter[str]] = defaultdict(Counter)
        self.queued: Counter[FunctionKey] = Counter()
        self.most: Counter[str] = Counter()
        self.served: Counter[FunctionKey] = Counter()
        self._holder: Holder | None = None
        self._moved = asyncio.Condition()

    async def start(self, holder: Holder) -> None:
        self._holder = holder

    async def stop(self) -> None:
        self._holder = None

    async def set_routes(self, routes: Routes) -> None:
        self._check()
        self.routes = routes

    async def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> None:
        self._check()
        self.homes, self.peers = homes, peers

    async def set_reserved(self, shares: Mapping[FunctionKey, int]) -> None:
        self._check()
        self.reserved = shares

    async def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        await asyncio.sleep(self.apply_seconds)
        self._check()
        took_effect = self.failures.pop(0) if self.failures else None
        if took_effect is False:
            raise DataPlaneError("refused")
        self.history.append((key, lane))
        if lane is None:
            self.lanes.pop(key, None)
            self.served[key] = 0
        else:
            self.lanes[key] = lane
        async with self._moved:
            self._moved.notify_all()
        if took_effect:
            raise DataPlaneError("no answer")

    async def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        self._check()
        if self.blind:
            raise DataPlaneError("no load")
        return {
            key: LaneLoad(
                self.inside[key].total(), self.queued[key], self.served[key], +self.inside[key]
            )
            for key in self.lanes
        }

    async def request(self, key: FunctionKey, seconds: float) -> Go | Refused:
        """Send one request that an instance takes `seconds` for; Go says that it was served."""
        assert self._holder is not None
        cold: int | None = None
        server = None if not self._is_open(key) else await self._enter(key)
        while server is None:
            verdict = await self._holder.hold(key)
            if isinstance(verdict, Refused):
                return verdict
            cold = verdict.cold_ms if cold is None else cold
            server = await self._enter(key)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.inside[key][server] -= 1
            async with self._moved:
                self._moved.notify_all()
        return Go(cold)

    def _is_open(self, key: FunctionKey) -> bool:
        lane = self.lanes.get(key)
        return lane is not None and lane.open

    async def _enter(self, key: FunctionKey) -> str | None:
        """Return the server that takes the request; None if there is none to wait for."""
        self.queued[key] += 1
        try:
            async with self._moved:
                while lane := self.lanes.get(key):
                    if not lane.servers:
                        return None
                    inside = self.inside[key]
                    server = min(lane.servers, key=lambda item: inside[item.name])
                    if server.limit == 0 or inside[server.name] < server.limit:
                        inside[server.name] += 1
                        self.most[server.name] = max(self.most[server.name], inside[server.name])
                        self.served[key] += 1
                        return server.name
                    await self._moved.wait()
            return None
        finally:
            self.queued[key] -= 1

    def _check(self) -> None:
        if self.away:
            raise DataPlaneError("the data plane is away")
