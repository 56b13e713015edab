"""The real `torpor events` on a real nats-server, with a function in a process of its own.

A run publishes so many events while they are delivered; it is over when the function has them all.
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import redis.asyncio

from tests.support.servers.daemon import Daemon, free_port, program_path
from tests.support.servers.events import EventsProcess, events_process
from tests.support.servers.nats import Broker, broker, until
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.broker.streams import Retention, StreamSpec
from torpor.triggers.standings import TargetFacts, Wanted

END_SECONDS = 180.0
AT_ONCE = 64
"""Calls at a time of the bare consumers, which is where they are fastest here."""
_CHUNK = 500
_FILLER = "x" * 114
"""Events are of 256 bytes or so."""
_TARGET = {"function": {"name": "handler"}}

Publish = Callable[[Sequence[bytes], int], Awaitable[None]]
"""Publishes messages, the first of which has this number."""


@dataclass(frozen=True)
class Run:
    """`events` went through in `seconds`, each taking so many milliseconds."""

    events: int
    calls: int
    seconds: float
    ms: Sequence[float]

    @property
    def per_second(self) -> float:
        return self.events / self.seconds


@dataclass
class Function:
    """The function's process."""

    url: str
    session: aiohttp.ClientSession

    async def run(self, count: int, publish: Publish, encode: Callable[[int], bytes]) -> Run:
        """Publish `count` events and return once all have arrived."""
        begun = time.monotonic_ns()
        for first in range(0, count, _CHUNK):
            numbers = range(first, min(count, first + _CHUNK))
            await publish([encode(number) for number in numbers], first)
        await until(lambda: self._has(count), END_SECONDS)
        async with self.session.delete(f"{self.url}/seen") as answer:
            found = await answer.json()
        return Run(count, found["calls"], (found["last_ns"] - begun) / 1e9, found["ms"])

    async def _has(self, count: int) -> bool:
        await asyncio.sleep(0.05)
        async with self.session.get(f"{self.url}/seen") as answer:
            return bool((await answer.json())["events"] >= count)


@dataclass
class Torpor:
    """The broker and the role."""

    at: Broker
    role: EventsProcess
    function: Function
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def queue(self, size: int, path: str = "/") -> str:
        """Have a new queue delivered, in batches if `size` is more than one; return its name."""
        name = f"q{next(self.numbers)}"
        batch = {"batch": {"size": size, "windowSeconds": 0.05}} if size > 1 else {}
        target = {"function": {"name": "handler", "path": path}}
        await self.put(name, {"source": {"queue": {"name": name}}, "target": target, **batch})
        await self.at.streams.ensure_queue("shop", name)
        return name

    async def bus(self) -> str:
        """Have the events of a new bus delivered that match one of a hundred patterns."""
        name = f"b{next(self.numbers)}"
        for number in range(100):
            spec = {
                "source": {"bus": {"name": name}},
                "filter": {"pattern": {"data": {"kind": [f"k{number}"]}}},
                "target": _TARGET,
            }
            await self.put(f"{name}-{number}", spec)
        return name

    async def put(self, name: str, spec: Mapping[str, Any]) -> None:
        metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1}
        wanted = Wanted({"metadata": metadata, "spec": spec}, TargetFacts(True, 10.0, 0, 1, 1))
        standings = self.role.standings(self.function.session)
        await standings.put(FunctionKey("shop", name), wanted)

    async def remove(self, name: str) -> None:
        """Have a queue's Trigger, and what the queue holds, gone."""
        await self.role.standings(self.function.session).delete(FunctionKey("shop", name))
        await self.at.streams.delete(names.queue_stream("shop", name))

    async def through_queue(self, count: int, size: int) -> Run:
        """From being published to the function, by way of a queue."""
        name = await self.queue(size)
        run = await self.function.run(
            count, self.publisher(names.queue_subject("shop", name)), event
        )
        await self.remove(name)
        return run

    async def through_bus(self, count: int, bus: str) -> Run:
        """The same by way of a bus, its router and an inbox."""
        subject = names.bus_subject("shop", bus)
        return await self.function.run(count, self.publisher(subject), event)

    def publisher(self, subject: str) -> Publish:
        """Publish to a subject with ids, each chunk at once."""
        occasion = next(self.numbers)

        async def publish(messages: Sequence[bytes], first: int) -> None:
            outgoing = [
                Outgoing(subject, message, f"{occasion}.{number}")
                for number, message in enumerate(messages, first)
            ]
            _ = await self.at.publisher.publish_batch(outgoing)

        return publish

    async def one(self, bus: str, number: int) -> None:
        """One event over the events API."""
        url = f"{self.role.api_url}/v1/namespaces/shop/buses/{bus}/events"
        headers = {"Content-Type": "application/cloudevents+json"}
        async with self.function.session.post(url, data=event(number), headers=headers) as answer:
            assert answer.status == 202, await answer.text()


