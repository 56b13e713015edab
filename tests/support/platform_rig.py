"""A fake API server and a client of it, and waiting for a condition with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.support.fake_api import FakeApi
from torpor.platform.kubernetes import Access, KubernetesApi, Limits, connect
from torpor.platform.kubernetes.config import Credentials
from torpor.platform.kubernetes.throttle import Backoff

QUICK = Backoff(first_seconds=0.01, most_seconds=0.05)
LIMITS = Limits(attempt_seconds=0.5, total_seconds=5.0, attempts=4, backoff=QUICK)


class Anonymous:
    """No header: the fake API server asks for none."""

    def headers(self) -> Mapping[str, str]:
        return {}

    async def refresh(self) -> None:
        return


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[FakeApi, KubernetesApi]]:
    """Yield a running server and a client with short deadlines."""
    fake = FakeApi()
    await fake.start()
    try:
        async with client_of(fake) as api:
            yield fake, api
    finally:
        await fake.stop()


@asynccontextmanager
async def client_of(
    fake: FakeApi, limits: Limits = LIMITS, credentials: Credentials | None = None
) -> AsyncIterator[KubernetesApi]:
    """Yield one more client of `fake`."""
    async with client_at(fake.url, limits, credentials) as api:
        yield api


@asynccontextmanager
async def client_at(
    url: str, limits: Limits = LIMITS, credentials: Credentials | None = None
) -> AsyncIterator[KubernetesApi]:
    """Yield a client of whatever serves at `url`."""
    access = Access(url, None, credentials or Anonymous())
    async with connect(access=access, limits=limits) as api:
        yield api


class Relay:
    """A TCP relay: the one way of a client to a server, until it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Refuse new connections and reset the open ones."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, far_writer))
                group.create_task(_pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65536):
            writer.write(chunk)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def relaying(url: str) -> AsyncIterator[Relay]:
    """Yield a running relay to the server at `url`."""
    relay = Relay(int(url.rsplit(":", 1)[1]))
    await relay.start()
    try:
        yield relay
    finally:
        relay.cut()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Return as soon as `condition` holds; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is watched is in another server's hands
            await asyncio.sleep(0.005)


def deployment(name: str = "hello", replicas: int = 0, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"namespace": "shop", "name": name, "labels": labels},
        "spec": {"replicas": replicas},
    }


def pod(name: str, function: str = "hello", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "labels": {"torpor.dev/function": function},
        },
        "spec": {
            "containers": [
                {"name": "announcer"},
                {"name": "function", "ports": [{"containerPort": 9000}]},
            ]
        },
        "status": {"phase": "Running", **status},
    }


def function(name: str = "hello", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {"image": "hello:1", **spec},
    }
