"""An activator between a platform and a data plane in memory, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from tests.support.fake_dataplane import FakeDataPlane
from tests.support.fake_platform import FakePlatform, FakeProber
from torpor.gateway.activator import Activator
from torpor.gateway.dataplane.base import Go, Refused
from torpor.gateway.homes import Membership
from torpor.resources.names import FunctionKey


@dataclass
class Rig:
    platform: FakePlatform
    plane: FakeDataPlane
    prober: FakeProber
    activator: Activator

    def ask(self, key: FunctionKey, seconds: float = 0.01) -> asyncio.Task[Go | Refused]:
        """Send one request through the data plane."""
        return asyncio.create_task(self.plane.request(key, seconds), name="request")

    def hold(self, key: FunctionKey) -> asyncio.Task[Go | Refused]:
        """Hold one request and look only at the verdict."""
        return asyncio.create_task(self.activator.hold(key), name="hold")

    async def settled(self) -> None:
        """Let everything that can happen at once happen."""
        await asyncio.sleep(0.05)


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def activator_rig(
    platform: FakePlatform | None = None, *, name: str = "gateway-0"
) -> AsyncIterator[Rig]:
    platform = platform or FakePlatform()
    plane, prober = FakeDataPlane(), FakeProber(platform)
    activator = Activator(
        platform,
        plane,
        prober,
        membership=Membership(name, {name: "10.1.0.1"}),
        boot="boot",
        random=Random(1),
        domain="example.test",
        cluster_domain="cluster.local",
        peer_port=8082,
    )
    running = asyncio.create_task(activator.run(), name="activator")
    try:
        await asyncio.sleep(0.2)
        yield Rig(platform, plane, prober, activator)
        assert not running.done(), running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
