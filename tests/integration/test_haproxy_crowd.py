"""One function that is asked more than it can take leaves connections for the others."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.haproxy import (
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
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.resources.names import FunctionKey
from torpor.telemetry.metrics import CONNECTIONS, CONNECTIONS_USED, REFUSED

pytestmark = needs_haproxy

MOST = 200
OTHER = FunctionKey("shop", "other")
THIRD = FunctionKey("shop", "third")


def host(key: FunctionKey) -> str:
    return f"{key.name}.{key.namespace}.localhost"


@asynccontextmanager
async def asking(plane: HaproxyPlane, key: FunctionKey, count: int) -> AsyncIterator[list[Reply]]:
    """Ask so often at once; yields the answers that have come, more as they come."""
    replies: list[Reply] = []

    async def ask() -> None:
        replies.append(await send(plane.port, method="POST", host=host(key), timeout=60))

    tasks = [asyncio.create_task(ask()) for _ in range(count)]
    try:
        yield replies
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def said(replies: list[Reply]) -> Counter[tuple[int, str, str]]:
    return Counter(
        (reply.status, json.loads(reply.body)["code"], reply.headers["connection"])
        for reply in replies
    )


FULL = (503, "hold-full", "close")


async def test_a_function_that_does_not_wake_leaves_half_of_all_connections() -> None:
    holder = ScriptedHolder()
    before = REFUSED.labels("hold-full")._value.get()
    async with (
        Function("warm") as warm,
        running_plane(holder, SHOP, OTHER, max_connections=MOST) as plane,
    ):
        await plane.apply(OTHER, open_lane(warm.server(10)))
        async with asking(plane, SHOP, MOST + 50) as replies:
            await until(lambda: len(replies) + holder.held[SHOP] == MOST + 50)
            assert MOST // 2 - 5 <= holder.held[SHOP] <= MOST // 2
            assert said(replies) == {FULL: len(replies)}
            assert (await send(plane.port, host=host(OTHER), timeout=5)).body == b"warm"
    assert REFUSED.labels("hold-full")._value.get() == before + len(replies)


async def test_a_slow_function_that_is_awake_leaves_half_of_all_connections() -> None:
    before = REFUSED.labels("hold-full")._value.get()
    unavailable = REFUSED.labels("unavailable")._value.get()
    async with (
        Function("slow", gate=asyncio.Event()) as slow,
        Function("warm") as warm,
        running_plane(ScriptedHolder(), SHOP, OTHER, max_connections=MOST) as plane,
    ):
        await plane.apply(SHOP, open_lane(slow.server(1)))
        await plane.apply(OTHER, open_lane(warm.server(10)))
        async with asking(plane, SHOP, MOST + 50) as replies:
            await until(lambda: len(replies) >= MOST // 2 + 50)
            load = (await plane.loads())[SHOP]
            assert MOST // 2 - 5 <= load.in_flight + load.queued <= MOST // 2
            assert said(replies) == {FULL: len(replies)}
            assert (await send(plane.port, host=host(OTHER), timeout=5)).body == b"warm"
            await until(lambda: REFUSED.labels("hold-full")._value.get() == before + len(replies))
    assert REFUSED.labels("unavailable")._value.get() == unavailable


async def test_two_such_functions_leave_connections_for_a_third() -> None:
    holder = ScriptedHolder()
    async with (
        Function("slow", gate=asyncio.Event()) as slow,
        Function("warm") as warm,
        running_plane(holder, SHOP, OTHER, THIRD, max_connections=MOST) as plane,
    ):
        await plane.apply(SHOP, open_lane(slow.server(1)))
        await plane.apply(THIRD, open_lane(warm.server(10)))
        async with asking(plane, SHOP, MOST), asking(plane, OTHER, MOST) as replies:
            await until(lambda: len(replies) + holder.held[OTHER] == MOST)
            assert holder.held[OTHER] >= 10
            assert (await send(plane.port, host=host(THIRD), timeout=5)).body == b"warm"


async def test_metrics_tell_how_many_connections_there_are() -> None:
    holder = ScriptedHolder()
    async with running_plane(holder, max_connections=MOST) as plane:
        async with asking(plane, SHOP, 40):
            await until(lambda: holder.held[SHOP] == 40)
            await until(lambda: 40 <= CONNECTIONS_USED._value.get() <= 45)
            holder.answer(SHOP, Refused(503, "hold-timeout", "it does not wake", 1))
        assert CONNECTIONS._value.get() == MOST
        await until(lambda: CONNECTIONS_USED._value.get() <= 5)
