"""`run_gateway` with a real HAProxy, over a platform in memory whose instances are real servers."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.support.fake_platform import FakePlatform
from tests.support.haproxy import HAPROXY, Function
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.http_table import EMPTY, HttpTable
from torpor.gateway.service import run_gateway
from torpor.platform.base import Instance
from torpor.resources.names import FunctionKey
from torpor.settings import GatewaySettings
from torpor.telemetry.tracing import Emit

KEY = b"k" * 32
ALONE = {"gateway-0": "127.0.0.1"}


class ServingPlatform(FakePlatform):
    """Starts a real server for each replica, and stops it when the replica goes."""

    def __init__(self, starts_after_seconds: float = 0.1, serves_seconds: float = 0.0) -> None:
        super().__init__(starts_after_seconds)
        self.serves_seconds = serves_seconds
        self.servers: dict[str, Function] = {}
        self._serial = itertools.count(1)

    async def _start(self, key: FunctionKey, seconds: float) -> None:
        instance = self.new(key, address=None)
        self.put(instance)
        await asyncio.sleep(seconds)
        server = await Function(instance.name, self.serves_seconds).start()
        self.servers[instance.name] = server
        known = self.instances[key].get(instance.name)
        if known is None or known.terminating:
            await server.stop()
            return
        self.put(replace(instance, address="127.0.0.1", port=server.port, ready=True))

    async def collect(self, key: FunctionKey) -> None:
        """End the instances that are on their way out."""
        ending: list[Instance] = [i for i in self.instances.get(key, {}).values() if i.terminating]
        for instance in ending:
            self.take(instance)
            if instance.name in self.servers:
                await self.servers.pop(instance.name).stop()

    async def stop(self) -> None:
        for server in self.servers.values():
            await server.stop()


@dataclass
class RealGateway:
    port: int
    internal: str
    health: str
    stop: asyncio.Event
    running: asyncio.Task[None]
    plane: HaproxyPlane


@asynccontextmanager
async def real_gateway(
    platform: FakePlatform,
    *,
    drain_seconds: int = 1,
    haproxy: str = HAPROXY,
    name: str = "gateway-0",
    members: Mapping[str, str] = ALONE,
    emit: Emit | None = None,
    **more: Any,
) -> AsyncIterator[RealGateway]:
    """`members` are all gateways with their addresses; `more` are settings."""
    run = tempfile.mkdtemp(prefix="torpor-gw-")
    address = members[name]
    settings = GatewaySettings(
        pod_name=name,
        pod_ip=address,
        internal_port=free_port(),
        metrics_port=free_port(),
        slots=20,
        run_directory=run,
        haproxy=haproxy,
        drain_seconds=drain_seconds,
        **{"http_port": 0, "peer_port": 0, **more},
    )
    plane = HaproxyPlane(settings, listen_address=address, emit=emit)
    stop = asyncio.Event()
    job = run_gateway(
        settings,
        platform,
        plane,
        KEY,
        _members(members),
        _no_triggers(),
        stop=stop,
        host="127.0.0.1",
    )
    running = asyncio.create_task(job, name="gateway")
    try:
        internal = f"http://127.0.0.1:{settings.internal_port}"
        health = f"http://127.0.0.1:{settings.metrics_port}"
        yield RealGateway(plane.port, internal, health, stop, running, plane)
    finally:
        stop.set()
        await asyncio.wait_for(running, 30)
        shutil.rmtree(run, ignore_errors=True)


async def _members(members: Mapping[str, str]) -> AsyncIterator[Mapping[str, str]]:
    yield members
    await asyncio.Event().wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _no_triggers() -> AsyncIterator[HttpTable]:
    yield EMPTY
