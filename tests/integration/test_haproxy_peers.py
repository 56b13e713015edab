"""Two gateways: a function whose home is the other one, with two real HAProxies."""

from __future__ import annotations

import asyncio

from tests.support.haproxy import (
    GO,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    running_plane,
    send,
    until,
)

pytestmark = needs_haproxy


async def test_requests_go_to_the_home_and_no_further() -> None:
    here, there = ScriptedHolder(), ScriptedHolder()
    async with (
        Function("one") as function,
        running_plane(here) as near,
        running_plane(there) as home,
    ):
        # Each believes that the other is the home: a request must still not go round.
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", home.peer_port)})
        await home.set_homes({SHOP: "near"}, {"near": ("127.0.0.1", near.peer_port)})
        await home.apply(SHOP, open_lane(function.server(1)))
        reply = await send(near.port, "/a?b", headers={"X-Request-Id": "id-1"})
        by_path = await send(near.port, "/function/shop/cart/c", host="any", method="POST")
        assert (reply.body, by_path.body) == (b"one", b"one")
        assert reply.headers["x-request-id"] == "id-1"
    assert [seen.path for seen in function.seen] == ["/a?b", "/c"]
    headers = function.seen[0].headers
    assert headers["x-request-id"] == "id-1"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["forwarded"].count("for=") == 1
    assert here.asked[SHOP] == 0


async def test_a_cold_request_is_held_at_its_home() -> None:
    here, there = ScriptedHolder(), ScriptedHolder()
    async with (
        Function("one") as function,
        running_plane(here) as near,
        running_plane(there) as home,
    ):
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", home.peer_port)})
        request = asyncio.create_task(send(near.port, method="POST", body=b"hello"))
        await until(lambda: there.held[SHOP] == 1)
        await home.apply(SHOP, open_lane(function.server(1)))
        there.answer(SHOP, GO)
        assert (await request).body == b"one"
    assert function.seen[0].body == b"hello"
    assert here.asked[SHOP] == 0


async def test_when_the_home_is_away_requests_are_served_here() -> None:
    holder = ScriptedHolder()
    async with (
        Function("one") as function,
        running_plane(holder) as near,
    ):
        async with running_plane(ScriptedHolder()) as home:
            await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", home.peer_port)})
        await near.apply(SHOP, open_lane(function.server(1)))
        holder.answer(SHOP, GO)
        replies = [
            await send(near.port, "/function/shop/cart/p", host="any", method="POST")
            for _ in range(5)
        ]
        assert [reply.body for reply in replies] == [b"one"] * 5
        await near.set_homes({}, {})
        assert (await send(near.port)).body == b"one"
    assert [seen.path for seen in function.seen] == ["/p"] * 5 + ["/"]


async def test_a_home_that_comes_back_gets_its_requests_again() -> None:
    local, remote = await Function("local").start(), await Function("remote").start()
    here, there = ScriptedHolder(), ScriptedHolder()
    here.answer(SHOP, GO)
    async with running_plane(here) as near, running_plane(there) as home:
        await near.apply(SHOP, open_lane(local.server(1)))
        await home.apply(SHOP, open_lane(remote.server(1)))
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", 9)})
        assert (await send(near.port)).body == b"local"
        await near.set_homes({SHOP: "home"}, {"home": ("127.0.0.1", home.peer_port)})
        assert (await send(near.port)).body == b"remote"
    await local.stop()
    await remote.stop()
