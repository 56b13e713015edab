"""The events role on three nats-servers with three copies: one is killed, and all goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import orjson

from tests.chaos.report import Faults
from tests.support.events_role import EVENT, FACTS, KEY, NoSecrets, free_port
from tests.support.servers.function import Functions, functions
from tests.support.servers.nats import needs_nats, until
from tests.support.servers.nats_cluster import SIZE, NatsCluster, nats_cluster
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import EventsSettings
from torpor.triggers.role import run_events
from torpor.triggers.standings import Standings, Wanted

pytestmark = needs_nats
TRIGGER = FunctionKey("shop", "orders")
SPEC = {"source": {"bus": {"name": "b"}}, "target": {"function": {"name": "handler"}}}
EACH = 100


@contextlib.asynccontextmanager
async def served(
    cluster: NatsCluster, to: Functions, session: aiohttp.ClientSession
) -> AsyncIterator[EventsSettings]:
    settings = EventsSettings(
        nats_url=",".join(cluster.settings.servers),
        stream_replicas=SIZE,
        gateway_url=to.url,
        api_port=free_port(),
        internal_port=free_port(),
        metrics_port=free_port(),
        drain_seconds=5,
    )

    async def ready() -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            url = f"http://127.0.0.1:{settings.metrics_port}/readyz"
            async with session.get(url) as answer:
                return answer.status == 200
        return False

    stop = asyncio.Event()
    work = run_events(settings, KEY, NoSecrets(), None, stop=stop, host="127.0.0.1")
    running = asyncio.create_task(work, name="role")
    try:
        await until(ready, 60)
        yield settings
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await running


async def test_publishing_and_delivery_go_on_whichever_server_is_killed(faults: Faults) -> None:
    async with (
        nats_cluster() as cluster,
        functions() as to,
        aiohttp.ClientSession() as session,
        served(cluster, to, session) as settings,
    ):
        internal = f"http://127.0.0.1:{settings.internal_port}"
        standings = Standings(session, internal, internal_token(KEY))
        meta = {"namespace": "shop", "name": "orders", "uid": "uid-1", "generation": 1}
        await standings.put(TRIGGER, Wanted({"metadata": meta, "spec": SPEC}, FACTS))
        url = f"http://127.0.0.1:{settings.api_port}/v1/namespaces/shop/buses/b/events"
        published: list[str] = []
        for killed in range(SIZE):
            await asyncio.to_thread(cluster.kill, killed)
            for number in range(EACH):
                name = f"{killed}.{number}"
                await _publish(session, url, name)
                published.append(name)
            await until(lambda: _all_came(to, published), 60)
            cluster.start(killed)
            await until(lambda: _in_step(cluster), 60)
    assert set(to.ids) == set(published)
    assert len(published) == SIZE * EACH
    faults.add("one of three nats-servers killed", SIZE, f"none of {len(published)} events")


async def _publish(session: aiohttp.ClientSession, url: str, name: str) -> None:
    """As a client does: again, with the same id, while the answer is that it may be."""
    body = orjson.dumps({**EVENT, "id": name})
    headers = {"Content-Type": "application/cloudevents+json"}
    async with asyncio.timeout(60):
        while True:
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status == 202:
                    return
                assert answer.status == 503, await answer.text()


async def _all_came(to: Functions, published: list[str]) -> bool:
    return set(published) <= set(to.ids)


async def _in_step(cluster: NatsCluster) -> bool:
    return await asyncio.to_thread(cluster.is_whole)
