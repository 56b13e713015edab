"""What people write without Torpor: a loop that takes messages, calls the function, acknowledges.

    python -m tests.load.peers.bare_consumer redis|nats URL FUNCTION AT-ONCE BATCH

Redis streams with a consumer group by redis-py, or a JetStream work queue by nats-py. There are no
retries, no dead letters, no filters and no limits: the least that any delivery costs. Prints a line
when it consumes; ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import nats
import nats.errors
import redis.asyncio
import redis.exceptions

STREAM = "bench"
_WAIT_SECONDS = 1.0
_FETCHED = 500
_FETCH_SECONDS = 0.1
"""nats-py waits as long for a fetch to be full, though some of it came."""


@dataclass(frozen=True)
class Taken:
    """A message's body, and how it is acknowledged."""

    body: bytes
    ack: Callable[[], Awaitable[object]]


Take = Callable[[int], Awaitable[Sequence[Taken]]]


async def consume(take: Take, url: str, at_once: int, batch: int) -> None:
    """Call the function with what comes, `at_once` calls at a time of `batch` messages each."""
    room = asyncio.Semaphore(at_once)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:

        async def deliver(messages: Sequence[Taken]) -> None:
            try:
                bodies = [message.body for message in messages]
                body = b"[" + b",".join(bodies) + b"]" if batch > 1 else bodies[0]
                async with session.post(url, data=body) as answer:
                    await answer.read()
                    answer.raise_for_status()
                for message in messages:
                    await message.ack()
            finally:
                room.release()

        while True:
            found = await take(at_once * batch)
            for at in range(0, len(found), batch):
                await room.acquire()
                _ = tasks.create_task(deliver(found[at : at + batch]))


async def from_redis(server: str, work: Callable[[Take], Awaitable[None]]) -> None:
    async with redis.asyncio.Redis.from_url(server) as client:
        await client.xgroup_create(STREAM, "bench", id="0", mkstream=True)

        async def take(most: int) -> Sequence[Taken]:
            block = int(_WAIT_SECONDS * 1_000)
            found = await client.xreadgroup("bench", "one", {STREAM: ">"}, count=most, block=block)
            rows = found[0][1] if isinstance(found, list) and found else []
            if isinstance(found, dict):
                rows = [row for page in found.get(STREAM.encode(), []) for row in page]
            return [
                Taken(fields[b"body"], lambda id=id: client.xack(STREAM, "bench", id))  # type: ignore[misc]
                for id, fields in rows
            ]

        print("ready", flush=True)
        await work(take)


async def from_nats(server: str, work: Callable[[Take], Awaitable[None]]) -> None:
    async with await nats.connect(server) as client:
        jetstream = client.jetstream()
        subscription = await jetstream.pull_subscribe(STREAM, "bench", stream=STREAM)

        async def take(most: int) -> Sequence[Taken]:
            try:
                found = await subscription.fetch(min(most, _FETCHED), timeout=_FETCH_SECONDS)
            except nats.errors.TimeoutError:
                return []
            return [Taken(message.data, message.ack) for message in found]

        print("ready", flush=True)
        await work(take)


async def main(kind: str, server: str, url: str, at_once: str, batch: str) -> None:
    async def work(take: Take) -> None:
        await consume(take, url, int(at_once), int(batch))

    source = {"redis": from_redis, "nats": from_nats}[kind]
    consuming = asyncio.create_task(source(server, work), name="consumer")
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read), name="until the bench ends")
    _ = await asyncio.wait((consuming, ended), return_when=asyncio.FIRST_COMPLETED)
    if consuming.done():
        consuming.result()
    _ = consuming.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6]))
