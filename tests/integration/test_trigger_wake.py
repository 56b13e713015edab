"""Controller, events role and a real broker together: a message wakes a Function at zero."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.controller_rig import DiscoverableApi, function, running, serving
from tests.support.platform_rig import until
from tests.support.real_gateway import free_port
from tests.support.servers.nats import nats_server, needs_nats
from torpor.controller import triggers
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import EventsSettings
from torpor.triggers.role import run_events
from torpor.triggers.standings import Standings

pytestmark = needs_nats
KEY = b"k" * 32
PATIENCE = 30.0


class NoSecrets:
    """A cluster without Secrets."""

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        raise AssertionError(f"nothing asks for {namespace}/{name}")


@asynccontextmanager
async def gateway(awake: asyncio.Event, seen: list[str]) -> AsyncIterator[str]:
    """What answers for every Function, once the test says that it is awake."""

    async def answer(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers.get("ce-type", ""))
        await awake.wait()
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def events_role(gateway_url: str) -> AsyncIterator[EventsSettings]:
    async with nats_server() as server:
        settings = EventsSettings(
            nats_url=server.url,
            nats_token=server.token,
            gateway_url=gateway_url,
            api_port=free_port(),
            internal_port=free_port(),
            metrics_port=free_port(),
            drain_seconds=1,
        )
        stop = asyncio.Event()
        job = run_events(settings, KEY, NoSecrets(), None, stop=stop, host="127.0.0.1")
        task = asyncio.create_task(job, name="events role")
        try:
            yield settings
        finally:
            stop.set()
            await asyncio.wait_for(task, 30)


@pytest.mark.timeout(120)
async def test_a_message_wakes_a_function_and_its_delivery_is_the_end_of_the_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triggers, "SURVEY_SECONDS", 0.3)
    awake, seen = asyncio.Event(), list[str]()
    async with (
        gateway(awake, seen) as url,
        events_role(url) as settings,
        serving() as fake,
        running(fake, events_url=f"http://127.0.0.1:{settings.internal_port}"),
        aiohttp.ClientSession() as session,
    ):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake) == "True", PATIENCE)
        await until(lambda: replicas(fake) == 0, PATIENCE)
        await publish(session, settings.api_port)
        await until(lambda: replicas(fake) == 1, PATIENCE)
        assert seen == ["order.placed"]
        awake.set()
        role = f"http://127.0.0.1:{settings.internal_port}"
        standings = Standings(session, role, internal_token(KEY))
        async with asyncio.timeout(PATIENCE):
            while await standings.lags():  # noqa: ASYNC110 - another process brings it about
                await asyncio.sleep(0.1)
        [standing] = await standings.survey()
        assert (standing.key, standing.subscribed) == (FunctionKey("shop", "orders"), True)
        assert (standing.lag, standing.waiting, standing.dead_letters) == (0, 0, 0)


def trigger() -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {"namespace": "shop", "name": "orders", "uid": "u1", "generation": 1},
        "spec": {
            "source": {"queue": {"name": "orders"}},
            "target": {"function": {"name": "f"}},
        },
    }


def ready(fake: DiscoverableApi) -> str:
    found = (fake.find("triggers", "shop", "orders") or {}).get("status") or {}
    return str(next((item["status"] for item in found.get("conditions", ())), ""))


def replicas(fake: DiscoverableApi) -> int | None:
    return ((fake.find("deployments", "shop", "f") or {}).get("spec") or {}).get("replicas")


async def publish(session: aiohttp.ClientSession, port: int) -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/test",
        "ce-type": "order.placed",
    }
    url = f"http://127.0.0.1:{port}/v1/namespaces/shop/queues/orders/events"
    async with session.post(url, json={"order": 7}, headers=headers) as answer:
        assert answer.status == 202, await answer.text()
