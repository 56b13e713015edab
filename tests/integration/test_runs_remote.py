"""What a gateway does while the controllers, which keep the runs, are away."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from aiohttp import web

from torpor.gateway.runs.base import RunsAway
from torpor.gateway.runs.remote import RemoteRuns
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run, RunState

RUN = Run("count-1", FunctionKey("shop", "count"), RunState.SUCCEEDED)
LONGER_THAN_ALL_ATTEMPTS_SECONDS = 4.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def controller(port: int) -> web.AppRunner:
    async def found(request: web.Request) -> web.Response:
        return web.json_response(RUN.to_json())

    app = web.Application()
    app.router.add_get("/v1/runs/shop/count-1", found)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def test_who_waits_for_a_run_waits_through_a_restart_of_the_controllers() -> None:
    port = free_port()
    async with RemoteRuns(f"http://127.0.0.1:{port}") as runs:
        waiting = asyncio.create_task(runs.find("shop", "count-1", 20.0))
        await asyncio.sleep(LONGER_THAN_ALL_ATTEMPTS_SECONDS)
        runner = await controller(port)
        assert (await waiting).state is RunState.SUCCEEDED
        await runner.cleanup()


async def test_who_does_not_wait_hears_soon_that_nobody_answers() -> None:
    async with RemoteRuns(f"http://127.0.0.1:{free_port()}") as runs:
        began = time.monotonic()
        with pytest.raises(RunsAway, match="no controller answers"):
            await runs.find("shop", "count-1", 0.0)
        assert time.monotonic() - began < 12
