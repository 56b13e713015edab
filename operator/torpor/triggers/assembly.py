"""The events role put together: everything that works on events, over one broker.

`torpor events` runs it in a cluster, `torpor dev` on a laptop; they differ in where Secrets are,
what calls Functions and which ports are taken.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from torpor.triggers.activity import Activity
from torpor.triggers.admin import EventsAdmin
from torpor.triggers.api.server import ApiServer
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.archives import Archives
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.connection import Connection, connected
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.broker.publishing import ReservePublisher
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.delivery.backlog import Backlogs
from torpor.triggers.delivery.deadletters import DeadLetters
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.intakes import Intakes
from torpor.triggers.latest import LatestEvents
from torpor.triggers.renewal import Renewal
from torpor.triggers.router import Router
from torpor.triggers.survey import Survey
from torpor.triggers.wiring import Base, Surroundings
from torpor.triggers.withdrawal import Withdrawal

__all__ = ["EventsRole", "Surroundings", "running"]

log = logging.getLogger(__name__)

_STREAMS_PAUSE_SECONDS = 0.5
_STREAMS_KEPT_SECONDS = 15.0
_LATE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class EventsRole:
    """The running role: its ports, and what it knows."""

    connection: Connection
    definitions: Definitions
    survey: Survey
    api_port: int
    internal_port: int

    @property
    def problem(self) -> str | None:
        """Why events are not taken and delivered now, None when they are."""
        if not self.connection.ready:
            return f"JetStream is away: {self.connection.problem}"
        return None if self.definitions.synced.is_set() else "the Triggers are not known yet"


@asynccontextmanager
async def running(around: Surroundings) -> AsyncIterator[EventsRole]:
    """Run the role inside the block, and drain it at the end.

    The broker may be away at the beginning, or at any time. OSError if a port is taken; what ends
    one of its parts ends the block.
    """
    async with connected(around.broker) as connection:
        parts = _Parts.of(around, connection)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(parts.withdrawal.stop)
            await stack.enter_async_context(beside(parts.run(), "events"))
            stack.push_async_callback(parts.drain, around.drain_seconds)
            await parts.admin.start(around.host, around.internal_port)
            stack.push_async_callback(parts.admin.stop)
            await parts.server.start(around.host, around.api_port)
            stack.push_async_callback(parts.server.stop)
            yield EventsRole(
                connection, parts.definitions, parts.survey, parts.server.port, parts.admin.port
            )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Everything that runs."""

    streams: Streams
    definitions: Definitions
    archives: Archives
    renewal: Renewal
    router: Router
    intakes: Intakes
    deliveries: Deliveries
    backlogs: Backlogs
    activity: Activity
    survey: Survey
    withdrawal: Withdrawal
    server: ApiServer
    admin: EventsAdmin
    delivered: asyncio.Event

    @classmethod
    def of(cls, around: Surroundings, connection: Connection) -> _Parts:
        base = Base.of(around, connection)
        definitions, streams = base.definitions, base.streams
        router, intakes, deliveries = base.router(), base.intakes(), base.deliveries()
        for heed in (base.partitions.heed, router.heed, intakes.heed, deliveries.heed):
            definitions.listen(heed)
        backlogs = Backlogs(connection, streams, deliveries, wall=time.time)
        activity = Activity(connection, lambda: definitions.known, wall=time.time)
        dead_letters = DeadLetters(connection, streams, ReservePublisher(connection))
        survey = Survey(
            definitions,
            intakes,
            router,
            deliveries,
            backlogs,
            dead_letters,
            activity,
            streams,
            lambda: connection.room,
        )
        withdrawal = base.withdrawal()
        operations = base.operations(dead_letters, activity)
        return cls(
            streams=streams,
            definitions=definitions,
            archives=Archives(connection, streams, definitions.buses),
            renewal=base.renewal(),
            router=router,
            intakes=intakes,
            deliveries=deliveries,
            backlogs=backlogs,
            activity=activity,
            survey=survey,
            withdrawal=withdrawal,
            server=base.server(),
            admin=EventsAdmin(
                around.key,
                definitions,
                streams,
                survey,
                operations,
                withdrawal,
                LatestEvents(connection),
            ),
            delivered=asyncio.Event(),
        )

    async def run(self) -> None:
        """Work until cancelled."""
        await self._streams_made()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._streams_kept(), name="streams")
            tasks.create_task(self._deliver(), name="deliveries")
            tasks.create_task(self.definitions.run(), name="definitions")
            await self.definitions.synced.wait()
            tasks.create_task(self.archives.run(), name="archives")
            tasks.create_task(self.renewal.run(), name="renewal")
            tasks.create_task(self.intakes.run(), name="intakes")
            tasks.create_task(self.router.run(), name="router")
            tasks.create_task(self.backlogs.run(), name="backlogs")
            tasks.create_task(self.activity.run(), name="activity")

    async def drain(self, seconds: float) -> None:
        """Let deliveries end; what is left after `seconds` comes again."""
        if not self.definitions.synced.is_set():
            return
        self.deliveries.drain(seconds)
        try:
            async with asyncio.timeout(seconds + _LATE_SECONDS):
                await self.delivered.wait()
        except TimeoutError:
            log.warning("deliveries did not end in time; what is left is delivered again")

    async def _deliver(self) -> None:
        await self.deliveries.run()
        self.delivered.set()

    async def _streams_made(self) -> None:
        while True:
            if await self._make_streams():
                return
            await asyncio.sleep(_STREAMS_PAUSE_SECONDS)

    async def _streams_kept(self) -> None:
        """A broker that lost its disk comes back without streams."""
        while True:
            await asyncio.sleep(_STREAMS_KEPT_SECONDS)
            await self._make_streams()

    async def _make_streams(self) -> bool:
        """Whether the streams are there; that the broker is away, its connection says."""
        try:
            await self.streams.ensure_base()
        except (BrokerAway, BrokerRefused):
            return False
        return True
