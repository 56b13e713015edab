"""The gateways over HTTP, against real servers on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from torpor.functions.gateways_http import LOAD_SECONDS, HttpGateways
from torpor.platform.kubernetes import GatewayPod
from torpor.resources.load import FunctionLoad, GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey

KEY = FunctionKey("shop", "thumbnail")


@dataclass
class Gateway:
    """A gateway's internal API; each has an address of its own on one port."""

    address: str
    delay_seconds: float = 0.0
    status: int = 200
    body: Any = None
    asked: list[tuple[str, str, Any, str | None]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        token = request.headers.get("Authorization")
        self.asked.append((request.method, request.path, body, token))
        await asyncio.sleep(self.delay_seconds)
        if self.body is not None:
            return web.json_response(self.body, status=self.status)
        if request.path == "/v1/settle":
            return web.Response(status=204)
        if request.path == "/v1/park":
            return web.json_response(ParkAnswer(1, 2, 3).to_json(), status=self.status)
        loads = {KEY: FunctionLoad(1, 2, 3, 4.5, 6, {"p": 1})}
        load = GatewayLoad(self.address, "boot", loads, measured_at=7.25)
        return web.json_response(load.to_json(), status=self.status)


@asynccontextmanager
async def serving(*gateways: Gateway) -> AsyncIterator[HttpGateways]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    runners = []
    for gateway in gateways:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", gateway.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, gateway.address, port).start()
        runners.append(runner)
    members = {f"gateway-{n}": GatewayPod(gateway.address) for n, gateway in enumerate(gateways)}
    async with aiohttp.ClientSession() as session:
        yield HttpGateways(session, lambda: members, "secret", port)
    for runner in runners:
        await runner.cleanup()


def two() -> tuple[Gateway, Gateway]:
    return Gateway("127.0.0.1"), Gateway("127.0.0.2")


async def test_loads_of_all_with_the_token() -> None:
    first, second = two()
    async with serving(first, second) as gateways:
        found, silent = await gateways.loads()
    assert silent == 0
    assert {load.gateway for load in found} == {"127.0.0.1", "127.0.0.2"}
    assert found[0].functions[KEY] == FunctionLoad(1, 2, 3, 4.5, 6, {"p": 1})
    assert found[0].measured_at == 7.25
    assert first.asked == [("GET", "/v1/load", None, "Bearer secret")]


@pytest.mark.parametrize(
    "broken",
    [
        Gateway("127.0.0.2", status=500),
        Gateway("127.0.0.2", body=[]),
        Gateway("127.0.0.2", body={"gateway": "x"}),
        Gateway("127.0.0.2", body={"gateway": "x", "boot": "1", "functions": []}),
    ],
)
async def test_one_that_answers_nonsense_counts_as_silent(broken: Gateway) -> None:
    async with serving(Gateway("127.0.0.1"), broken) as gateways:
        found, silent = await gateways.loads()
        assert (len(found), silent) == (1, 1)


async def test_a_slow_one_does_not_hold_up_the_others() -> None:
    first, second = two()
    second.delay_seconds = 5.0
    async with serving(first, second) as gateways:
        began = time.monotonic()
        found, silent = await gateways.loads()
        assert time.monotonic() - began < LOAD_SECONDS + 0.5
        assert (len(found), silent) == (1, 1)


async def test_one_that_is_gone_is_told_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Gateway("127.0.0.1")) as gateways:
        gateways._members = lambda: {
            "gateway-0": GatewayPod("127.0.0.1"),
            "gateway-1": GatewayPod("127.0.0.3"),
        }
        for _ in range(3):
            found, silent = await gateways.loads()
            assert (len(found), silent) == (1, 1)
    told = [record.message for record in caplog.records if "gateway-1" in record.message]
    assert len(told) == 1


async def test_park_asks_all_and_tells_what_is_left() -> None:
    first, second = two()
    async with serving(first, second) as gateways:
        assert await gateways.park(KEY) == [ParkAnswer(1, 2, 3), ParkAnswer(1, 2, 3)]
    expected = ("POST", "/v1/park", {"function": "shop/thumbnail"}, "Bearer secret")
    assert (first.asked, second.asked) == ([expected], [expected])


async def test_park_is_nothing_unless_all_acknowledge() -> None:
    first, second = two()
    second.status = 503
    async with serving(first, second) as gateways:
        assert await gateways.park(KEY) is None


SOON = datetime(2026, 11, 21, tzinfo=UTC)


async def test_one_that_is_leaving_is_parked_like_the_others() -> None:
    first, second = two()
    async with serving(first, second) as gateways:
        gateways._members = lambda: {
            "staying": GatewayPod("127.0.0.1"),
            "leaving": GatewayPod("127.0.0.2", SOON),
        }
        assert await gateways.park(KEY) == [ParkAnswer(1, 2, 3), ParkAnswer(1, 2, 3)]
        second.status = 503
        assert await gateways.park(KEY) is None
        assert (await gateways.loads())[1] == 1


async def test_one_that_left_so_far_that_nobody_listens_has_nothing_inside() -> None:
    async with serving(Gateway("127.0.0.1")) as gateways:
        staying = {"staying": GatewayPod("127.0.0.1")}
        gateways._members = lambda: {**staying, "left": GatewayPod("127.0.0.3", SOON)}
        assert await gateways.park(KEY) == [ParkAnswer(1, 2, 3)]
        found, silent = await gateways.loads()
        assert (len(found), silent) == (1, 0)


async def test_one_that_was_never_ready_and_refuses_has_nothing_inside() -> None:
    async with serving(Gateway("127.0.0.1")) as gateways:
        crashing = GatewayPod("127.0.0.3", never_ready=True)
        gateways._members = lambda: {"serving": GatewayPod("127.0.0.1"), "new": crashing}
        assert await gateways.park(KEY) == [ParkAnswer(1, 2, 3)]
        found, silent = await gateways.loads()
        assert (len(found), silent) == (1, 0)


async def test_settle_tells_all_and_survives_one_that_fails() -> None:
    first, second = two()
    first.body, first.status = {}, 500
    async with serving(first, second) as gateways:
        await gateways.settle(KEY, scaled=True)
    assert second.asked[0][2] == {"function": "shop/thumbnail", "scaled": True}
