"""`spec.reservedConcurrency` in real data planes: never one more, cold or warm, on one or two."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientError, ClientSession

from tests.support.fake_platform import function
from tests.support.haproxy import (
    GO,
    SHOP,
    Function,
    Reply,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    running_plane,
    send,
    until,
)
from tests.support.real_gateway import RealGateway, ServingPlatform, free_port, real_gateway
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.routes import Routes
from torpor.telemetry.metrics import REFUSED

Plane = HaproxyPlane | InProcessDataPlane
PLANES = [pytest.param("haproxy", marks=needs_haproxy), "python"]


@asynccontextmanager
async def plane_of(kind: str, holder: ScriptedHolder) -> AsyncIterator[Plane]:
    if kind == "haproxy":
        async with running_plane(holder) as plane:
            yield plane
        return
    local = InProcessDataPlane("127.0.0.1", 0)
    await local.start(holder)
    try:
        await local.set_routes(Routes.of((SHOP,), "localhost", "cluster.local"))
        yield local
    finally:
        await local.stop()


async def flood(clients: int, *ports: int, each: int = 20) -> Counter[int]:
    """The statuses of the requests of so many clients, spread over the ports."""

    async def client(port: int) -> list[int]:
        return [(await send(port, method="POST")).status for _ in range(each)]

    told = await asyncio.gather(*(client(ports[n % len(ports)]) for n in range(clients)))
    return Counter(itertools.chain.from_iterable(told))


def is_over(reply: Reply) -> bool:
    code = json.loads(reply.body)["code"]
    return (reply.status, code, reply.headers["retry-after"]) == (429, "reserved-concurrency", "1")


@pytest.mark.parametrize("kind", PLANES)
async def test_as_many_as_are_reserved_run_and_one_more_is_told_to_come_back(kind: str) -> None:
    gate = asyncio.Event()
    async with (
        Function("one", gate=gate) as one,
        Function("two", gate=gate) as two,
        plane_of(kind, ScriptedHolder()) as plane,
    ):
        await plane.set_reserved({SHOP: 3})
        await plane.apply(SHOP, open_lane(one.server(), two.server()))
        running = [asyncio.create_task(send(plane.port)) for _ in range(3)]
        await until(lambda: one.now + two.now == 3)
        assert is_over(await send(plane.port))
        assert is_over(await send(plane.port, "/function/shop/cart/", host="any", method="POST"))
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*running)} == {200}
        assert (await send(plane.port)).status == 200


@pytest.mark.parametrize("kind", PLANES)
async def test_those_that_wait_in_the_queue_or_for_the_function_count(kind: str) -> None:
    gate, holder = asyncio.Event(), ScriptedHolder()
    async with Function("one", gate=gate) as one, plane_of(kind, holder) as plane:
        await plane.set_reserved({SHOP: 4})
        held = [asyncio.create_task(send(plane.port)) for _ in range(4)]
        await until(lambda: holder.held[SHOP] == 4)
        assert is_over(await send(plane.port))
        await plane.apply(SHOP, open_lane(one.server(1)))
        holder.answer(SHOP, GO)
        await until(lambda: one.now == 1 and holder.held[SHOP] == 0)
        assert is_over(await send(plane.port))
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*held)} == {200}


@pytest.mark.parametrize("kind", PLANES)
async def test_a_flood_never_gets_one_more_in_and_loses_none(kind: str) -> None:
    async with Function("one", 0.01) as one, plane_of(kind, ScriptedHolder()) as plane:
        await plane.set_reserved({SHOP: 5})
        await plane.apply(SHOP, open_lane(one.server()))
        answered = await flood(30, plane.port)
        print(f"{kind}: {dict(answered)}, most at once {one.most}")
        assert set(answered) == {200, 429}
        assert (one.most, answered[200]) == (5, len(one.seen))
        assert await flood(5, plane.port, each=1) == {200: 5}


@pytest.mark.parametrize("kind", PLANES)
async def test_a_client_that_leaves_frees_its_place(kind: str) -> None:
    gate = asyncio.Event()
    async with Function("one", gate=gate) as one, plane_of(kind, ScriptedHolder()) as plane:
        await plane.set_reserved({SHOP: 1})
        await plane.apply(SHOP, open_lane(one.server()))
        leaving = asyncio.create_task(send(plane.port))
        await until(lambda: one.now == 1)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        gate.set()
        async with asyncio.timeout(5):
            while (await send(plane.port)).status != 200:  # noqa: ASYNC110 - HAProxy has no event
                await asyncio.sleep(0.01)
        assert len(one.seen) == 2


@pytest.mark.parametrize("kind", PLANES)
async def test_none_at_all_and_no_limit_again(kind: str) -> None:
    async with Function("one") as one, plane_of(kind, ScriptedHolder()) as plane:
        await plane.apply(SHOP, open_lane(one.server()))
        await plane.set_reserved({SHOP: 0})
        assert is_over(await send(plane.port))
        await plane.set_reserved({})
        assert (await send(plane.port)).status == 200
        assert len(one.seen) == 1


@needs_haproxy
async def test_one_that_comes_back_from_a_dead_instance_is_counted_once() -> None:
    holder = ScriptedHolder()
    async with Function("one") as alive, running_plane(holder) as plane:
        await plane.set_reserved({SHOP: 1})
        async with Function("gone") as gone:
            dead = gone.server()
        await plane.apply(SHOP, open_lane(dead))
        request = asyncio.create_task(send(plane.port, method="POST"))
        await until(lambda: holder.held[SHOP] == 1)
        assert is_over(await send(plane.port))
        await plane.apply(SHOP, open_lane(alive.server()))
        holder.answer(SHOP, GO)
        assert (await request).status == 200


@needs_haproxy
async def test_the_share_outlives_haproxy() -> None:
    holder = ScriptedHolder()
    async with Function("one") as one, running_plane(holder) as plane:
        await plane.set_reserved({SHOP: 0})
        await plane.apply(SHOP, open_lane(one.server()))
        before = plane.pid
        assert before
        os.kill(before, signal.SIGKILL)
        await until(lambda: plane.up and plane.pid != before)
        assert is_over(await send(plane.port))


@needs_haproxy
async def test_two_gateways_with_a_share_each() -> None:
    async with (
        Function("one", 0.01) as one,
        running_plane(ScriptedHolder()) as near,
        running_plane(ScriptedHolder()) as far,
    ):
        for plane, share in ((near, 3), (far, 2)):
            await plane.set_reserved({SHOP: share})
            await plane.apply(SHOP, open_lane(one.server()))
        answered = await flood(30, near.port, far.port)
        print(f"two gateways: {dict(answered)}, most at once {one.most}")
        assert set(answered) == {200, 429}
        assert (one.most, answered[200]) == (5, len(one.seen))


@needs_haproxy
async def test_what_is_forwarded_counts_at_the_home_alone() -> None:
    gate = asyncio.Event()
    async with (
        Function("one", gate=gate) as one,
        running_plane(ScriptedHolder()) as near,
        running_plane(ScriptedHolder()) as home,
    ):
        for plane in (near, home):
            await plane.set_reserved({SHOP: 1})
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", home.peer_port)})
        await home.apply(SHOP, open_lane(one.server()))
        running = asyncio.create_task(send(near.port))
        await until(lambda: one.now == 1)
        assert is_over(await send(near.port))
        assert is_over(await send(home.port))
        gate.set()
        assert (await running).status == 200
        assert set(await flood(20, near.port, home.port)) == {200, 429}
        assert one.most == 1


@needs_haproxy
async def test_while_the_home_is_away_it_counts_here() -> None:
    gate, holder = asyncio.Event(), ScriptedHolder()
    holder.answer(SHOP, GO)
    async with Function("one", gate=gate) as one, running_plane(holder) as near:
        await near.set_reserved({SHOP: 1})
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", 9)})
        await near.apply(SHOP, open_lane(one.server()))
        running = asyncio.create_task(send(near.port))
        await until(lambda: one.now == 1)
        assert is_over(await send(near.port))
        gate.set()
        assert (await running).status == 200


@needs_haproxy
async def test_haproxys_refusals_are_counted() -> None:
    async with Function("one") as one, running_plane(ScriptedHolder()) as plane:
        await plane.set_reserved({SHOP: 0})
        await plane.apply(SHOP, open_lane(one.server()))
        before = refused()
        assert [is_over(await send(plane.port)) for _ in range(3)] == [True] * 3
        await until(lambda: refused() == before + 3)


def refused() -> float:
    return float(REFUSED.labels("reserved-concurrency")._value.get())


async def twenty(address: str, port: int) -> list[int]:
    host = "echo.shop.localhost"
    return [(await send(port, host=host, address=address)).status for _ in range(20)]


async def until_ready(gateway: RealGateway) -> None:
    async with ClientSession() as session:
        while True:
            with contextlib.suppress(ClientError):
                async with session.get(f"{gateway.health}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.02)


@needs_haproxy
@pytest.mark.parametrize("reserved", [1, 3, 4, 5])
async def test_two_whole_gateways_cold_and_warm(reserved: int) -> None:
    platform = ServingPlatform(serves_seconds=0.01)
    scaling = {"maxReplicas": 1, "concurrency": {"limit": 0, "target": 10}}
    key = platform.add(function(scaling=scaling, reservedConcurrency=reserved))
    peer_port = free_port()
    members = {"gateway-0": "127.0.0.1", "gateway-1": "127.0.0.2"}
    both = (
        real_gateway(platform, name=name, members=members, peer_port=peer_port) for name in members
    )
    async with AsyncExitStack() as stack:
        gateways = [await stack.enter_async_context(gateway) for gateway in both]
        addresses = [
            (at, gateway.port) for at, gateway in zip(members.values(), gateways, strict=True)
        ]
        async with asyncio.timeout(10):
            for gateway in gateways:
                await until_ready(gateway)
        told = await asyncio.gather(*(twenty(*addresses[n % 2]) for n in range(20)))
        answered = Counter(itertools.chain.from_iterable(told))
        [server] = platform.servers.values()
        print(f"{reserved} reserved: {dict(answered)}, most at once {server.most}")
        assert set(answered) == {200, 429}
        assert (server.most, answered[200]) == (reserved, len(server.seen))
        assert platform.replicas[key] == 1
    await platform.stop()
