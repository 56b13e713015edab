"""A way to a real nats-server on which one message is lost, as when a stream's leader dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from tests.support.servers.nats import Broker, broker
from torpor.triggers.broker.connection import connected
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.streams import Streams

_PUBLISHING = (b"PUB", b"HPUB")


@dataclass
class _Way:
    """Passes the client's protocol on, but for the first message that holds `lost`."""

    port: int
    lost: bytes
    done: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._up(reader, up_writer), name="to the server")
                tasks.create_task(_down(up_reader, writer), name="from the server")
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, up_writer):
                each.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = line.split()
            frame = line
            if words[0] in _PUBLISHING:
                frame += await reader.readexactly(int(words[-1]) + 2)
            if not self.done and self.lost in frame:
                self.done = True
                continue
            writer.write(frame)
        writer.close()


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def losing(text: bytes) -> AsyncIterator[Broker]:
    """A broker, connected to on a way that loses the first message with this text in it."""
    async with broker() as at:
        (url,) = at.server.settings.servers
        way = _Way(int(url.rpartition(":")[2]), text)
        server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        settings = replace(at.server.settings, servers=(f"nats://127.0.0.1:{port}",))
        try:
            async with connected(settings) as connection:
                yield Broker(at.server, connection, Streams(connection), Publisher(connection))
        finally:
            server.close()
