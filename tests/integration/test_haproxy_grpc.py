"""gRPC by its own client, through a hold: the first call wakes the function, over h2c throughout.

HAProxy speaks h2 without TLS to the instance as it does to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.haproxy import (
    GO,
    HOST,
    SHOP,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    running_plane,
    until,
)
from torpor.gateway.dataplane.base import Refused, Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane

grpc = pytest.importorskip("grpc", reason="no gRPC client on this machine")
pytestmark = needs_haproxy
COUNT = 200


class Echo:
    """A service of raw bytes: `One` answers what it got, `Many` answers `COUNT` times."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.flow = asyncio.Event()

    def handlers(self) -> Any:
        return grpc.method_handlers_generic_handler(
            "shop.Echo",
            {
                "One": grpc.unary_unary_rpc_method_handler(self._one),
                "Many": grpc.unary_stream_rpc_method_handler(self._many),
                "Wrong": grpc.unary_unary_rpc_method_handler(self._wrong),
            },
        )

    async def _one(self, request: bytes, context: Any) -> bytes:
        self.calls.append("One")
        context.set_trailing_metadata((("x-seen", "1"),))
        return request

    async def _many(self, request: bytes, _: Any) -> AsyncIterator[bytes]:
        self.calls.append("Many")
        yield request
        await self.flow.wait()
        for _number in range(COUNT - 1):
            yield request

    async def _wrong(self, _: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such cart")
        raise AssertionError("abort() raises")


@asynccontextmanager
async def served(echo: Echo) -> AsyncIterator[Server]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((echo.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Server("grpc", "127.0.0.1", port, 5, h2c=True)
    finally:
        await server.stop(0.1)


@asynccontextmanager
async def channel(plane: HaproxyPlane) -> AsyncIterator[Any]:
    options = (("grpc.default_authority", HOST), ("grpc.enable_retries", 0))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{plane.port}", options) as opened:
        yield opened


async def wake(plane: HaproxyPlane, holder: ScriptedHolder, server: Server) -> None:
    await until(lambda: holder.held[SHOP] == 1)
    await plane.apply(SHOP, open_lane(server))
    holder.answer(SHOP, GO)


async def test_a_unary_call_wakes_the_function_and_ends_with_its_trailers() -> None:
    holder, echo = ScriptedHolder(), Echo()
    async with served(echo) as server, running_plane(holder) as plane, channel(plane) as client:
        woken = asyncio.create_task(wake(plane, holder, server))
        call = client.unary_unary("/shop.Echo/One")(b"x" * 100_000, timeout=10)
        assert await call == b"x" * 100_000
        await woken
        assert await call.code() is grpc.StatusCode.OK
        assert dict(await call.trailing_metadata())["x-seen"] == "1"
        assert await client.unary_unary("/shop.Echo/One")(b"warm", timeout=10) == b"warm"
    assert echo.calls == ["One", "One"]
    assert holder.asked[SHOP] == 1


async def test_a_stream_wakes_the_function_and_its_first_message_is_not_held_back() -> None:
    holder, echo = ScriptedHolder(), Echo()
    async with served(echo) as server, running_plane(holder) as plane, channel(plane) as client:
        woken = asyncio.create_task(wake(plane, holder, server))
        stream = client.unary_stream("/shop.Echo/Many")(b"m" * 1000, timeout=10)
        messages = aiter(stream)
        assert await anext(messages) == b"m" * 1000
        await woken
        echo.flow.set()
        rest = [message async for message in messages]
        assert rest == [b"m" * 1000] * (COUNT - 1)
        assert await stream.code() is grpc.StatusCode.OK


async def test_many_calls_share_a_connection_while_held() -> None:
    holder, echo = ScriptedHolder(), Echo()
    async with served(echo) as server, running_plane(holder) as plane, channel(plane) as client:
        ask = client.unary_unary("/shop.Echo/One")
        calls = [ask(b"%d" % number, timeout=10) for number in range(50)]
        gathered = asyncio.ensure_future(asyncio.gather(*calls))
        await until(lambda: holder.held[SHOP] == 50)
        await plane.apply(SHOP, open_lane(server))
        holder.answer(SHOP, GO)
        assert await gathered == [b"%d" % number for number in range(50)]


async def test_errors_of_the_function_and_of_the_gateway_reach_the_client() -> None:
    holder, echo = ScriptedHolder(), Echo()
    async with served(echo) as server, running_plane(holder) as plane, channel(plane) as client:
        holder.answer(SHOP, Refused(503, "hold-full", "many wait", 1))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.unary_unary("/shop.Echo/One")(b"x", timeout=10)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await plane.apply(SHOP, open_lane(server))
        with pytest.raises(grpc.aio.AioRpcError) as wrong:
            await client.unary_unary("/shop.Echo/Wrong")(b"x", timeout=10)
        assert wrong.value.code() is grpc.StatusCode.NOT_FOUND
        assert wrong.value.details() == "no such cart"
