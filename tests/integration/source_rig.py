"""One source opened by hand: what it yields, and what the test acknowledges of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.source_rig import GivenSecrets, KeptPositions, trigger
from torpor.resources.trigger import Trigger
from torpor.triggers.base import OpenSource, Received, SourceWorld, Undecodable
from torpor.triggers.event import Event

SECONDS = 30.0


@dataclass
class Reader:
    """A source that is being read."""

    arriving: asyncio.Queue[Received]
    begun: asyncio.Event
    task: asyncio.Task[None]

    async def take(self, count: int) -> list[Received]:
        """Return the next things, not acknowledged; or raise what ended the source."""
        found: list[Received] = []
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                found.append(await self._next())
        return found

    async def events(self, count: int) -> list[Event]:
        """Return the next things, which must be events, acknowledged in their order."""
        found = []
        for received in await self.take(count):
            await received.ack()
            assert isinstance(received.content, Event), received.content
            found.append(received.content)
        return found

    async def undecodable(self) -> Undecodable:
        """Return the next thing, which must be no event, acknowledged."""
        (received,) = await self.take(1)
        await received.ack()
        assert isinstance(received.content, Undecodable)
        return received.content

    async def subscribed(self) -> None:
        """Wait until reading has begun; raises what ended the source before."""
        await self._wait_for(self.begun.wait())

    async def _next(self) -> Received:
        received: Received = await self._wait_for(self.arriving.get())
        return received

    async def _wait_for(self, coming: Any) -> Any:
        wanted = asyncio.ensure_future(coming)
        try:
            async with asyncio.timeout(SECONDS):
                await asyncio.wait((wanted, self.task), return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                self.task.result()
                raise AssertionError("the source ended without an error")
            return wanted.result()
        finally:
            wanted.cancel()


@dataclass
class Rig:
    """A Trigger's source, to be opened as often as wanted."""

    open_source: OpenSource
    kind: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    positions: KeptPositions = field(default_factory=KeptPositions)
    name: str = "orders"

    @property
    def trigger(self) -> Trigger:
        return trigger({self.kind: dict(self.settings)}, self.name)

    def world(self, subscribed: Callable[[], None] = lambda: None) -> SourceWorld:
        """What the source may use."""
        return SourceWorld(
            secrets=GivenSecrets(self.secrets),
            positions=self.positions,
            wall=time.time,
            sleep=asyncio.sleep,
            subscribed=subscribed,
        )

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """Read beside the block; at its end the source is closed, what was not acked is not."""
        begun = asyncio.Event()
        source = self.open_source(self.trigger, self.world(begun.set))
        arriving: asyncio.Queue[Received] = asyncio.Queue()

        async def read() -> None:
            found = source.subscribe()
            assert isinstance(found, AsyncGenerator)
            async with contextlib.aclosing(found):
                async for received in found:
                    arriving.put_nowait(received)

        task = asyncio.create_task(read(), name="read")
        try:
            yield Reader(arriving, begun, task)
        finally:
            task.cancel()
            await asyncio.wait((task,))
