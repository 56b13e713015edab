"""A gateway that is told to go: what came in before is served, also what has yet to wake."""

from __future__ import annotations

import asyncio
import json

from tests.support.haproxy import (
    GO,
    HOST,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    receive,
    running_plane,
    send,
    until,
)
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane

pytestmark = needs_haproxy


async def until_doors_closed(plane: HaproxyPlane, port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.01)


async def test_a_request_that_is_held_is_served_by_an_instance_that_comes_during_the_drain() -> (
    None
):
    holder = ScriptedHolder()
    async with Function("late") as late, running_plane(holder, drain_seconds=10) as plane:
        held = asyncio.create_task(send(plane.port, method="POST"))
        await until(lambda: holder.held[SHOP] == 1)
        port, stopping = plane.port, asyncio.create_task(plane.stop())
        await until_doors_closed(plane, port)
        await plane.apply(SHOP, open_lane(late.server(1)))
        holder.answer(SHOP, GO)
        reply = await held
        async with asyncio.timeout(5):
            await stopping
    assert (reply.status, reply.body) == (200, b"late")


async def test_what_waits_for_an_instance_that_goes_during_the_drain_gets_another() -> None:
    holder = ScriptedHolder()
    async with (
        Function("stuck", gate=asyncio.Event()) as stuck,
        Function("fresh") as fresh,
        running_plane(holder, drain_seconds=10) as plane,
    ):
        await plane.apply(SHOP, open_lane(stuck.server(1)))
        requests = [asyncio.create_task(send(plane.port, method="POST")) for _ in range(4)]
        await until(lambda: stuck.now == 1)
        port, stopping = plane.port, asyncio.create_task(plane.stop())
        await until_doors_closed(plane, port)
        await plane.apply(SHOP, None)
        await until(lambda: holder.held[SHOP] == 3)
        await plane.apply(SHOP, open_lane(fresh.server(1)))
        holder.answer(SHOP, GO)
        await until(lambda: len(fresh.seen) == 3)
        assert stuck.gate
        stuck.gate.set()
        replies = await asyncio.gather(*requests)
        await stopping
    assert sorted(reply.body for reply in replies) == [b"fresh"] * 3 + [b"stuck"]


async def test_what_is_held_when_the_time_is_up_is_refused_and_not_cut() -> None:
    holder = ScriptedHolder()
    async with running_plane(holder, drain_seconds=1) as plane:
        held = [asyncio.create_task(send(plane.port, method="POST")) for _ in range(20)]
        await until(lambda: holder.held[SHOP] == 20)
        async with asyncio.timeout(8):
            await plane.stop()
        replies = await asyncio.gather(*held)
    said = {(reply.status, json.loads(reply.body)["code"]) for reply in replies}
    assert said == {(503, "gateway-stopping")}
    assert {reply.headers["retry-after"] for reply in replies} == {"1"}


async def test_an_open_connection_is_closed_with_its_next_answer() -> None:
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    async with (
        Function("one") as function,
        running_plane(ScriptedHolder(), drain_seconds=10) as plane,
    ):
        await plane.apply(SHOP, open_lane(function.server()))
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(request)
        assert (await receive(reader)).body == b"one"
        port, stopping = plane.port, asyncio.create_task(plane.stop())
        await until_doors_closed(plane, port)
        writer.write(request)
        last = await receive(reader)
        assert (last.body, last.headers["connection"]) == (b"one", "close")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
            await stopping
        writer.close()
