"""WebSocket, SSE, h2c and large uploads, through a hold: the cold path is the native path."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.support.haproxy import (
    GO,
    HOST,
    SHOP,
    Function,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    running_plane,
    until,
)
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane

pytestmark = needs_haproxy
UPLOAD_BYTES = 64 * 2**20
CHUNK_BYTES = 2**16


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(f"echo {message.data}")
    return socket


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: first\n\n")
    await asyncio.sleep(3)
    await response.write(b"data: second\n\n")
    return response


async def upload(request: web.Request) -> web.Response:
    total = 0
    async for chunk in request.content.iter_any():
        total += len(chunk)
    return web.json_response(total)


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    app = web.Application(client_max_size=2**30)
    app.router.add_get("/echo", echo)
    app.router.add_get("/events", events)
    app.router.add_post("/upload", upload)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Server("app", "127.0.0.1", runner.addresses[0][1], 10)
    finally:
        await runner.cleanup()


async def release(plane: HaproxyPlane, holder: ScriptedHolder, server: Server) -> None:
    await until(lambda: holder.held[SHOP] == 1)
    await plane.apply(SHOP, open_lane(server))
    holder.answer(SHOP, GO)


Use = Callable[[aiohttp.ClientSession, str], Awaitable[None]]


async def through_a_hold(use: Use) -> None:
    holder = ScriptedHolder()
    async with (
        served() as server,
        running_plane(holder) as plane,
        aiohttp.ClientSession(headers={"Host": HOST}) as session,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(release(plane, holder, server))
        await use(session, f"http://127.0.0.1:{plane.port}")


async def test_a_websocket_opens_through_a_hold() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with session.ws_connect(f"{url}/echo") as socket:
            for number in range(3):
                await socket.send_str(str(number))
                assert (await socket.receive_str(timeout=5)) == f"echo {number}"

    await through_a_hold(use)


async def test_the_first_event_of_a_stream_is_not_held_back() -> None:
    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with asyncio.timeout(2), session.get(f"{url}/events") as response:
            assert await response.content.readline() == b"data: first\n"

    await through_a_hold(use)


async def test_a_large_streamed_upload_waits_at_its_sender() -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(UPLOAD_BYTES // CHUNK_BYTES):
            yield b"x" * CHUNK_BYTES
            sent += CHUNK_BYTES

    async def use(session: aiohttp.ClientSession, url: str) -> None:
        async with session.post(f"{url}/upload", data=body()) as response:
            assert await response.json() == UPLOAD_BYTES

    await through_a_hold(use)
    assert sent == UPLOAD_BYTES


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl program on this machine")
async def test_h2c_and_h1_share_the_port() -> None:
    holder = ScriptedHolder()
    async with (
        Function("one") as function,
        running_plane(holder) as plane,
    ):
        curl = await asyncio.create_subprocess_exec(
            "curl", "-sS", "--http2-prior-knowledge", "-m", "10", "-w", " %{http_version}",
            "-H", f"Host: {HOST}", "-d", "hello", f"http://127.0.0.1:{plane.port}/h2",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await release(plane, holder, function.server(1))
        output, _ = await curl.communicate()
    assert output == b"one 2"
    assert (function.seen[0].path, function.seen[0].body) == ("/h2", b"hello")


async def test_an_h2c_instance_behind_h1_and_h2_clients() -> None:
    # A second plane speaks h2c to its clients, so it serves as the h2c instance.
    async with (
        Function("one") as function,
        running_plane(ScriptedHolder()) as front,
        running_plane(ScriptedHolder()) as back,
    ):
        await back.apply(SHOP, open_lane(function.server(1)))
        instance = Server("h2c", "127.0.0.1", back.port, 5, h2c=True)
        await front.apply(SHOP, open_lane(instance))
        async with (
            aiohttp.ClientSession(headers={"Host": HOST}) as session,
            session.post(f"http://127.0.0.1:{front.port}/x", data=b"abc") as response,
        ):
            assert await response.text() == "one"
    assert function.seen[0].body == b"abc"
