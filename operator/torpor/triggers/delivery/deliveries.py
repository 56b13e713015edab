"""The deliveries of all Triggers in force: one courier each, begun and ended as definitions change.

Level-triggered: what is wanted is compared with what runs, whatever was missed in between. `heed`
is to listen to the definitions.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.courier import Courier, CourierState
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.plan import compile_plan
from torpor.triggers.delivery.sweeping import Sweeping

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 10.0
CHANGE_GRACE_SECONDS = 60.0
"""How long what is in flight may go on after its Trigger was changed."""


@dataclass(frozen=True, slots=True)
class _Running:
    definition: Definition
    courier: Courier
    task: asyncio.Task[None]


class Deliveries:
    """Delivers every Trigger that is in force and not suspended."""

    def __init__(self, parts: DeliveryParts) -> None:
        self._parts = parts
        self._wanted: dict[FunctionKey, Definition] = {}
        self._running: dict[FunctionKey, _Running] = {}
        self._problems: dict[FunctionKey, str] = {}
        self._changed = asyncio.Event()
        self._drain_seconds: float | None = None

    @property
    def problems(self) -> Mapping[FunctionKey, str]:
        """Why Triggers cannot be delivered at all."""
        return MappingProxyType(self._problems)

    def heed(self, key: FunctionKey, definition: Definition | None) -> None:
        """Take note of a Trigger."""
        if definition is None or definition.trigger.suspended:
            self._wanted.pop(key, None)
        else:
            self._wanted[key] = definition
        self._changed.set()

    def state(self, key: FunctionKey) -> CourierState | None:
        """Return what the courier of a Trigger is doing; None where there is none."""
        found = self._running.get(key)
        return None if found is None else found.courier.state

    def drain(self, grace_seconds: float) -> None:
        """Take nothing more, and let `run` return once what is in flight ended or time is up."""
        self._drain_seconds = grace_seconds
        self._changed.set()

    async def run(self) -> None:
        """Deliver until drained."""
        async with asyncio.TaskGroup() as tasks:
            besides = (
                tasks.create_task(self._parts.keeper.run(), name="keep in progress"),
                tasks.create_task(self._sweep(), name="sweep inboxes"),
            )
            while self._drain_seconds is None:
                self._changed.clear()
                self._reconcile(tasks)
                await self._changed.wait()
            await self._drained(self._drain_seconds)
            for task in besides:
                task.cancel()

    async def _sweep(self) -> None:
        streams = self._parts.world.streams
        sweeping = Sweeping(self._parts.connection, streams, lambda: dict(self._wanted))
        while True:
            await self._parts.sleep(_SWEEP_SECONDS)
            await sweeping.sweep()

    def _reconcile(self, tasks: asyncio.TaskGroup) -> None:
        for key, running in tuple(self._running.items()):
            wanted = self._wanted.get(key)
            if wanted is None or not _same(wanted, running.definition):
                running.courier.hand_over(CHANGE_GRACE_SECONDS)
                del self._running[key]
        for key in self._problems.keys() - self._wanted.keys():
            del self._problems[key]
        for key, definition in self._wanted.items():
            if key not in self._running:
                self._begin(key, definition, tasks)

    def _begin(self, key: FunctionKey, definition: Definition, tasks: asyncio.TaskGroup) -> None:
        try:
            plan = compile_plan(definition, self._parts)
        except (TorporError, ValueError, LookupError, TypeError) as error:
            self._problems[key] = str(error)
            return
        self._problems.pop(key, None)
        courier = Courier(plan, self._parts)
        task = tasks.create_task(courier.run(), name=f"courier {key}")
        self._running[key] = _Running(definition, courier, task)

    async def _drained(self, grace_seconds: float) -> None:
        running = tuple(self._running.values())
        for each in running:
            each.courier.stop(grace_seconds)
        if running:
            await asyncio.wait([each.task for each in running])


def _same(one: Definition, other: Definition) -> bool:
    """Whether two definitions are delivered alike: their status is not looked at."""
    nothing: Mapping[str, object] = MappingProxyType({})
    return (
        replace(one.trigger, status=nothing, generation=0)
        == replace(other.trigger, status=nothing, generation=0)
        and one.facts == other.facts
    )
