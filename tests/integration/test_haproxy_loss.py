"""Nothing is lost and nothing is sent twice: flaps, deaths and hand-overs under traffic."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.haproxy import (
    GO,
    SHOP,
    Function,
    Reply,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    parked,
    running_plane,
    send,
    until,
)
from tests.support.real_gateway import free_port
from tests.support.traffic import Mortal, Traffic
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.telemetry.metrics import DATA_PLANE_RESTARTS

pytestmark = needs_haproxy


async def until_queued(plane: HaproxyPlane, count: int) -> None:
    async with asyncio.timeout(10):
        while (await plane.loads())[SHOP].queued < count:  # noqa: ASYNC110 - asked, not told
            await asyncio.sleep(0.01)


def received_twice(log: Path, method: str) -> list[str]:
    counts = Counter(log.read_text().split("\n"))
    return [line for line, count in counts.items() if line.startswith(method) and count > 1]


async def test_two_hundred_flaps_under_traffic_lose_nothing_and_double_nothing() -> None:
    holder = ScriptedHolder()
    holder.answer(SHOP, GO)
    functions = [await Function(f"f{index}", delay_seconds=0.002).start() for index in range(3)]
    async with running_plane(holder) as plane:
        await plane.apply(SHOP, open_lane(functions[0].server(5)))
        traffic = Traffic(plane.port)
        async with traffic.flowing():
            for flap in range(200):
                server = functions[flap % 3].server(5)
                match flap % 4:
                    case 0:
                        holder.answer(SHOP, None)
                        await plane.apply(SHOP, parked(functions[(flap - 1) % 3].server(5)))
                    case 1:
                        holder.answer(SHOP, GO)
                        await plane.apply(SHOP, open_lane(server))
                    case 2:
                        await plane.apply(SHOP, open_lane(server, functions[flap % 2].server(3)))
                    case _:
                        holder.answer(SHOP, None)
                        await plane.apply(SHOP, None)
                        await plane.apply(SHOP, open_lane(server))
                        holder.answer(SHOP, GO)
                await asyncio.sleep(0.01)
    for function in functions:
        await function.stop()
    ids = Counter(seen.headers["x-id"] for function in functions for seen in function.seen)
    traffic.report("200 flaps")
    assert traffic.errors == []
    assert traffic.answered > 500
    assert max(ids.values()) == 1


async def test_one_of_two_instances_killed_loses_no_get_and_doubles_no_post() -> None:
    holder = ScriptedHolder()
    holder.answer(SHOP, GO)
    with tempfile.NamedTemporaryFile() as file:
        log = Path(file.name)
        async with (
            Mortal("one", log) as one,
            Mortal("two", log) as two,
            running_plane(holder) as plane,
        ):
            await plane.apply(SHOP, open_lane(one.server(), two.server()))
            traffic = Traffic(plane.port)
            async with traffic.flowing():
                for victim in (one, two, one, two):
                    await asyncio.sleep(0.2)
                    await victim.kill()
                    await asyncio.sleep(0.3)
                    await victim.start()
            print(
                "kill of two:", traffic.answered, Counter(traffic.errors), traffic.slowest_seconds
            )
        assert [error for error in traffic.errors if error[0] == "GET"] == []
        # A POST that the dead instance may have got cannot be repeated, so its client is told.
        assert {error for _, error in traffic.errors} <= {"502"}
        assert len(traffic.errors) <= 4 * 10
        assert received_twice(log, "post") == []


async def test_the_only_instance_killed_and_back_loses_no_get_and_doubles_no_post() -> None:
    holder = ScriptedHolder()
    holder.answer(SHOP, GO)
    with tempfile.NamedTemporaryFile() as file:
        log = Path(file.name)
        async with Mortal("one", log) as one, running_plane(holder) as plane:
            await plane.apply(SHOP, open_lane(one.server()))
            traffic = Traffic(plane.port)
            async with traffic.flowing():
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    await one.kill()
                    await asyncio.sleep(0.4)
                    await one.start()
            print(
                "kill of one:", traffic.answered, Counter(traffic.errors), traffic.slowest_seconds
            )
        assert [error for error in traffic.errors if error[0] == "GET"] == []
        assert {error for _, error in traffic.errors} <= {"502"}
        assert len(traffic.errors) <= 3 * 5
        assert received_twice(log, "post") == []


async def test_a_refused_connection_is_never_an_error_even_for_post() -> None:
    holder = ScriptedHolder()
    holder.answer(SHOP, GO)
    late = Function("late", port=free_port())
    async with running_plane(holder) as plane:
        await plane.apply(SHOP, open_lane(late.server(2)))
        requests = [
            asyncio.create_task(send(plane.port, method="POST", headers={"X-Id": str(number)}))
            for number in range(30)
        ]
        await until(lambda: holder.asked[SHOP] >= 1)
        await asyncio.sleep(0.3)
        await late.start()
        replies = await asyncio.gather(*requests)
    await late.stop()
    assert [reply.status for reply in replies] == [200] * 30
    assert max(Counter(seen.headers["x-id"] for seen in late.seen).values()) == 1


async def test_the_queue_is_handed_over_when_the_last_server_goes() -> None:
    holder = ScriptedHolder()
    async with (
        Function("stuck", gate=asyncio.Event()) as stuck,
        Function("fresh") as fresh,
        running_plane(holder) as plane,
    ):
        await plane.apply(SHOP, open_lane(stuck.server(1)))
        requests = [
            asyncio.create_task(send(plane.port, f"/{number}", method="POST"))
            for number in range(8)
        ]
        await until(lambda: stuck.now == 1)
        await until_queued(plane, 7)
        await plane.apply(SHOP, None)
        await until(lambda: holder.held[SHOP] == 7)
        await plane.apply(SHOP, open_lane(fresh.server(1)))
        holder.answer(SHOP, GO)
        await until(lambda: len(fresh.seen) == 7)
        assert stuck.gate
        stuck.gate.set()
        replies = await asyncio.gather(*requests)
    assert Counter((reply.status, reply.body) for reply in replies) == {
        (200, b"fresh"): 7,
        (200, b"stuck"): 1,
    }


async def test_haproxy_killed_is_back_with_everything_and_refuses_nobody() -> None:
    holder = ScriptedHolder()
    restarts = DATA_PLANE_RESTARTS._value.get()
    loop = asyncio.get_running_loop()
    async with (
        Function("one") as function,
        running_plane(holder, slots=2000) as plane,
    ):
        await plane.apply(SHOP, open_lane(function.server(3)))
        assert (await send(plane.port)).status == 200
        before = (await plane.loads())[SHOP].requests
        assert plane.pid
        os.kill(plane.pid, signal.SIGKILL)
        began = loop.time()
        replies: list[Reply] = [await send(plane.port, method="POST") for _ in range(5)]
        print("restart with 2000 slots: first answer after", loop.time() - began)
        assert [reply.status for reply in replies] == [200] * 5
        assert loop.time() - began < 5
        assert (await plane.loads())[SHOP].requests == before + 5
        await plane.apply(SHOP, None)
        await plane.apply(SHOP, parked(function.server(3)))
        assert DATA_PLANE_RESTARTS._value.get() == restarts + 1


MOST_TIMES = 4
"""HAProxy has one budget of three retries, for refused connections and for those that broke."""


@asynccontextmanager
async def breaking(runs: list[bytes]) -> AsyncIterator[Server]:
    """An instance that ends each connection when it has read a request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        runs.append(await reader.readuntil(b"\r\n\r\n"))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Server("breaking", "127.0.0.1", server.sockets[0].getsockname()[1], 5)
    finally:
        server.close()


async def test_a_get_that_breaks_every_instance_is_given_up() -> None:
    runs: list[bytes] = []
    async with breaking(runs) as server, running_plane(ScriptedHolder()) as plane:
        await plane.apply(SHOP, open_lane(server))
        assert (await send(plane.port)).status == 502
    assert len(runs) == MOST_TIMES


async def test_a_get_that_breaks_its_only_instance_each_time_it_is_back_is_given_up() -> None:
    runs = 0
    holder = ScriptedHolder()
    holder.answer(SHOP, GO)
    port = free_port()

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal runs
        if not await reader.read(1):
            writer.close()  # HAProxy's check
            return
        runs += 1
        servers.pop().close()
        writer.transport.abort()
        await asyncio.sleep(0.8)
        servers.append(await asyncio.start_server(die, "127.0.0.1", port))

    servers = [await asyncio.start_server(die, "127.0.0.1", port)]
    async with running_plane(holder) as plane:
        await plane.apply(SHOP, open_lane(Server("mortal", "127.0.0.1", port, 1)))
        assert (await send(plane.port)).status == 502
        await until(lambda: bool(servers))
    servers.pop().close()
    assert 2 <= runs <= MOST_TIMES
