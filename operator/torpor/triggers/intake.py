"""One Trigger's source: what it yields passes the filter into the inbox, then is acknowledged.

A source that fails is opened again with growing pauses, for ever; what it is doing is in `state`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from torpor.errors import TorporError
from torpor.resources.trigger import Trigger
from torpor.telemetry.logs import Seldom
from torpor.telemetry.metrics import TRIGGER_MATCHED, TRIGGER_RECEIVED, TRIGGER_UNDECODABLE
from torpor.telemetry.tracing import Kind
from torpor.triggers.base import (
    OpenSource,
    Received,
    Source,
    SourceAway,
    SourceMisconfigured,
    SourceWorld,
    Undecodable,
)
from torpor.triggers.broker.leases import Leases
from torpor.triggers.broker.objects import Objects, ObjectTooLarge
from torpor.triggers.broker.publishing import MessageTooLarge, Outgoing, Publisher
from torpor.triggers.claims import check_in, set_aside, without_data
from torpor.triggers.event import Event, MalformedEvent
from torpor.triggers.hops import Hops, Stage
from torpor.triggers.inbox import Entering, Entrance, enter

log = logging.getLogger(__name__)

WINDOW = 256
"""Events taken from the source that are not acknowledged yet."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 60.0
_QUIET_SECONDS = 60.0


class Phase(StrEnum):
    """What an intake is doing."""

    STARTING = "starting"
    STANDBY = "standby"
    """Another replica reads this source."""
    SUBSCRIBED = "subscribed"
    PROBLEM = "problem"
    """The source, or the broker, failed; it is tried again."""


@dataclass(frozen=True, slots=True)
class IntakeState:
    """`last_event_seconds` is the Unix time of the last event, None before the first."""

    phase: Phase = Phase.STARTING
    problem: str = ""
    reason: str = ""
    """The code of the problem's error."""
    last_event_seconds: float | None = None
    received: int = 0
    matched: int = 0


Bury = Callable[[Trigger, Undecodable], Outgoing]
"""Makes the dead letter of something that is no event."""


@dataclass(frozen=True, slots=True)
class IntakeParts:
    """What all intakes of a process share. `chance` gives numbers from 0 to 1."""

    publisher: Publisher
    objects: Objects
    leases: Leases
    bury: Bury
    clock: Callable[[], float]
    chance: Callable[[], float]
    hops: Hops


class Intake:
    """Runs the source of one Trigger, as it is in one generation."""

    def __init__(
        self, entrance: Entrance, open_source: OpenSource, world: SourceWorld, parts: IntakeParts
    ) -> None:
        self.state = IntakeState()
        self._entrance = entrance
        self._trigger = entrance.trigger
        self._open = open_source
        self._world = replace(world, subscribed=self._subscribed)
        self._parts = parts
        self._said = Seldom(parts.clock, _QUIET_SECONDS)
        labels = (self._trigger.key.namespace, self._trigger.key.name)
        self._received = TRIGGER_RECEIVED.labels(*labels)
        self._matched = TRIGGER_MATCHED.labels(*labels)
        self._undecodable = TRIGGER_UNDECODABLE.labels(*labels)

    async def run(self) -> None:
        """Read the source, for ever; what is not acknowledged at a cancellation comes again."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            self.state = replace(self.state, phase=Phase.STARTING)
            before = self.state.received
            try:
                await self._session()
                self._fail(SourceAway("the source ended"))
            except TorporError as error:
                self._fail(error)
            if self.state.received > before:
                pause = _FIRST_PAUSE_SECONDS
            await self._world.sleep(pause * (0.5 + 0.5 * self._parts.chance()))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _session(self) -> None:
        source = self._open(self._trigger, self._world)
        if not source.exclusive:
            return await self._read(source)
        self.state = replace(self.state, phase=Phase.STANDBY, problem="", reason="")
        key = self._trigger.key
        async with self._parts.leases.held(f"source.{key.namespace}.{key.name}"):
            self.state = replace(self.state, phase=Phase.STARTING)
            await self._read(source)

    async def _read(self, source: Source) -> None:
        """Take from the source while what was taken before is being stored."""
        taken: asyncio.Queue[Received | None] = asyncio.Queue(WINDOW)
        key = self._trigger.key
        tasks = (
            asyncio.create_task(self._take_all(source, taken), name=f"read {key}"),
            asyncio.create_task(self._store_all(taken), name=f"store {key}"),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _take_all(self, source: Source, taken: asyncio.Queue[Received | None]) -> None:
        async with _iterating(source) as arriving:
            async for received in arriving:
                self._note()
                await taken.put(received)
        await taken.put(None)

    async def _store_all(self, taken: asyncio.Queue[Received | None]) -> None:
        """Store and acknowledge in order, all that has come at a time."""
        while True:
            batch = await _gathered(taken)
            ending = batch[-1] is None
            await self._store([received for received in batch if received is not None])
            if ending:
                return

    async def _store(self, batch: list[Received]) -> None:
        try:
            await self._publish(batch)
        except TorporError:
            for received in batch:
                await received.nak()
            raise
        for received in batch:
            await received.ack()

    async def _publish(self, batch: list[Received]) -> None:
        entering: list[Entering] = []
        stage = self._parts.hops.stage(f"take {self._trigger.key}", Kind.SERVER)
        for received in batch:
            if isinstance(received.content, Undecodable):
                entering.append(await self._burial(received.content))
            elif self._entrance.filter.matches(received.content):
                entering.append(await self._message(received.content, stage))
                self._matched.inc()
        if entering:
            await enter(self._parts.publisher, entering)
            stage.ended()
            self.state = replace(self.state, matched=self.state.matched + len(entering))

    async def _message(self, event: Event, stage: Stage) -> Entering:
        try:
            encoded = await check_in(event, self._parts.objects)
        except (ObjectTooLarge, MessageTooLarge, MalformedEvent) as error:
            return await self._burial(without_data(event, str(error)))
        return self._entrance.message(event, encoded, stage.passes(event))

    async def _burial(self, undecodable: Undecodable) -> Entering:
        """Its dead letter; what is too large even for that is not acknowledged, and people told."""
        kept = await set_aside(undecodable, self._parts.objects)
        self._undecodable.inc()
        return Entering(self._parts.bury(self._trigger, kept), ordered=False)

    def _note(self) -> None:
        self._received.inc()
        self.state = replace(
            self.state, last_event_seconds=self._world.wall(), received=self.state.received + 1
        )

    def _subscribed(self) -> None:
        self.state = replace(self.state, phase=Phase.SUBSCRIBED, problem="", reason="")

    def _fail(self, error: TorporError) -> None:
        """A line a minute at most: a source that is away is tried again and again."""
        self.state = replace(self.state, phase=Phase.PROBLEM, problem=str(error), reason=error.code)
        if not self._said.due():
            return
        level = logging.ERROR if isinstance(error, SourceMisconfigured) else logging.WARNING
        log.log(
            level,
            "a Trigger's source is away",
            extra={"fields": {"trigger": str(self._trigger.key), "error": str(error)}},
        )


@contextlib.asynccontextmanager
async def _iterating(source: Source) -> AsyncIterator[AsyncIterator[Received]]:
    """Close the subscription at the end, if it is a generator, so that it frees what it holds."""
    arriving = source.subscribe()
    try:
        yield arriving
    finally:
        if isinstance(arriving, AsyncGenerator):
            await arriving.aclose()


async def _gathered(taken: asyncio.Queue[Received | None]) -> list[Received | None]:
    batch = [await taken.get()]
    while not taken.empty() and batch[-1] is not None:
        batch.append(taken.get_nowait())
    return batch
