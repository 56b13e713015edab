"""Asynchronous calls from end to end: gateways with HAProxy, the events role as a process, NATS."""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tests.support.fake_platform import FakePlatform, function
from tests.support.real_gateway import RealGateway, free_port, real_gateway
from tests.support.servers.events import EventsProcess
from tests.support.servers.function import Behaviour, Call
from tests.support.servers.nats import nats_server, until
from torpor.resources.names import FunctionKey

PREFER = {"Prefer": "respond-async"}


@dataclass
class Instances:
    """One server that is an instance of every function, and what it was asked."""

    behaviour: Behaviour
    port: int = 0
    calls: list[Call] = field(default_factory=list)

    def to(self, name: str) -> list[Call]:
        """The calls of one function."""
        return [call for call in self.calls if call.function == f"shop/{name}"]

    async def serve(self, request: web.Request) -> web.Response:
        headers = request.headers.copy()
        named = headers["X-Torpor-Function"]
        found = Call(named, request.method, request.raw_path, headers, await request.read())
        self.calls.append(found)
        reply = self.behaviour(found)
        if inspect.isawaitable(reply):
            reply = await reply
        return web.Response(status=reply) if isinstance(reply, int) else reply


@dataclass
class Rig:
    gateways: list[RealGateway]
    instances: Instances
    events: EventsProcess
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateways[0].port}"

    async def send(
        self, path: str, body: bytes = b"", *, method: str = "POST", **headers: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request with Prefer: respond-async to the first gateway."""
        async with self.session.request(
            method, self.url + path, data=io.BytesIO(body), headers={**PREFER, **headers}
        ) as answer:
            return answer.status, answer.headers, await answer.read()

    async def accepted(self, path: str, body: bytes = b"", **headers: str) -> str:
        """Have a call taken; return where its result will be."""
        status, given, told = await self.send(path, body, **headers)
        assert status == 202, told
        assert given["Preference-Applied"] == "respond-async"
        return str(given["Location"])

    async def result(self, location: str, gateway: int = 0) -> tuple[str, Mapping[str, str], bytes]:
        """Wait for a result: Torpor-Status, the headers and the body."""
        url = f"http://127.0.0.1:{self.gateways[gateway].port}{location}"
        found: list[tuple[str, Mapping[str, str], bytes]] = []

        async def ended() -> bool:
            async with self.session.get(url) as answer:
                assert answer.status in (200, 202), await answer.text()
                if answer.status == 202:
                    assert answer.headers["Retry-After"] == "1"
                    return False
                status = answer.headers["Torpor-Status"]
                found.append((status, answer.headers.copy(), await answer.read()))
                return True

        await until(ended, 30)
        return found[0]

    async def arrived(self, name: str, count: int, seconds: float = 30) -> list[Call]:
        """Wait until a function was called so often."""

        async def came() -> bool:
            return len(self.instances.to(name)) >= count

        await until(came, seconds)
        return self.instances.to(name)


@asynccontextmanager
async def async_rig(
    specs: Mapping[str, Mapping[str, Any]],
    behaviour: Behaviour,
    *,
    gateways: int = 1,
    engine_url: str = "",
) -> AsyncIterator[Rig]:
    """Functions of the namespace `shop` by name, which are awake; the role has no instance yet."""
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(nats_server())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        instances = Instances(behaviour)
        instances.port = await stack.enter_async_context(_serving(instances))
        ports = [free_port() for _ in range(gateways)]
        gateway_url = f"http://127.0.0.1:{ports[0]}"
        events = EventsProcess("events-0", nats, gateway_url, 2, engine_url=engine_url)
        stack.callback(events.kill)
        found = [
            await stack.enter_async_context(_gateway(specs, instances.port, port, events.api_url))
            for port in ports
        ]
        events.start()
        await events.ready(session)
        for each in found:
            await _ready(session, each)
        yield Rig(found, instances, events, session)


@asynccontextmanager
async def _gateway(
    specs: Mapping[str, Mapping[str, Any]], to: int, port: int, events_url: str
) -> AsyncIterator[RealGateway]:
    platform = FakePlatform()
    for name, spec in specs.items():
        key = platform.add(function(name, uid=f"uid-{name}", **spec))
        platform.replicas[key] = 1
        instance = platform.new(FunctionKey("shop", name), address="127.0.0.1", port=to)
        platform.put(replace(instance, ready=True))
    settings: dict[str, Any] = {
        "http_port": port,
        "events_url": events_url,
        "api_clients": "anyone",
    }
    async with real_gateway(platform, **settings) as gateway:
        yield gateway


@asynccontextmanager
async def _serving(instances: Instances) -> AsyncIterator[int]:
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{rest:.*}", instances.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _ready(session: aiohttp.ClientSession, gateway: RealGateway) -> None:
    async def ready() -> bool:
        try:
            async with session.get(f"{gateway.health}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await until(ready, 20)


def record_of(call: Call) -> dict[str, Any]:
    """The invocation record that a destination was given."""
    found = orjson.loads(call.body)
    assert isinstance(found, dict)
    return found
