"""A real HAProxy plane on free loopback ports, functions to put behind it, and a plain client."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from torpor.gateway.dataplane.base import Go, Lane, Refused, Server
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey
from torpor.settings import GatewaySettings

HAPROXY = os.environ.get("TORPOR_TEST_HAPROXY", "haproxy")
"""The program to test with, so that one machine can test several versions."""
needs_haproxy = pytest.mark.skipif(
    shutil.which(HAPROXY) is None, reason=f"no program {HAPROXY} on this machine"
)


def version() -> tuple[int, ...]:
    """The program's version, empty if there is none."""
    if shutil.which(HAPROXY) is None:
        return ()
    said = subprocess.run([HAPROXY, "-v"], capture_output=True, text=True, timeout=10).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


sees_clients_leave = pytest.mark.skipif(
    version() >= (3, 0), reason="HAProxy 3.0 does not look at the client while Lua holds it"
)
SHOP = FunctionKey("shop", "cart")
HOST = "cart.shop.localhost"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


async def read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    pairs = (line.split(":", 1) for line in lines)
    return first, {name.lower(): value.strip() for name, value in pairs}


async def read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))


@dataclass
class Function:
    """An instance: a keep-alive HTTP/1.1 server that notes what it saw and how much at once."""

    name: str
    delay_seconds: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    now: int = 0
    most: int = 0
    port: int = 0
    gate: asyncio.Event | None = None
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Function:
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Function:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def server(self, limit: int = 0) -> Server:
        return Server(self.name, "127.0.0.1", self.port, limit)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._one(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, headers = await read_head(reader)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            body = await read_body(reader, headers)
            method, path, _ = first.split(" ")
            self.seen.append(Seen(method, path, headers, body))
            await asyncio.sleep(self.delay_seconds)
            if self.gate:
                await self.gate.wait()
        finally:
            self.now -= 1
        answer = f"{self.name}".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
        await writer.drain()


class ScriptedHolder:
    """An activator whose verdicts the test gives; requests wait until one is given."""

    def __init__(self) -> None:
        self.held: Counter[FunctionKey] = Counter()
        self.asked: Counter[FunctionKey] = Counter()
        self._verdicts: dict[FunctionKey, Go | Refused] = {}
        self._changed: dict[FunctionKey, asyncio.Event] = defaultdict(asyncio.Event)

    def answer(self, key: FunctionKey, verdict: Go | Refused | None) -> None:
        if verdict is None:
            self._verdicts.pop(key, None)
            self._changed[key].clear()
        else:
            self._verdicts[key] = verdict
            self._changed[key].set()

    async def hold(self, key: FunctionKey) -> Go | Refused:
        self.held[key] += 1
        self.asked[key] += 1
        try:
            await self._changed[key].wait()
            return self._verdicts[key]
        finally:
            self.held[key] -= 1


GO = Go(None)


def open_lane(*servers: Server, timeout_seconds: float = 30.0) -> Lane:
    return Lane(True, servers, timeout_seconds)


def parked(*servers: Server, timeout_seconds: float = 30.0) -> Lane:
    return Lane(False, servers, timeout_seconds)


@asynccontextmanager
async def running_plane(
    holder: ScriptedHolder,
    *keys: FunctionKey,
    slots: int = 20,
    max_connections: int = 8000,
    drain_seconds: int = 0,
    program: str = HAPROXY,
    listen_address: str | None = "127.0.0.1",
) -> AsyncIterator[HaproxyPlane]:
    run = tempfile.mkdtemp(prefix="torpor-hap-")
    settings = GatewaySettings(
        http_port=0,
        peer_port=0,
        slots=slots,
        max_connections=max_connections,
        run_directory=run,
        haproxy=program,
        drain_seconds=drain_seconds,
    )
    plane = HaproxyPlane(settings, listen_address=listen_address)
    try:
        await plane.start(holder)
        await plane.set_routes(Routes.of(keys or (SHOP,), "localhost", "cluster.local"))
        yield plane
    finally:
        await plane.stop()
        shutil.rmtree(Path(run), ignore_errors=True)


@asynccontextmanager
async def serving(
    *functions: Function,
    holder: ScriptedHolder | None = None,
    limit: int = 0,
    timeout_seconds: float = 30.0,
    drain_seconds: int = 0,
) -> AsyncIterator[HaproxyPlane]:
    """A plane in which `SHOP` is awake with these instances."""
    async with AsyncExitStack() as stack:
        for function in functions:
            await stack.enter_async_context(function)
        plane = await stack.enter_async_context(
            running_plane(holder or ScriptedHolder(), drain_seconds=drain_seconds)
        )
        servers = [function.server(limit) for function in functions]
        await plane.apply(SHOP, open_lane(*servers, timeout_seconds=timeout_seconds))
        yield plane


async def send(
    port: int,
    path: str = "/",
    *,
    method: str = "GET",
    host: str = HOST,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = 20.0,
    address: str = "127.0.0.1",
) -> Reply:
    """One request on a connection of its own; it is never repeated."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + body)
            await writer.drain()
            return await receive(reader)
        finally:
            writer.close()


async def receive(reader: asyncio.StreamReader) -> Reply:
    first, answer = await read_head(reader)
    status = int(first.split(" ")[1])
    return Reply(status, answer, await read_body(reader, answer))


async def raw(port: int, *parts: bytes) -> tuple[Reply, bytes]:
    """Send bytes as they are, each part in a packet of its own; return the answer and the rest.

    The rest is what came after it until the gateway closed the connection.
    """
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.05)
            return await receive(reader), await reader.read()
        finally:
            writer.close()


async def until(condition: Callable[[], bool], timeout: float = 10.0) -> None:
    """Wait for what another task brings about; TimeoutError if it does not."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0.005)