def event(number: int) -> bytes:
    """A CloudEvent that says when it was made; no two have one id."""
    data = _data(number)
    name = f"{number}.{data['at']}"
    attributes = {"specversion": "1.0", "id": name, "source": "/bench", "type": "made"}
    return orjson.dumps({**attributes, "data": data})


def body(number: int) -> bytes:
    """What the function gets of such an event."""
    return orjson.dumps(_data(number))


def _data(number: int) -> dict[str, Any]:
    return {"n": number, "kind": "k7", "at": time.monotonic_ns(), "filler": _FILLER}


@asynccontextmanager
async def function() -> AsyncIterator[Function]:
    """The function's process, until the end of the block."""
    words = (sys.executable, "-m", "tests.load.peers.events_function")
    async with _child(*words) as (_, line), aiohttp.ClientSession() as session:
        yield Function(f"http://127.0.0.1:{int(line)}", session)


@asynccontextmanager
async def torpor(to: Function, sync_interval: str) -> AsyncIterator[Torpor]:
    """A broker and the role."""
    async with (
        broker(sync_interval=sync_interval) as at,
        events_process(at.server, to.url, to.session) as role,
    ):
        yield Torpor(at, role, to)


async def bare_redis(to: Function, count: int, size: int, fsync: str) -> Run:
    """The same events through a Redis stream and a bare consumer."""
    port = free_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torpor-bench-")))
        server = Daemon(_redis_words(port, fsync), folder, port)
        await server.start()
        _ = stack.push_async_callback(server.kill)
        url = f"redis://127.0.0.1:{port}"
        client = await stack.enter_async_context(redis.asyncio.Redis.from_url(url))
        _ = await stack.enter_async_context(_consumer("redis", url, to, size))

        async def publish(messages: Sequence[bytes], _: int) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for message in messages:
                    pipe.xadd("bench", {"body": message})  # type: ignore[unused-awaitable]
                await pipe.execute()

        return await to.run(count, publish, body)


async def bare_nats(to: Function, count: int, size: int, sync_interval: str) -> Run:
    """The same events through a work queue of JetStream and a bare consumer."""
    async with broker(sync_interval=sync_interval) as at:
        await at.streams.ensure(StreamSpec("bench", ("bench",), Retention.WORK_QUEUE, -1))
        url = at.server.url.replace("//", f"//{at.server.token}@")
        async with _consumer("nats", url, to, size):

            async def publish(messages: Sequence[bytes], first: int) -> None:
                outgoing = [Outgoing("bench", message) for message in messages]
                _ = await at.publisher.publish_batch(outgoing)

            return await to.run(count, publish, body)


def _redis_words(port: int, fsync: str) -> Sequence[str]:
    program = program_path("redis-server") or "redis-server"
    listen = ("--bind", "127.0.0.1", "--port", str(port))
    return (program, *listen, "--save", "", "--appendonly", "yes", "--appendfsync", fsync)


@asynccontextmanager
async def _consumer(kind: str, server: str, to: Function, size: int) -> AsyncIterator[None]:
    url = f"{to.url}/function/shop/handler/"
    words = ("-m", "tests.load.peers.bare_consumer", kind, server, url, str(AT_ONCE), str(size))
    async with _child(sys.executable, *words):
        yield


@asynccontextmanager
async def _child(*words: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, bytes]]:
    """A process that says a line when it is ready, and ends when its standard input does."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        assert line, f"{words[2]} ended at once"
        yield process, line
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                _ = await process.wait()
        except TimeoutError:
            process.kill()
            _ = await process.wait()
