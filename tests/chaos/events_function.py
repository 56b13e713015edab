"""Functions behind a gateway, in a process to be killed: `python -m … PORT FILE`.

Each call is written down with its events before it is answered, so that a kill in between shows.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys

from aiohttp import web

from torpor.triggers.event import from_http

TABLE = """CREATE TABLE IF NOT EXISTS calls
    (at INTEGER PRIMARY KEY, function TEXT, number INTEGER, key INTEGER, effect TEXT)"""
INDEX = "CREATE INDEX IF NOT EXISTS numbers ON calls (function, number)"


def opened(file: str) -> sqlite3.Connection:
    """The calls; they outlive a kill of the process, though not of the machine."""
    found = sqlite3.connect(file, isolation_level=None, timeout=30)
    found.execute("PRAGMA journal_mode=WAL")
    found.execute("PRAGMA synchronous=OFF")
    found.execute(TABLE)
    found.execute(INDEX)
    return found


async def _main(port: int, file: str) -> None:
    calls = opened(file)

    async def call(request: web.Request) -> web.Response:
        (event,) = from_http(request.headers, await request.read())
        data = event.data
        if isinstance(data, bytes | str):
            data = json.loads(data)
        assert isinstance(data, dict)
        row = (request.match_info["name"], data["n"], data["key"])
        effect = request.headers["Idempotency-Key"]
        calls.execute(
            "INSERT INTO calls (function, number, key, effect) VALUES (?, ?, ?, ?)", (*row, effect)
        )
        await asyncio.sleep(random.uniform(0.005, 0.03))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/function/shop/{name}/", call)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
