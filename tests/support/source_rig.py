"""A source by itself: what it yields is taken and acknowledged one by one, as an intake does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.resources.trigger import Trigger
from torpor.triggers.base import OpenSource, Received, SourceMisconfigured, SourceWorld
from torpor.triggers.event import Event


def trigger(
    source: Mapping[str, Any],
    name: str = "orders",
    *,
    uid: str = "uid-1",
    namespace: str = "shop",
) -> Trigger:
    """A Trigger of this source."""
    return Trigger.parse(
        {
            "metadata": {"namespace": namespace, "name": name, "uid": uid},
            "spec": {"source": source, "target": {"function": {"name": "handler"}}},
        }
    )


def content_of(received: Received) -> Event:
    """What arrived, which is an event."""
    assert isinstance(received.content, Event), received.content
    return received.content


def data_of(event: Event) -> dict[str, Any]:
    """The data of an event whose data is a JSON object."""
    assert isinstance(event.data, dict)
    return event.data


@dataclass
class KeptPositions:
    """Positions in memory: they outlive a source, not a test."""

    values: dict[tuple[str, str], bytes] = field(default_factory=dict)
    writes: int = 0

    async def get(self, trigger: Trigger, name: str) -> bytes | None:
        return self.values.get((trigger.uid, name))

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        self.values[trigger.uid, name] = value
        self.writes += 1


@dataclass
class GivenSecrets:
    """Secrets by name, whatever the namespace."""

    secrets: Mapping[str, Mapping[str, bytes]]

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        if name not in self.secrets:
            raise SourceMisconfigured(f"no Secret {name} in {namespace}")
        return self.secrets[name]


def world(
    *,
    positions: KeptPositions | None = None,
    secrets: Mapping[str, Mapping[str, bytes]] | None = None,
    wall: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    api: Any = None,
    objects_url: str = "",
) -> SourceWorld:
    return SourceWorld(
        secrets=GivenSecrets(secrets or {}),
        positions=positions or KeptPositions(),
        wall=wall,
        sleep=sleep,
        subscribed=lambda: None,
        api=api,
        objects_url=objects_url,
    )


class Reader:
    """Takes what a source yields."""

    def __init__(self, arriving: asyncio.Queue[Received], reading: asyncio.Task[None]) -> None:
        self._arriving = arriving
        self._reading = reading

    async def take(self, count: int, seconds: float = 20.0) -> list[Event]:
        """The next events, each acknowledged; what ended the source is raised."""
        found = []
        async with asyncio.timeout(seconds):
            for _ in range(count):
                received = await self._next()
                await received.ack()
                found.append(content_of(received))
        return found

    async def hold(self, count: int, seconds: float = 20.0) -> list[Received]:
        """The next things, not acknowledged."""
        async with asyncio.timeout(seconds):
            return [await self._next() for _ in range(count)]

    async def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            await self.hold(1, seconds)
        except TimeoutError:
            return True
        return False

    async def failure(self, seconds: float = 20.0) -> BaseException | None:
        """What ends the source."""
        async with asyncio.timeout(seconds):
            await asyncio.wait((self._reading,))
        return self._reading.exception()

    async def _next(self) -> Received:
        getting = asyncio.create_task(self._arriving.get(), name="next event")
        try:
            await asyncio.wait((getting, self._reading), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
            self._reading.result()
            raise AssertionError("the source ended")
        finally:
            getting.cancel()


@contextlib.asynccontextmanager
async def reading(
    open_source: OpenSource, of: Trigger, around: SourceWorld, *, window: int = 256
) -> AsyncIterator[Reader]:
    """A source that is read beside the block, which begins when it is subscribed, or failed."""
    subscribed = asyncio.Event()
    arriving: asyncio.Queue[Received] = asyncio.Queue(window)
    opened = SourceWorld(
        secrets=around.secrets,
        positions=around.positions,
        wall=around.wall,
        sleep=around.sleep,
        subscribed=subscribed.set,
        api=around.api,
        objects_url=around.objects_url,
    )
    source = open_source(of, opened)

    async def read() -> None:
        arrivals = source.subscribe()
        assert isinstance(arrivals, AsyncGenerator)
        async with contextlib.aclosing(arrivals):
            async for received in arrivals:
                await arriving.put(received)

    task = asyncio.create_task(read(), name="source")
    waiting = asyncio.create_task(subscribed.wait(), name="subscribed")
    try:
        async with asyncio.timeout(30):
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        yield Reader(arriving, task)
    finally:
        for each in (waiting, task):
            each.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
