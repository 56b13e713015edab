"""How much Functions can take, asked of gateways over real sockets."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
from aiohttp import web

from tests.integration.delivery_rig import definition, key
from tests.integration.trigger_rig import running
from tests.support.servers.nats import until
from torpor.resources.load import FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.triggers.gateway_capacity import GatewayCapacity, Resolve, resolver
from torpor.triggers.standings import TargetFacts

HANDLER = key("handler")


def facts(limit: int) -> dict[str, object]:
    return TargetFacts(True, 30.0, 10, limit, 5).to_json()


@contextlib.asynccontextmanager
async def gateway(load: FunctionLoad) -> AsyncIterator[str]:
    """A gateway that has this load of the Function, to whoever has the token."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer internal":
            return web.Response(status=403)
        return web.json_response(GatewayLoad("g", "b", {HANDLER: load}).to_json())

    app = web.Application()
    app.router.add_get("/v1/load", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def at(*addresses: str) -> Resolve:
    async def resolve() -> Sequence[str]:
        return addresses

    return resolve


async def test_ready_instances_times_the_limit_are_shared_among_the_dispatchers() -> None:
    known = {key("orders"): definition(facts=facts(10))}
    one, other = FunctionLoad(instances={"a": 1, "b": 0}), FunctionLoad(instances={"b": 0, "c": 3})
    async with (
        aiohttp.ClientSession() as session,
        gateway(one) as first,
        gateway(other) as second,
    ):
        capacity = GatewayCapacity(
            session,
            "internal",
            at(first, second, "127.0.0.1:9"),
            at("x", "y"),
            lambda: known,
            time.monotonic,
        )
        assert capacity.places(HANDLER) is None

        async def seen() -> bool:
            return capacity.places(HANDLER) is not None

        async with running(capacity.run()):
            await until(seen)
        assert capacity.places(HANDLER) == 15
        assert capacity.places(FunctionKey("shop", "other")) is None


async def test_a_function_at_zero_has_no_places_and_one_without_a_limit_is_not_bounded() -> None:
    known = {
        key("asleep"): definition("asleep", facts(10), target={"function": {"name": "asleep"}}),
        key("free"): definition("free", facts(0), target={"function": {"name": "free"}}),
    }
    async with aiohttp.ClientSession() as session, gateway(FunctionLoad()) as first:
        capacity = GatewayCapacity(
            session, "internal", at(first), at("x"), lambda: known, time.monotonic
        )

        async def seen() -> bool:
            return capacity.places(key("asleep")) is not None

        async with running(capacity.run()):
            await until(seen)
        assert capacity.places(key("asleep")) == 0
        assert capacity.places(key("free")) is None


async def test_what_was_seen_long_ago_is_not_known() -> None:
    known = {key("orders"): definition(facts=facts(10))}
    now = 0.0
    async with (
        aiohttp.ClientSession() as session,
        gateway(FunctionLoad(instances={"a": 0})) as first,
    ):
        capacity = GatewayCapacity(
            session, "internal", at(first), at("x"), lambda: known, lambda: now
        )

        async def seen() -> bool:
            return capacity.places(HANDLER) == 10

        async with running(capacity.run()):
            await until(seen)
        now = 5.1
        assert capacity.places(HANDLER) is None


async def test_a_name_is_resolved_to_all_its_addresses() -> None:
    assert "127.0.0.1:8090" in await resolver("localhost", 8090)()
