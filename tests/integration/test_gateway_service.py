"""The whole role with a real HAProxy: readiness, wake, limit, zero, end. Only the platform is in
memory; the instances are real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from aiohttp import ClientError, ClientSession

from tests.support.fake_platform import function
from tests.support.haproxy import needs_haproxy, send
from tests.support.real_gateway import KEY, RealGateway, ServingPlatform, real_gateway
from torpor.invoke import Invoker
from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token

pytestmark = needs_haproxy
MOST = 10
ECHO = "echo.shop.localhost"
TOKEN = {"Authorization": f"Bearer {internal_token(KEY)}"}


async def ready(gateway: RealGateway) -> tuple[int, str]:
    try:
        async with ClientSession() as session, session.get(f"{gateway.health}/readyz") as answer:
            return answer.status, await answer.text()
    except ClientError:
        return 0, "not listening"


async def until_ready(gateway: RealGateway) -> None:
    async with asyncio.timeout(10):
        while (await ready(gateway))[0] != 200:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.02)


async def post(gateway: RealGateway, path: str, body: object) -> object:
    async with (
        ClientSession() as session,
        session.post(f"{gateway.internal}{path}", json=body, headers=TOKEN) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.status == 200 else None


async def load_of(gateway: RealGateway) -> GatewayLoad:
    async with (
        ClientSession() as session,
        session.get(f"{gateway.internal}/v1/load", headers=TOKEN) as answer,
    ):
        return GatewayLoad.from_json(await answer.json())


@asynccontextmanager
async def serving(platform: ServingPlatform) -> AsyncIterator[tuple[RealGateway, FunctionKey]]:
    spec = {"maxReplicas": MOST, "concurrency": {"target": 1, "limit": 1}}
    key = platform.add(function(scaling=spec))
    async with real_gateway(platform) as gateway:
        await until_ready(gateway)
        yield gateway, key
    await platform.stop()


async def test_a_function_wakes_and_only_the_waker_is_told() -> None:
    async with serving(ServingPlatform()) as (gateway, _):
        cold = await send(gateway.port, host=ECHO)
        warm = await send(gateway.port, host=ECHO)
        assert (cold.status, warm.status) == (200, 200)
        assert 100 <= int(cold.headers["x-torpor-cold-start"]) < 1000
        assert "x-torpor-cold-start" not in warm.headers
        load = await load_of(gateway)
        assert len(load.cold_starts) == 1


async def test_a_hundred_at_once_wake_what_they_need_and_never_two_in_an_instance() -> None:
    platform = ServingPlatform(serves_seconds=0.01)
    async with serving(platform) as (gateway, key):
        replies = await asyncio.gather(*(send(gateway.port, host=ECHO) for _ in range(100)))
        assert {reply.status for reply in replies} == {200}
        assert platform.replicas[key] == MOST
        assert max(server.most for server in platform.servers.values()) == 1
        assert sum(len(server.seen) for server in platform.servers.values()) == 100


async def test_flaps_under_traffic_lose_nothing() -> None:
    platform = ServingPlatform(starts_after_seconds=0.02, serves_seconds=0.002)
    async with serving(platform) as (gateway, key):
        statuses: list[int] = []
        flaps, random = 0, Random(3)

        async def client() -> None:
            while flaps < 12:
                statuses.append((await send(gateway.port, host=ECHO, method="POST")).status)
                await asyncio.sleep(random.expovariate(4))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(client())
            while flaps < 12:
                await asyncio.sleep(0.02)
                flaps += await _to_zero(gateway, platform, key)
        assert set(statuses) == {200}
        assert len(statuses) > 12


async def _to_zero(gateway: RealGateway, platform: ServingPlatform, key: FunctionKey) -> bool:
    answer = await post(gateway, "/v1/park", {"function": str(key)})
    assert isinstance(answer, dict)
    drained = ParkAnswer.from_json(answer).drained
    if drained:
        platform.set_replicas(key, 0)
    await post(gateway, "/v1/settle", {"function": str(key), "scaled": drained})
    await platform.collect(key)
    return drained


async def test_the_invoker_goes_the_same_way() -> None:
    async with (
        serving(ServingPlatform()) as (gateway, key),
        Invoker(f"http://127.0.0.1:{gateway.port}", new_id=lambda: "id-1") as invoker,
    ):
        answer = await invoker.invoke(key, "POST", "/work?a=1", {"X-Mine": "1"}, b"body", 10)
        assert (answer.status, answer.request_id) == (200, "id-1")
        missing = FunctionKey("shop", "nothing")
        assert (await invoker.invoke(missing, "GET", "/", {}, b"", 10)).status == 404


async def test_what_is_inside_ends_well_after_the_signal_to_stop() -> None:
    platform = ServingPlatform(serves_seconds=0.8)
    async with serving(platform) as (gateway, _):
        asked = asyncio.create_task(send(gateway.port, host=ECHO))
        await asyncio.sleep(0.4)
        gateway.stop.set()
        status, text = await ready(gateway)
        assert status == 503
        assert "stopping: the gateway is stopping" in text
        assert (await asked).status == 200
        async with asyncio.timeout(10):
            await gateway.running
