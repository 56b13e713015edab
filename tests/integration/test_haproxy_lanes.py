"""Limits, slots and loads: what a lane promises, with a real HAProxy."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.haproxy import (
    GO,
    HOST,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    parked,
    running_plane,
    send,
    serving,
    until,
)
from torpor.errors import SlotsExhausted
from torpor.gateway.dataplane.base import LaneLoad, Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey

pytestmark = needs_haproxy


async def until_load(plane: HaproxyPlane, in_flight: int, queued: int) -> LaneLoad:
    async with asyncio.timeout(10):
        while True:
            load = (await plane.loads())[SHOP]
            if (load.in_flight, load.queued) == (in_flight, queued):
                return load
            await asyncio.sleep(0.01)


async def test_two_hundred_at_once_on_three_servers_of_limit_one() -> None:
    holder = ScriptedHolder()
    functions = [await Function(f"f{index}", delay_seconds=0.01).start() for index in range(3)]
    async with running_plane(holder) as plane:
        requests = [asyncio.create_task(send(plane.port, method="POST")) for _ in range(200)]
        await until(lambda: holder.held[SHOP] == 200)
        holder.answer(SHOP, GO)
        for count in (1, 2, 3):
            servers = [function.server(1) for function in functions[:count]]
            await plane.apply(SHOP, open_lane(*servers))
            await until(lambda count=count: len(functions[count - 1].seen) >= 1)  # type: ignore[misc]
        replies = await asyncio.gather(*requests)
    for function in functions:
        await function.stop()
    assert {reply.status for reply in replies} == {200}
    assert [function.most for function in functions] == [1, 1, 1]
    assert sum(len(function.seen) for function in functions) == 200


async def test_a_limit_changes_while_requests_wait() -> None:
    function = Function("one", gate=asyncio.Event())
    assert function.gate
    async with serving(function, limit=2) as plane:
        requests = [asyncio.create_task(send(plane.port)) for _ in range(20)]
        load = await until_load(plane, in_flight=2, queued=18)
        assert load.instances == {"one": 2}
        await plane.apply(SHOP, open_lane(function.server(5)))
        await until_load(plane, in_flight=5, queued=15)
        await plane.apply(SHOP, open_lane(function.server(0)))
        await until(lambda: function.now == 20)
        function.gate.set()
        await asyncio.gather(*requests)
        load = await until_load(plane, in_flight=0, queued=0)
    assert load.requests == 20
    assert function.most == 20


async def test_a_server_that_is_no_longer_listed_finishes_what_it_has() -> None:
    async with (
        Function("old", gate=asyncio.Event()) as old,
        Function("new") as new,
        running_plane(ScriptedHolder()) as plane,
    ):
        assert old.gate
        await plane.apply(SHOP, open_lane(old.server(1)))
        first = asyncio.create_task(send(plane.port))
        await until(lambda: old.now == 1)
        await plane.apply(SHOP, open_lane(new.server(1)))
        assert (await send(plane.port)).body == b"new"
        assert (await plane.loads())[SHOP].instances == {"old": 1, "new": 0}
        old.gate.set()
        assert (await first).body == b"old"
        async with asyncio.timeout(5):
            while "old" in (await plane.loads())[SHOP].instances:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def test_parked_holds_the_new_and_drains_the_old() -> None:
    holder = ScriptedHolder()
    function = Function("one", gate=asyncio.Event())
    assert function.gate
    async with serving(function, holder=holder, limit=1) as plane:
        before = [asyncio.create_task(send(plane.port)) for _ in range(3)]
        await until_load(plane, in_flight=1, queued=2)
        await plane.apply(SHOP, parked(function.server(1)))
        after = asyncio.create_task(send(plane.port))
        await until(lambda: holder.held[SHOP] == 1)
        function.gate.set()
        await asyncio.gather(*before)
        await until_load(plane, in_flight=0, queued=0)
        await plane.apply(SHOP, None)
        assert SHOP not in await plane.loads()
        after.cancel()
    assert len(function.seen) == 3


async def test_slots_are_used_again_only_when_they_are_empty() -> None:
    holder = ScriptedHolder()
    keys = [FunctionKey("shop", f"f{index}") for index in range(3)]
    functions = [await Function(key.name, gate=asyncio.Event()).start() for key in keys]
    holder.answer(keys[2], GO)
    async with running_plane(holder, *keys, slots=2) as plane:
        hosts = [f"{key.name}.shop.localhost" for key in keys]
        for key, function in zip(keys[:2], functions, strict=False):
            await plane.apply(key, open_lane(function.server(1)))
        slow = asyncio.create_task(send(plane.port, host=hosts[0]))
        await until(lambda: functions[0].now == 1)
        with pytest.raises(SlotsExhausted) as caught:
            await plane.apply(keys[2], open_lane(functions[2].server(1)))
        assert caught.value.code == "slots-exhausted"
        refused = await send(plane.port, host=hosts[2])
        assert (refused.status, b"slots-exhausted" in refused.body) == (503, True)
        await plane.apply(keys[0], None)
        with pytest.raises(SlotsExhausted):
            await plane.apply(keys[2], open_lane(functions[2].server(1)))
        for function in functions:
            assert function.gate
            function.gate.set()
        assert (await slow).body == b"f0"
        async with asyncio.timeout(8):
            while (await send(plane.port, host=hosts[2])).status != 200:
                try:
                    await plane.apply(keys[2], open_lane(functions[2].server(1)))
                except SlotsExhausted:
                    await asyncio.sleep(0.05)
        assert (await plane.loads())[keys[2]].requests == 1
    for function in functions:
        await function.stop()


async def test_reading_the_loads_stays_cheap() -> None:
    loop = asyncio.get_running_loop()
    keys = [FunctionKey("shop", f"f{index}") for index in range(200)]
    async with running_plane(ScriptedHolder(), *keys, slots=2000) as plane:
        for count in (20, 200):
            for key in keys[:count]:
                await plane.apply(key, open_lane(Server("x", "127.0.0.1", 9, 1)))
            times = []
            for _ in range(5):
                began = loop.time()
                loads = await plane.loads()
                times.append((loop.time() - began) * 1000)
                assert len(loads) == count
            print(f"loads of {count} awake among 2000 slots: {sorted(times)[2]:.1f} ms")
            assert sorted(times)[2] < 500


async def test_routes_come_and_go() -> None:
    other = FunctionKey("shop", "other")
    async with (
        Function("one") as function,
        running_plane(ScriptedHolder(), SHOP) as plane,
    ):
        await plane.apply(SHOP, open_lane(function.server()))
        assert (await send(plane.port)).status == 200
        await plane.set_routes(Routes.of([other], "localhost", "cluster.local"))
        assert (await send(plane.port, host=HOST)).status == 404
        await plane.set_routes(Routes.of([SHOP, other], "localhost", "cluster.local"))
        assert (await send(plane.port, host=HOST)).status == 200


async def test_stopping_lets_open_requests_end_and_takes_no_new_ones() -> None:
    function = Function("one", gate=asyncio.Event())
    assert function.gate
    async with serving(function, limit=1, drain_seconds=10) as plane:
        request = asyncio.create_task(send(plane.port))
        await until(lambda: function.now == 1)
        port = plane.port
        stopping = asyncio.create_task(plane.stop())
        await asyncio.sleep(0.1)
        with pytest.raises(OSError, match="Connect call failed"):
            await send(port)
        function.gate.set()
        assert (await request).body == b"one"
        async with asyncio.timeout(5):
            await stopping
