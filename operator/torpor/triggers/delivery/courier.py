"""One Trigger's deliveries: takes no more from its inbox than its target has room for.

Without order one consumer feeds many deliveries; with order by key each partition has its own, and
one event in flight. Everything that is to be remembered is in the broker: a courier may end at any
time, and any number of replicas may deliver one Trigger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind
from torpor.telemetry.logs import Seldom
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.delivery.capacity import MOST_PLACES, Places
from torpor.triggers.delivery.handling import Handling
from torpor.triggers.delivery.inboxes import consumers
from torpor.triggers.delivery.item import Item
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.plan import Plan
from torpor.triggers.delivery.switching import formers_ended

log = logging.getLogger(__name__)

_WAIT_SECONDS = 30.0
_PAUSE_SECONDS = 1.0
_NOTE_SECONDS = 2.0
_QUIET_SECONDS = 60.0
_MOST_FETCHED = 2_000


class CourierPhase(StrEnum):
    """What a courier is doing."""

    DELIVERING = "delivering"
    ABSENT = "absent"
    """The target does not exist: events wait."""
    OPEN = "open"
    """The circuit breaker is open: events wait, or go to the fallback."""
    PROBLEM = "problem"
    """The broker, or the inbox, is away."""


@dataclass(frozen=True, slots=True)
class CourierState:
    """`problem` says what is wrong; empty when nothing is."""

    phase: CourierPhase = CourierPhase.DELIVERING
    problem: str = ""


class Courier:
    """Delivers one Trigger, as it is in one generation, until told to stop."""

    def __init__(self, plan: Plan, parts: DeliveryParts) -> None:
        self._plan = plan
        self._parts = parts
        self._places = _places(plan, parts)
        self._handling = Handling(plan, parts, self._places)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._grace_seconds = 0.0
        self._handing_over = False
        self._freed = asyncio.Event()
        self._problem = ""
        self._said = Seldom(parts.clock, _QUIET_SECONDS)
        batch = plan.trigger.batch
        self._size = 1 if batch is None else batch.size
        self._window_seconds = 0.0 if batch is None else batch.window_seconds

    @property
    def state(self) -> CourierState:
        """What it is doing now."""
        breaker = self._plan.breaker
        if self._plan.absent:
            target = self._plan.trigger.target
            return CourierState(CourierPhase.ABSENT, f"there is no {target.kind} {target.name}")
        if self._problem:
            return CourierState(CourierPhase.PROBLEM, self._problem)
        if breaker is not None and not breaker.closed:
            return CourierState(CourierPhase.OPEN, "the target failed too often")
        return CourierState()

    def stop(self, grace_seconds: float) -> None:
        """Take nothing more; what is in flight may end within `grace_seconds`, then comes again."""
        self._grace_seconds = grace_seconds
        self._stopping.set()

    def hand_over(self, grace_seconds: float) -> None:
        """Stop, and have it known what is in flight: who comes next may have to wait for that."""
        self._handing_over = True
        self.stop(grace_seconds)

    async def run(self) -> None:
        """Deliver until stopped; at a cancellation what is in flight is given back at once."""
        async with asyncio.TaskGroup() as tasks:
            pulls = [] if self._plan.absent else self._begin(tasks)
            await self._stopping.wait()
            for pull in pulls:
                pull.cancel()
            if pulls:
                await asyncio.wait(pulls)
            await self._finish()

    def _begin(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        trigger = self._plan.trigger
        specs = consumers(trigger, self._parts.keeper.ack_wait_seconds).values()
        way = tasks.create_task(self._formers_ended(), name=f"what was before {trigger.key}")
        pulls = [
            tasks.create_task(self._pull(spec, tasks, way), name=f"pull {spec.name}")
            for spec in specs
        ]
        return [way, *pulls]

    async def _finish(self) -> None:
        if not self._deliveries:
            return
        if self._handing_over:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_NOTE_SECONDS):
                    await self._handling.note_in_flight()
        _, late = await asyncio.wait(tuple(self._deliveries), timeout=self._grace_seconds)
        for task in late:
            task.cancel()

    async def _formers_ended(self) -> None:
        """Until no delivery in another order is in flight."""
        while True:
            try:
                return await formers_ended(self._plan.trigger, self._parts)
            except TorporError as error:
                self._complain(error)
            await self._parts.sleep(_PAUSE_SECONDS)

    async def _pull(
        self, spec: ConsumerSpec, tasks: asyncio.TaskGroup, way: asyncio.Task[None]
    ) -> None:
        await asyncio.wait((way,))
        while True:
            consumer = PullConsumer(self._parts.connection, self._parts.world.streams, spec)
            try:
                await self._session(consumer, tasks)
            except TorporError as error:
                self._complain(error)
            finally:
                with contextlib.suppress(BrokerAway):
                    await consumer.close()
            await self._parts.sleep(_PAUSE_SECONDS)

    async def _session(self, consumer: PullConsumer, tasks: asyncio.TaskGroup) -> None:
        step = self._one if consumer.spec.max_ack_pending == 1 else self._some
        while True:
            await step(consumer, tasks)
            self._problem = ""

    async def _one(self, consumer: PullConsumer, tasks: asyncio.TaskGroup) -> None:
        """Deliver the next event of a partition, to its end."""
        await self._room()
        messages = await consumer.fetch(1, _WAIT_SECONDS)
        items = self._handling.adopt(messages)
        if items:
            delivery = self._delivery(items, tasks)
            self._track(delivery)
            await asyncio.wait((delivery,))

    async def _some(self, consumer: PullConsumer, tasks: asyncio.TaskGroup) -> None:
        """Start delivering what there is and what there is room for."""
        room = await self._room()
        most = max(self._size, min(room * self._size, _MOST_FETCHED))
        items = self._handling.adopt(await consumer.fetch(most, _WAIT_SECONDS))
        whole = len(items) - len(items) % self._size
        for at in range(0, whole, self._size):
            self._start(items[at : at + self._size], tasks)
        if whole < len(items):
            self._start(await self._topped_up(items[whole:], consumer), tasks)

    async def _topped_up(self, items: list[Item], consumer: PullConsumer) -> list[Item]:
        """Wait for more until the batch is full or its window over."""
        deadline = self._parts.clock() + self._window_seconds
        try:
            while len(items) < self._size and (left := deadline - self._parts.clock()) > 0:
                more = await consumer.fetch(self._size - len(items), left)
                items += self._handling.adopt(more)
        except BrokerAway:
            return items  # what is here can be delivered all the same
        except BaseException:
            await self._handling.abandon(items)
            raise
        return items

    def _start(self, items: Sequence[Item], tasks: asyncio.TaskGroup) -> None:
        self._track(self._delivery(items, tasks))

    def _delivery(self, items: Sequence[Item], tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        name = f"deliver {self._plan.trigger.key}"
        return tasks.create_task(self._handling.handle(items), name=name)

    def _track(self, task: asyncio.Task[None]) -> None:
        self._deliveries.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._deliveries.discard(task)
        self._freed.set()

    async def _room(self) -> int:
        """Wait until a delivery may begin, and return how many may."""
        while True:
            if await self._shut():
                continue
            room = self._places.limit - len(self._deliveries)
            if room > 0:
                breaker = self._plan.breaker
                probing = breaker is not None and not breaker.closed
                return 1 if probing and self._plan.fallback is None else room
            self._freed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_SECONDS):
                    await self._freed.wait()

    async def _shut(self) -> bool:
        """Sit out a part of the time that the breaker is open; False when it is not."""
        breaker = self._plan.breaker
        if breaker is None or self._plan.fallback is not None:
            return False
        wait = breaker.wait_seconds(self._parts.clock())
        if wait > 0:
            await self._parts.sleep(min(wait, _PAUSE_SECONDS))
        return wait > 0

    def _complain(self, error: TorporError) -> None:
        """A line a minute at most; that the broker is away, its connection says."""
        self._problem = str(error)
        if isinstance(error, BrokerAway) or not self._said.due():
            return
        fields = {"trigger": str(self._plan.trigger.key), "error": str(error)}
        log.warning("a Trigger is not delivered", extra={"fields": fields})


def _places(plan: Plan, parts: DeliveryParts) -> Places:
    target = plan.trigger.target
    if target.kind is TargetKind.FUNCTION:
        return parts.places_of(FunctionKey(plan.trigger.key.namespace, target.name))
    return Places(lambda: MOST_PLACES)
