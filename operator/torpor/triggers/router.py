"""From buses to the inboxes of the Triggers that match: one index of all filters of a bus.

A bus is read by one durable consumer that all replicas share. Where order by key is asked for on a
bus, one replica at a time reads it, holding a lease, since two would overtake one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.telemetry.logs import Seldom
from torpor.telemetry.metrics import BUS_ROUTED
from torpor.telemetry.tracing import Kind
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.delivered import read_reply
from torpor.triggers.broker.errors import BrokerFull
from torpor.triggers.broker.leases import LeaseLost, Leases
from torpor.triggers.broker.objects import Objects
from torpor.triggers.broker.publishing import ReservePublisher
from torpor.triggers.broker.pulling import Message, PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.bus_index import BusIndex
from torpor.triggers.claims import is_checked_in, redeem
from torpor.triggers.definitions import Definition
from torpor.triggers.event import Event, MalformedEvent, from_structured
from torpor.triggers.hops import HOP, Hops, Stage
from torpor.triggers.inbox import PLACE, Entering, enter

log = logging.getLogger(__name__)

_BATCH = 256
_WAIT_SECONDS = 10.0
_QUIET_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_MAX_ACK_PENDING = 4 * _BATCH

BusKey = tuple[str, str]
"""(namespace, bus)"""


@dataclass(frozen=True, slots=True)
class RouterParts:
    """What the router uses."""

    connection: Connection
    streams: Streams
    publisher: ReservePublisher
    """A bus can give up what it has routed, so that routing goes on when nothing new is taken."""
    objects: Objects
    leases: Leases
    clock: Callable[[], float]
    caught_up: Callable[[], Awaitable[None]]
    """Definitions.caught_up: the Triggers that events are for may be news."""
    hops: Hops


class Router:
    """Routes every bus that has a Trigger. `heed` is to listen to the definitions."""

    def __init__(self, parts: RouterParts) -> None:
        self._parts = parts
        self._buses: dict[BusKey, BusIndex] = {}
        self._places: dict[FunctionKey, BusKey] = {}
        self._failures: dict[BusKey, BrokerFull] = {}
        self._new = asyncio.Event()

    def heed(self, key: FunctionKey, definition: Definition | None) -> None:
        """Take note of a Trigger: of a bus, of another source, or gone."""
        place = None if definition is None else definition.bus
        before = self._places.pop(key, None)
        if before is not None and before != place:
            self._buses[before].remove(key)
        if definition is None or place is None:
            return
        self._places[key] = place
        if place not in self._buses:
            self._buses[place] = BusIndex()
            self._new.set()
        self._buses[place].put(key, definition)

    def problems(self) -> Mapping[FunctionKey, str]:
        """Return why Triggers of buses get nothing: their filters are wrong."""
        return {key: text for bus in self._buses.values() for key, text in bus.problems.items()}

    def failure(self, bus: BusKey) -> BrokerFull | None:
        """Return what keeps a bus from being routed: its events have no room where they go."""
        return self._failures.get(bus)

    async def run(self) -> None:
        """Route, for ever."""
        started: set[BusKey] = set()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._new.clear()
                for place in self._buses.keys() - started:
                    started.add(place)
                    bus = _Bus(self._parts, place, self._buses[place], self._failures)
                    tasks.create_task(bus.run(), name=f"route {place[0]}/{place[1]}")
                await self._new.wait()


class _Bus:
    """Routes one bus."""

    def __init__(
        self,
        parts: RouterParts,
        place: BusKey,
        index: BusIndex,
        failures: dict[BusKey, BrokerFull],
    ) -> None:
        self._parts = parts
        self._place = place
        self._index = index
        self._failures = failures
        self._routed = BUS_ROUTED.labels(*place)
        self._said = Seldom(parts.clock, _QUIET_SECONDS)

    async def run(self) -> None:
        while True:
            try:
                await self._session()
            except TorporError as error:
                self._complain(error)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _complain(self, error: TorporError) -> None:
        """A line a minute at most; that the broker is away, its connection says."""
        self._failures.pop(self._place, None)
        if isinstance(error, BrokerFull):
            self._failures[self._place] = error
        if isinstance(error, BrokerAway | LeaseLost) or not self._said.due():
            return
        place = "/".join(self._place)
        log.warning("a bus is not routed", extra={"fields": {"bus": place, "error": str(error)}})

    async def _session(self) -> None:
        """Route until the bus begins or ends to have order."""
        ordered = self._index.ordered
        async with contextlib.AsyncExitStack() as stack:
            if ordered:
                namespace, name = self._place
                lease = self._parts.leases.held(f"router.{namespace}.{name}")
                await stack.enter_async_context(lease)
            spec = await self._spec()
            if ordered:
                await self._parts.streams.restart_consumer(spec)
            consumer = PullConsumer(self._parts.connection, self._parts.streams, spec)
            stack.push_async_callback(consumer.close)
            taken = 0
            while self._index.ordered is ordered:
                messages = await consumer.fetch(_BATCH, _WAIT_SECONDS)
                if ordered:
                    _complete(messages, taken)
                taken += len(messages)
                await self._route(messages)

    async def _spec(self) -> ConsumerSpec:
        namespace, name = self._place
        stream = await self._parts.streams.ensure_bus(namespace, name)
        return ConsumerSpec(
            stream,
            names.ROUTER_CONSUMER,
            names.bus_subject(namespace, name),
            max_ack_pending=_MAX_ACK_PENDING,
            start_seq=self._index.first_seq + 1,
        )

    async def _route(self, messages: Sequence[Message]) -> None:
        """Publish what matches, then acknowledge: a crash between routes again, under its ids."""
        if messages:
            await self._parts.caught_up()
        entering: list[Entering] = []
        stage = self._parts.hops.stage(f"route {'/'.join(self._place)}", Kind.INTERNAL)
        for message in messages:
            entering += await self._matches(message, stage)
        if entering:
            await self._enter(messages, entering)
            stage.ended()
        self._failures.pop(self._place, None)
        for message in messages:
            await message.ack()

    async def _enter(self, messages: Sequence[Message], entering: Sequence[Entering]) -> None:
        try:
            await enter(self._parts.publisher, entering)
        except BrokerFull:
            for message in messages:
                await message.nak(_PAUSE_SECONDS)  # there may be room long before the ack wait ends
            raise
        self._routed.inc(len(entering))

    async def _matches(self, message: Message, stage: Stage) -> list[Entering]:
        try:
            event = from_structured(message.data)
            whole = await self._whole(event)
        except MalformedEvent as error:
            log.warning("a bus holds what is no event", extra={"fields": {"error": str(error)}})
            return []
        entrances = self._index.matching(whole, message.seq)
        if not entrances:
            return []
        place = f"{message.stream} {message.seq} {message.stored_seconds}"
        headers = {PLACE: place, **stage.passes(event, message.headers.get(HOP))}
        return [entrance.message(whole, message.data, headers) for entrance in entrances]

    async def _whole(self, event: Event) -> Event:
        """Filters look at the data, wherever it is kept; data that is lost matches nothing."""
        if not is_checked_in(event):
            return event
        try:
            return await redeem(event, self._parts.objects)
        except BrokerAway:
            raise
        except TorporError as error:
            log.warning("data of an event is lost", extra={"fields": {"error": str(error)}})
            return event


def _complete(messages: Sequence[Message], taken: int) -> None:
    """BrokerAway when the broker gave something before these that did not come.

    It would come again later, and be overtaken. The broker numbers what it gives a consumer.
    """
    for number, message in enumerate(messages, taken + 1):
        if read_reply(message.receipt).consumer_seq != number:
            raise BrokerAway("something on its way to the router was lost")
