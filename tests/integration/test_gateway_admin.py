"""The internal API over real HTTP: who may do what, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.support.activator_rig import Rig, activator_rig
from tests.support.fake_platform import FakePlatform, function
from torpor.gateway.admin import Admin
from torpor.gateway.dataplane.base import Go
from torpor.resources.load import GatewayLoad, ParkAnswer
from torpor.resources.tokens import announce_token, internal_token

KEY = b"0" * 32


@dataclass
class Client:
    rig: Rig
    session: ClientSession
    url: str

    async def call(
        self, method: str, path: str, body: Any = None, token: str | None = internal_token(KEY)
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(
            method, self.url + path, json=body, headers=headers
        ) as answer:
            is_json = "json" in answer.content_type
            return answer.status, await answer.json(content_type=None) if is_json else None


@asynccontextmanager
async def served(platform: FakePlatform | None = None) -> AsyncIterator[Client]:
    async with activator_rig(platform) as rig, ClientSession() as session:
        admin = Admin(rig.activator, KEY)
        await admin.start("127.0.0.1", 0)
        try:
            yield Client(rig, session, f"http://127.0.0.1:{admin.port}")
        finally:
            await admin.stop()


@pytest.mark.parametrize("token", [None, "wrong", announce_token(KEY, "u1")])
async def test_only_the_internal_token_opens_the_internal_calls(token: str | None) -> None:
    async with served() as client:
        for method, path in (
            ("GET", "/v1/load"),
            ("POST", "/v1/park"),
            ("POST", "/v1/settle"),
            ("GET", "/v1/functions/shop/echo"),
        ):
            status, body = await client.call(method, path, {}, token)
            assert (status, body["code"]) == (403, "forbidden")


async def test_load_park_and_settle_speak_the_contract() -> None:
    async with served(FakePlatform(starts_after_seconds=0.05)) as client:
        key = client.rig.platform.add(function())
        await client.rig.settled()
        assert isinstance(await client.rig.ask(key), Go)
        _, body = await client.call("GET", "/v1/load")
        load = GatewayLoad.from_json(body)
        assert (load.gateway, load.boot, set(load.functions)) == ("gateway-0", "boot", {key})
        assert len(load.cold_starts) == 1
        assert load.measured_at is not None
        status, body = await client.call("POST", "/v1/park", {"function": str(key)})
        assert (status, ParkAnswer.from_json(body)) == (200, ParkAnswer(0, 0, 0))
        _, body = await client.call("GET", "/v1/functions/shop/echo")
        assert body["state"] == "Parked"
        settle = {"function": str(key), "scaled": False}
        assert await client.call("POST", "/v1/settle", settle) == (204, None)
        await client.rig.settled()
        _, body = await client.call("GET", "/v1/functions/shop/echo")
        assert body["state"] == "Awake"
        assert body["instances"][0]["usable"] is True


async def test_an_instance_announces_only_its_own_function_and_address() -> None:
    async with served(FakePlatform(starts_after_seconds=None)) as client:
        key = client.rig.platform.add(function(uid="u1"))
        await client.rig.settled()
        held = client.rig.ask(key)
        await client.rig.settled()
        platform = client.rig.platform
        platform.put(platform.new(key, address=None, name="echo-1"))
        platform.listening.add(("127.0.0.1", 8080))
        body = {"function": str(key), "port": 8080, "instance": "echo-1"}
        status, answer = await client.call("POST", "/v1/announce", body, announce_token(KEY, "u2"))
        assert (status, answer["code"]) == (403, "forbidden")
        assert not held.done()
        token = announce_token(KEY, "u1")
        assert (await client.call("POST", "/v1/announce", body, token))[0] == 204
        async with asyncio.timeout(1):
            assert isinstance(await held, Go)


async def test_an_announced_port_that_is_not_the_functions_is_refused() -> None:
    async with served(FakePlatform(starts_after_seconds=None)) as client:
        key = client.rig.platform.add(function(uid="u1"))
        await client.rig.settled()
        held = client.rig.ask(key)
        await client.rig.settled()
        platform = client.rig.platform
        platform.put(platform.new(key, address=None, name="echo-1"))
        platform.listening.add(("127.0.0.1", 9999))
        body = {"function": str(key), "port": 9999, "instance": "echo-1"}
        status, answer = await client.call("POST", "/v1/announce", body, announce_token(KEY, "u1"))
        assert (status, answer["code"]) == (400, "invalid-resource")
        assert answer["detail"] == "body.port: shop/echo listens on 8080, not on 9999"
        await client.rig.settled()
        assert not held.done()
        assert (await client.call("POST", "/v1/announce", body, "wrong"))[0] == 403
        held.cancel()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/park", []),
        ("/v1/park", {}),
        ("/v1/park", {"function": "no-namespace"}),
        ("/v1/settle", {"function": "shop/echo"}),
        ("/v1/settle", {"function": "shop/echo", "scaled": "yes"}),
        ("/v1/announce", {"function": "shop/echo", "port": 0}),
    ],
)
async def test_nonsense_is_refused_with_the_field(path: str, body: Any) -> None:
    async with served() as client:
        status, answer = await client.call("POST", path, body)
        assert (status, answer["code"]) == (400, "invalid-resource")
        assert "body" in answer["detail"]


async def test_an_unknown_function_is_not_found() -> None:
    async with served() as client:
        status, answer = await client.call("GET", "/v1/functions/shop/nothing")
        assert (status, answer["code"]) == (404, "unknown-function")


async def test_a_park_that_is_not_certain_is_not_acknowledged() -> None:
    async with served(FakePlatform(starts_after_seconds=0.05)) as client:
        key = client.rig.platform.add(function())
        await client.rig.settled()
        await client.rig.ask(key)
        client.rig.plane.away = True
        status, answer = await client.call("POST", "/v1/park", {"function": str(key)})
        assert (status, answer["code"]) == (503, "data-plane")
