"""The function of the bench of events, in a process of its own; who calls it makes no difference.

It counts events, by their `n`, and how long each took from being published (`at`, in nanoseconds
of the machine's monotonic clock). A path that ends in `slow/` answers after a second. GET /seen
tells, and forgets. Prints the port it listens on; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

_SLOW_SECONDS = 1.0


@dataclass
class Seen:
    """What came since it was last asked for."""

    calls: int = 0
    numbers: set[int] = field(default_factory=set)
    ms: list[float] = field(default_factory=list)
    last_ns: int = 0

    async def call(self, request: web.Request) -> web.Response:
        found = orjson.loads(await request.read())
        now = time.monotonic_ns()
        self.calls += 1
        self.last_ns = now
        items = [_data(item) for item in found] if isinstance(found, list) else [found]
        for item in items:
            self.numbers.add(item["n"])
            self.ms.append((now - item["at"]) / 1e6)
        return web.Response(status=204)

    async def slow(self, _: web.Request) -> web.Response:
        await asyncio.sleep(_SLOW_SECONDS)
        return web.Response(status=204)

    async def seen(self, _: web.Request) -> web.Response:
        return web.json_response({"events": len(self.numbers), "calls": self.calls})

    async def taken(self, _: web.Request) -> web.Response:
        found = {"events": len(self.numbers), "calls": self.calls, "ms": self.ms}
        body = orjson.dumps({**found, "last_ns": self.last_ns})
        self.calls, self.numbers, self.ms = 0, set(), []
        return web.Response(body=body, content_type="application/json")


def _data(item: Any) -> Any:
    """Of an event in a batch of CloudEvents, or the item itself."""
    return item.get("data", item)


async def main() -> None:
    seen = Seen()
    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/seen", seen.seen)
    app.router.add_delete("/seen", seen.taken)
    app.router.add_post("/{place:.*}/slow/", seen.slow)
    app.router.add_post("/{place:.*}", seen.call)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
