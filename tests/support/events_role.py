"""The whole events role in this process, over a real nats-server, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from tests.support.servers.function import Functions
from tests.support.servers.nats import nats_server, until
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import EventsSettings
from torpor.triggers.broker.embedded import EmbeddedNats
from torpor.triggers.role import run_events
from torpor.triggers.standings import Standings, TargetFacts, Wanted

KEY = b"k" * 32
FACTS = TargetFacts(True, 10.0, 1, 1, 1)
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}}


class NoSecrets:
    """Where no Trigger has any."""

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        raise AssertionError(f"{namespace}/{name}")


@dataclass(frozen=True, slots=True)
class Role:
    """A role in this process, and clients of it."""

    settings: EventsSettings
    standings: Standings
    session: aiohttp.ClientSession
    stop: asyncio.Event
    nats: EmbeddedNats

    async def put(
        self, key: FunctionKey, spec: Mapping[str, Any], facts: TargetFacts = FACTS
    ) -> None:
        metadata = {
            "namespace": key.namespace,
            "name": key.name,
            "uid": f"uid-{key.namespace}-{key.name}",
        }
        obj = {"metadata": {**metadata, "generation": 1}, "spec": spec}
        await self.standings.put(key, Wanted(obj, facts))

    async def publish(self, number: int = 1, path: str = "buses/b", **more: Any) -> None:
        url = f"http://127.0.0.1:{self.settings.api_port}/v1/namespaces/shop/{path}/events"
        body = orjson.dumps({**EVENT, "id": str(number), **more})
        headers = {"Content-Type": "application/cloudevents+json"}
        async with self.session.post(url, data=body, headers=headers) as answer:
            assert answer.status == 202, await answer.text()

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request of the internal API."""
        url = f"http://127.0.0.1:{self.settings.internal_port}{path}"
        headers = {"X-Torpor-Token": internal_token(KEY)}
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ready(self) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.settings.metrics_port}/readyz"
        async with self.session.get(url) as answer:
            return answer.status, await answer.text()

    async def is_ready(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            return (await self.ready())[0] == 200
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def role(
    to: Functions, *, max_store_bytes: int = 0, **settings_given: Any
) -> AsyncIterator[Role]:
    async with (
        nats_server(max_store_bytes=max_store_bytes) as nats,
        aiohttp.ClientSession() as session,
    ):
        settings = EventsSettings(
            nats_url=nats.url,
            nats_token=nats.token,
            gateway_url=to.url,
            api_port=free_port(),
            internal_port=free_port(),
            metrics_port=free_port(),
            drain_seconds=5,
            **settings_given,
        )
        stop = asyncio.Event()
        url = f"http://127.0.0.1:{settings.internal_port}"
        found = Role(settings, Standings(session, url, internal_token(KEY)), session, stop, nats)
        running = asyncio.create_task(
            run_events(settings, KEY, NoSecrets(), None, stop=stop, host="127.0.0.1"), name="role"
        )
        try:
            await until(found.is_ready, 20)
            yield found
        finally:
            stop.set()
            async with asyncio.timeout(20):
                await running


def called(to: Functions, count: int) -> Callable[[], Awaitable[bool]]:
    async def came() -> bool:
        return len(to.calls) >= count

    return came
