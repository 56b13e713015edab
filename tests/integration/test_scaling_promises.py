"""What `spec.hold` and `spec.scaling` promise, with a real HAProxy and the real autoscaler.

Only the platform is in memory; the instances are real servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientConnectionError, ClientSession

from tests.support.fake_platform import function
from tests.support.haproxy import Reply, needs_haproxy, send, until
from tests.support.real_gateway import KEY, RealGateway, ServingPlatform, real_gateway
from torpor.functions.autoscaler import Autoscaler
from torpor.functions.gateways_http import HttpGateways
from torpor.platform.kubernetes.members import GatewayPod
from torpor.resources.names import MANAGER_AUTOSCALER, FunctionKey
from torpor.resources.tokens import internal_token

pytestmark = needs_haproxy
ECHO = "echo.shop.localhost"
WINDOWS = {"windowSeconds": 2, "burstWindowSeconds": 1, "idleSeconds": 1}


@asynccontextmanager
async def gateway_of(platform: ServingPlatform) -> AsyncIterator[RealGateway]:
    async with real_gateway(platform) as gateway, ClientSession() as session:
        async with asyncio.timeout(10):
            while not await is_ready(session, gateway):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.02)
        yield gateway
    await platform.stop()


async def is_ready(session: ClientSession, gateway: RealGateway) -> bool:
    with contextlib.suppress(ClientConnectionError):
        async with session.get(f"{gateway.health}/readyz") as answer:
            return answer.status == 200
    return False


@asynccontextmanager
async def led(platform: ServingPlatform, gateway: RealGateway) -> AsyncIterator[None]:
    """Have the leader's autoscaler scale the functions."""
    port = urlsplit(gateway.internal).port
    assert port
    members = {"gateway-0": GatewayPod("127.0.0.1")}
    async with ClientSession() as session:
        gateways = HttpGateways(session, lambda: members, internal_token(KEY), port)
        running = asyncio.create_task(Autoscaler(platform, gateways).run(), name="autoscaler")
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


def code_of(reply: Reply) -> str:
    return str(json.loads(reply.body)["code"])


def scales(platform: ServingPlatform, key: FunctionKey) -> list[int]:
    """What the autoscaler asked for."""
    written = (item for item in platform.written if item.key == key)
    return [item.replicas for item in written if item.manager == MANAGER_AUTOSCALER]


async def test_as_many_wait_as_hold_allows_and_as_long() -> None:
    platform = ServingPlatform(starts_after_seconds=3600)
    platform.add(function(hold={"maxRequests": 2, "maxSeconds": 2}))
    async with gateway_of(platform) as gateway:
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting = [asyncio.create_task(send(gateway.port, host=ECHO)) for _ in range(2)]
        await until(lambda: bool(platform.written))
        third = await send(gateway.port, host=ECHO)
        assert (third.status, code_of(third)) == (503, "hold-full")
        assert loop.time() - began < 1.5
        for late in await asyncio.gather(*waiting):
            assert (late.status, code_of(late)) == (503, "hold-timeout")
        assert 1.9 < loop.time() - began < 4


async def test_requests_per_second_are_followed_though_hardly_one_is_there_at_once() -> None:
    platform = ServingPlatform(starts_after_seconds=0.05)
    longer = {"windowSeconds": 6, "burstWindowSeconds": 3, "idleSeconds": 1}
    scaling: dict[str, Any] = {**longer, "requestsPerSecond": 4, "maxReplicas": 6}
    key = platform.add(function(scaling=scaling))
    async with gateway_of(platform) as gateway, led(platform, gateway):
        async with asyncio.timeout(60), steady(gateway, per_second=11):
            while platform.replicas.get(key) != 3:  # noqa: ASYNC110 - the autoscaler decides
                await asyncio.sleep(0.05)
            await asyncio.sleep(8)  # longer than the window, and than what makes a function idle
            asked = scales(platform, key)
        print("replicas asked for:", asked)
        since = asked[asked.index(3) :]
        assert (min(since), max(since)) in ((3, 3), (3, 4))
        await until(lambda: platform.replicas[key] == 0, timeout=20)


@asynccontextmanager
async def steady(gateway: RealGateway, per_second: int) -> AsyncIterator[None]:
    """Send at most so many requests a second, whatever becomes of them."""
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await send(gateway.port, host=ECHO)).status)

    async def pump(tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            tasks.create_task(one(), name="request")
            due = max(due + 1 / per_second, loop.time())  # nothing is made up for in a burst
            await asyncio.sleep(due - loop.time())

    async with asyncio.TaskGroup() as tasks:
        pumping = tasks.create_task(pump(tasks), name="pump")
        yield
        pumping.cancel()
    assert set(statuses) == {200}


async def test_a_paused_function_wakes_and_is_then_left_alone() -> None:
    platform = ServingPlatform(starts_after_seconds=0.05)
    limit = {"target": 1, "limit": 1}
    key = platform.add(function(scaling={**WINDOWS, "paused": True, "concurrency": limit}))
    async with gateway_of(platform) as gateway, led(platform, gateway):
        replies = await asyncio.gather(*(send(gateway.port, host=ECHO) for _ in range(5)))
        assert {reply.status for reply in replies} == {200}
        await asyncio.sleep(4)  # four times what makes a function idle
        assert (platform.replicas[key], scales(platform, key)) == (1, [])
        platform.add(function(scaling={**WINDOWS, "concurrency": limit}))
        await until(lambda: platform.replicas[key] == 0)
