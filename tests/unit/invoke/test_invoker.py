"""What the client sends, when it sends again, and what it says when there is no answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.support.real_gateway import free_port
from torpor.invoke import GatewayAway, GatewayUnreached, Invoker, InvokeTimeout, Retry, Timeout
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import detail_token

KEY = FunctionKey("shop", "echo")


@asynccontextmanager
async def gateway(port: int, seen: list[web.BaseRequest]) -> AsyncIterator[None]:
    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request)
        if request.path.endswith("/slow"):
            await asyncio.sleep(5)
        if request.path.endswith("/cut"):
            assert request.transport
            request.transport.abort()
        return web.Response(status=418, body=await request.read())

    server = web.Server(serve, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def test_it_sends_what_it_is_given_and_any_status_is_an_answer() -> None:
    port, seen = free_port(), list[web.BaseRequest]()
    async with gateway(port, seen), Invoker(f"http://127.0.0.1:{port}/") as invoker:
        headers = {"x-request-id": "mine", "X-A": "b"}
        answer = await invoker.invoke(KEY, "PUT", "/a?b=c", headers, b"body", 5)
    assert (answer.status, answer.body, answer.request_id) == (418, b"body", "mine")
    [request] = seen
    assert (request.method, request.path_qs) == ("PUT", "/function/shop/echo/a?b=c")
    assert request.headers.getall("X-Request-Id") == ["mine"]


async def test_with_the_installations_key_it_proves_to_the_function_who_asks() -> None:
    port, seen = free_port(), list[web.BaseRequest]()
    async with gateway(port, seen), Invoker(f"http://127.0.0.1:{port}", key=b"k" * 32) as invoker:
        await invoker.invoke(KEY, "POST", "/", {}, b"", 5)
        assert "kkk" not in repr(invoker)
    assert seen[0].headers["Torpor-Detail"] == detail_token(b"k" * 32, KEY)
    async with gateway(port, seen), Invoker(f"http://127.0.0.1:{port}") as invoker:
        await invoker.invoke(KEY, "POST", "/", {}, b"", 5)
    assert "Torpor-Detail" not in seen[1].headers


async def test_a_refused_connection_is_tried_again() -> None:
    port, seen = free_port(), list[web.BaseRequest]()
    retry = Retry(attempts=10, first_pause_seconds=0.05, longest_pause_seconds=0.05)
    async with Invoker(f"http://127.0.0.1:{port}", retry=retry) as invoker:
        asked = asyncio.create_task(invoker.invoke(KEY, "POST", "/", {}, b"", 5))
        await asyncio.sleep(0.12)
        async with gateway(port, seen):
            assert (await asked).status == 418
    assert len(seen) == 1


async def test_nobody_there_is_told() -> None:
    retry = Retry(attempts=2, first_pause_seconds=0.01)
    async with Invoker(f"http://127.0.0.1:{free_port()}", retry=retry) as invoker:
        with pytest.raises(GatewayUnreached):
            await invoker.invoke(KEY, "GET", "/", {}, b"", 5)


async def test_a_gateway_that_does_not_connect_is_told_before_the_callers_time_is_over() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with Invoker(url, timeout=Timeout(connect_seconds=0.2)) as invoker:
            with pytest.raises(GatewayUnreached):
                await invoker.invoke(KEY, "POST", "/", {}, b"", 30)


async def test_a_lost_connection_is_not_tried_again() -> None:
    port, seen = free_port(), list[web.BaseRequest]()
    async with gateway(port, seen), Invoker(f"http://127.0.0.1:{port}") as invoker:
        with pytest.raises(GatewayAway):
            await invoker.invoke(KEY, "POST", "/cut", {}, b"x", 5)
    assert len(seen) == 1


async def test_the_callers_time_is_kept() -> None:
    port, seen = free_port(), list[web.BaseRequest]()
    async with gateway(port, seen), Invoker(f"http://127.0.0.1:{port}") as invoker:
        with pytest.raises(InvokeTimeout):
            await invoker.invoke(KEY, "GET", "/slow", {}, b"", 0.2)
