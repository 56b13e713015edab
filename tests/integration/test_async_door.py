"""The gateways' door for asynchronous calls, before an events role that takes its time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

from tests.support.fake_platform import function
from tests.support.lambda_rig import Catalog
from torpor.gateway.deferred.door import AsyncDoor, Parts
from torpor.gateway.deferred.handover import Handover
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.terms import Terms
from torpor.resources.names import FunctionKey

HEADERS = {"X-Torpor-Function": "shop/echo"}


@dataclass
class EventsRole:
    """It takes a call when it is told to."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        await request.read()
        self.asked.set()
        await self.free.wait()
        return web.json_response({"id": "one"}, status=202)


@asynccontextmanager
async def door(role: EventsRole, memory_bytes: int) -> AsyncIterator[str]:
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{rest:.*}", role.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    catalog = Catalog({FunctionKey("shop", "echo"): Terms.of(function())})
    async with Handover(f"http://127.0.0.1:{runner.addresses[0][1]}", "token") as handover:
        opened = AsyncDoor(Parts(catalog, handover, Place(), lambda: "id", memory_bytes))
        await opened.start("127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{opened.port}"
        finally:
            await opened.stop()
            await runner.cleanup()


async def test_what_is_sent_to_the_events_role_is_counted_as_well() -> None:
    role, megabyte = EventsRole(), 1 << 20
    async with door(role, 5 * megabyte) as url, ClientSession(url) as session:

        async def status(size: int) -> int:
            async with session.post("/", data=io.BytesIO(b"x" * size), headers=HEADERS) as answer:
                return answer.status

        assert await status(3 * megabyte) == 503, "it would take 6 MiB"
        async with asyncio.timeout(10):
            first = asyncio.create_task(status(2 * megabyte))
            await role.asked.wait()
            assert await status(megabyte) == 503
            role.free.set()
            assert [await first, await status(megabyte)] == [202, 202]
