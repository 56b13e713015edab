"""A real nats-server for a test, in a folder of its own, ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from torpor.triggers.broker.connection import Connection, connected
from torpor.triggers.broker.embedded import EmbeddedNats, available
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.streams import Streams

needs_nats = pytest.mark.skipif(not available(), reason="no nats-server on this machine")


@dataclass(frozen=True, slots=True)
class Broker:
    """A server with a connection to it and the base streams made."""

    server: EmbeddedNats
    connection: Connection
    streams: Streams
    publisher: Publisher


@contextlib.asynccontextmanager
async def nats_server(
    *, sync_interval: str = "2m", mqtt_port: int | None = None, max_store_bytes: int = 0
) -> AsyncIterator[EmbeddedNats]:
    """A running server; tests of losses ask for `sync_interval="always"`."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-nats-") as folder:
        server = EmbeddedNats(
            Path(folder),
            sync_interval=sync_interval,
            mqtt_port=mqtt_port,
            max_store_bytes=max_store_bytes,
        )
        server.start()
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


@contextlib.asynccontextmanager
async def broker(*, sync_interval: str = "2m", max_store_bytes: int = 0) -> AsyncIterator[Broker]:
    """A running server, connected to."""
    async with (
        nats_server(sync_interval=sync_interval, max_store_bytes=max_store_bytes) as server,
        connected(server.settings) as connection,
    ):
        streams = Streams(connection)
        await streams.ensure_base()
        yield Broker(server, connection, streams, Publisher(connection))


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until the condition holds, which another process brings about; TimeoutError if not."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)


async def exists(at: Broker, stream: str, consumer: str) -> None:
    """Wait until a consumer has been made."""

    async def made() -> bool:
        return await at.streams.consumer_state(stream, consumer) is not None

    await until(made)


async def lost(connection: Connection) -> None:
    """Wait until the connection is noticed to be lost."""

    async def away() -> bool:
        return not connection.ready

    await until(away)


async def lag(at: Broker, expected: Mapping[tuple[str, str], int]) -> None:
    """Wait until the inboxes hold this; acknowledgements are on their way for a moment."""

    async def there() -> bool:
        return await at.streams.inbox_lag() == expected

    await until(there)
